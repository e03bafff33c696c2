// Commands: the argv of one job from its template, and running it.
import { spawn } from "node:child_process"
import { constants } from "node:os"

const PLACE = /\{(?:(#|%)|(-?[1-9]\d*)?(\/\/|\/\.|\/|\.)?)\}/g
const GRACE = 10_000 // milliseconds from SIGTERM to SIGKILL
const SIGNALS = constants.signals

/** Bytes as text; Node starts processes with text only. */
export function text(bytes) {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
}

const stem = base => (base.lastIndexOf(".") > 0 && !base.endsWith(".") ? base.slice(0, base.lastIndexOf(".")) : base)

function part(argument, kind) {
  const at = argument.lastIndexOf("/")
  const base = argument.slice(at + 1)
  switch (kind) {
    case "/": return base
    case "//": return at > 0 ? argument.slice(0, at) : at === 0 ? "/" : "."
    case "/.": return stem(base)
    case ".": return argument.slice(0, at + 1) + stem(base)
    default: return argument
  }
}

const quoted = word => (/^[A-Za-z0-9@%+=:,./_-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`)

/** The argv for one job: its arguments, its number from 1 and its slot's number from 1. */
export function argv(template, args, number, slot) {
  const words = template.words.map(text)
  if (template.literal) return template.shell ? ["/bin/sh", "-c", words.join(" ")] : words
  const shown = template.shell ? quoted : word => word
  const filled = word => word.replace(PLACE, (_, counter, place, kind) => {
    if (counter) return counter === "#" ? number : slot
    const chosen = place === undefined ? args : [args.at(place > 0 ? place - 1 : Number(place))].filter(one => one !== undefined)
    return chosen.map(one => shown(part(one, kind))).join(" ")
  })
  const takes = words.some(word => [...word.matchAll(PLACE)].length)
  const rest = takes ? [] : args
  if (template.shell) return ["/bin/sh", "-c", [...words.map(filled), ...rest.map(quoted)].join(" ")]
  return [...words.flatMap(word => (word === "{}" ? args : [filled(word)])), ...rest]
}

/** Run a command to its end. `ended` is given {code, stdout, stderr, timedOut, failure}; returns what ends it early. */
export function run(words, { cwd, env, timeLimit }, ended) {
  const output = { stdout: [], stderr: [] }
  let timedOut = false
  let failure = null
  const child = spawn(words[0], words.slice(1), { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] })
  const signal = name => {
    try {
      process.kill(-child.pid, name)
    } catch {
      // it has ended
    }
  }
  const timers = []
  const end = () => {
    signal("SIGTERM")
    timers.push(setTimeout(() => signal("SIGKILL"), GRACE))
  }
  if (timeLimit != null) {
    timers.push(setTimeout(() => {
      timedOut = true
      end()
    }, timeLimit * 1000))
  }
  for (const name of ["stdout", "stderr"]) child[name]?.on("data", bytes => output[name].push(bytes))
  child.on("error", error => { failure = error.message })
  child.on("close", (code, killed) => {
    timers.forEach(clearTimeout)
    const number = killed ? -SIGNALS[killed] : code
    ended({ code: number, stdout: Buffer.concat(output.stdout), stderr: Buffer.concat(output.stderr), timedOut, failure })
  })
  return end
}

