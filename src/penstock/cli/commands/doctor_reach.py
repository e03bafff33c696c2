"""Whether this machine can reach and use a pipeline: what `doctor` looks at on the way there."""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from penstock.cli.commands.status import without_workers
from penstock.cli.commands.workers import of_other_versions
from penstock.cli.output import in_local_time
from penstock.errors import ConfigError, NoPipeline, PenstockError, Refused
from penstock.keys.roles import CLIENTS, DOORS, OWNER_OF_SOCKET, Role
from penstock.station.own_address import is_own_name
from penstock.url import SOCKET_NAMES, default_url, endpoints
from penstock.version import VERSION, advice, minor
from penstock.wire.bind_address import is_loopback
from penstock.wire.greeting import Reception, reception, takes_large

if TYPE_CHECKING:
    from penstock.client.records import PipelineStatus
    from penstock.keys.files import KeyFile

NAME_TIME = 5.0
"""Seconds in which a name must be resolved: what resolvers take for one server that is down."""
CONNECT_TIME = 3.0
"""Seconds in which a port must answer."""
HANDSHAKE_TIME = 4.0
"""Seconds in which ZeroMQ must have shaken hands: more than a station's own limit."""
NOBODY = {errno.ECONNREFUSED, errno.ENOENT}
"""Where an address is, and nobody listens."""
WITHOUT_A_WORD = {
    Reception.SILENT: "no answer in the handshake: what listens there is stopped, or is no penstock",
    Reception.HUNG_UP: "it hangs up at once: a tunnel or proxy whose far end is down, a station that has as many"
    " connections as it may, or no penstock",
}
"""Of a door where nobody greets: that says nothing of a key."""
CLOCK_SECONDS = 2.0
"""That two clocks may differ unnoticed: not_before, expires and times in listings are no more exact."""
CLOCK_WRONG_SECONDS = 60.0
"""By so much jobs that expire in minutes are cancelled unstarted, or start late."""


class Finding(NamedTuple):
    """One line of `doctor`: what was looked at, ``ok``, ``warn`` or ``wrong``, and what that means to its reader."""

    check: str
    state: str
    said: str


def reach(url: str | None, key_path: str) -> Iterator[Finding]:
    """Look at the way to a pipeline, as far as it goes; the first thing that is wrong hides what lies behind it."""
    try:
        key = _key(key_path)
    except ConfigError as error:
        yield Finding("key", "wrong", str(error))
        return
    yield Finding(
        "key", "ok", f"{key_path}: {key.name}, role {key.role}" if key else "none: this is for pipelines without keys"
    )
    try:
        url = url or (key.url if key else default_url())
        at = endpoints(url)._asdict()
    except ConfigError as error:
        yield Finding("url", "wrong", str(error))
        return
    yield Finding("url", "ok", url)
    if url.startswith("tcp://"):
        hosts = dict.fromkeys(
            endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]") for endpoint in at.values()
        )
        named = [_named(host) for host in hosts]
        yield from named
        if any(name.state == "wrong" for name in named):
            return
    with ThreadPoolExecutor(len(SOCKET_NAMES)) as pool:  # one after the other, those that do not answer take long
        ports = list(pool.map(_port, at, at.values()))
        yield from ports
        if any(port.state == "wrong" for port in ports):
            return
        if url.startswith("tcp://"):
            packets = _packets(dict(zip(at, pool.map(takes_large, at.values()), strict=True)))
            yield packets
            if packets.state == "wrong":
                return
    doors = list(_doors(at, key))
    yield from doors
    if all(door.state == "ok" for door in doors):
        yield from _asked(url, key, key_path)


def _key(path: str) -> KeyFile | None:
    from penstock.keys.files import load

    return load(path, Role.ADMIN, Role.SUBMIT, Role.OBSERVE, Role.WORK) if path else None


def _named(host: str) -> Finding:
    found: list[str] = []
    failed: list[str] = []

    def look() -> None:
        try:
            found.extend(sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}))
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or str(error))

    thread = threading.Thread(target=look, daemon=True)  # getaddrinfo has no time limit
    thread.start()
    thread.join(NAME_TIME)
    if found and is_own_name(host) and all(map(is_loopback, found)):
        said = f"{host} is {', '.join(found)} here, which only this machine reaches: look into /etc/hosts"
        return Finding("name", "warn", said)
    if found:
        return Finding("name", "ok", f"{host} is {', '.join(found)}")
    why = failed[0] if failed else f"no answer within {NAME_TIME:g} s"
    return Finding("name", "wrong", f"{host} has no address here ({why}): use another name, an address, or /etc/hosts")


def _port(name: str, endpoint: str) -> Finding:
    """Whether anybody listens at one of the six."""
    place = endpoint.partition("://")[2]
    station = OWNER_OF_SOCKET[name]
    try:
        if endpoint.startswith("ipc://"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(CONNECT_TIME)
                connection.connect(place)
        else:
            host, _, port = place.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIME).close()
    except TimeoutError:
        said = f"{place} does not answer within {CONNECT_TIME:g} s: a firewall, or the wrong address"
        return Finding(name, "wrong", f"{said} (all of {len(SOCKET_NAMES)} ports must be open)")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno not in NOBODY:
            return Finding(name, "wrong", f"{place}: {reason}: a firewall refuses it, or there is no way to that host")
        return Finding(
            name, "wrong", f"{place}: {reason}: is the {station} running there? (start it with `penstock {station}`)"
        )
    return Finding(name, "ok", f"{place} answers ({station})")


