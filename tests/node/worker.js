// A penstock worker: node worker.js tcp://HOST:PORT SLOTS NAME [KEY_FILE]. It runs commands, and by name the few
// functions below. Written from `penstock guide protocol` and src/penstock/wire/messages.py; numbers in comments are the steps there.
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import * as zmq from "zeromq"
import { argv, run, text } from "./command.js"
import { fromFrame, pack, toFrame, unpack } from "./wire.js"

const RESEND = 2000
const WINDOW = 1024
const FUNCTIONS = { "math:sqrt": Math.sqrt, "builtins:abs": Math.abs }
const [, , url, slots, ownName, keyFile] = process.argv
const keys = keyFile ? JSON.parse(readFileSync(keyFile, "utf8")) : null
const name = keys ? `${keys.name}/${ownName}` : ownName
const id = randomBytes(16)
const { hostname: host, port } = new URL(url)
const endpoint = offset => `tcp://${host}:${Number(port) + offset}`
const now = () => Number(process.hrtime.bigint() / 1_000_000n)
const key = bytes => Buffer.from(bytes).toString("hex")
const covers = (start, stop) => index => Number(start) <= index && index < Number(stop)
/** Whether a stamp is a later try than another; its parts are compared in their order. */
const isLater = (stamp, other) => {
  const at = stamp.findIndex((part, place) => Number(part) !== Number(other[place]))
  return at >= 0 && Number(stamp[at]) > Number(other[at])
}

/** Options of a socket to a station that has this server key. */
const secured = server =>
  keys ? { curvePublicKey: keys.public, curveSecretKey: keys.secret, curveServerKey: server } : {}

/** A socket whose sends wait for each other. */
class Sender {
  constructor(socket) {
    this.socket = socket
    this.last = Promise.resolve()
  }

  send(name, fields, payload) {
    this.last = this.last.then(() => this.socket.send(toFrame(name, fields, payload))).catch(() => {})
    return this.last
  }
}

/** A lease, and where each of its jobs is: "unstarted", {end} while it runs, or {record, body} of its outcome. */
class Lease {
  constructor([number, batch, first, count, start, stop, stamp, size, token], head, chunk) {
    const tokens = token?.length ? [token] : []
    Object.assign(this, { number, batch, first: Number(first), stamp, head, chunk, tokens, jobs: new Map() })
    for (let index = Number(start); index < Number(stop); index++) this.jobs.set(index, "unstarted")
  }

  spans(holds) {
    const found = []
    for (const index of [...this.jobs.keys()].filter(one => holds(this.jobs.get(one))).sort((a, b) => a - b)) {
      if (found.at(-1)?.[1] === index) found.at(-1)[1]++
      else found.push([index, index + 1])
    }
    return found
  }

  runs = () => [...this.jobs.values()].some(job => job.end)

  line() {
    return [this.number, this.batch, this.stamp,
      this.spans(job => job === "unstarted"), this.spans(job => job.end), this.spans(job => job.record),
      this.tokens[0] ?? Buffer.alloc(0)]
  }
}

class Worker {
  leases = new Map()
  functions = new Map() // by digest, in hex: its bytes, or the parts that have come
  asked = new Set()
  arrivals = []
  greeting = null
  jobsConnected = false
  joined = false
  lost = true
  floor = 0
  number = 0
  helloNumber = 0
  sent = new Map()
  aliveAt = now()
  free = [...Array(Number(slots)).keys()]
  draining = false

  constructor() {
    this.control = new zmq.Subscriber(secured(keys?.ventilator))
    this.pull = new zmq.Pull(secured(keys?.ventilator))
    this.reports = new zmq.Push(secured(keys?.ventilator))
    this.results = new zmq.Push(secured(keys?.sink))
    this.report = new Sender(this.reports)
    this.outcomes = new Sender(this.results)
  }

