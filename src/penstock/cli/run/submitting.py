"""Jobs of a run, handed in as their input comes, and those that an earlier run has handed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock.cli.run.work import Work
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.client.live_output import Live
    from penstock.client.submit_pacing import Pace


def earlier(pipeline: Pipeline, work: Work, target: Any) -> list[Any]:
    """The batches of the same command or function, the newest first."""
    from penstock.client.batch import batches_of
    from penstock.client.engine import Engine
    from penstock.client.functions import Function
    from penstock.client.options import around_of, spec_of

    engine = pipeline.engine
    if not isinstance(engine, Engine):
        raise ConfigError("--resume needs a pipeline that remembers, and `inline` does not")
    kind = "command" if work.is_command else "call"
    options = {name: value for name, value in work.options().items() if name != "after"}
    spec = spec_of(options, kind=kind)
    if work.is_command:
        function = Function.of(target.encode())
    else:
        function = engine.function(around_of(options).prepare(target), spec)
    return batches_of(engine.session, function.call, kind)


def grow(
    pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any], live: Live | None, pace: Pace | None
) -> Batch:
    """Submit the jobs as their input comes, and as the pace allows; `live` has what they print while they run.
    ConfigError: an argument that no command can have; then nothing of them is left, if it came at once."""
    from penstock.cli.run.resume import digest_of
    from penstock.client.command_arguments import ArgumentLists
    from penstock.client.engine import Engine
    from penstock.client.functions import Function
    from penstock.client.options import around_of, spec_of
    from penstock.client.streamed_batch import Growing

    engine, options = pipeline.engine, work.options()
    if not isinstance(engine, Engine) or work.once:
        return hand_in(pipeline, work, target, inputs)
    if work.after:
        options["after"] = engine.closed(work.after)
    spec = spec_of(options, kind="command" if work.is_command else "call", client=engine.client.word)
    if work.is_command:
        function = Function.of(target.encode())
        inputs = iter(ArgumentLists(inputs, stdin=target.stdin))
    else:
        function = engine.function(around_of(options).prepare(target), spec)
    batch = Growing(engine.session, spec, function, inputs, engine.slots(), digest_of, live, pace)
    try:
        batch.begin()
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return batch


def hand_in(pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any]) -> Batch:
    """Submit the jobs, so that `--resume` can find them. ConfigError: an argument that no command can have; then
    nothing of them is left."""
    from penstock.cli.run.resume import digest_of

    try:
        return pipeline.batch(target, inputs, digest=digest_of, **work.options())
    except ValueError as error:
        raise ConfigError(str(error)) from None
