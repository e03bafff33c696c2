"""The command line: one small file per noun.

Exit codes: 0 all well, 1 some job did not succeed, 2 wrong use or no such batch, 3 no pipeline answers, 4 refused,
130 interrupted. Results go to stdout and nothing else does; one line on stderr says what is wrong and what to do.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from penstock.cli import (
    backup,
    batches,
    cancel,
    completion,
    delete,
    doctor,
    drain,
    fleet,
    jobs,
    keys,
    printed,
    results,
    retry,
    run,
    show,
    sink,
    status,
    submit,
    top,
    up,
    ventilator,
    why,
    worker,
    workers,
)
from penstock.cli.options import State
from penstock.cli.output import Says
from penstock.errors import (
    ConfigError,
    NoLongerKept,
    NoPipeline,
    NoSuchBatch,
    NoSuchWorker,
    OnceMismatch,
    PenstockError,
    Refused,
    SchemaMismatch,
    StoreInUse,
    UnfitFolder,
    VersionMismatch,
)

WRONG_USE, NO_PIPELINE, REFUSED, INTERRUPTED = 2, 3, 4, 130


class ReaderGone(Exception):  # noqa: N818 - no error: whoever read stdout has had enough
    """Stands for BrokenPipeError, of which click would make exit code 1."""


class Commands(click.Group):
    """A group whose commands end quietly when nobody reads any more (`| head`)."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises ConfigError: not on this system."""
        name, command, rest = super().resolve_command(ctx, args)
        if sys.platform == "win32" and name in NEED_LINUX:
            raise ConfigError("it needs Linux or WSL; here are the commands for a running pipeline")
        return name, command, rest


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penstock")
def group() -> None:
    """Python calls and shell commands on every core of every machine, through a ZeroMQ pipeline."""


STATIONS = (up, ventilator, sink, worker)
WORK = (run, submit, results, cancel, retry, delete)
LOOKS = (status, workers, batches, jobs, show, why, top, doctor)

NEED_LINUX = {module.command.name for module in (*STATIONS, doctor, fleet)}

for module in (*STATIONS, *WORK, *LOOKS, drain, backup, keys, fleet, printed, completion):
    group.add_command(module.command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one line on stderr."""
    if completion.VARIABLE in os.environ:
        completion.answer(group)
    state = State()
    logging.getLogger("penstock.client").handlers = [Says()]
    try:
        code = group.main(args=argv, prog_name="penstock", obj=state, standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except (BrokenPipeError, ReaderGone):
        # without this the interpreter complains when it flushes stdout at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return WRONG_USE
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person reads it
        if state.debug:
            traceback.print_exc()
        print(f"{_speaker(error, state)}: {_text(error)}", file=sys.stderr)
        return exit_code(error)


def exit_code(error: Exception) -> int:
    """What the shell is told."""
    match error:
        case (
            click.ClickException()
            | ConfigError()
            | NoSuchBatch()
            | NoSuchWorker()
            | NoLongerKept()
            | OnceMismatch()
            | StoreInUse()
            | UnfitFolder()
            | SchemaMismatch()
            | VersionMismatch()
        ):
            return WRONG_USE
        case NoPipeline():
            return NO_PIPELINE
        case Refused():
            return REFUSED
        case _:
            return 1


def _speaker(error: Exception, state: State) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return error.ctx.command_path
    return state.command_path


def _text(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, PenstockError):
        return str(error)
    return f"{type(error).__name__}: {error} (a fault of penstock's own: --debug shows where)"