  start() {
    this.control.subscribe(id)
    this.pull.events.on("handshake", () => {
      this.jobsConnected = true
      if (!this.joined) this.sayHello()
    })
    this.pull.events.on("disconnect", () => { this.jobsConnected = false })
    this.results.events.on("handshake", () => this.sendAgain(0))
    this.report.socket.connect(endpoint(1))
    this.pull.connect(endpoint(2))
    this.results.connect(endpoint(3))
    this.control.connect(endpoint(4))
    this.read(this.control, id.length)
    this.read(this.pull, 0)
    this.clock = setInterval(() => this.beat(), 1000)
    process.on("SIGTERM", () => this.drain())
    console.log(`started: ${name}, ${slots} slots, ${url}`)
  }

  async read(socket, topicBytes) {
    for await (const [frame] of socket) {
      const message = fromFrame(frame, topicBytes)
      if (message) this.handle(message)
    }
  }

  handle({ name, fields, payload }) {
    const by = {
      Greeting: () => this.onGreeting(...fields),
      Welcome: () => this.onWelcome(...fields),
      Jobs: () => this.onJobs(...fields, payload),
      Beat: () => this.echoed(fields[0]),
      HandBack: () => this.handBack(...fields),
      Recall: () => this.recall(...fields),
      CancelSpan: () => this.onBatchSpans(fields[0], (lease, index) => this.drop(lease, index)),
      Drop: () => this.onDrop(fields[0]),
      Closed: () => this.onBatchSpans(fields[0], (lease, index, stamp) =>
        !isLater(lease.stamp, stamp) && lease.jobs.get(index).record && lease.jobs.delete(index)),
      FunctionPart: () => this.onFunctionPart(...fields, payload),
      Drain: () => this.drain(),
    }
    by[name]?.()
    this.turn()
  }

  /** What may be due after anything happened. */
  turn() {
    for (const [number, lease] of this.leases) if (!lease.jobs.size) this.leases.delete(number)
    if (!this.lost) this.fill()
    if (this.draining && !this.leases.size && !this.left) this.leave()
  }

  // ------------------------------------------------------------------------------ who is alive (1, 2, 4)

  onGreeting(life, connection, leaseTime) {
    this.greeting = { life, connection }
    this.leaseTime = leaseTime * 1000
    this.joined = false
    this.sayHello()
  }

  next() {
    this.number++
    this.sent.set(this.number, now())
    return this.number
  }

  inventory = () => [...this.leases.values()].map(lease => lease.line())
  window = () => (this.draining ? 0 : WINDOW)

  sayHello() {
    if (!this.greeting || !this.jobsConnected) return
    this.helloNumber = this.next()
    const { life, connection } = this.greeting
    this.report.send("Hello", [id, life, connection, this.helloNumber, name, hostname(), process.pid, Number(slots),
      this.window(), this.inventory(), `node ${process.versions.node}`, [], "", [], ["msgpack", "command"]])
  }

  echoed(number) {
    this.aliveAt = Math.max(this.aliveAt, this.sent.get(number) ?? 0)
    for (const old of this.sent.keys()) if (old <= number) this.sent.delete(old)
  }

  isSilent = () => now() - this.aliveAt > this.leaseTime / 2

  onWelcome(number, floor, drop) {
    if (this.joined || number !== this.helloNumber) return
    this.echoed(number)
    if (this.isSilent()) return
    this.joined = true
    this.lost = false
    this.onDrop(drop)
    this.floor = floor
    for (const lease of this.arrivals.splice(0)) this.hold(lease)
  }

  beat() {
    if (!this.lost && this.isSilent()) {
      this.lost = true
      this.joined = false
    }
    if (this.joined) this.report.send("Heartbeat", [id, this.next(), this.window(), this.inventory()])
    else this.sayHello()
    for (const digest of this.asked) this.report.send("NeedFunction", [id, Buffer.from(digest, "hex")])
    this.sendAgain(RESEND)
    this.turn()
  }

  // ------------------------------------------------------------------------------ jobs come (3)

