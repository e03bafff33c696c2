"""The ledger: every move keeps leases, credit and counts in step, and what changed is saved once."""

from __future__ import annotations

from penstock.job.spec import JobState
from penstock.station.contract import FromClient
from penstock.ventilator.contract import SaveApplied, SaveCounts, SaveEvent, SaveOpen
from penstock.ventilator.jobs_model import Place
from penstock.ventilator.ledger import OUTCOME_TIME
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import Cancel
from penstock.wire.frames import encode
from penstock.wire.messages import Verdicts
from support.core_benches import BATCH, SINK, VentilatorBench, of


def test_what_changed_in_a_turn_is_saved_once(bench: VentilatorBench) -> None:
    """A chunk of which many outcomes came in is written once, with the position of the last line."""
    bench.submit(10, close=False)
    bench.saved.clear()
    bench.turn(*(bench.record(index, index + 1) for index in range(5)))
    (open_,) = of(SaveOpen, bench.saved)
    assert [(part.start, part.stop) for part in open_.parts] == [(5, 10)]
    assert of(SaveCounts, bench.saved) == [SaveCounts(BATCH, {"succeeded": 5})]
    assert of(SaveApplied, bench.saved) == [SaveApplied(5, b"5")]


def test_a_turn_without_change_saves_nothing(bench: VentilatorBench) -> None:
    """Giving out costs no fsync, but for the first job of a batch, which is an event."""
    bench.submit(3)
    bench.saved.clear()
    bench.worker("w")
    assert bench.places() == [(0, 3, Place.LEASED)]
    assert [type(save) for save in bench.saved] == [SaveEvent, SaveEvent], "the worker's, and the batch's first job"


def test_delayed_jobs_are_queued_when_their_time_has_come(bench: VentilatorBench) -> None:
    """Not before, and the next wake-up is not after."""
    bench.submit(2, close=False)
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False))
    until = next(part.due_at for part in bench.parts() if part.place is Place.DELAYED)
    bench.turn(after=(until - bench.now) * 0.9)
    wakeup = bench.core.next_wakeup()
    assert wakeup is not None
    assert wakeup <= until
    assert bench.places()[0][2] is Place.DELAYED
    bench.turn(after=until - bench.now)
    assert bench.places()[0][2] is Place.QUEUED


def test_the_verdict_on_what_a_worker_has_waits_for_outcomes_on_their_way(bench: VentilatorBench) -> None:
    """A job that had ended before it was cancelled keeps its outcome; nothing is said of the others for a moment, also
    when verdicts are said again."""
    bench.worker("w")
    bench.submit(3, 1)
    bench.turn(after=RESEND - OUTCOME_TIME)
    sent = bench.told(SINK, FromClient(b"client", Cancel(1, BATCH, 0, 3, False)))
    assert of(Verdicts, sent) == []
    wakeup = bench.core.next_wakeup()
    assert wakeup is not None
    assert wakeup <= bench.now + OUTCOME_TIME
    assert of(Verdicts, bench.told(SINK, after=OUTCOME_TIME * 0.5)) == []
    bench.turn(bench.record(1, 2))
    assert of(Verdicts, bench.told(SINK, after=OUTCOME_TIME * 0.4)) == []
    (verdicts,) = of(Verdicts, bench.told(SINK, after=OUTCOME_TIME * 0.2))
    assert [(head.start, head.stop) for head in verdicts.records] == [(0, 1), (2, 3)]
    assert bench.counts() == {"succeeded": 1}
    (verdicts,) = of(Verdicts, bench.told(SINK, after=RESEND))
    assert len(verdicts.records) == 2


def test_many_verdicts_go_in_several_messages(bench: VentilatorBench) -> None:
    """A cancelled batch of many chunks is not one huge message: half a second at 1 Mbit/s at most."""
    bench.submit(*[1] * 1_000)
    sent = of(Verdicts, bench.told(SINK, FromClient(b"client", Cancel(1, BATCH, 0, 1_000, False))))
    assert sum(len(verdicts.records) for verdicts in sent) == 1_000
    assert max(len(encode(verdicts)) for verdicts in sent) <= 64 << 10
