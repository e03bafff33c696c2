"""Head and tail of an output, as notes have them."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.job.output_limit import cut_of, kept_spans, note_bytes, shortened

SIZE = st.integers(0, 3_000)


def noted(text: bytes, bound: int) -> tuple[bytes, int]:
    """The note of an output, as the agent makes it, and the size it says."""
    if len(text) <= bound:
        return text, 0
    half = bound // 2
    return shortened(text[:half], len(text) - 2 * half, text[len(text) - half :]), len(text)


@settings(max_examples=300)
@given(SIZE, st.integers(0, 1_000))
@example(1_030, 1_000)
@example(100, 1)
@example(388, 288)  # 99 bytes missing and a line of 24 are as long as 100 and 25
def test_a_note_tells_how_much_is_missing_and_where(size: int, bound: int) -> None:
    """From its text and the size of the whole alone, whatever was written and however many digits the number has."""
    text = bytes(n % 251 for n in range(size))
    kept, said = noted(text, bound)
    head, missing, tail = cut_of(kept, said)
    assert head + text[len(head) : len(head) + missing] + tail == text
    assert missing == (size - 2 * (bound // 2) if size > bound else 0)


def test_what_is_kept_is_never_more_than_its_bound() -> None:
    """Head and tail, all, or nothing."""
    assert kept_spans(10, None) == kept_spans(10, 10) == ((0, 10),)
    assert kept_spans(10, 4) == ((0, 2), (8, 10))
    assert kept_spans(10, 0) == ()
    assert (note_bytes(0), note_bytes(1 << 20), note_bytes(None)) == (0, 1 << 20, note_bytes(1 << 30))
