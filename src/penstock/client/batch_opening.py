"""What a batch begins with, whoever submits it: its spec, its function, and how the inputs of its jobs travel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.client.backend import Backend
from penstock.client.batch import Batch
from penstock.client.command_arguments import ArgumentLists, Command, template_of
from penstock.client.functions import Function
from penstock.client.options import around_of, spec_of
from penstock.client.pipeline_views import in_group
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec

Target = Callable[..., Any] | Command | CommandTemplate
"""What the jobs of a batch run: a function, or the template of a command."""


class BatchOpening(NamedTuple):
    """The common part of all jobs of a batch. `template` is that of a command, None for a function."""

    spec: BatchSpec
    function: Function
    template: CommandTemplate | None = None
    words: Sequence[bytes] = ()
    """In which a place may stand that the inputs of a job have to fill."""

    def inputs(self, iterables: Sequence[Iterable[Any]]) -> Sequence[Iterable[Any]]:
        """The inputs of the jobs as they are submitted: for a command one list of arguments each."""
        if self.template is None:
            return iterables
        items: Iterable[Any] = iterables[0] if len(iterables) == 1 else zip(*iterables)  # noqa: B905 - as `map`
        return [ArgumentLists(items, self.words, stdin=self.template.stdin)]


def opening_of(engine: Backend, target: Target, options: Mapping[str, Any], group: bytes = b"") -> BatchOpening:
    """The opening of a batch of `target` with these job options, `after` being an id by now; `group` shares its limit.

    Raises TypeError, ValueError: an option that does not exist, or has a wrong value; PicklingError: the function
    cannot be sent.
    """
    if callable(target):
        engine.client.share_key()
        spec = in_group(spec_of(options, client=engine.client.word), group)
        return BatchOpening(spec, engine.function(around_of(options).prepare(target), spec))
    template, options = template_of(target, dict(options))
    spec = in_group(spec_of(options, kind="command"), group)
    words = () if target is template else template.words
    return BatchOpening(spec, Function.of(template.encode()), template, words)


def after_as_id(engine: Backend, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the id of the batch that `after` names. Raises NoSuchBatch."""
    after = options.get("after")
    if isinstance(after, Batch | str):
        after = engine.closed(after if isinstance(after, str) else after.id)
    return {**options, "after": after} if after is not None else dict(options)
