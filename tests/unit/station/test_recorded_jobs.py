"""What is recorded of one batch."""

from __future__ import annotations

from penstock.job.spec import Stamp
from penstock.station.recorded_jobs import Recorded, RecordedLine, StoredRecord
from support.sink_models import head_of

BATCH = b"b" * 16
FIRST, SECOND, THIRD = Stamp(0, 1, 0), Stamp(0, 2, 0), Stamp(0, 3, 0)


def claim(
    recorded: Recorded, start: int, stop: int, *, final: bool = True, stamp: Stamp = FIRST
) -> list[tuple[int, int]]:
    """What is new in an outcome."""
    new = recorded.claim(head_of(BATCH, start, stop, final=final, stamp=stamp))
    recorded.check()
    return new


def test_the_first_final_outcome_wins() -> None:
    """What overlaps is cut down to what is new, also around what is there."""
    recorded = Recorded()
    assert claim(recorded, 2, 4) == [(2, 4)]
    assert claim(recorded, 0, 6, stamp=SECOND) == [(0, 2), (4, 6)]
    assert claim(recorded, 0, 6) == []


def test_a_late_success_of_an_attempt_that_was_given_up_counts() -> None:
    """Attempt 1 was judged lost, attempt 2 runs: whichever ends first is the outcome."""
    recorded = Recorded()
    claim(recorded, 0, 1, final=False, stamp=SECOND)
    assert claim(recorded, 0, 1, stamp=FIRST) == [(0, 1)]
    assert claim(recorded, 0, 1, stamp=THIRD) == []
    assert recorded.attempts == {}


def test_an_earlier_generation_comes_too_late() -> None:
    """A user's retry began: what belongs to the time before it does not count."""
    recorded = Recorded()
    claim(recorded, 0, 1, final=False, stamp=Stamp(1, 1, 0))
    assert claim(recorded, 0, 2, stamp=Stamp(0, 7, 0)) == [(1, 2)]
    assert claim(recorded, 0, 1, stamp=Stamp(1, 1, 0)) == [(0, 1)]


def test_an_attempt_counts_once_per_job_and_only_if_it_is_newer() -> None:
    """Older and equal stamps change nothing, nor does an attempt of a job that has ended."""
    recorded = Recorded()
    assert claim(recorded, 0, 4, final=False, stamp=SECOND) == [(0, 4)]
    assert claim(recorded, 0, 6, final=False, stamp=SECOND) == [(4, 6)]
    assert claim(recorded, 0, 6, final=False, stamp=FIRST) == []
    assert claim(recorded, 2, 3, final=False, stamp=THIRD) == [(2, 3)]
    claim(recorded, 0, 6)
    assert claim(recorded, 0, 7, final=False, stamp=THIRD) == [(6, 7)]


def test_an_opening_takes_back_what_ended_in_an_older_generation_once() -> None:
    """Said again, before or after the jobs have ended anew, it opens nothing; a later retry does."""
    recorded = Recorded()
    claim(recorded, 0, 4)
    assert claim(recorded, 1, 3, final=False, stamp=Stamp(1, 0)) == [(1, 3)]
    assert list(recorded.ended) == [(0, 1), (3, 4)]
    assert claim(recorded, 0, 4, stamp=SECOND) == []
    assert claim(recorded, 1, 3, final=False, stamp=Stamp(1, 0)) == []
    assert claim(recorded, 1, 3, stamp=Stamp(1, 1)) == [(1, 3)]
    assert claim(recorded, 1, 3, final=False, stamp=Stamp(1, 0)) == []
    assert claim(recorded, 0, 2, final=False, stamp=Stamp(2, 0)) == [(0, 2)]
    recorded.check()
    assert recorded.generation_spans() == ((2, 3, 1),)


def test_it_is_restored_from_the_file() -> None:
    """The checkpoint, then the lines after it in their order: an opening among them takes back what is before it."""
    lines = (
        RecordedLine(6, 8, FIRST, True),
        RecordedLine(0, 1, Stamp(1, 0), False),
        RecordedLine(4, 5, SECOND, False),
        RecordedLine(7, 8, Stamp(1, 0), False),
        RecordedLine(7, 8, Stamp(1, 1), True),
    )
    recorded = Recorded.restore(StoredRecord(BATCH, ((0, 3),), ((2, 3, 4),), ((3, 6, FIRST),), lines, 9))
    recorded.check()
    assert list(recorded.ended) == [(1, 3), (6, 8)]
    assert sorted(recorded.generation_spans()) == [(2, 3, 4), (7, 8, 1)]
    spans = [(0, 1, Stamp(1, 0)), (3, 4, FIRST), (4, 5, SECOND), (5, 6, FIRST)]
    assert sorted(recorded.attempt_spans()) == spans
    assert recorded.last == 9


def test_a_checkpoint_is_due_when_lines_outweigh_gaps() -> None:
    """So that writing it costs little beside the lines themselves, however torn the batch is."""
    recorded = Recorded()
    for index in range(0, 20, 2):
        claim(recorded, index, index + 1)
    recorded.unsaved = 13
    assert not recorded.checkpoint_is_due(4)
    recorded.unsaved = 14
    assert recorded.checkpoint_is_due(4)
