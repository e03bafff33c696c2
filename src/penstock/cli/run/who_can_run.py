"""Whether anybody can run what a command line asks for, and how many jobs at once (``-j``, in the forms of GNU
parallel): said before anything is submitted."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

import click

from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock import Pipeline
    from penstock.cli.run.work import Work

OWN_WORKER = "local"
"""The name of the only worker of a pipeline of its own."""
FORM = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+)(?P<percent>%?)")
MOST_SLOTS = 200
"""Of a pipeline of its own with ``-j 0``: some seconds until they are there, a megabyte each."""


def check_own(work: Work) -> None:
    """ConfigError: no worker of a pipeline of its own is like that."""
    where = "name a running pipeline (--url)"
    if work.user:
        raise ConfigError(f"--user {work.user}: without --url jobs run as you; {where}")
    if work.is_command and work.cwd and not os.path.isdir(work.cwd):
        raise ConfigError(f"--cwd {work.cwd}: there is no such folder")
    if work.needs:
        raise ConfigError(f"--needs {work.needs[0]}: without --url the worker has no tags; {where}")
    if work.worker and work.worker not in {OWN_WORKER, socket.gethostname()}:
        raise ConfigError(f"--worker {work.worker}: without --url jobs run on this host only; {where}")


def fit(pipeline: Pipeline, work: Work, at_once: AtOnce | None) -> None:
    """With the workers of a running pipeline. ConfigError: none of them allows the user, or there are none to reckon
    with."""
    if work.user:
        workers = pipeline.workers()
        if workers and not any(work.user in worker.users for worker in workers):
            raise ConfigError(
                f"--user {work.user}: none of the connected workers allows it; start one as root with"
                f" --allow-user {work.user}"
            )
    if at_once is not None:
        work.limit = at_once.of(sum(worker.slots for worker in pipeline.workers()))


def slots_for(at_once: AtOnce | None, url: str | None) -> int:
    """Over how many the last arguments of -X and -m are spread: so many jobs can run at once."""
    from penstock import Pipeline
    from penstock.cli.run.who_can_run import MOST_SLOTS
    from penstock.station.capacity import default_slots

    if url is None:
        there = default_slots()
    else:
        with Pipeline(url) as pipeline:
            there = sum(worker.slots for worker in pipeline.workers())
    if at_once is None:
        return max(1, there)
    return at_once.of(there) or MOST_SLOTS


class AtOnce(NamedTuple):
    """What ``-j`` says, to be reckoned with the slots there are."""

    text: str

    def of(self, slots: int) -> int | None:
        """So many; None: as many as possible. ConfigError: no job could run."""
        match = FORM.fullmatch(self.text)
        if match is None or (match["sign"] and match["percent"]):
            raise ConfigError(f"-j {self.text}: write a number, 0 for no limit, 50% of the slots, or +1 or -1 slot")
        number = int(match["number"])
        if not match["sign"] and not match["percent"]:
            return number or None
        if not slots:
            raise ConfigError(f"-j {self.text} is a share of the slots, but no worker is connected")
        if match["percent"] and not number:
            raise ConfigError(f"-j {self.text}: no job could run")
        if match["percent"]:
            return max(1, slots * number // 100)
        return max(1, slots + number if match["sign"] == "+" else slots - number)

    def slots(self, work: Work) -> int:
        """Of a pipeline of its own. ConfigError as in `of`."""
        from penstock.station.capacity import default_slots

        found = self.of(default_slots())
        return min(MOST_SLOTS, work.count_up_to(MOST_SLOTS)) if found is None else found


class AtOnceType(click.ParamType[AtOnce]):
    """The type of the option."""

    name = "jobs"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> AtOnce:
        """Raises BadParameter: it has another form."""
        found = value if isinstance(value, AtOnce) else AtOnce(str(value))
        try:
            found.of(1)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return found
