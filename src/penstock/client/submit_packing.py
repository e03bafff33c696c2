"""What piled up since the last turn, packed into Submit messages."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from penstock.client.functions import Function
from penstock.job import display
from penstock.job.spec import LABEL_CHARS, BatchSpec
from penstock.version import VERSION
from penstock.wire.desk_messages import BatchClose, BatchOpen, ChunkHead, Program, Submit
from penstock.wire.frames import join, split

Bytes = bytes | memoryview

SUBMIT_BYTES = 4 << 20
"""A Submit is closed when it has this much: large enough for one fsync to be cheap beside it."""
SUBMIT_RECORDS = 2_000
"""And when it has so many records."""


class Part(NamedTuple):
    """Something to be accepted: a record and the bytes it owns."""

    record: BatchOpen | ChunkHead | BatchClose
    payload: Bytes = b""


def opening(batch: bytes, spec: BatchSpec, function: Function) -> Part:
    """A new batch of this function."""
    return Part(BatchOpen(batch, opened(spec, function), function.digest, len(function.code)), function.code)


def opened(spec: BatchSpec, function: Function) -> BatchSpec:
    """What is kept with a batch of this function: also what it is called, by people and without the code that went
    along."""
    call = function.call if function.call != function.digest and not spec.call else spec.call
    title = display.command_title(function.code) if spec.kind == "command" else function.title
    return msgspec.structs.replace(spec, call=call, title=title[:LABEL_CHARS])


def may_be_refused(spec: BatchSpec) -> bool:
    """Whether the ventilator may have a reason not to accept such a batch."""
    return spec.on_missing == "fail" or bool(spec.after or spec.once)


class Packed(NamedTuple):
    """A Submit with its payload."""

    message: Submit
    payload: Bytes


class Packer:
    """Collects parts, in order, into as few Submits as the bounds allow."""

    def __init__(self, next_number: Callable[[], int]) -> None:
        self._next_number = next_number
        self._parts: list[Part] = []
        self._bytes = 0
        self._batch = b""
        """Of the newest part."""
        self._alone = False
        self._doubtful: set[bytes] = set()
        """Batches that may be refused: a Submit is refused whole, so no other batch is in theirs."""

    def add(self, part: Part) -> list[Packed]:
        """Take one more; Submits that are full come back."""
        size, batch = len(part.payload), part.record.batch
        if isinstance(part.record, BatchOpen) and may_be_refused(part.record.spec):
            self._doubtful.add(batch)
        alone = batch in self._doubtful
        mixed = batch != self._batch and (alone or self._alone)
        full = self.pack() if mixed or (self._bytes and self._bytes + size > SUBMIT_BYTES) else []
        self._batch, self._alone = batch, alone
        self._parts.append(part)
        if isinstance(part.record, BatchClose):
            self._doubtful.discard(batch)
        self._bytes += size
        return full + self.pack() if self._bytes >= SUBMIT_BYTES or len(self._parts) >= SUBMIT_RECORDS else full

    def pack(self) -> list[Packed]:
        """The Submit of what has been taken; empty: nothing has."""
        parts, self._parts, self._bytes = self._parts, [], 0
        return [_packed(self._next_number(), parts)] if parts else []


def _packed(number: int, parts: Sequence[Part]) -> Packed:
    opens = [(part.record, part.payload) for part in parts if isinstance(part.record, BatchOpen)]
    chunks = [(part.record, part.payload) for part in parts if isinstance(part.record, ChunkHead)]
    closes = tuple(part.record for part in parts if isinstance(part.record, BatchClose))
    program = Program(VERSION, socket.gethostname(), os.getpid()) if opens else None
    message = Submit(number, tuple(one for one, _ in opens), tuple(one for one, _ in chunks), closes, program)
    return Packed(message, join([payload for _, payload in (*opens, *chunks)]))


def without(submit: Submit, payload: Bytes, batch: bytes) -> Packed:
    """The same Submit with nothing of this batch."""
    owners: tuple[BatchOpen | ChunkHead, ...] = (*submit.opens, *submit.chunks)
    parts = [*map(Part, owners, split(payload, [one.size for one in owners])), *map(Part, submit.closes)]
    return _packed(submit.number, [part for part in parts if part.record.batch != batch])
