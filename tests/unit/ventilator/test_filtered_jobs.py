"""Which batches and open jobs fit a filter: page by page, and never more than a bounded look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator import filtered_jobs
from penstock.wire.desk_messages import AskFiltered, Filtered, FilteredBatch, Refused
from penstock.wire.messages import Took
from support.core_benches import VentilatorBench, leases

NEWEST = b"\xff" * 16
OLD, NEW = (bytes([number]) * 16 for number in (1, 2))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VentilatorBench]:
    """A ventilator with a sink, whose ledger is right in the end."""
    made = VentilatorBench(tmp_path)
    made.sink()
    yield made
    made.core.check()


def answers(bench: VentilatorBench, where: str, limit: int = 1_000) -> list[Filtered]:
    """All that is answered, from the newest batch on."""
    found: list[Filtered] = []
    at: tuple[bytes, int] | None = (NEWEST, 0)
    while at is not None:
        (answer,) = bench.ask(AskFiltered(1, where, *at, limit))
        assert isinstance(answer, Filtered)
        found.append(answer)
        at = answer.next
    return found


def batches(bench: VentilatorBench, where: str, limit: int = 1_000) -> list[FilteredBatch]:
    return [batch for answer in answers(bench, where, limit) for batch in answer.batches]


def jobs(bench: VentilatorBench, where: str, limit: int = 1_000) -> list[tuple[bytes, int, bool]]:
    """Open jobs that fit: batch, index, and whether it runs."""
    found = [(line, index) for one in batches(bench, where, limit) for line in one.open for index in spread(line)]
    return [(line.batch, index, line.running) for line, index in found]


def spread(line: object) -> range:
    return range(line.start, line.stop)  # type: ignore[attr-defined]


def test_open_jobs_are_found_by_what_they_are_and_where(bench: VentilatorBench) -> None:
    """Newest batch first; by state, worker and batch; what fits nothing is not answered at all."""
    one = bench.worker("gpu7", slots=1, window=2)
    (lease,) = leases(bench.submit(3, batch=OLD, spec=BatchSpec(name="nightly")))
    bench.turn(Took(one.id, (lease.number,), 8))
    bench.submit(2, batch=NEW)
    running = jobs(bench, "state=running worker=gpu7")
    assert [(batch, runs) for batch, _, runs in running] == [(OLD, True)]
    assert [batch for batch, _, _ in jobs(bench, "state=queued name!=nightly")] == [NEW, NEW]
    assert len(jobs(bench, "")) == 5
    assert [one.line.batch for one in batches(bench, "")] == [NEW, OLD]
    assert not jobs(bench, "worker=gpu8")
    assert not batches(bench, "name=nightly state=succeeded"), "no job of it has ended: its counts say so"
    assert [index for _, index, _ in jobs(bench, f"id={OLD.hex()}:2,{OLD.hex()}:0")] == [0, 2]


def test_what_waits_is_found_by_how_long_it_has_waited(bench: VentilatorBench) -> None:
    """By the wall clock of the ventilator, since the submit, which was at 1970-01-01T00:00:01Z."""
    bench.set_wall_clock(11.0 - bench.wall_time)
    bench.submit(2, batch=OLD)
    assert len(jobs(bench, "wait>9s wait<11s submitted<1970-01-01T00:00:02Z")) == 2
    bench.pass_time(10.0)
    assert not jobs(bench, "wait<15s")
    assert len(jobs(bench, "wait>15s")) == 2


def test_an_answer_is_bounded_and_says_where_to_go_on(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few lines to an answer, or few looks, or few batches, the same jobs are found, each once."""
    one = bench.worker(slots=4, window=4)
    (lease,) = leases(bench.submit(6, batch=OLD))
    bench.turn(Took(one.id, (lease.number,), 8))
    for number in range(2, 7):
        bench.submit(2, batch=bytes([number]) * 16)
    whole = jobs(bench, "")
    assert len(whole) == 16
    assert len(set(whole)) == 16
    assert jobs(bench, "", limit=1) == whole
    for bound in ("LOOKS", "BATCHES"):
        monkeypatch.setattr(filtered_jobs, bound, 1)
        assert jobs(bench, "") == whole
        assert all(len(answer.batches) <= 1 for answer in answers(bench, ""))
        assert jobs(bench, "worker=nobody") == []


def test_what_is_named_is_found_without_a_look_at_others(bench: VentilatorBench) -> None:
    """A whole id needs one answer, however many batches there are."""
    bench.submit(1, batch=OLD)
    bench.submit(1, batch=NEW)
    (answer,) = answers(bench, f"batch={OLD.hex()}")
    assert [one.line.batch for one in answer.batches] == [OLD]
    assert answers(bench, f"batch={OLD.hex()} batch={NEW.hex()}") == [Filtered(1, ())]


def test_jobs_that_may_have_ended_are_marked(bench: VentilatorBench) -> None:
    """After a restart the ventilator has not read what is open: the sink knows what of it has ended."""
    bench.submit(4, batch=OLD)
    bench.restart()
    assert {line.unsure for one in batches(bench, "") for line in one.open} == {True}


def test_a_filter_of_a_later_release_is_refused_in_words(bench: VentilatorBench) -> None:
    """With the fields that there are."""
    (answer,) = bench.ask(AskFiltered(7, "colour=red", NEWEST, 0, 10))
    assert isinstance(answer, Refused)
    assert (answer.number, answer.kind) == (7, "ConfigError")
    assert "there is no field 'colour'" in answer.text
