"""What jobs wrote, as it is kept: from the notes of their outcomes, and from what lies beside them at the sink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.job.output_limit import cut_of, is_beside
from penstock.wire.messages import FetchedOutput, FetchOutput

if TYPE_CHECKING:
    from penstock.client.records import Outcome
    from penstock.client.session import Session
    from penstock.job.spec import BatchSpec

Printed = bytes | int
"""Bytes of an output, or the number of those that come next and are not kept."""


def output_of(
    session: Session, batch: bytes, spec: BatchSpec, outcome: Outcome, *, is_error: bool, start: int
) -> Iterator[Printed]:
    """What the job of this outcome wrote to one stream, from the byte `start` on, as much at a time as one part has."""
    text, size = (outcome.stderr, outcome.stderr_size) if is_error else (outcome.stdout, outcome.stdout_size)
    found = False
    if size > len(text) and is_beside(spec.keep_output):
        for printed in _beside(session, batch, outcome.index, is_error=is_error, start=start, size=size):
            found = True
            yield printed
    if not found:
        yield from _of_note(text, size, start)


def _beside(session: Session, batch: bytes, index: int, *, is_error: bool, start: int, size: int) -> Iterator[Printed]:
    position = start
    while position < size:
        at = position
        answer: FetchedOutput
        answer, data = session.fetch(lambda number, at=at: FetchOutput(number, batch, index, is_error, at))  # type: ignore[misc]
        if not len(data):
            break
        if answer.position > position:
            yield answer.position - position
        yield bytes(data)
        position = answer.position + len(data)
    if start < position < size:
        yield size - position


def _of_note(text: bytes, size: int, start: int) -> Iterator[Printed]:
    head, missing, tail = cut_of(text, 0 if size == len(text) else size)
    if start < len(head):
        yield head[start:]
    if (left := missing - max(0, start - len(head))) > 0:
        yield left
    if rest := tail[max(0, start - len(head) - missing) :]:
        yield rest
