"""Jobs that fit a filter, put together of what the ventilator and the sink say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.client.filtered_jobs import NEWEST, FilteredJobs, behind
from penstock.errors import ProtocolError
from penstock.job.filters import Filter
from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.wire.desk_messages import Arguments, AskFiltered, BatchLine, Filtered, FilteredBatch, JobLine
from penstock.wire.filter_messages import FetchedEnded, FetchedFiltered, FetchEnded, FetchFiltered
from penstock.wire.records import OutcomeHead

OLD, NEW = (bytes([number]) * 16 for number in (1, 2))
Place = tuple[int, int, int]


def batch(batch_id: bytes, jobs: int, *lines: JobLine, **counts: int) -> FilteredBatch:
    line = BatchLine(batch_id, BatchSpec(name="n", owner="ada"), jobs, jobs, counts, 0, 5.0)
    return FilteredBatch(line, 0, jobs, lines)


def waiting(batch_id: bytes, start: int, stop: int, **more: Any) -> JobLine:
    return JobLine(batch_id, start, stop, JobState.QUEUED, Stamp(), **more)


def ended(batch_id: bytes, start: int, stop: int, state: JobState = JobState.FAILED) -> OutcomeHead:
    return OutcomeHead(batch_id, start, stop, state, True, Stamp(), 1, 0, 9.0, 1.0, 0, worker="w")


class Stations:
    """A session whose ventilator and sink answer this, one thing after the other."""

    url = "tcp://head:5555"

    def __init__(self, answers: list[Filtered], rows: list[FetchedFiltered] = (), spans: Any = ()) -> None:  # type: ignore[assignment]
        self._answers, self._rows, self._spans = iter(answers), iter(rows), iter(spans)
        self.asked: list[Any] = []

    def ask(self, make: Callable[[int], Any], _: float) -> Any:
        self.asked.append(make(1))
        assert isinstance(self.asked[-1], AskFiltered)
        return next(self._answers)

    def fetch(self, make: Callable[[int], Any], _: float) -> tuple[Any, bytes]:
        self.asked.append(make(1))
        return next(self._rows if isinstance(self.asked[-1], FetchFiltered) else self._spans), b""

    def request(self, make: Callable[[int], Any]) -> Any:
        return make(1)

    def wait_for(self, _: Any, __: float) -> tuple[Arguments, bytes]:
        return Arguments(1, 0, ()), b""


def found(stations: Stations, where: str = "", limit: int = 100) -> list[tuple[int, int, str]]:
    """First byte of the batch, index, state."""
    jobs = FilteredJobs(stations, Filter.parse(where)).page(NEWEST, limit)  # type: ignore[arg-type]
    return [(int(job.id[:2], 16), job.index, job.state) for job in jobs]


def test_open_and_ended_jobs_are_one_list_in_order() -> None:
    """Batch by batch; of a job that has ended since the ventilator spoke the outcome counts, and each job is listed
    once, also where one outcome is inside of what another one began around."""
    stations = Stations(
        [Filtered(1, (batch(NEW, 4, waiting(NEW, 1, 4), failed=1), batch(OLD, 6, failed=6)))],
        [FetchedFiltered(1, (ended(NEW, 2, 3), ended(OLD, 0, 2), ended(OLD, 4, 6), ended(OLD, 2, 4)))],
    )
    assert found(stations) == [
        *((2, 1, "queued"), (2, 2, "failed"), (2, 3, "queued")),
        *((1, index, "failed") for index in range(6)),
    ]


def test_a_page_is_read_until_nothing_can_be_missing_in_it() -> None:
    """The sink's lines begin in order: one that begins later may still have a job in front of a long one's last."""
    stations = Stations(
        [Filtered(1, (batch(OLD, 100, failed=100),), (OLD, 100))],
        [
            FetchedFiltered(1, (ended(OLD, 0, 2), ended(OLD, 3, 90)), (0, 0, 7)),
            FetchedFiltered(1, (ended(OLD, 2, 3, JobState.DEAD),), (0, 2, 9)),
            FetchedFiltered(1, (ended(OLD, 90, 91),), (0, 90, 10)),
        ],
    )
    assert [(index, state) for _, index, state in found(stations, limit=4)] == [
        *((0, "failed"), (1, "failed"), (2, "dead"), (3, "failed")),
    ]
    assert [one.cursor for one in stations.asked[1:]] == [(0, 0, 0), (0, 0, 7), (0, 2, 9)]


def test_it_is_asked_on_until_there_are_enough() -> None:
    """From where an answer ended; the sink is not asked where the counts say that there is nothing."""
    stations = Stations(
        [
            Filtered(1, (batch(NEW, 2, waiting(NEW, 0, 1)),), (NEW, 1)),
            Filtered(1, (batch(NEW, 2, waiting(NEW, 1, 2)),), (OLD, 0)),
            Filtered(1, (batch(OLD, 9, waiting(OLD, 0, 9)),)),
        ]
    )
    assert found(stations, limit=4) == [(2, 0, "queued"), (2, 1, "queued"), (1, 0, "queued"), (1, 1, "queued")]
    assert [(one.batch, one.index) for one in stations.asked] == [NEWEST, (NEW, 1), (OLD, 0)]


def test_what_may_have_ended_is_asked_of_the_sink() -> None:
    """Span by span, and no further than a page needs."""
    unsure = waiting(OLD, 0, 1_000, unsure=True)
    stations = Stations(
        [Filtered(1, (batch(OLD, 1_000, unsure),))],
        spans=[FetchedEnded(1, ((0, 5), (6, 50)), 50), FetchedEnded(1, ((52, 1_000),))],
    )
    assert [index for _, index, _ in found(stations, "state=queued", 3)] == [5, 50, 51]
    assert [(one.start, one.stop) for one in stations.asked if isinstance(one, FetchEnded)] == [(0, 1_000), (50, 1_000)]


def test_what_is_known_of_a_batch_is_said_of_its_jobs() -> None:
    """Its name, when it was submitted, and by whom."""
    stations: Any = Stations([Filtered(1, (batch(OLD, 1, waiting(OLD, 0, 1)),))])
    (job,) = FilteredJobs(stations, Filter.parse("")).page(NEWEST, 1)
    assert (job.name, job.owner, job.submitted) == ("n", "ada", 5.0)


def test_a_station_of_an_earlier_release_is_named() -> None:
    """In one line that says what to do."""

    class Earlier(Stations):
        def ask(self, make: Callable[[int], Any], _: float) -> Any:
            raise ProtocolError(f"Invalid value: {make(1)}")

    with pytest.raises(ProtocolError, match=r"tcp://head:5555: .* knows no filters: upgrade it"):
        found(Earlier([]))


def test_a_place_is_named_by_the_id_of_a_job() -> None:
    """The whole one, as it was listed."""
    assert behind(None) == NEWEST
    assert behind(f"{OLD.hex()}:7") == (OLD, 8)
    with pytest.raises(ValueError, match="after='last:7' names no job"):
        behind("last:7")
