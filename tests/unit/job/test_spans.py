"""SpanSet against a plain set of integers."""

from __future__ import annotations

import itertools
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from penstock.job.spans import Span, SpanSet

INDEX = st.integers(0, 40)
SPAN = st.tuples(INDEX, INDEX)
EDITS = st.lists(st.tuples(st.sampled_from(["add", "remove", "take_first", "take_last"]), INDEX, INDEX), max_size=25)


def plain(spans: list[Span]) -> set[int]:
    """The indexes in some spans."""
    return {index for start, stop in spans for index in range(start, stop)}


def edited(edits: list[tuple[str, int, int]]) -> tuple[SpanSet, set[int]]:
    """A SpanSet and a plain set that went through the same, compared at each step."""
    spans, model = SpanSet(), set[int]()
    for verb, start, stop in edits:
        match verb:
            case "add":
                spans.add(start, stop)
                model |= set(range(start, stop))
            case "remove":
                gone = set(range(start, stop)) & model
                assert plain(spans.remove(start, stop)) == gone
                model -= gone
            case "take_first" if model and start:
                gone = plain([spans.take_first(start)])
                assert gone == set(range(min(model), min(model) + len(gone)))
                assert len(gone) == start or max(gone) + 1 not in model
                model -= gone
            case "take_last":
                gone = set(sorted(model, reverse=True)[:start])
                assert plain(spans.take_last(start)) == gone
                model -= gone
    return spans, model


@given(EDITS)
def test_it_is_the_set_of_its_indexes(edits: list[tuple[str, int, int]]) -> None:
    """Whatever is added, removed and taken: members, size and truth are those of a plain set."""
    spans, model = edited(edits)
    assert plain(list(spans)) == model
    assert spans.count == len(model)
    assert bool(spans) == bool(model)
    assert [index in spans for index in range(42)] == [index in model for index in range(42)]


@given(EDITS)
def test_its_spans_are_sorted_and_do_not_touch(edits: list[tuple[str, int, int]]) -> None:
    """So there is one way only to write down a set, and two equal sets are equal."""
    spans, model = edited(edits)
    listed = list(spans)
    assert all(start < stop for start, stop in listed)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(listed))
    assert spans.span_count == len(listed)
    assert spans == SpanSet((index, index + 1) for index in model)


@given(EDITS, SPAN)
def test_overlap_and_gaps_divide_a_span(edits: list[tuple[str, int, int]], span: Span) -> None:
    """What of a span is in the set, and what is not, in order."""
    spans, model = edited(edits)
    overlap, gaps = spans.overlap(*span), spans.gaps(*span)
    assert plain(overlap) == set(range(*span)) & model
    assert plain(gaps) == set(range(*span)) - model
    assert overlap == sorted(overlap)
    assert gaps == sorted(gaps)


@given(EDITS, SPAN)
def test_a_copy_is_independent(edits: list[tuple[str, int, int]], span: Span) -> None:
    """What happens to the copy does not happen to the set."""
    spans, model = edited(edits)
    twin = spans.copy()
    assert twin == spans
    twin.add(*span)
    twin.remove(0, 3)
    assert plain(list(spans)) == model


def test_ten_million_jobs_in_order_are_one_span() -> None:
    """Its size is the number of gaps, never the number of jobs."""
    spans = SpanSet((at, at + 1000) for at in range(0, 10_000_000, 1000))
    tracemalloc.start()
    assert tuple(spans) == (*spans,) == ((0, 10_000_000),)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20, "making a list of it takes no room for its jobs"
    assert repr(spans) == "SpanSet([(0, 10000000)])"
