"""Input cut into blocks of whole records, as ``parallel --pipe`` cuts it. No I/O but by the reader that is given.

So much is read that what is there is a whole number of `size` bytes, and a block ends behind the last record that is
whole; at the end of the input the rest is one block. With `records` each block has so many, however few bytes they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from penstock.errors import ConfigError

Read = Callable[[int], bytes]
"""At most so many bytes of the input, as they come; none: it has ended."""

GROWTH = 1.3
"""How much more is read when no record has ended."""
LINE_END = b"\n"


class Ends(Protocol):
    """Decides where a block ends."""

    def __call__(self, buffer: bytearray, *, is_last: bool) -> Iterator[int]:
        """Ends of blocks in what is there, in order; `is_last`: no more will come. The first begins at 0, each other
        one where the one before it ends."""


class Blocks(NamedTuple):
    """How to cut. `longest`: no block may have more bytes, and reading goes no further for one record."""

    size: int
    ends: Ends
    longest: int

    def of(self, read: Read, said: Callable[[str], None]) -> Iterator[bytes]:
        """The blocks of the input. ConfigError: one is too long. `said` is told that blocks become larger."""
        buffer, size, is_last = bytearray(), self.size, False
        while not is_last:
            is_last = not _fill(buffer, size - len(buffer) % size, read)
            start = 0
            for end in self.ends(buffer, is_last=is_last):
                yield self._checked(bytes(buffer[start:end]))
                start = end
            del buffer[:start]
            if start or is_last:
                continue
            if len(buffer) >= self.longest:
                self._refuse()
            if size == self.size:
                said(f"a record is longer than --block {size}: blocks become larger")
            size = min(math.ceil(size * GROWTH + 1), self.longest)
        if buffer:
            yield self._checked(bytes(buffer))

    def _checked(self, block: bytes) -> bytes:
        if len(block) > self.longest:
            self._refuse()
        return block

    def _refuse(self) -> None:
        raise ConfigError(
            f"a block of more than {self.longest} bytes cannot be sent to a job: see --recend (the end of a record)"
            " and -N (records in a block)"
        )


def _fill(buffer: bytearray, wanted: int, read: Read) -> bool:
    """Read so many bytes more; False: the input ended before."""
    while wanted:
        found = read(wanted)
        if not found:
            return False
        buffer += found
        wanted -= len(found)
    return True


class AtSeparator(NamedTuple):
    """A record ends with `end` where the next one begins with `start`: blocks end behind the last that is whole."""

    end: bytes
    start: bytes

    def __call__(self, buffer: bytearray, *, is_last: bool) -> Iterator[int]:
        """As Ends has it."""
        place = -1 if is_last else buffer.rfind(self.end + self.start)
        end = place + len(self.end)
        if place >= 0 and end > 0:
            yield end


class EveryRecords(NamedTuple):
    """Blocks of so many records. The byte that a block begins with is in its first record, whatever it is."""

    end: bytes
    start: bytes
    many: int

    def __call__(self, buffer: bytearray, *, is_last: bool) -> Iterator[int]:  # noqa: ARG002 - as Ends has it
        """As Ends has it."""
        separator, at = self.end + self.start, 0
        while at < len(buffer):
            place = at
            for _ in range(self.many):
                place = buffer.find(separator, place + 1) if separator else min(place + 1, len(buffer))
                if place < 0:
                    return
            at = place + len(self.end)
            yield at


class EveryLines(NamedTuple):
    """A record is so many lines: blocks end behind the last that is whole, also at the end of the input."""

    many: int

    def __call__(self, buffer: bytearray, *, is_last: bool) -> Iterator[int]:  # noqa: ARG002 - as Ends has it
        """As Ends has it."""
        place = len(buffer)
        for _ in range(1 + buffer.count(LINE_END) % self.many):
            place = buffer.rfind(LINE_END, 0, max(place, 0))
        if place >= 0:
            yield place + 1
