"""The pace of a run: ``--delay``, ``--load``, ``--memfree``, and that with ``--halt`` nothing is started in advance."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from penstock.cli.option_types import DURATION, SIZE, OptionDecorator, together
from penstock.cli.output import say
from penstock.errors import ConfigError
from penstock.job.spec import name_apart

if TYPE_CHECKING:
    from penstock import Pipeline
    from penstock.cli.run.work import Work
    from penstock.client.command_line import Gate, Pace
    from penstock.client.records import WorkerInfo

LOAD = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d+)?)(?P<percent>%?)")
LEAST_LOAD = 0.01
"""As GNU parallel has it: of --load 0, a machine that does nothing."""
LOOK_INTERVAL = 0.5
"""Seconds between two looks at a machine that has too much to do."""
SETTLE_TIME = 0.05
"""Seconds until a job that was handed in is seen in the load."""
SILENCE_TIME = 3.0
"""Seconds for which a job is kept back without a word."""
MANY = 1 << 30
"""Where there is no limit."""
BLOCKS_A_SLOT = 2
"""Of --pipe, under way: one is read while the other runs."""


class LoadType(click.ParamType[float]):
    """Processes that run, in the forms of ``-j``."""

    name = "load"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises BadParameter: it has another form."""
        match = LOAD.fullmatch(str(value))
        if match is None or (match["sign"] and match["percent"]):
            self.fail(f"{value!r} is not a load: write 4, or 80% or -1 of this machine's cores", param, ctx)
        number, cores = float(match["number"]), os.cpu_count() or 1
        if match["percent"]:
            number = cores * number / 100
        elif match["sign"]:
            number = cores + number if match["sign"] == "+" else cores - number
        return max(LEAST_LOAD, number)


pace_options: OptionDecorator = together(
    click.option("--delay", type=DURATION, help="Wait at least this long between two starts: 0.5, 2m."),
    click.option(
        "--load", type=LoadType(), metavar="N|N%", help="Start no job while this many processes run on this machine."
    ),
    click.option("--memfree", type=SIZE, help="Start no job while less memory than this is free on this machine: 2G."),
)
"""The options that keep jobs back."""


class Pacing(NamedTuple):
    """What they say. `halts`: whoever reads the outcomes may want no more jobs after any of them."""

    delay: float | None
    load: float | None
    memfree: int | None
    halts: bool

    def check(self, url: str | None) -> None:
        """ConfigError: what is asked for is about this machine, and the jobs run elsewhere."""
        asked = "--load" if self.load is not None else "--memfree" if self.memfree is not None else ""
        if asked and url:
            raise ConfigError(
                f"{asked} looks at this machine, but the jobs run on workers of {url}: limit them with --limit N, or"
                " those on one machine with `penstock worker --slots N`"
            )

    def gates(self) -> list[Gate]:
        """What keeps jobs back."""
        from penstock.client.command_line import Delay

        gates: list[Gate] = [Delay(self.delay)] if self.delay else []
        if self.load is not None:
            gates.append(Watchful(partial(too_many_run, self.load)))
        if self.memfree is not None:
            gates.append(Watchful(partial(too_little_is_free, self.memfree)))
        return gates

    def of(self, pipeline: Pipeline, work: Work, url: str | None) -> Pace | None:
        """The pace of these jobs; None: they go as fast as their input."""
        from penstock.client.command_line import AHEAD, Pace, wake_slots

        gates = self.gates()
        is_strict = self.halts or bool(gates)
        if not is_strict and not work.pipe:
            return None
        if self.delay and url is None:
            wake_slots(pipeline)
        each = 1 if is_strict else BLOCKS_A_SLOT
        return Pace(
            lambda: each * min(slots_for(pipeline, work, url), work.limit or MANY),
            gates,
            read_ahead=1 if work.pipe else AHEAD,
            as_read=self.halts,
        )


def slots_for(pipeline: Pipeline, work: Work, url: str | None) -> int:
    """How many of the jobs can run at once."""
    from penstock.client.command_line import slots_of

    if url is None:
        return slots_of(pipeline)
    fitting = (
        worker
        for worker in pipeline.workers()
        if not (worker.draining or worker.broken)
        and (work.worker is None or is_called(worker, work.worker))
        and set(work.needs) <= set(worker.tags)
        and (not work.user or work.user in worker.users)
    )
    return sum(worker.slots for worker in fitting)


def is_called(worker: WorkerInfo, name: str) -> bool:
    """Whether jobs for this name, or host, may run there: also where others had the name first."""
    return name in {worker.name, worker.host} or worker.name == name_apart(name, worker.id)


class Watchful:
    """Keeps jobs back while `reason` names one, and says so when that lasts."""

    def __init__(self, reason: Callable[[], str]) -> None:
        """`reason`: why none is to start now, or nothing."""
        self._reason = reason
        self._since: float | None = None
        self._said = False
        self._begun = float("-inf")

    def left(self, now: float) -> float:
        """As a Gate does."""
        if 0 < (left := self._begun + SETTLE_TIME - now) <= SETTLE_TIME:
            return left
        reason = self._reason()
        if not reason:
            self._since, self._said = None, False
            return 0.0
        if self._since is None:
            self._since = time.monotonic()
        elif not self._said and time.monotonic() >= self._since + SILENCE_TIME:
            self._said = True
            say(f"no job is started: {reason}")
        return LOOK_INTERVAL

    def begun(self, now: float) -> None:
        """As a Gate does."""
        self._begun = max(self._begun, now)


def too_many_run(most: float) -> str:
    """Why no job is to start: more processes run than ``--load`` allows; or nothing."""
    found = load()
    return f"{found:g} processes run, and --load allows one more below {most:g}" if found >= most else ""


def too_little_is_free(least: int) -> str:
    """Why no job is to start: less memory is free than ``--memfree`` asks for; or nothing."""
    import psutil

    free = psutil.virtual_memory().available
    if free >= least:
        return ""
    return f"{free >> 20:,} MB of memory are free, and --memfree wants {least >> 20:,} MB"


def load() -> float:
    """How many processes run or wait for the disk at this moment, this one aside. (psutil has only averages of
    minutes, which would let a hundred jobs through before they say anything.)"""
    if sys.platform != "linux":
        return os.getloadavg()[0]
    lines = Path("/proc/stat").read_bytes().splitlines()
    counts = dict(line.split()[:2] for line in lines if line.startswith(b"procs_"))
    return max(0, int(counts[b"procs_running"]) + int(counts[b"procs_blocked"]) - 1)