def _packets(arrive: dict[str, bool]) -> Finding:
    """Whether large packets reach these sockets."""
    if all(arrive.values()):
        return Finding("packets", "ok", "large ones arrive at all sockets")
    names = ", ".join(name for name, does in arrive.items() if not does)
    said = (
        f"large ones vanish on the way to {names}: a device between drops them, and does not say that its MTU is less"
    )
    return Finding(
        "packets", "wrong", f"{said}. Lower the MTU here (`ip link set dev NAME mtu 1280`), or mend the device"
    )


def is_taken(url: str) -> bool:
    """Whether somebody listens where the stations would."""
    return any(_port(name, endpoint).state == "ok" for name, endpoint in endpoints(url)._asdict().items())


def _doors(at: dict[str, str], key: KeyFile | None) -> Iterator[Finding]:
    """Whether the handshake is accepted where this key belongs."""
    from penstock.wire.self_test import try_doors

    names = [name for name, roles in DOORS.items() if key is None or key.role in roles]
    if key is None:
        said = "not let in without a key: --key FILE or PENSTOCK_KEY, or no station of penstock is there"
    else:
        said = "not let in: the key was revoked or never on the list there (`penstock keys list`), or the pipeline is"
        said += " another one, or has no keys"
    said += ", or the station has as many connections as it may, which its log says"
    for name, let_in in try_doors({name: at[name] for name in names}, key, HANDSHAKE_TIME).items():
        if let_in:
            yield Finding(f"{name} door", "ok", "let in")
        else:
            yield Finding(f"{name} door", "wrong", WITHOUT_A_WORD.get(reception(at[name]), said))


def _asked(url: str, key: KeyFile | None, key_path: str) -> Iterator[Finding]:
    """What the ventilator says of itself and of who is there."""
    if key is not None and key.role not in CLIENTS:
        yield Finding("pipeline", "ok", f"not asked: a key with the role {key.role} may only run jobs")
        return
    from penstock import Pipeline

    try:
        with Pipeline(url, key=key_path or None) as pipeline:
            status = pipeline.status()
    except (NoPipeline, Refused) as error:
        yield Finding("pipeline", "wrong", f"{error}: does each station listen at a port of its own?")
        return
    except PenstockError as error:
        yield Finding("pipeline", "wrong", str(error))
        return
    yield from judged(status, time.time())


def judged(status: PipelineStatus, now: float) -> Iterator[Finding]:
    """What a pipeline's own words mean for this machine, whose clock says `now`."""
    yield _penstock(status)
    yield _clock(status.wall_time - now)
    if status.trouble:
        yield Finding("trouble", "wrong", status.trouble)
    if status.paused:
        yield Finding("paused", "warn", in_local_time(status.paused))
    if status.damage:
        yield Finding("damage", "wrong", status.damage)
    yield from (Finding("growth", "warn", line) for line in status.growth)
    sink = (
        "connected" if status.sink_present else "not connected, so nothing is recorded: start it with `penstock sink`"
    )
    yield Finding("sink", "ok" if status.sink_present else "wrong", sink)
    if status.workers:
        yield Finding("workers", "ok", f"{len(status.workers)}, {status.slots} slots")
    elif waits := without_workers(status):
        yield Finding("workers", "wrong", waits)
    else:
        yield Finding("workers", "warn", "none, so jobs wait: start one with `penstock worker`")
    for worker in status.workers:
        if worker.broken:
            yield Finding("workers", "wrong", f"{worker.name} on {worker.host} runs no jobs: {worker.broken}")
        if worker.paused:
            yield Finding("workers", "warn", f"{worker.name} on {worker.host} could not start a job: {worker.paused}")
    yield from _workers_clocks(status)
    yield _python(status)


def _penstock(status: PipelineStatus) -> Finding:
    said = f"the pipeline has {status.version}, this is {VERSION}"
    here = advice(status.version, VERSION, "the ventilator and the sink", "this one")
    others = [*([here] if here else []), *of_other_versions(status)]
    if not others:
        return Finding("penstock", "ok", said)
    return Finding("penstock", "warn", "; ".join([said, *others]))


def _clock(ahead: float) -> Finding:
    state = "ok" if abs(ahead) <= CLOCK_SECONDS else "warn" if abs(ahead) <= CLOCK_WRONG_SECONDS else "wrong"
    said = f"the ventilator's is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    return Finding(
        "clock",
        state,
        said if state == "ok" else f"{said}: set both by NTP, since not_before and expires depend on them",
    )


def _workers_clocks(status: PipelineStatus) -> Iterator[Finding]:
    for worker in status.workers:
        if abs(worker.clock_ahead) > CLOCK_SECONDS:
            ahead = "ahead of" if worker.clock_ahead > 0 else "behind"
            said = f"that of {worker.name} on {worker.host} is {abs(worker.clock_ahead):.1f} s {ahead} the ventilator's"
            yield Finding("clock", "warn", f"{said}: set both by NTP, since its jobs' times are by that clock")


def _python(status: PipelineStatus) -> Finding:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = sorted({minor(worker.python) for worker in status.workers} - {here})
    if not others:
        return Finding("python", "ok", f"{here}, the same as all workers")
    names = ", ".join(worker.name for worker in status.workers if minor(worker.python) in others)
    said = f"here {here}, and {', '.join(others)} at {names}: lambdas and functions of scripts do not run across"
    return Finding("python", "warn", f"{said}; use one version everywhere")
