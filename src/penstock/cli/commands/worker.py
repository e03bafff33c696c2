"""``penstock worker``: the process that runs jobs."""

from __future__ import annotations

import os
import socket
from typing import Any

import click
from click.core import ParameterSource

from penstock.cli.option_types import DURATION, Count
from penstock.cli.options import debug, graced, health, key_path, keyed, log_format, url_option, without_pickles
from penstock.cli.signals import give_back
from penstock.errors import ConfigError
from penstock.station.config import DRAIN_BEFORE

TAG_LENGTH = 256
"""Characters: what a label on the wire may have."""


@click.command("worker", short_help="Run a worker on this machine, with several jobs at once.")
@keyed
@url_option("--connect", "Connect to the pipeline at this URL.")
@without_pickles
@click.option(
    "--slots", type=Count(1), envvar="PENSTOCK_SLOTS", help="Run this many jobs at once.  [default: usable cores]"
)
@click.option(
    "--name", envvar="PENSTOCK_NAME", help="Give the worker this name.  [default: HOST-PID; with a key KEY/HOST/PID]"
)
@click.option(
    "--allow-user",
    "allow_users",
    multiple=True,
    metavar="NAME",
    help="Allow jobs to run as NAME; the worker has to run as root.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="WORD", help="Give the worker a tag that jobs can ask for with --needs."
)
@click.option(
    "--jobs-per-slot",
    type=Count(1),
    help="Run the jobs of a slot in a new process after this many: for code that leaks memory.",
)
@click.option("--show-jobs", is_flag=True, help="Print a line for each job as it ends.")
@graced(
    "; told by a signal to leave, be gone after this long, and hand back what has not ended",
    default=", and leave when what runs has ended",
)
@click.option("--idle-timeout", type=DURATION, help="Leave after this long without a job: 90s, 5m, 2h.")
@click.option("--time-limit", type=DURATION, help="Expect to be ended from outside this long after the start.")
@click.option(
    "--drain-before", type=DURATION, help=f"Drain this long before the time limit.  [default: {DRAIN_BEFORE:g}s]"
)
@health
@log_format
@debug
def command(url: str, slots: int | None, name: str | None, tags: tuple[str, ...], **asked: Any) -> int:
    """Run a worker until SIGTERM, SIGHUP or Ctrl-C, which let it finish its running jobs.

    With --grace it waits for them for half of that time, then ends them, and they run elsewhere. A second signal ends
    the running jobs with their grace and hands everything back; a third one does so at once.
    """
    from penstock.job.spec import TAGS_MAX
    from penstock.station.capacity import default_slots
    from penstock.station.config import WorkerConfig
    from penstock.worker.process import main

    for tag in tags:
        if not tag or not tag.isprintable() or tag != tag.strip() or len(tag) > TAG_LENGTH or len(tags) > TAGS_MAX:
            raise ConfigError(f"--tag {tag!r}: write at most {TAGS_MAX} words of at most {TAG_LENGTH} characters")
    given = {option: value for option, value in asked.items() if value is not None}
    name, slots = name or default_name(), slots or default_slots()
    if click.get_current_context().get_parameter_source("grace") is not ParameterSource.DEFAULT:
        given["leave_within"] = given["grace"]
    config = WorkerConfig(url=url, key=key_path(), slots=slots, name=name, tags=tags, **given)
    if config.time_limit is not None and config.drain_before >= config.time_limit:
        raise ConfigError(
            f"--time-limit leaves no time to work: the worker drains {config.drain_before:g} s before (--drain-before)"
        )
    give_back()
    return main(config)


def default_name() -> str:
    """A worker's name when nobody gave one; under a key, the key's name comes before it."""
    return f"{socket.gethostname()}{'/' if key_path() else '-'}{os.getpid()}"
