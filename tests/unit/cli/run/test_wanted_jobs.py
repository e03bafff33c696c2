"""Reading goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.cli.run.wanted_jobs import Wanted, WantedPart
from penstock.client.records import Outcome
from penstock.job.spans import SpanSet


class Batch:
    """Jobs recorded in the order of `indexes`."""

    live = None

    def __init__(self, *indexes: int) -> None:
        self.indexes = indexes

    def follow(self, after: int = 0) -> Iterator[Outcome]:
        """Behind a position."""
        for position, index in enumerate(self.indexes, 1):
            if position > after:
                yield Outcome(job_id="", index=index, position=position, state="succeeded")

    def cancel(self, *, running: bool) -> None:
        """It is a wish."""

    def outcomes(self) -> Iterator[Outcome]:
        """In order."""
        return iter(sorted(self.follow(), key=lambda outcome: outcome.index))


def wanted(numbers: dict[int, int] | None, *indexes: int) -> Wanted:
    batch: Any = Batch(*indexes)
    return Wanted([WantedPart(batch, numbers)], 3)


def test_arriving_goes_on_behind_what_was_used_up() -> None:
    """An interrupt between two outcomes loses none and repeats none."""
    jobs = wanted(None, 2, 0, 1)
    first = jobs.arriving()
    assert [next(first)[0], next(first)[0]] == [2, 0]
    assert [number for number, _ in jobs.arriving()] == [0, 1]  # what was not used up comes again


def test_in_order_goes_on_likewise() -> None:
    """The same in the order of the input."""
    jobs = wanted(None, 2, 0, 1)
    first = jobs.in_order()
    assert [next(first)[0], next(first)[0]] == [0, 1]
    assert [number for number, _ in jobs.in_order()] == [1, 2]


def test_nothing_is_waited_for_when_all_wanted_ones_have_come() -> None:
    """Other jobs of an earlier batch may run for days."""
    jobs = wanted({2: 0, 0: 1}, 2, 0, 1)
    assert [number for number, _ in jobs.arriving()] == [0, 1]
    assert list(wanted({}, 0).arriving()) == []


def test_jobs_of_an_earlier_run_are_known_and_not_waited_for_once_cancelled() -> None:
    """They are of another batch, which goes on; the new ones come all the same, in any order."""
    earlier: Any = Batch(1, 0)
    new: Any = Batch(0)
    for in_order in (False, True):
        ended = SpanSet([(0, 1), (2, 3)])
        jobs = Wanted([WantedPart(earlier, {0: 0, 1: 2}, is_own=False), WantedPart(new, {0: 1})], 3, [0, 1, 0], ended)
        assert [jobs.is_earlier(number) for number in range(3)] == [True, False, True]
        assert jobs.newest is new
        first = jobs.in_order() if in_order else jobs.arriving()
        assert next(first)[0] == (0 if in_order else 2)
        jobs.cancel(running=True)
        assert [number for number, _ in (jobs.in_order() if in_order else jobs.arriving())] == [1]
