"""The sink's file: failed jobs, counted by their error."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.job.error_pattern import key_of
from penstock.job.spec import JobState, Stamp
from penstock.sink import group_store
from penstock.sink.failure_groups import EXAMPLES, OTHERS, WORKERS
from penstock.sink.store import ResultStore
from penstock.station.checked_rows import DamagedRow
from penstock.station.contract import DeleteBatch
from penstock.station.recorded_jobs import Recorded
from penstock.wire.messages import ErrorGroup
from penstock.wire.records import Note, OutcomeHead
from support.sink_models import head_of
from support.store_samples import BATCH, OTHER, lines

JOBS = 20
ERRORS = ("ValueError: no 1", "ValueError: no 2", "KeyError: 'a'", "exit code 1", "exit code 2")
"""Of four patterns."""


@pytest.fixture
def results(folder: Path) -> Iterator[ResultStore]:
    """An empty results store."""
    store = ResultStore(folder / "data", durable=False)
    yield store
    store.close()


def failed(batch: bytes, start: int, stop: int, cause: str = ERRORS[0], **fields: Any) -> OutcomeHead:
    """An outcome of jobs that failed alike."""
    return head_of(batch, start, stop, state=JobState.FAILED, note=Note(cause=cause), **fields)


def opened(batch: bytes, start: int, stop: int, generation: int = 1) -> OutcomeHead:
    """A retry's opening."""
    return head_of(batch, start, stop, state=JobState.QUEUED, final=False, stamp=Stamp(generation, 0))


def groups_of(store: ResultStore, batch: bytes = BATCH) -> dict[str, ErrorGroup]:
    """By their patterns, once all is counted."""
    while store.untidy:
        store.save([])
    groups, cursor, incomplete = store.failures(batch, (0, b""))
    assert cursor is None
    assert not incomplete
    return {group.pattern: group for group in groups}


def counts_of(store: ResultStore, batch: bytes = BATCH) -> dict[str, int]:
    """How many jobs each has."""
    return {pattern: group.jobs for pattern, group in groups_of(store, batch).items()}


def test_a_group_has_count_times_workers_and_examples(results: ResultStore) -> None:
    """Of all the jobs that failed alike; a few names stand for many."""
    heads = [
        failed(BATCH, at, at + 1, f"ValueError: no {at}", started_time=10.0 + at, worker=f"w{at}") for at in range(30)
    ]
    cancelled = head_of(BATCH, 50, 60, state=JobState.CANCELLED)
    results.save(lines(results, *heads, cancelled, failed(OTHER, 0, 1), head_of(BATCH, 60, 70)))
    (group,) = groups_of(results).values()
    assert (group.batch, group.pattern, group.jobs) == (BATCH, "ValueError: no …", 30)
    assert group.key == key_of(group.pattern)
    assert (group.first_time, group.last_time) == (10.5, 39.5)
    assert group.workers == tuple(f"w{at}" for at in range(WORKERS))
    assert group.examples == tuple(range(EXAMPLES))


def test_saves_that_are_given_again_count_once(results: ResultStore) -> None:
    """After `reopen`, whether the transaction had been committed or not."""
    saves = lines(results, failed(BATCH, 0, 3), opened(BATCH, 0, 1), head_of(BATCH, 5, 6))
    results.save(saves)
    results.reopen()
    results.save(saves)
    assert counts_of(results) == {"ValueError: no …": 2}


def test_a_deleted_batch_has_no_groups(results: ResultStore) -> None:
    """From then on, while its lines still leave the file; nor is one found if all is counted anew."""
    results.save(lines(results, failed(BATCH, 0, 3), failed(OTHER, 0, 1)))
    results.save([DeleteBatch(BATCH)])
    assert results.value("SELECT count(*) FROM failure_group") == 1
    assert set(groups_of(results, b"")) == {"ValueError: no …"}
    results.contain(results.damaged("a group", ("group", 0)))
    assert counts_of(results, b"") == {"ValueError: no …": 1}


