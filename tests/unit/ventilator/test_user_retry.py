"""Retries: what is opened again, when it is answered, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.station.contract import FromClient
from penstock.ventilator.contract import EndedPart
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import Cancel, Cancelled, Forget, Refused, Retried, Retry
from penstock.wire.messages import SinkBeat, Verdicts
from penstock.wire.records import Message
from support.core_benches import BATCH, CLIENT, VentilatorBench, leases, of

ALL = 1 << 62
ASKED = b"asked".ljust(16)
OTHER = b"other".ljust(16)
QUEUED, FAILED, DEAD = JobState.QUEUED, JobState.FAILED, JobState.DEAD


@pytest.fixture
def bench(tmp_path: Path) -> VentilatorBench:
    """A batch of two chunks that has ended: jobs 1 and 2 failed, job 5 is dead."""
    made = VentilatorBench(tmp_path)
    made.sink()
    made.submit(4, 4, spec=BatchSpec())
    made.turn(*(made.record(*span) for span in ((0, 1), (3, 4), (4, 5), (6, 8))))
    made.turn(made.record(1, 3, FAILED), made.record(5, 6, DEAD))
    return made


def retry(
    bench: VentilatorBench, number: int = 1, asked: bytes = ASKED, start: int = 0, stop: int = ALL
) -> list[Message]:
    """What it brings about at once."""
    sent = bench.turn(FromClient(CLIENT, Retry(number, asked, BATCH, start, stop)))
    sent += bench.turn(bench.head())
    return [message for to, message in sent if not isinstance(message, SinkBeat)]


def opened(messages: list[Message]) -> list[tuple[int, int, Stamp]]:
    """What the sink is asked to open again."""
    heads = [head for verdicts in of(Verdicts, messages) for head in verdicts.records]
    assert all((head.state, head.final) == (QUEUED, False) for head in heads)
    return [(head.start, head.stop, head.stamp) for head in heads]


def record_opening(bench: VentilatorBench, *spans: tuple[int, int], generation: int = 1) -> list[Message]:
    """The sink has recorded it."""
    lines = [bench.record(*span, QUEUED, final=False, stamp=Stamp(generation, 0)) for span in spans]
    return [message for _, message in bench.turn(*lines)]


def test_what_did_not_succeed_is_opened_again(bench: VentilatorBench) -> None:
    """It is counted no longer, goes through the sink, is answered then, and is given out in a new generation."""
    assert bench.counts() == {"succeeded": 5, "failed": 2, "dead": 1}
    messages = retry(bench)
    assert opened(messages) == [(1, 3, Stamp(1, 0)), (5, 6, Stamp(1, 0))]
    assert not of(Retried, messages)
    assert bench.counts() == {"succeeded": 5, "failed": 0, "dead": 0}
    assert bench.places() == [(1, 3, Place.OPENING), (5, 6, Place.OPENING)]
    bench.worker()
    messages = record_opening(bench, (1, 3))
    assert not of(Retried, messages)
    more = record_opening(bench, (5, 6))
    assert of(Retried, more) == [Retried(1, 3)]
    assert sorted((lease.start, lease.stop, lease.stamp) for lease in leases(messages + more)) == [
        (1, 3, Stamp(1, 1)),
        (5, 6, Stamp(1, 1)),
    ]


def test_one_job_is_opened_alone_and_one_that_succeeded_never(bench: VentilatorBench) -> None:
    """How many that were is the answer."""
    assert retry(bench, stop=1) == [Retried(1, 0)]
    assert retry(bench, 2, start=8, stop=9) == [Retried(2, 0)]
    assert opened(retry(bench, 3, start=2, stop=3)) == [(2, 3, Stamp(1, 0))]
    assert of(Retried, record_opening(bench, (2, 3))) == [Retried(3, 1)]
    assert bench.counts() == {"succeeded": 5, "failed": 1, "dead": 1}


def test_a_retry_asked_twice_opens_once(bench: VentilatorBench) -> None:
    """Also when the job has failed again meanwhile, and over a restart; another retry is another."""
    retry(bench, stop=2)
    assert retry(bench, stop=2) == []
    assert of(Retried, record_opening(bench, (1, 2))) == [Retried(1, 1)]
    bench.turn(bench.record(1, 2, FAILED, stamp=Stamp(1, 1)))
    assert retry(bench, stop=2) == [Retried(1, 1)]
    bench.restart()
    bench.sink()
    assert retry(bench, 7, stop=2) == [Retried(7, 1)]
    assert opened(retry(bench, 8, OTHER, stop=2)) == [(1, 2, Stamp(2, 0))]


def test_an_opening_is_said_until_it_is_recorded(bench: VentilatorBench) -> None:
    """Again after a while, and in the next life."""
    retry(bench, start=5, stop=6)
    sent = [message for _, message in bench.turn(after=RESEND)]
    assert opened(sent) == [(5, 6, Stamp(1, 0))]
    bench.restart()
    bench.recover()
    assert bench.places() == [(5, 6, Place.OPENING)]
    assert opened([message for _, message in bench.turn(after=RESEND)]) == [(5, 6, Stamp(1, 0))]


def test_what_is_cancelled_before_it_is_open_does_not_run(bench: VentilatorBench) -> None:
    """A retry undoes an earlier cancellation, not a later one."""
    retry(bench)
    assert (CLIENT, Cancelled(9, 1)) in bench.turn(FromClient(CLIENT, Cancel(9, BATCH, 5, 6, False)))
    messages = record_opening(bench, (1, 3), (5, 6))
    assert [(head.start, head.state) for one in of(Verdicts, messages) for head in one.records] == [
        (5, JobState.CANCELLED)
    ]
    assert bench.places() == [(1, 3, Place.QUEUED), (5, 6, Place.VERDICT)]
    bench.turn(bench.record(5, 6, JobState.CANCELLED, stamp=Stamp(1, 1)))
    assert opened(retry(bench, 10, OTHER, start=5, stop=6)) == [(5, 6, Stamp(2, 0))]
    record_opening(bench, (5, 6), generation=2)
    assert bench.places() == [(1, 3, Place.QUEUED), (5, 6, Place.QUEUED)]


def test_what_is_not_kept_is_refused_and_nothing_is_done(bench: VentilatorBench) -> None:
    """Unless none of what is gone is asked for."""
    bench.store.db.execute("DELETE FROM chunk WHERE first = 4")
    (refused,) = retry(bench)
    assert isinstance(refused, Refused)
    assert refused.kind == "NoLongerKept"
    assert "of 1 jobs" in refused.text
    assert bench.counts() == {"succeeded": 5, "failed": 2, "dead": 1}
    (refused,) = retry(bench, start=6, stop=7)
    assert isinstance(refused, Refused)
    assert opened(retry(bench, 2, start=1, stop=2)) == [(1, 2, Stamp(1, 0))]


def test_an_unknown_batch_is_refused(bench: VentilatorBench) -> None:
    """As one that is being deleted is."""
    bench.submit(1)
    bench.turn(FromClient(CLIENT, Forget(BATCH)))
    (refused,) = retry(bench)
    assert isinstance(refused, Refused)
    assert refused.kind == "NoSuchBatch"


def test_jobs_of_a_chunk_that_is_still_open_are_retried(tmp_path: Path) -> None:
    """While others of it run or wait; the file knows what ended how."""
    bench = VentilatorBench(tmp_path)
    bench.sink()
    bench.submit(6)
    bench.turn(bench.record(1, 3, FAILED))
    stored = bench.store.open_chunk_at(BATCH, 0)
    assert stored is not None
    assert stored.ended == (EndedPart(1, 3, FAILED),)
    assert opened(retry(bench)) == [(1, 3, Stamp(1, 0))]
    record_opening(bench, (1, 3))
    assert bench.places() == [(0, 6, Place.QUEUED)]


def test_it_is_decided_when_all_that_was_recorded_is_known(tmp_path: Path) -> None:
    """A client learns of an outcome from the sink, maybe earlier than the ventilator."""
    bench = VentilatorBench(tmp_path)
    bench.sink()
    bench.submit(2)
    line = bench.record(0, 1, FAILED)
    (beat,) = of(SinkBeat, [message for _, message in bench.turn(FromClient(CLIENT, Retry(1, ASKED, BATCH, 0, ALL)))])
    assert bench.turn(bench.head(echo=beat.number - 1)) == []
    sent = bench.turn(line, bench.head(echo=beat.number))
    assert opened([message for _, message in sent]) == [(0, 1, Stamp(1, 0))]
