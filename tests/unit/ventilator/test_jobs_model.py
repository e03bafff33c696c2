"""The table of moves, and that nothing moves beside it."""

from __future__ import annotations

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator.backlog import Backlog
from penstock.ventilator.contract import OpenPart, StoredBatch, StoredChunk
from penstock.ventilator.jobs_model import MOVES, Part, Place


def part_at(place: Place) -> tuple[Backlog, Part]:
    """A part that has come to a place by moves of the table."""
    backlog = Backlog()
    batch = backlog.add_batch(StoredBatch(b"b" * 16, BatchSpec(), b"f" * 16, 1, 0.0, 0, None, {}, None))
    (part,) = backlog.add_chunk(batch, StoredChunk(0, 5, 1, (OpenPart(0, 5),))).parts
    for step in way_to(place):
        backlog.move(part, step, int(step is Place.LEASED))
    return backlog, part


def way_to(place: Place) -> tuple[Place, ...]:
    ways: dict[Place, tuple[Place, ...]] = {Place.LOADED: ()}
    while place not in ways:
        ways |= {there: (*way, there) for here, way in ways.items() for there in MOVES[here] if there not in ways}
    return ways[place]


@pytest.mark.parametrize("place", list(Place))
def test_nothing_moves_beside_the_table(place: Place) -> None:
    """Each place is reached from the store, and what the table does not have is an error where it is tried."""
    for there in Place:
        backlog, part = part_at(place)
        if there in MOVES[place]:
            backlog.move(part, there, int(there is Place.LEASED))
            assert part.place is there
        else:
            with pytest.raises(AssertionError):
                backlog.move(part, there)


def test_what_has_ended_stays_so() -> None:
    """And what is decided is never given out."""
    assert not MOVES[Place.ENDED]
    assert MOVES[Place.VERDICT] == {Place.OPENING, Place.ENDED}
    assert all(Place.LOADED not in places for places in MOVES.values())
