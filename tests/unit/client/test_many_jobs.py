"""Acting on all that fits a filter, with a played ventilator and sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.client import many_jobs
from penstock.client.many_jobs import Cancellations, Deletions, Many, Retries
from penstock.errors import ConfigError, NoLongerKept, NoSuchBatch, Refused
from penstock.job.filters import Filter
from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.keys.files import KeyFile
from penstock.keys.roles import Role
from penstock.wire.desk_messages import (
    AskFiltered,
    BatchLine,
    Cancel,
    Cancelled,
    Delete,
    Done,
    Filtered,
    FilteredBatch,
    JobLine,
    Retried,
    Retry,
)
from penstock.wire.filter_messages import FetchedFiltered, FetchFiltered
from penstock.wire.records import OutcomeHead

SECRETS = ("public", "secret", "ventilator", "sink", "url")
OLD, NEW = (bytes([number]) * 16 for number in (1, 2))


class Stations:
    """A session to a pipeline whose jobs stand like this, by batch: a state for each. Every job that is opened again
    fails again at once."""

    url = "tcp://head:5555"

    def __init__(self, jobs: dict[bytes, list[str]], owner: str = "ada") -> None:
        self.jobs = jobs
        self.owner = owner
        self.told: list[Any] = []
        self.refuses: dict[bytes, Exception] = {}

    def ask(self, make: Callable[[int], Any], _: float) -> Filtered:
        asked: AskFiltered = make(1)
        wanted = Filter.parse(asked.where)
        batches: list[FilteredBatch] = []
        for batch, states in sorted(self.jobs.items(), reverse=True):
            first = asked.index if batch == asked.batch else 0
            if batch <= asked.batch and first < len(states):
                counts = {one: states.count(one) for one in states if one in {"failed", "succeeded"}}
                line = BatchLine(batch, BatchSpec(owner=self.owner), len(states), len(states), counts, 0, 5.0)
                waiting = [
                    JobLine(batch, at, at + 1, JobState.QUEUED, Stamp(), running=state == "running")
                    for at, state in enumerate(states)
                    if at >= first and state in wanted.states & {"queued", "running"}
                ]
                batches.append(FilteredBatch(line, first, len(states), tuple(waiting)))
        return Filtered(1, tuple(batches))

    def fetch(self, make: Callable[[int], Any], _: float) -> tuple[FetchedFiltered, bytes]:
        asked: FetchFiltered = make(1)
        states = Filter.parse(asked.where).states
        found = [
            OutcomeHead(span.batch, at, at + 1, JobState.FAILED, True, Stamp(), 1, 0, 9.0, 1.0, 0)
            for span in asked.spans
            for at in range(span.start, span.stop)
            if self.jobs[span.batch][at] in states & {"failed"}
        ]
        return FetchedFiltered(1, tuple(found)), b""

    def request(self, make: Callable[[int], Any], *, patient: bool) -> Any:
        assert not patient
        self.told.append(make(1))
        return self.told[-1]

    def wait_for(self, told: Any, _: float | None) -> tuple[Any, bytes]:
        if told.batch in self.refuses:
            raise self.refuses[told.batch]
        match told:
            case Retry():
                return Retried(1, told.stop - told.start), b""
            case Cancel():
                self.jobs[told.batch][told.start : told.stop] = ["cancelled"] * (told.stop - told.start)
                return Cancelled(1, 0), b""
            case _:
                del self.jobs[told.batch]
                return Done(1), b""

    @property
    def spans(self) -> list[tuple[bytes, int, int]]:
        return [(one.batch, one.start, one.stop) for one in self.told]


def many(kind: type[Many], stations: Any, where: str, role: Role | None = None) -> Many:
    """What has counted."""
    key = None if role is None else KeyFile(role=role, name="ada", **dict.fromkeys(SECRETS, ""))
    found = kind(stations, key, Filter.parse(where))
    list(found.count())
    return found


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_jobs, "PAGE", 3)


def test_each_job_is_retried_once_though_it_fails_again_at_once() -> None:
    """Page by page and to the end: neighbours in one message, what succeeded or waits in none, and what was submitted
    since it was counted in none."""
    stations = Stations({OLD: ["failed", "succeeded", *["failed"] * 4, "queued"], NEW: ["failed"]})
    retries = many(Retries, stations, "name!=x")
    assert (retries.jobs, retries.batches, stations.told) == (6, 2, [])
    stations.jobs[bytes([3]) * 16] = ["failed"]
    list(retries.act())
    assert retries.done == 6
    assert stations.spans == [(NEW, 0, 1), (OLD, 0, 1), (OLD, 2, 3), (OLD, 3, 6)]
    assert len({one.asked for one in stations.told}) == 4


def test_what_was_cut_short_goes_on_when_it_is_said_again() -> None:
    """What was cancelled is not counted any more."""
    stations = Stations({OLD: ["queued"] * 8})
    first = many(Cancellations, stations, "name!=x")
    next(first.act())
    assert first.done == 3
    again = many(Cancellations, stations, "name!=x")
    assert again.jobs == 5
    list(again.act())
    assert (again.done, set(stations.jobs[OLD])) == (5, {"cancelled"})


def test_running_jobs_are_ended_only_if_they_are_meant() -> None:
    """Also one that starts between the look and the order."""
    for where, unstarted_only in (("state=queued", True), ("state!=delayed", False)):
        stations = Stations({OLD: ["running", "queued", "failed"]})
        list(many(Cancellations, stations, where).act())
        (told,) = stations.told
        assert (told.start, told.stop, told.unstarted_only) == (int(unstarted_only), 2, unstarted_only)


def test_a_filter_that_means_other_states_asks_nobody() -> None:
    """What succeeded is not retried, and what has ended is not cancelled."""
    nobody: Any = None
    assert many(Retries, nobody, "state=succeeded,queued").jobs == 0
    assert many(Cancellations, nobody, "state=failed").jobs == 0


def test_only_whole_batches_that_have_ended_are_deleted() -> None:
    """One that has not ended stays, one that somebody else deletes is no error, and a filter of jobs is refused."""
    ends = {bytes([number]) * 16: ["failed", "succeeded"] for number in (3, 4)}
    stations = Stations({OLD: ["failed"], NEW: ["failed", "queued"], **ends})
    stations.refuses[bytes([4]) * 16] = NoSuchBatch("no batch")
    deletions = many(Deletions, stations, "submitted<2026-11-30T08:00Z")
    assert (deletions.jobs, deletions.batches) == (5, 3)
    list(deletions.act())
    assert all(isinstance(one, Delete) for one in stations.told)
    assert [one.batch[0] for one in stations.told] == [4, 3, 1]
    assert deletions.done == 2
    for where in ("state=failed", "name=x error~Timeout"):
        with pytest.raises(ConfigError, match="delete takes whole batches: the filter can have batch, name, function"):
            many(Deletions, stations, where)


def test_what_is_not_kept_any_more_keeps_no_other_job_from_its_retry() -> None:
    """It is counted, with the reason."""
    stations = Stations({OLD: ["failed"] * 2, NEW: ["failed"] * 2})
    stations.refuses[NEW] = NoLongerKept("too long ago")
    retries = many(Retries, stations, "error~x")
    list(retries.act())
    assert (retries.done, retries.lost, retries.why) == (2, 2, "too long ago")


def test_a_key_that_may_not_is_refused_before_anything_is_done() -> None:
    """One that may only look before anybody is asked, others when a batch of somebody else's is counted."""
    nobody: Any = None
    with pytest.raises(Refused, match="the key ada has the role observe: it may look and change nothing"):
        many(Cancellations, nobody, "name=x", Role.OBSERVE)
    stations = Stations({OLD: ["queued"]}, owner="eve")
    with pytest.raises(Refused, match=r"is not of the key ada: .* the term owner=ada leaves out what is of others"):
        many(Cancellations, stations, "name!=x", Role.SUBMIT)
    assert many(Cancellations, stations, "name!=x", Role.ADMIN).jobs == 1
    stations.owner = "ada"
    assert many(Cancellations, stations, "name!=x", Role.SUBMIT).jobs == 1
