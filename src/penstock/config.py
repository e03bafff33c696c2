"""Settings of the stations and the endpoints that one URL names. Every constant has a unit and a reason.

A pipeline's URL is ``tcp://host:port`` (the first of six consecutive ports), ``tcp://host:port/sinkhost`` where the
sink is on a host of its own (with its two of the six), or ``ipc:///folder`` (six sockets in it).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from penstock.errors import ConfigError

VERSION = "0.2.0"
"""Of penstock."""

DEFAULT_URL = "tcp://127.0.0.1:5555"
"""What `penstock up` binds and the other commands ask when nothing else is said."""

SOCKET_NAMES = ("desk", "report", "jobs", "outcomes", "control", "results")
"""In the order of their ports: base + 0 ... base + 5."""

SINK_SOCKETS = ("outcomes", "results")
"""Those that the sink binds."""

IPC_PATH_BYTES = 107
"""The longest path of a unix socket (sun_path, unix(7), less its closing zero)."""

HEARTBEAT_INTERVAL = 1.0
"""Seconds between a worker's heartbeats. Five fit into a lease, so four may be lost."""
BEATS_PER_SECOND = 200.0
"""Heartbeats that the ventilator wants to answer: some per cent of its time. Of more workers each beats less often, and
its silence means something as much later."""
PACE_MAX = 12.0
"""Times the heartbeat interval: after a minute's silence also one of many thousand workers is lost."""
LEASE_TIME = 5.0
"""Seconds of silence after which a worker is lost. A kernel-made disconnect is noticed at once."""
RECONNECT_GRACE = 1.0
"""Seconds a dropped control connection has to come back before its worker is lost: two reconnect intervals."""
FUSE = 2.5
"""Seconds after which a dealt lease that nobody reported is queued again: two heartbeats and a margin."""
RESEND = 2.0
"""Seconds without an answer after which outcomes, verdicts and requests are sent again."""
RECALL_PATIENCE = 2.0
"""Seconds after which whoever cancels what has not started is told what is known: a worker that stands still may hold
the rest, which is cancelled all the same when it comes back unstarted."""
TRANSIENT_TIME = 60.0
"""Seconds after which a map whose client is gone is cancelled."""
EXIT_REFUSED = 4
"""A station's exit code when another does not let it in, and never will."""
TERM_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a job's processes: as long as `docker stop` gives, a third of Kubernetes."""
DRAIN_BEFORE = 60.0
"""Seconds before its time limit at which a worker drains: most jobs that run then still end by themselves."""


class Endpoints(NamedTuple):
    """The six ZeroMQ endpoints of a pipeline."""

    desk: str
    report: str
    jobs: str
    outcomes: str
    control: str
    results: str


def endpoints(url: str) -> Endpoints:
    """The endpoints that a URL names. Raises ConfigError: not a URL of ours, a port out of range, a path too long."""
    if match := re.fullmatch(r"tcp://([^/]+):(\d+)(?:/([^/:]+|\[[^/]+\]))?", url):
        base, sink = int(match[2]), match[3] or match[1]
        if not 0 < base <= 65535 - len(SOCKET_NAMES) + 1:
            raise ConfigError(f"{url}: the port must be from 1 to 65530, it is the first of six")
        hosts = (sink if name in SINK_SOCKETS else match[1] for name in SOCKET_NAMES)
        return Endpoints(*(f"tcp://{host}:{base + i}" for i, host in enumerate(hosts)))
    if url.startswith("ipc:///"):
        folder = url.removeprefix("ipc://").rstrip("/")
        if len(os.fsencode(f"{folder}/outcomes")) > IPC_PATH_BYTES:
            raise ConfigError(f"{url}: the path is too long for a socket (at most {IPC_PATH_BYTES - 9} bytes)")
        return Endpoints(*(f"ipc://{folder}/{name}" for name in SOCKET_NAMES))
    raise ConfigError(f"{url!r} is no pipeline's URL: write tcp://HOST:PORT, tcp://HOST:PORT/SINKHOST or ipc:///FOLDER")


def minor(version: str) -> str:
    """``3.11`` of ``3.11.7``: within it versions go together."""
    return ".".join(version.split(".")[:2])


