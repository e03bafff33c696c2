"""The bounded record of what was printed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.capture import Spill
from penstock.kept import KEPT_BYTES
from penstock.slotwire import SPILL_BYTES


def kept(text: bytes) -> bytes:
    """What the promise says of a whole output."""
    missing = len(text) - 2 * KEPT_BYTES
    if missing <= 0:
        return text
    return text[:KEPT_BYTES] + b"\n[... %d bytes cut ...]\n" % missing + text[-KEPT_BYTES:]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3 * KEPT_BYTES) | st.sampled_from([KEPT_BYTES, KEPT_BYTES + 1, 1]), max_size=8))
def test_head_and_tail_are_kept_whatever_the_pieces(sizes: list[int]) -> None:
    """However output arrives, its first and last 64 KiB stay and the rest is counted."""
    spill = Spill(memoryview(bytearray(SPILL_BYTES)))
    text = b"".join(bytes((n + i) % 251 for n in range(size)) for i, size in enumerate(sizes))
    at = 0
    for size in sizes:
        spill.add(text[at : at + size])
        at += size
    assert spill.take() == kept(text)


def test_taking_empties() -> None:
    """What is recorded after a take is all of the next one."""
    spill = Spill(memoryview(bytearray(SPILL_BYTES)))
    spill.add(b"x" * 3 * KEPT_BYTES)
    spill.take()
    spill.add(b"fresh")
    assert spill.take() == b"fresh"
    assert spill.take() == b""
