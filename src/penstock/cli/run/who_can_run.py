"""Whether anybody can run what a command line asks for: said before anything is submitted."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock import Pipeline
    from penstock.cli.run.jobs_option import AtOnce
    from penstock.cli.run.work import Work

OWN_WORKER = "local"
"""The name of the only worker of a pipeline of its own."""


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
    from penstock.cli.run.jobs_option import MOST_SLOTS
    from penstock.station.capacity import default_slots

    if url is None:
        there = default_slots()
    else:
        with Pipeline(url) as pipeline:
            there = sum(worker.slots for worker in pipeline.workers())
    if at_once is None:
        return max(1, there)
    return at_once.of(there) or MOST_SLOTS
