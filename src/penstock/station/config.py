"""Settings of the stations, as the process that starts one hands them over. Every constant has a unit and a reason."""

from __future__ import annotations

import sys
from typing import Literal, TypeVar

import msgspec

from penstock.wire.bounds import HEARTBEAT_INTERVAL, LEASE_TIME, TRANSIENT_TIME, Limits

TERM_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a job's processes: as long as `docker stop` gives, a third of Kubernetes."""
DRAIN_BEFORE = 60.0
"""Seconds before its time limit at which a worker drains: most jobs that run then still end by themselves."""


LogFormat = Literal["text", "json"]
"""Of a station's log: a line for people, or an object of JSON on a line."""


class StationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every station is told. `lifeline` is a file descriptor whose end of file ends the station. `key`
    is a key file or folder, `insecure` lets it listen beyond this machine without one. `no_pickle`: batches of pickles
    are refused (ventilator) and not opened (worker). `health_file`: a path, written anew while its loop turns."""

    url: str
    key: str = ""
    insecure: bool = False
    no_pickle: bool = False
    limits: Limits = Limits()
    lifeline: int | None = None
    health_file: str = ""
    log_level: str = "INFO"
    log_format: LogFormat = "text"
    lease_time: float = LEASE_TIME
    heartbeat_interval: float = HEARTBEAT_INTERVAL


class StoreConfig(StationConfig, frozen=True, kw_only=True):
    """A station with a store in the folder `data`; `durable` is synchronous=FULL: what is acknowledged survives power
    loss. `scratch`: the folder goes with the pipeline, so nothing in it need survive more than the station's death.
    `accept_older`: its file, or the other station's, may be older than what the other one knows of it."""

    data: str
    accept_older: bool = False
    durable: bool = True
    scratch: bool = False


class VentilatorConfig(StoreConfig, frozen=True, kw_only=True):
    """Of the ventilator. `transient_time`: seconds without its client after which a map is cancelled."""

    transient_time: float = TRANSIENT_TIME


class SinkConfig(StoreConfig, frozen=True, kw_only=True):
    """What the sink is told."""


class WorkerConfig(StationConfig, frozen=True, kw_only=True):
    """Of a worker: so many slots, the name people know it by, and what it has, for jobs that need that. `allow_users`:
    whom jobs may ask to run as. `jobs_per_slot`: how many a slot's process runs at most (0: any number). `pass_output`
    shows what jobs print (embedded), `show_jobs` a line for each as it ends.

    Seconds: jobs that are ended have `grace` between SIGTERM and SIGKILL; told by a signal to leave it has left
    `leave_within` later (None: when what runs has ended); after `idle_timeout` without a job it leaves; it is ended
    from outside at `time_limit` after its start, so it drains `drain_before` earlier."""

    slots: int
    name: str
    tags: tuple[str, ...] = ()
    allow_users: tuple[str, ...] = ()
    pass_output: bool = False
    show_jobs: bool = False
    jobs_per_slot: int = 0
    grace: float = TERM_GRACE
    leave_within: float | None = None
    idle_timeout: float | None = None
    time_limit: float | None = None
    drain_before: float = DRAIN_BEFORE


Config = TypeVar("Config", bound=StationConfig)


def from_argv(kind: type[Config]) -> Config:
    """The configuration that a parent process gave as the only argument, in JSON."""
    return msgspec.json.decode(sys.argv[1], type=kind)