def test_what_fails_of_many_errors_is_bounded(results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs beyond that are counted all the same, and taken out of where they were counted."""
    monkeypatch.setattr(group_store, "MOST", 3)
    first, *others = (failed(BATCH, at, at + 1, f"exit code {at}") for at in range(6))
    results.save(lines(results, first))
    results.save(lines(results, failed(BATCH, 20, 21, "exit code 0"), *others))
    assert counts_of(results) == {"exit code 0": 2, "exit code 1": 1, OTHERS: 4}
    results.save(lines(results, opened(BATCH, 20, 21)))
    results.save(lines(results, opened(BATCH, 0, 4)))
    assert counts_of(results) == {OTHERS: 2}
    results.save(lines(results, failed(BATCH, 6, 7, "exit code 6"), opened(BATCH, 4, 6, 2)))
    assert counts_of(results) == {OTHERS: 1}
    results.save(lines(results, opened(BATCH, 6, 7, 3)))
    results.save(lines(results, failed(BATCH, 7, 8, "exit code 7")))
    assert counts_of(results) == {"exit code 7": 1}


def test_a_damaged_group_is_counted_anew(results: ResultStore) -> None:
    """All that is in it is in the lines, too: also when it is found while another failure is
    counted, or when somebody asks."""
    results.save(lines(results, failed(BATCH, 0, 3)))
    results.db.execute("UPDATE failure_group SET jobs = 7")
    with pytest.raises(Exception, match="a group of failed jobs is damaged"):
        results.save(lines(results, failed(BATCH, 3, 4)))
    results.reopen()
    assert results.take_found() == ["groups of failed jobs: they are counted anew"]
    results.save(lines(results, failed(BATCH, 3, 4)))
    assert counts_of(results) == {"ValueError: no …": 4}
    results.db.execute("UPDATE failure_group SET pattern = 'ValueError: yes'")
    with pytest.raises(DamagedRow) as found:
        results.failures(BATCH, (0, b""))
    assert not results.contain(found.value), "no line is lost"
    assert counts_of(results) == {"ValueError: no …": 4}


class Model:
    """Which jobs count as failed, by what was recorded: the plain truth beside the store."""

    def __init__(self) -> None:
        self.recorded: dict[bytes, Recorded] = {}
        self.failed: dict[tuple[bytes, int], str] = {}

    def lines(self, store: ResultStore, heads: list[OutcomeHead]) -> list[Any]:
        """What of these outcomes is new, as the sink's core finds out."""
        new: list[OutcomeHead] = []
        for head in heads:
            for start, stop in self.recorded.setdefault(head.batch, Recorded()).claim(head):
                new.append(OutcomeHead(*(head.batch, start, stop), *_rest(head)))
                for index in range(start, stop):
                    self.failed.pop((head.batch, index), None)
                    if head.is_failure:
                        self.failed[head.batch, index] = head.pattern
        return list(lines(store, *new))

    def delete(self, batch: bytes) -> None:
        """A batch is gone."""
        self.recorded.pop(batch, None)
        self.failed = {job: pattern for job, pattern in self.failed.items() if job[0] != batch}

    def counts(self) -> Counter[tuple[bytes, str]]:
        """How many jobs failed of which error."""
        return Counter((batch, pattern) for (batch, _), pattern in self.failed.items())


def _rest(head: OutcomeHead) -> tuple[Any, ...]:
    return tuple(getattr(head, name) for name in OutcomeHead.__struct_fields__[3:])


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_what_failed(results: ResultStore, folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever is recorded, opened again, deleted, counted anew or opened by the next process, and however little of it
    is done at once: each job whose newest outcome is a failure counts once, in the group of its error."""
    monkeypatch.setattr(group_store, "JOBS_AT_ONCE", 3)
    monkeypatch.setattr(group_store, "LINES_AT_ONCE", 4)
    monkeypatch.setattr(group_store, "DELETE_BYTES", 300)  # two or three heads
    dice, model, store = random.Random(seed), Model(), results
    for turn in range(150):
        batch, start = dice.choice((BATCH, OTHER)), dice.randrange(JOBS)
        stop = min(JOBS, start + dice.choice((1, 1, 4, JOBS)))
        generation = max((stamp for stamp in model.recorded.get(batch, Recorded()).generations), default=0)
        match dice.choice("ffffoosdrcx") if turn else "f":
            case "f":
                stamp, cause = Stamp(generation), dice.choice(ERRORS)
                heads = [failed(batch, at, at + 1, cause, stamp=stamp) for at in range(start, stop)]
                store.save(
                    model.lines(
                        store, heads if dice.random() < 0.5 else [failed(batch, start, stop, cause, stamp=stamp)]
                    )
                )
            case "o":
                later = opened(batch, start, stop, generation + 1)
                again = failed(batch, start, start + 1, dice.choice(ERRORS), stamp=Stamp(generation + 1))
                store.save(model.lines(store, [later, again][: dice.randrange(1, 3)]))
            case "s":
                store.save(model.lines(store, [head_of(batch, start, stop, stamp=Stamp(generation))]))
            case "d" if turn % 10 == 0:
                store.save([DeleteBatch(batch)])
                model.delete(batch)
            case "r":
                store.reopen()
            case "c":
                store.contain(store.damaged("a group", ("group", 0)))
            case _:
                store.save([])
        groups, _, incomplete = store.failures(b"", (0, b""))
        if not incomplete:
            assert {(group.batch, group.pattern): group.jobs for group in groups} == model.counts()
    while store.untidy:
        store.save([])
    groups, _, _ = store.failures(b"", (0, b""))
    assert {(group.batch, group.pattern): group.jobs for group in groups} == model.counts()
    for group in groups:
        assert all(model.failed[group.batch, index] == group.pattern for index in group.examples)
