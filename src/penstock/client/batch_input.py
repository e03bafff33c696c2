"""The input of one batch, drawn, cut into chunks and submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.client.argument_pickling import SETTLED, ItemDumper, as_drawn
from penstock.client.chunking import FIRST_COUNT, Cutter, Input
from penstock.client.functions import Function, Functions
from penstock.client.serialization_errors import chunk_blob
from penstock.client.submit_packing import Part, opening
from penstock.job.spec import BatchId, BatchSpec, new_batch_id
from penstock.wire.desk_messages import BatchClose, ChunkHead, Forget
from penstock.wire.records import DIGEST_BYTES

if TYPE_CHECKING:
    from penstock.client.session import Session

Digest = Callable[[Any], bytes]

MAX_CHUNK_JOBS = 1 << 15
"""Of an input whose length is not known: a chunk is drawn at a stretch."""


class Feed:
    """Draws the input of one batch and submits it in chunks."""

    def __init__(
        self,
        session: Session,
        spec: BatchSpec,
        function: Function,
        iterables: Sequence[Iterable[Any]],
        form: str,
        target: int,
        chunksize: int | None,
        chunk: Callable[[int], int] | None = None,
        digest: Digest | None = None,
        functions: Functions | None = None,
    ) -> None:
        """`form`: what an item is; empty: the number of iterables tells. `target`: jobs in a chunk; `chunk` tells it
        for each, by the index of its first job. `digest` tells items apart: its 16 bytes for each job are kept with the
        batch. `functions` serialized the function: what the items of the first chunk need is sent with it, too."""
        self.batch: BatchId = new_batch_id()
        self.finished: bool = False
        """All of the input is submitted."""
        self._session = session
        self._chunk = chunk
        self._spec, self._function = spec, function
        self._functions = functions
        self._dumper = ItemDumper(functions.shipper) if functions is not None and spec.is_pickled else None
        self._opened = False
        self._digests = bytearray()
        form = form or form_of(iterables)
        items = joined(iterables)
        if digest is not None:
            items = self._digested(items, digest)
        if self._dumper is not None:
            items = settled(items, iterables, form, self._dumper)
        self.cutter: Cutter = Cutter(items, serializing(spec, form, self._dumper), target, chunksize or FIRST_COUNT)

    @property
    def submitted(self) -> int:
        """How many jobs have been submitted so far."""
        return self.cutter.drawn

    @property
    def error(self) -> BaseException | None:
        """Why the input ended early."""
        return self.cutter.error

    def draw(self, most: int | None = None) -> bool:
        """Submit one more chunk, of at most `most` jobs; False: the input is at its end."""
        if self.finished:
            return False
        first = self.cutter.drawn
        if self._chunk is not None:
            self.cutter.target = self._chunk(first)
        chunk = self.cutter.next_chunk(most)
        if chunk is None:
            self.finish()
            return False
        parts = self._opening()
        digests = bytes(self._digests[: chunk.jobs * DIGEST_BYTES])
        del self._digests[: chunk.jobs * DIGEST_BYTES]
        parts.append(Part(ChunkHead(self.batch, first, chunk.jobs, len(chunk.payload), digests), chunk.payload))
        self._session.submit(parts)
        return True

    def _opening(self) -> list[Part]:
        """What comes before the first chunk, or before the end."""
        if self._opened:
            return []
        self._opened = True
        function = self._function
        if self._functions is not None and self._dumper is not None:
            function = self._functions.with_needs(function, self._dumper.needs)
            self._dumper.close(function.needs)
        return [opening(self.batch, self._spec, function)]

    def _digested(self, items: Iterable[Any], digest: Digest) -> Iterator[Any]:
        for item in items:
            self._digests += digest(item)
            yield item

    def draw_all(self) -> None:
        """Submit the rest of the input."""
        while self.draw():
            pass

    def draw_some(self, chunks: int) -> bool:
        """Submit so many chunks; False: the input is at its end."""
        return all(self.draw() for _ in range(chunks))

    def submit_whole(self, chunks: int) -> None:
        """Submit all of the input, so many chunks at a stretch, and wait until it is accepted. Raises what the input
        raised, or why it is refused; then nothing of it is left."""
        refusals: list[BaseException] = []
        self._session.on_refusal(self.batch, refusals.append)
        try:
            while self.draw_some(chunks) and not refusals:
                self.grow()
            self.finish()
            self._session.wait_for(self._session.accepted(), None)
            for error in (self.error, *refusals):
                if error is not None:
                    raise error
        except BaseException:
            self.forget()
            raise
        finally:
            self._session.on_refusal(self.batch, None)

    def grow(self) -> None:
        """Twice as large chunks from now on, within bounds."""
        self.cutter.target = max(self.cutter.target, min(2 * self.cutter.target, MAX_CHUNK_JOBS))

    def forget(self) -> None:
        """Cancel what runs, and keep nothing."""
        self._session.say(Forget(self.batch))

    def finish(self) -> None:
        """No more jobs will come."""
        if not self.finished:
            self.finished = True
            parts = self._opening()
            self._session.submit([*parts, Part(BatchClose(self.batch, self.cutter.drawn))])


def form_of(iterables: Sequence[Iterable[Any]]) -> str:
    """What a job's item is: one argument, or all of them."""
    return "item" if len(iterables) == 1 else "star"


def joined(iterables: Sequence[Iterable[Any]]) -> Input:
    """The items of one iterable, one that can be cut as it is, or the tuples of any other number of them."""
    if len(iterables) != 1:
        return zip(*iterables)  # noqa: B905 - as the builtin map
    items = iterables[0]
    return items if type(items) in (range, list, tuple) else iter(items)  # type: ignore[return-value]  # asked here


def settled(items: Input, iterables: Sequence[Iterable[Any]], form: str, dumper: ItemDumper) -> Input:
    """The joined items, each as it was when it was drawn."""
    return items if all(type(one) in SETTLED for one in iterables) else as_drawn(items, form, dumper)


def serializing(spec: BatchSpec, form: str, dumper: ItemDumper | None = None) -> Callable[[Sequence[Any], int], bytes]:
    """How some items, of which the first has this index, become a chunk's payload."""
    if spec.kind == "command":
        return lambda items, _: msgspec.msgpack.encode(items)
    return lambda items, first: chunk_blob(form, items, spec.serializer, first, dumper)
