"""What is left to show of an output that was kept with head and tail."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.capture import Spill
from penstock.kept import KEPT_BYTES, behind, cut_line
from penstock.slotwire import SPILL_BYTES

SIZE = st.integers(0, 3 * KEPT_BYTES) | st.sampled_from([2 * KEPT_BYTES, 2 * KEPT_BYTES + 1])


@settings(max_examples=60)
@given(SIZE, SIZE)
@example(3 * KEPT_BYTES, KEPT_BYTES)
@example(3 * KEPT_BYTES, 2 * KEPT_BYTES)
def test_what_was_seen_is_not_shown_again_and_nothing_else_is_left_out(size: int, seen: int) -> None:
    """Behind what was seen come all bytes that were kept, and a line that counts those that were not."""
    text = b"".join(b"%06d\n" % number for number in range(size // 7 + 1))[:size]
    seen = min(seen, size) // 7 * 7  # whole lines are shown
    spill = Spill(memoryview(bytearray(SPILL_BYTES)))
    spill.add(text)
    left = behind(spill.take(), seen)
    missing = size - KEPT_BYTES - max(seen, KEPT_BYTES)
    if size <= 2 * KEPT_BYTES or missing <= 0:
        assert left == text[seen:]
    elif seen <= KEPT_BYTES:
        assert left == text[seen:KEPT_BYTES] + cut_line(missing) + text[-KEPT_BYTES:]
    else:
        assert left == cut_line(missing).lstrip() + text[-KEPT_BYTES:]


def test_a_job_may_print_such_a_line_itself() -> None:
    """Only what is longer than what is kept was cut."""
    text = b"x" * KEPT_BYTES + cut_line(1000) + b"y"
    assert behind(text, 10) == text[10:]
