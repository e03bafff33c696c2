"""The command line: one small file per noun.

Exit codes are those of penstock.exit_codes. Results go to stdout and nothing else does; one line on stderr says what is
wrong and what to do.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from penstock.cli.commands import (
    backup,
    batches,
    cancel,
    check,
    compact,
    completion,
    delete,
    doctor,
    drain,
    events,
    failures,
    fleet,
    guide,
    jobs,
    keys,
    notify,
    pause,
    results,
    resume,
    retry,
    show,
    sink,
    stack,
    status,
    top,
    up,
    ventilator,
    web,
    why,
    worker,
    workers,
)
from penstock.cli.commands import print as printing
from penstock.cli.commands import set as setting
from penstock.cli.error_exit import exit_code, text_of
from penstock.cli.options import State
from penstock.cli.output import Says
from penstock.cli.run import run, submit
from penstock.cli.signals import exit_code as exit_code_of_signal
from penstock.cli.streams import CannotWrite, abandon_stdout, flush_or_abandon_stdout, lost
from penstock.errors import ConfigError
from penstock.exit_codes import FAILURE, INTERRUPTED, SUCCESS, WRONG_USE


class EndedEarly(Exception):  # noqa: N818 - no error: whoever read stdout has had enough, or somebody ended it
    """Stands for BrokenPipeError and KeyboardInterrupt, its cause: of these click would make exit code 1, or an empty
    line and an error that has forgotten why."""


class Commands(click.Group):
    """A group whose commands end quietly when nobody reads any more (`| head`), and when they are told to."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and say in an exception of our own why it ended early."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, KeyboardInterrupt) as end:
            raise EndedEarly from end

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises ConfigError: not on this system."""
        name, command, rest = super().resolve_command(ctx, args)
        if sys.platform == "win32" and name in NEED_LINUX:
            raise ConfigError("this command needs Linux or WSL; on Windows use the commands for a running pipeline")
        return name, command, rest


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penstock")
def group() -> None:
    """Python calls and shell commands on every core of every machine, through a ZeroMQ pipeline.

    `penstock COMMAND --help` has the options of a command, and `penstock guide` lists the pages of the manual: begin
    with `penstock guide first-steps`.
    """


STATIONS = (up, ventilator, sink, worker)
WORK = (run, submit, results, cancel, retry, pause, resume, setting, delete)
LOOKS = (status, workers, batches, jobs, failures, show, why, stack, events, notify, top, doctor)

NEED_LINUX = {module.command.name for module in (*STATIONS, check, compact, doctor, fleet)}

for _module in (*STATIONS, *WORK, *LOOKS, web, drain, backup, check, compact, keys, fleet, printing, completion, guide):
    group.add_command(_module.command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one line on stderr."""
    if completion.VARIABLE in os.environ:
        completion.answer(group)
    state = State()
    logging.getLogger("penstock.client").handlers = [Says()]
    try:
        code = group.main(args=argv, prog_name="penstock", obj=state, standalone_mode=False)
        sys.stdout.flush()
        return int(code or _unsaid())
    except (EndedEarly, BrokenPipeError, KeyboardInterrupt) as early:
        if isinstance(end := early.__cause__ or early, KeyboardInterrupt):
            flush_or_abandon_stdout()
            return exit_code_of_signal(end)
        abandon_stdout()
        return SUCCESS
    except click.Abort:
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return WRONG_USE
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person reads it
        if state.debug:
            traceback.print_exc()
        if isinstance(error, CannotWrite):
            abandon_stdout()
        print(f"{_speaker(error, state)}: {text_of(error)}", file=sys.stderr)
        return exit_code(error)


def _unsaid() -> int:
    """The exit code of a command that all went well for, but for what it had to say on stderr: as GNU's tools do."""
    error = lost()
    return FAILURE if error is not None and error.errno != errno.EPIPE else SUCCESS


def _speaker(error: Exception, state: State) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return error.ctx.command_path
    return state.command_path
