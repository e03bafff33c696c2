"""How much of what a job writes is kept in the note of its outcome: all of it, or its head, its tail, and in between a
line that says how much is missing there."""

from __future__ import annotations

from typing import NamedTuple

from penstock.job.spec import KEEP_OUTPUT

NOTE_BYTES = 131_072
"""Of each stream, in a note, where the whole is kept beside it: half of it head, half of it tail."""


class Cut(NamedTuple):
    """An output as it is in a note."""

    head: bytes
    missing: int
    """Bytes that the note does not have."""
    tail: bytes


def cut_line(missing: int) -> bytes:
    """What stands where bytes are missing."""
    return b"\n[... %d bytes cut ...]\n" % missing


def is_beside(bound: int | None) -> bool:
    """Whether what is kept, at most `bound` bytes of it (None: all), is more than notes have."""
    return bound is None or bound > KEEP_OUTPUT


def note_bytes(bound: int | None) -> int:
    """How much of an output a note has, if `bound` bytes of it (None: all) are to be kept."""
    return NOTE_BYTES if bound is None or is_beside(bound) else bound


def kept_spans(size: int, bound: int | None) -> tuple[tuple[int, int], ...]:
    """What of `size` bytes is kept, if it may be `bound` (None: all)."""
    if bound is None or size <= bound:
        return ((0, size),)
    half = bound // 2
    return ((0, half), (size - half, size)) if half else ()


def shortened(head: bytes, missing: int, tail: bytes) -> bytes:
    """As a note has it; nothing at all, if nothing is kept."""
    return head + (cut_line(missing) if missing and head else b"") + tail


def cut_of(kept: bytes, size: int) -> Cut:
    """What a note has, of an output of `size` bytes (0: it has all of it)."""
    if not size:
        return Cut(kept, 0, b"")
    if not kept:
        return Cut(b"", size, b"")
    for digits in range(1, 20):  # the line is as long as the number in it
        missing = size - len(kept) + len(cut_line(0)) - 1 + digits
        half, odd = divmod(size - missing, 2)
        if missing > 0 and len(b"%d" % missing) == digits and not odd:  # head and tail are of one length
            return Cut(kept[:half], missing, kept[len(kept) - half :])
    return Cut(kept, 0, b"")  # a worker of somebody's own may say anything
