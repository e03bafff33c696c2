"""However items are cut into chunks, each job has its argument alone: as if it had a pickle of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.client.chunking import Cutter
from penstock.job import payload
from penstock.job.payload import adapted, blobs_chunk, call_blob, chunk_blob, load_chunk
from support.object_graphs import ITEMS, NODES, Node, Shape, alone, build, look, look_at_all

SHARED: list[Node] = [("list", [0, 1]), ("dict", [0]), ("slots", [0, 1]), ("tuple", [0])]
"""A list that holds itself, and what holds it."""


def chunks(form: str, items: Sequence[Any], target: int, first: int) -> list[bytes]:
    """The items as they leave the client."""
    cutter = Cutter(iter(items), lambda some, start: chunk_blob(form, some, "pickle", start), target, first)
    found = []
    while (chunk := cutter.next_chunk()) is not None:
        found.append(chunk.payload)
    assert cutter.error is None
    return found


def seen(form: str, job: Callable[..., Shape], blobs: Sequence[bytes], cut: int) -> list[Shape]:
    """What the jobs see in a slot, where a chunk may be loaded anew for its later pieces."""
    found: list[Shape] = []
    for blob in blobs:
        form_there, items = load_chunk(blob, "pickle")
        assert len(form_there) > 0
        middle = cut % (len(items) + 1)
        for some in (items[:middle], load_chunk(blob, "pickle")[1][middle:]):
            run = adapted(job, form_there, "pickle")
            found += [run(item) for item in some]
    return found


Cuts = st.integers(1, 12)


@given(NODES, ITEMS, Cuts, Cuts, Cuts)
@example(SHARED, [0, 0, 1, 2, 3, 0], 3, 2, 1)
def test_an_item_is_alone(nodes: list[Node], places: list[int], target: int, first: int, cut: int) -> None:
    """Nothing of what one job is given is part of what another one is given; within a job, what was one object is."""
    made = build(nodes)
    items = [made[place % len(made)] for place in places]
    expected = alone(items)
    assert seen("item", look, chunks("item", items, target, first), cut) == expected
    assert alone(items) == expected, "the client's own objects are as they were"


@given(NODES, ITEMS, Cuts, Cuts)
@example(SHARED, [0, 0, 1, 2, 3, 0], 3, 2)
def test_arguments_of_a_call_are_alone_together(nodes: list[Node], places: list[int], target: int, cut: int) -> None:
    """What is one object in two arguments of a job is one in the job, however it was called."""
    made = build(nodes)
    pairs = [(made[place % len(made)], made[(place * 3) % len(made)]) for place in places]
    stars = alone(pairs, lambda pair: look_at_all(*pair))
    assert seen("star", look_at_all, chunks("star", pairs, target, 2), cut) == stars
    calls = [((one,), {"other": other, "again": one}) for one, other in pairs]
    expected = alone(calls, lambda call: look_at_all(*call[0], **call[1]))
    assert seen("call", look_at_all, chunks("call", calls, target, 2), cut) == expected
    blobs = [call_blob(args, kwargs, "pickle") for args, kwargs in calls]
    assert seen("call", look_at_all, [blobs_chunk(blobs, "pickle")], cut) == expected


def test_sharing_put_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where items travel together, whatever they are, jobs are given what others have changed."""
    monkeypatch.setattr(payload, "are_plain", lambda _: True)
    made = build(SHARED)
    items = [made[0], made[1], made[0]]
    assert seen("item", look, chunks("item", items, 3, 3), 3) != alone(items)
