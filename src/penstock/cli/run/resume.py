"""``run --resume``: what earlier batches of the same command or function have done already is not run again. Jobs are
handed in so that it can find them later.

Jobs are told apart by what they are given. The ventilator keeps 16 bytes for each job of a batch that was submitted
with digests, as long as the batch; equal jobs are counted: three that are wanted and two that are done leave one.
"""

from __future__ import annotations

import heapq
import json
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.cli.run.wanted_jobs import Wanted, WantedPart
from penstock.cli.run.work import Work
from penstock.errors import ConfigError
from penstock.job.spans import SpanSet
from penstock.job.spec import JobState
from penstock.wire.records import DIGEST_BYTES

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.client.command_line import Live, Pace

SUCCEEDED, OPEN, OTHERWISE, AGAIN = range(4)
"""How a job of an earlier batch stands; the lower, the rather it is taken for one that is wanted now."""
RANK_BITS, BATCH_BITS = 60, 40
"""A place is one number: how it stands, which batch (newest first), which index."""
INDEXES = (1 << BATCH_BITS) - 1
BATCHES = (1 << RANK_BITS - BATCH_BITS) - 1


def digest_of(item: Any) -> bytes:
    """What tells a job's arguments, or a call's argument, from others'."""
    if isinstance(item, list) and all(isinstance(word, bytes) for word in item):
        data = msgspec.msgpack.encode(item)
    else:
        data = json.dumps(item, sort_keys=True).encode()
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


class Resumed:
    """The earlier batches of one command or function, and which of the jobs wanted now they have."""

    def __init__(self, batches: list[Batch], *, failed_too: bool) -> None:
        """`failed_too`: only what succeeded, or is still under way, counts as done."""
        self.found: int = 0
        """Jobs that need not be submitted."""
        self._batches = batches
        self._failed_too = failed_too
        self._places: dict[bytes, int | list[int]] = {}
        self._parts = array("q")
        self._numbers: list[dict[int, int]] = [{} for _ in batches]
        self._new = array("q")
        self._ended = SpanSet()
        for number, batch in enumerate(batches):
            self._read(number, batch)

    def missing(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items that no earlier job stands for."""
        for number, item in enumerate(items):
            place = self._take(digest_of(item))
            if place is None:
                self._parts.append(len(self._batches))
                self._new.append(number)
                yield item
            else:
                self.found += 1
                batch = place >> BATCH_BITS & BATCHES
                self._parts.append(batch)
                self._numbers[batch][place & INDEXES] = number
                if place >> RANK_BITS != OPEN:
                    self._ended.add(number, number + 1)

    def wanted(self, new: Batch | None, *, own: bool) -> Wanted:
        """All jobs, once `missing` is used up; `new` has the missing ones. `own`: the earlier ones may be cancelled."""
        parts = [WantedPart(batch, at, is_own=own) for batch, at in zip(self._batches, self._numbers, strict=True)]
        if new is not None:
            parts.append(WantedPart(new, dict(enumerate(self._new))))
        return Wanted(parts, len(self._parts), self._parts, self._ended, has_new=new is not None)

    def _read(self, number: int, batch: Batch) -> None:
        standing = bytearray()
        for start, stop, state in batch.ended():
            standing.extend(bytes([OPEN]) * (stop - len(standing)))
            standing[start:stop] = bytes([self._rank(state)]) * (stop - start)
        for index, digest in enumerate(batch.digests()):
            rank = standing[index] if index < len(standing) else OPEN
            if rank != AGAIN:
                self._put(digest, rank << RANK_BITS | number << BATCH_BITS | index)

    def _rank(self, state: JobState) -> int:
        match state:
            case JobState.SUCCEEDED:
                return SUCCEEDED
            case JobState.CANCELLED:
                return AGAIN
            case _:
                return AGAIN if self._failed_too else OTHERWISE

    def _put(self, digest: bytes, place: int) -> None:
        before = self._places.get(digest)
        if before is None:
            self._places[digest] = place
        elif isinstance(before, list):
            heapq.heappush(before, place)
        else:
            self._places[digest] = sorted((before, place))

    def _take(self, digest: bytes) -> int | None:
        found = self._places.get(digest)
        if isinstance(found, list):
            return heapq.heappop(found) if found else None
        return None if found is None else self._places.pop(digest)  # type: ignore[return-value]  # it is no list


def earlier(pipeline: Pipeline, work: Work, target: Any) -> list[Batch]:
    """The batches of the same command or function, the newest first. Raises ConfigError: the pipeline keeps none."""
    from penstock.client.command_line import batches_like

    with wrong_use("--resume: "):
        return batches_like(pipeline, target, work.options())


def grow(
    pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any], live: Live | None, pace: Pace | None
) -> Batch:
    """Submit the jobs as their input comes, and as the pace allows; `live` has what they print while they run.

    Raises ConfigError: an argument that no command can have; then nothing of them is left, if it came at once.
    """
    from penstock.client.command_line import submit_streamed

    with wrong_use():
        return submit_streamed(pipeline, target, inputs, work.options(), digest_of, live=live, pace=pace)


def hand_in(pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any]) -> Batch:
    """Submit the jobs when all of their input is there.

    Raises ConfigError: an argument that no command can have; then nothing of them is left.
    """
    with wrong_use():
        return pipeline.batch(target, inputs, digest=digest_of, **work.options())


@contextmanager
def wrong_use(where: str = "") -> Iterator[None]:
    """A value that the client cannot take is the user's mistake."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{where}{error}") from None