  onJobs(batches, leases, payload) {
    let at = 0
    const cut = size => payload.subarray(at, (at += Number(size)))
    const heads = new Map()
    for (const [batch, spec, digest, size, inline] of batches) {
      const blob = cut(inline)
      if (Number(inline) === Number(size)) this.functions.set(key(digest), Buffer.from(blob))
      heads.set(key(batch), { spec, digest: key(digest) })
    }
    for (const record of leases) {
      const lease = new Lease(record, heads.get(key(record[1])), Buffer.from(cut(record[7])))
      if (this.joined) this.hold(lease)
      else this.arrivals.push(lease)
    }
  }

  hold(lease) {
    if (this.leases.has(String(lease.number)) || lease.number < this.floor) return
    this.leases.set(String(lease.number), lease)
    this.report.send("Took", [id, [lease.number], this.window(), lease.tokens])
    if (this.draining) this.handBack(0, Infinity)
    else if (!this.functions.has(lease.head.digest)) {
      this.asked.add(lease.head.digest)
      this.report.send("NeedFunction", [id, Buffer.from(lease.head.digest, "hex")])
    }
  }

  onFunctionPart(digest, offset, total, size, payload) {
    const name = key(digest)
    if (!this.asked.has(name)) return
    this.parts ??= new Map()
    const parts = this.parts.get(name) ?? { bytes: Buffer.alloc(Number(total)), have: 0 }
    this.parts.set(name, parts)
    if (Number(offset) !== parts.have) return
    payload.copy(parts.bytes, parts.have)
    parts.have += payload.length
    if (parts.have < Number(total)) return
    this.functions.set(name, parts.bytes)
    this.parts.delete(name)
    this.asked.delete(name)
  }

  // ------------------------------------------------------------------------------ jobs run (3)

  fill() {
    for (const lease of this.leases.values()) {
      if (!this.functions.has(lease.head.digest)) continue
      for (const [index, job] of lease.jobs) {
        if (!this.free.length) return
        if (lease.head.spec.limit && lease.runs()) break
        if (job === "unstarted") this.begin(lease, index)
      }
    }
  }

  begin(lease, index) {
    const slot = this.free.shift()
    const started = Date.now()
    const job = { end: () => { job.dropped = true } }
    lease.jobs.set(index, job)
    const settle = (state, body, note) => {
      this.free.push(slot)
      if (lease.jobs.get(index) === job && !job.dropped) this.keep(lease, index, slot, started, state, body, note)
      else lease.jobs.delete(index)
      this.turn()
    }
    try {
      if (lease.head.spec.kind === "command") this.command(lease, index, slot, job, settle)
      else settle("succeeded", pack([this.call(lease, index)]), null)
    } catch (error) {
      settle("failed", Buffer.alloc(0), [error.message, "", Buffer.alloc(0), Buffer.alloc(0), null])
    }
  }

  command(lease, index, slot, job, settle) {
    const { spec, digest } = lease.head
    const template = unpack(this.functions.get(digest))
    const words = argv(template, unpack(lease.chunk)[index - lease.first].map(text), index + 1, slot + 1)
    const added = Object.fromEntries(Object.entries(template.env ?? {}).map(([one, value]) => [one, text(value)]))
    const env = { ...process.env, ...added, PENSTOCK_JOB_ID: `${key(lease.batch)}:${index}`,
      PENSTOCK_INDEX: String(index), PENSTOCK_ATTEMPT: String(lease.stamp[1]), PENSTOCK_SLOT: String(slot) }
    const cwd = template.cwd && text(template.cwd)
    const end = run(words, { cwd, env, timeLimit: spec.time_limit }, ended => {
      const { code, stdout, stderr, timedOut, failure } = ended
      const cause = failure ?? (timedOut ? `ran longer than its time limit of ${spec.time_limit} s` : code ? `exit code ${code}` : "")
      const failed = failure !== null || (code !== 0 && (spec.check ?? true))
      settle(timedOut ? "timed_out" : failed ? "failed" : "succeeded", pack([words.map(word => Buffer.from(word))]),
        [cause, "", stdout, stderr, failure === null ? code : null])
    })
    job.end = () => {
      job.dropped = true
      end()
    }
  }

