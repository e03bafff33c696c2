"""Workers on many hosts, through the system's ssh: who they are, what each is asked, what it answers.

Promises:

1. Nothing starts anywhere while one host that answers has a Python whose minor version is not the head's.
2. A host that cannot be reached, or where something fails, keeps no other from its turn.
3. What a host is told travels on ssh's input: no key is ever an argument.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import ConfigError
from penstock.fleet import on_host, wheel
from penstock.url import endpoints

AT_ONCE = 16
"""Hosts that are asked at once: each is a process here and, where penstock is missing, an installation there."""
SSH_OPTIONS = {"BatchMode": "yes", "ConnectTimeout": "10", "ServerAliveInterval": "5", "ServerAliveCountMax": "3"}
"""Nobody is there to type a password; a host that is gone is noticed within seconds, not after the kernel's minutes."""
SSH_FAILED = 255
"""ssh's exit code when it is ssh itself that failed."""
NOT_FOUND = 127
"""A shell's, for a program that is not there."""
RUN = "import sys; sys.path[:] = filter(None, sys.path); exec(sys.stdin.buffer.read())"
"""The program of a host's Python, which may be too old for -P: nothing is imported from the folder that a login ends
in."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:\[\]%-]*")
"""What ssh takes as a host, and what it cannot take for an option."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of hosts: a name that ssh knows, slots (None: usable cores), tags, which Python."""

    name: str
    slots: int | None = None
    tags: tuple[str, ...] = ()
    python: str = "python3"

    @property
    def worker(self) -> str:
        """What its worker is called: the name without a user."""
        return self.name.rpartition("@")[2]


class Answer(msgspec.Struct, frozen=True):
    """What asking a host came to: its answer, or why there is none."""

    host: Host
    found: dict[str, Any]
    error: str = ""


def read_hosts(text: str, where: str) -> list[Host]:
    """The hosts of a list, one per line; # begins a comment. ConfigError names the line that is wrong."""
    hosts: dict[str, Host] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            host = _host(*words)
        except (ValueError, msgspec.ValidationError) as error:
            raise ConfigError(f"{where}, line {number}: {error}") from None
        if host.name in hosts:
            raise ConfigError(f"{where}, line {number}: {host.name} is there twice")
        hosts[host.name] = host
    if not hosts:
        raise ConfigError(f"{where}: no hosts; write one per line: name slots=8 tags=gpu,big python=python3.11")
    return list(hosts.values())


def _host(name: str, *settings: str) -> Host:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no host's name")
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in {"slots", "tags", "python"} or not equals or not value or key in given:
            raise ValueError(f"{setting!r}: after the name come slots=N, tags=A,B and python=PROGRAM, each once")
        given[key] = value
    if not given.get("slots", "1").isdigit() or given.get("slots") == "0":
        raise ValueError(f"slots={given['slots']}: write a number, 1 or more")
    if "slots" in given:
        given["slots"] = int(given["slots"])
    return Host(name=name, **given | {"tags": tuple(filter(None, given.get("tags", "").split(",")))})


class Fleet:
    """These hosts, for the pipeline at `url`; `ssh` is the command that reaches them."""

    def __init__(self, hosts: Sequence[Host], url: str, ssh: str = "ssh") -> None:
        self.hosts = hosts
        at = endpoints(url)
        self._url = url
        self._ssh = shlex.split(ssh)
        self._reach = [_host_and_port(endpoint) for endpoint in (at.desk, at.outcomes)]
        self._order = {
            "pipeline": re.sub(r"[^A-Za-z0-9.]+", "-", url.removeprefix("tcp://")),
            "digest": on_host.digest(wheel.PACKAGE),
        }

    def look(self) -> Iterator[Answer]:
        """What runs where, as the hosts answer."""
        return self._each(self.hosts, lambda host: self._ask(host, {"do": "look"}))

    def stop(self) -> Iterator[Answer]:
        """Let the workers finish what they run, and wait for that; asked again meanwhile, they end it now."""
        return self._each(self.hosts, lambda host: self._ask(host, {"do": "stop"}))

    def start(self, key: str, *, restart: bool = False) -> Iterator[Answer]:
        """Start a worker on each host that has none, with `restart` also in place of one that runs, which finishes its
        jobs first; `key`: the content of its key file."""
        looks = list(self.look())
        if any(map(_is_foreign, looks)):
            yield from map(_unstarted, looks)
            return
        yield from (answer for answer in looks if answer.error)
        along = wheel.wheel() if any(not one.found["fit"] for one in looks if not one.error) else ("", b"")
        name_and_bytes = (along[0], base64.b64encode(along[1]).decode())
        fit = {answer.host.name: answer.found["fit"] for answer in looks if not answer.error}

        def start_on(host: Host) -> Answer:
            order = {"do": "start", "restart": restart, "key": key, "options": self._options(host)}
            order["reach"] = self._reach
            return self._ask(host, order | ({} if fit[host.name] else {"wheel": name_and_bytes}))

        yield from self._each([host for host in self.hosts if host.name in fit], start_on)

    def _options(self, host: Host) -> list[str]:
        slots = [] if host.slots is None else ["--slots", str(host.slots)]
        tags = [word for tag in host.tags for word in ("--tag", tag)]
        return ["--connect", self._url, "--name", host.worker, *slots, *tags]

    @staticmethod
    def _each(hosts: Iterable[Host], ask: Callable[[Host], Answer]) -> Iterator[Answer]:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="penstock-fleet") as threads:
            for future in as_completed([threads.submit(ask, host) for host in hosts]):
                yield future.result()

    def _ask(self, host: Host, order: dict[str, Any]) -> Answer:
        program = f"{Path(on_host.__file__).read_text(encoding='utf-8')}\nmain({self._order | order!r})\n"
        options = [word for name, value in SSH_OPTIONS.items() for word in ("-o", f"{name}={value}")]
        try:
            done = subprocess.run(
                [*self._ssh, *options, "--", host.name, f"exec {_quoted(host.python)} -c {shlex.quote(RUN)}"],
                input=program.encode(),
                capture_output=True,
                check=False,
            )
        except OSError as error:
            return Answer(host, {}, f"{self._ssh[0]} cannot be run: {(error.strerror or str(error)).lower()}")
        for line in done.stdout.decode(errors="replace").splitlines():
            if line.startswith(on_host.MARK):
                found = json.loads(line.removeprefix(on_host.MARK))
                return Answer(host, found, found.get("error", ""))
        return Answer(host, {}, _failure(host, done))


def _host_and_port(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def _quoted(python: str) -> str:
    home, path = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return home + shlex.quote(path)


def _failure(host: Host, done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stderr.decode(errors="replace").strip().splitlines()
    last = said[-1] if said else f"exit code {done.returncode}"
    if done.returncode == SSH_FAILED:
        return last.removeprefix("ssh: ")
    if done.returncode == NOT_FOUND:
        return f"no {host.python} there: name one with python="
    return f"{host.python} there says: {last}"


def _is_foreign(answer: Answer) -> bool:
    """Whether functions pickled here cannot be counted on to run there."""
    return not answer.error and answer.found["python"].split(".")[:2] != [str(part) for part in sys.version_info[:2]]


def _unstarted(answer: Answer) -> Answer:
    if answer.error:
        return answer
    here = ".".join(map(str, sys.version_info[:2]))
    reason = "not started, because of another host's Python"
    if _is_foreign(answer):
        reason = f"has Python {answer.found['python']}, and the head {here}: name a Python {here} with python="
    return msgspec.structs.replace(answer, error=reason)
