"""Jobs of a run, handed in so that ``--resume`` can find them later, and those that an earlier run has handed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock.cli.run.resume import digest_of
from penstock.cli.run.work import Work
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.client.command_line import Live, Pace


def earlier(pipeline: Pipeline, work: Work, target: Any) -> list[Batch]:
    """The batches of the same command or function, the newest first. Raises ConfigError: the pipeline keeps none."""
    from penstock.client.command_line import batches_like

    try:
        return batches_like(pipeline, target, work.options())
    except ValueError as error:
        raise ConfigError(f"--resume: {error}") from None


def grow(
    pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any], live: Live | None, pace: Pace | None
) -> Batch:
    """Submit the jobs as their input comes, and as the pace allows; `live` has what they print while they run.

    Raises ConfigError: an argument that no command can have; then nothing of them is left, if it came at once.
    """
    from penstock.client.command_line import submit_streamed

    try:
        return submit_streamed(pipeline, target, inputs, work.options(), digest_of, live=live, pace=pace)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def hand_in(pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any]) -> Batch:
    """Submit the jobs when all of their input is there.

    Raises ConfigError: an argument that no command can have; then nothing of them is left.
    """
    try:
        return pipeline.batch(target, inputs, digest=digest_of, **work.options())
    except ValueError as error:
        raise ConfigError(str(error)) from None