def default_slots() -> int:
    """Cores this process may use: affinity, cgroup quota and SLURM_CPUS_PER_TASK, whichever is least."""
    counts = [len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1]
    for path, parse in (("/sys/fs/cgroup/cpu.max", _quota_v2), ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", _quota_v1)):
        try:
            counts.append(parse(Path(path)))
        except (OSError, ValueError):
            continue
    if os.environ.get("SLURM_CPUS_PER_TASK", "").isdigit():
        counts.append(int(os.environ["SLURM_CPUS_PER_TASK"]))
    return max(1, min(counts))


def _quota_v2(path: Path) -> int:
    quota, period = path.read_text().split()
    return -(-int(quota) // int(period))


def _quota_v1(path: Path) -> int:
    quota = int(path.read_text())
    if quota <= 0:
        raise ValueError("no quota")
    return -(-quota // int(path.with_name("cpu.cfs_period_us").read_text()))


LOG_CHARS = 4000
"""Of a log line: what journald and most collectors take as one."""
IDS_PER_SECOND = 100.0
"""New worker ids of one key: each start of a worker has one, and a cluster starts no more."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer can ask of a socket."""

    frame_bytes: int | None = None
    """A larger frame closes its connection; None: what the protocol allows (MAX_FRAME_BYTES). With less, larger
    arguments and results never arrive."""
    handshake_time: float = 3.0
    """Seconds: who has not shaken hands by then is cut off; the default of 30 s lets strangers hold sockets."""
    connections: int = 10_000
    """At one socket; the newest beyond are cut off. Fewer, if the process may not open as many files."""
    name_chars: int | None = None
    """Of a name that a client gives; None: what the protocol allows (LABEL_CHARS)."""
    log_chars: int = LOG_CHARS
    """Of a line of a station's log; longer ones are cut, whoever made them so."""
    worker_starts: float = IDS_PER_SECOND
    """Per second and key, in the long run; a hundred times as many at once. More are dropped: such a worker hears
    nothing until it connects again."""


class StationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every station is told. `lifeline` is a file descriptor whose end of file ends the station (embedded). `key`
    is a key file or folder, `insecure` lets it listen beyond this machine without one. `no_pickle`: batches of pickles
    are refused (ventilator) and not opened (worker)."""

    url: str
    key: str = ""
    insecure: bool = False
    no_pickle: bool = False
    limits: Limits = Limits()
    lifeline: int | None = None
    log_level: str = "INFO"
    lease_time: float = LEASE_TIME
    heartbeat_interval: float = HEARTBEAT_INTERVAL


class StoreConfig(StationConfig, frozen=True, kw_only=True):
    """A station with a store in the folder `data`; `durable` is synchronous=FULL: what is acknowledged survives power
    loss. `scratch`: the folder goes with the pipeline, so nothing in it need survive more than the station's death."""

    data: str
    durable: bool = True
    scratch: bool = False


class VentilatorConfig(StoreConfig, frozen=True, kw_only=True):
    """Of the ventilator. `transient_time`: seconds without its client after which a map is cancelled."""

    transient_time: float = TRANSIENT_TIME


class SinkConfig(StoreConfig, frozen=True, kw_only=True):
    """Of the sink."""


class WorkerConfig(StationConfig, frozen=True, kw_only=True):
    """Of a worker: so many slots, the name people know it by, and what it has, for jobs that need that. `allow_users`:
    whom jobs may ask to run as. `pass_output` shows what jobs print (embedded), `show_jobs` a line for each as it ends.

    Seconds: jobs that are ended have `grace` between SIGTERM and SIGKILL; after `idle_timeout` without a job it leaves;
    it is ended from outside at `time_limit` after its start, so it drains `drain_before` earlier."""

    slots: int
    name: str
    tags: tuple[str, ...] = ()
    allow_users: tuple[str, ...] = ()
    pass_output: bool = False
    show_jobs: bool = False
    grace: float = TERM_GRACE
    idle_timeout: float | None = None
    time_limit: float | None = None
    drain_before: float = DRAIN_BEFORE


Config = TypeVar("Config", bound=StationConfig)


def from_argv(kind: type[Config]) -> Config:
    """The configuration that a parent process gave as the only argument, in JSON."""
    return msgspec.json.decode(sys.argv[1], type=kind)