  call(lease, index) {
    const { spec, digest } = lease.head
    if (spec.serializer !== "msgpack") throw new Error(`worker ${name} is written in JavaScript: it runs commands, and calls of serializer msgpack`)
    const called = unpack(this.functions.get(digest))
    if (!Object.hasOwn(FUNCTIONS, called)) throw new Error(`worker ${name} knows no function ${called}`)
    const [form, items] = unpack(lease.chunk)
    const item = form === "blob" ? unpack(items[index - lease.first]) : items[index - lease.first]
    return FUNCTIONS[called](...({ item: [item], star: item }[form] ?? item[0]))
  }

  // ------------------------------------------------------------------------------ outcomes (3)

  keep(lease, index, slot, started, state, body, note) {
    const [, attempt, crashes] = lease.stamp
    const final = state !== "failed" || attempt - 1 - crashes >= (lease.head.spec.retries ?? 0)
    const record = [lease.batch, index, index + 1, state, final, lease.stamp, lease.number, slot, started / 1000,
      (Date.now() - started) / 1000, body.length, false, note]
    lease.jobs.set(index, { record, body, sentAt: now() })
    this.sendOutcome(lease, record, body)
  }

  sendOutcome(lease, record, body) {
    this.outcomes.send("Outcomes", [id, name, [record], lease.tokens], body)
  }

  sendAgain(age) {
    for (const lease of this.leases.values()) {
      for (const job of lease.jobs.values()) {
        if (!job.record || now() - job.sentAt < age) continue
        job.sentAt = now()
        this.sendOutcome(lease, job.record, job.body)
      }
    }
  }

  onBatchSpans(spans, act) {
    for (const [batch, start, stop, stamp] of spans) {
      for (const lease of this.leases.values()) {
        if (key(lease.batch) === key(batch)) [...lease.jobs.keys()].filter(covers(start, stop)).forEach(index => act(lease, index, stamp))
      }
    }
  }

  // ------------------------------------------------------------------------------ jobs go (5)

  onDrop(spans) {
    for (const [number, start, stop] of spans) {
      const lease = this.leases.get(String(number))
      if (lease) [...lease.jobs.keys()].filter(covers(start, stop)).forEach(index => this.drop(lease, index))
    }
  }

  /** Forget a job that has not started, end one that runs; a finished one stays. */
  drop(lease, index) {
    const job = lease.jobs.get(index)
    if (job === "unstarted") lease.jobs.delete(index)
    else job.end?.()
  }

  handBack(number, jobs, numbers = []) {
    const spans = []
    for (const lease of [...this.leases.values()].reverse()) {
      if (numbers.length && !numbers.includes(lease.number)) continue
      for (const index of [...lease.jobs.keys()].reverse()) {
        if (spans.length >= jobs || lease.jobs.get(index) !== "unstarted") continue
        lease.jobs.delete(index)
        spans.push([lease.number, index, index + 1])
      }
    }
    this.report.send("HandedBack", [id, number, spans, "", this.tokens(spans)])
  }

  tokens(spans) {
    return [...new Set(spans.map(([number]) => this.leases.get(String(number))))].flatMap((lease) => lease.tokens)
  }

  recall(number, wanted) {
    const spans = []
    for (const [which, start, stop] of wanted) {
      const lease = this.leases.get(String(which))
      for (const index of lease ? [...lease.jobs.keys()].filter(covers(start, stop)) : []) {
        if (lease.jobs.get(index) !== "unstarted") continue
        lease.jobs.delete(index)
        spans.push([which, index, index + 1])
      }
    }
    this.report.send("HandedBack", [id, number, spans, "", this.tokens(spans)])
  }

  drain() {
    if (!this.draining) {
      this.draining = true
      this.handBack(0, Infinity)
    }
    this.turn()
  }

  async leave() {
    this.left = true
    clearInterval(this.clock)
    await this.report.send("Left", [id])
    for (const socket of [this.control, this.pull, this.reports, this.results]) socket.close()
    process.exit(0)
  }
}

new Worker().start()
