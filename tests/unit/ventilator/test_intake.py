"""Submit, cancel, forget: what clients ask for and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec, JobState
from penstock.station.contract import DeleteBatch, FromClient
from penstock.ventilator import backlog
from penstock.ventilator.contract import SaveBatch, SaveChunk, SaveEvent, SaveTotal
from penstock.ventilator.core import RETENTION_INTERVAL
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import RESEND, TRANSIENT_TIME
from penstock.wire.desk_messages import (
    Accepted,
    Alive,
    AskBatches,
    AskDigests,
    BatchClose,
    BatchesInfo,
    BatchOpen,
    Cancel,
    Cancelled,
    ChunkHead,
    Delete,
    Digests,
    Done,
    DrainWorker,
    Forget,
    Known,
    Refused,
    Submit,
)
from penstock.wire.messages import CancelSpan, Drain, ForgetBatch, Forgotten, Took, Verdicts
from penstock.wire.records import BatchSpan
from support.core_benches import BATCH, BOOT, CLIENT, FUNCTION, SINK, VentilatorBench, leases, of

ALL = 1 << 40


def chunk(bench: VentilatorBench, first: int, count: int) -> FromClient:
    """A Submit of one more chunk."""
    return FromClient(CLIENT, Submit(next(bench.numbers), (), (ChunkHead(BATCH, first, count, 4),), ()), b"args")


def test_digests_are_saved_with_their_chunk_and_asked_for_later(bench: VentilatorBench) -> None:
    """They lie on disk only; digests of another length are refused, and nothing of that Submit is accepted."""
    bench.submit(2)
    bench.saved.clear()
    later = ChunkHead(BATCH, 2, 1, 4, bytes(16))
    assert bench.ask(Submit(7, (), (later,), ()), b"args") == [Accepted(7)]
    assert bench.saved[0] == SaveChunk(BATCH, 2, 1, b"args", bytes(16))
    assert bench.ask(AskDigests(9, bytes(16), 0)) == [Refused(9, "NoSuchBatch", f"no batch {bytes(16).hex()}")]
    assert bench.ask(AskDigests(8, BATCH, 2)) == [Digests(8, bytes(16))]
    bench.saved.clear()
    (refused,) = bench.ask(Submit(10, (), (ChunkHead(BATCH, 3, 1, 4, bytes(17)),), ()), b"args")
    assert isinstance(refused, Refused)
    assert not of(SaveChunk, bench.saved)


def test_what_is_acknowledged_is_saved_in_that_turn(bench: VentilatorBench) -> None:
    """No acknowledgement before the commit that covers it."""
    sent = bench.submit(3, 4)
    assert sent == [(CLIENT, Accepted(1))]
    kinds = [type(save) for save in bench.saved if not isinstance(save, SaveEvent)]
    assert kinds[:3] == [SaveBatch, SaveChunk, SaveChunk]


def test_the_same_submit_twice_is_accepted_once(bench: VentilatorBench) -> None:
    """A repeated submit is recognised and acknowledged again."""
    submit = Submit(1, (BatchOpen(BATCH, BatchSpec(), FUNCTION, 1),), (ChunkHead(BATCH, 0, 3, 4),), ())
    for _ in range(2):
        assert bench.ask(submit, b"fargs") == [Accepted(1)]
    assert bench.places() == [(0, 3, Place.QUEUED)]


def test_a_chunk_that_leaves_a_gap_is_not_answered(bench: VentilatorBench) -> None:
    """So that its client sends all again, in order."""
    bench.submit(3, close=False)
    assert bench.turn(chunk(bench, 5, 2)) == []
    assert len(bench.turn(chunk(bench, 3, 2))) == 1


def test_a_chunk_that_is_accepted_in_part_is_not_answered(bench: VentilatorBench) -> None:
    """Its other jobs would be acknowledged and not be here."""
    bench.submit(5, close=False)
    assert bench.turn(chunk(bench, 3, 5)) == []
    assert bench.core.ledger.backlog.batches[BATCH].accepted == 5


def test_a_chunk_of_a_batch_whose_beginning_was_lost_is_not_answered(bench: VentilatorBench) -> None:
    """It is not accepted and dropped: the connection may have lost the message before it."""
    assert bench.turn(chunk(bench, 0, 2)) == []
    assert bench.turn(chunk(bench, 3, 2)) == []


def test_a_forgotten_batch_does_not_come_back(bench: VentilatorBench) -> None:
    """What its client still sends again of it is accepted and dropped."""
    bench.submit(2)
    bench.turn(bench.record(0, 2))
    sent = bench.turn(FromClient(CLIENT, Forget(BATCH)))
    assert sent == [(SINK, ForgetBatch(BATCH))]
    assert of(DeleteBatch, bench.saved) == [DeleteBatch(BATCH)]
    assert bench.submit(2) == [(CLIENT, Accepted(2))]
    assert BATCH not in bench.core.ledger.backlog.batches


def test_an_open_batch_is_forgotten_when_it_has_ended(bench: VentilatorBench) -> None:
    """What is open of it is cancelled first."""
    bench.submit(2, close=False)
    (verdicts,) = of(Verdicts, bench.told(SINK, FromClient(CLIENT, Forget(BATCH))))
    assert [(one.start, one.stop, one.state) for one in verdicts.records] == [(0, 2, JobState.CANCELLED)]
    assert bench.told(SINK, bench.record(0, 2, JobState.CANCELLED)) == [ForgetBatch(BATCH)]


def test_a_cancelled_job_has_its_verdict_from_the_sink(bench: VentilatorBench) -> None:
    """Rule 13: it is sent to the sink until its completion comes back, and to a new sink at once."""
    bench.submit(4)
    assert bench.ask(Cancel(9, BATCH, 1, 3, False)) == [Cancelled(9, 2)]
    assert bench.places() == [(0, 1, Place.QUEUED), (1, 3, Place.VERDICT), (3, 4, Place.QUEUED)]
    assert of(Verdicts, bench.told(SINK, after=RESEND))
    assert of(Verdicts, bench.told(SINK, bench.head(boot=BOOT + 1)))
    bench.turn(bench.head())
    bench.turn(bench.record(1, 3, JobState.CANCELLED))
    assert bench.counts() == {"cancelled": 2}
    bench.turn(after=RESEND)
    assert of(Verdicts, bench.told(SINK, after=RESEND)) == []


def test_running_jobs_are_ended_where_they_run(bench: VentilatorBench) -> None:
    """And are not counted in the answer."""
    peer = bench.worker("w", window=1)
    (lease,) = leases(bench.submit(2, 2))
    bench.turn(Took(peer.id, (lease.number,), 1))
    sent = bench.turn(FromClient(CLIENT, Cancel(9, BATCH, 0, ALL, False)))
    assert (peer.id, CancelSpan((BatchSpan(BATCH, 0, 2),))) in sent
    assert (CLIENT, Cancelled(9, 2)) in sent


def test_a_cancellation_reaches_what_is_on_disk(bench: VentilatorBench) -> None:
    """It is remembered across a restart, and decided when the jobs come into memory."""
    bench.submit(2, 2)
    bench.restart()
    bench.ask(Cancel(9, BATCH, 2, ALL, False))
    bench.restart()
    bench.recover()
    assert bench.places() == [(0, 2, Place.QUEUED), (2, 4, Place.VERDICT)]


def test_a_long_batch_is_held_in_memory_in_part(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest lies in the queue file, and comes when it is needed; every job is given out once, in order."""
    monkeypatch.setattr("penstock.ventilator.intake.WINDOW_CHUNKS", 4)
    monkeypatch.setattr("penstock.ventilator.intake.REFILL_CHUNKS", 8)
    monkeypatch.setattr(backlog, "REFILL_CHUNKS", 8)
    bench.submit(*[1] * 40)
    peer = bench.worker("w", window=1)
    given = [lease for part in bench.parts() if part.lease for lease in (part.start,)]
    most = 0
    while len(given) < 40:
        most = max(most, len(bench.core.ledger.backlog.batches[BATCH].chunks))
        line = bench.record(given[-1], given[-1] + 1, lease=1, worker=peer.id)
        given += [lease.start for lease in leases(bench.turn(line))]
    assert given == list(range(40))
    assert most <= 10


def test_the_map_of_a_client_that_is_gone_is_cancelled(bench: VentilatorBench) -> None:
    """When it has not said Alive for TRANSIENT_TIME; nobody else would ask for its results."""
    bench.submit(2, spec=BatchSpec(transient=True))
    bench.pass_time(TRANSIENT_TIME * 0.9)
    bench.turn(FromClient(CLIENT, Alive((BATCH,))))
    bench.pass_time(TRANSIENT_TIME * 0.9)
    assert bench.places() == [(0, 2, Place.QUEUED)]
    bench.pass_time(TRANSIENT_TIME * 0.2)
    assert bench.places() == [(0, 2, Place.VERDICT)]


def test_a_worker_is_drained_by_its_name(bench: VentilatorBench) -> None:
    """Nothing is given to it any more; an unknown name is refused with what to do."""
    peer = bench.worker("w")
    sent = bench.turn(FromClient(CLIENT, DrainWorker(5, "w")))
    assert sent == [(peer.id, Drain()), (CLIENT, Done(5))]
    assert leases(bench.submit(2)) == []
    (refused,) = bench.ask(DrainWorker(6, "nobody"))
    assert isinstance(refused, Refused)
    assert "penstock workers" in refused.text


def test_batches_are_found_by_id_part_of_it_or_name(bench: VentilatorBench) -> None:
    """Newest first; `last` is the newest."""
    old, new = b"\x01" * 16, b"\x02" * 16
    bench.submit(1, batch=old, spec=BatchSpec(name="mine"))
    bench.submit(1, batch=new)
    expected = {"": [new, old], "last": [new], "mine": [old], old.hex(): [old], "01": [old], "nothing": []}
    for match, batches in expected.items():
        (info,) = of(BatchesInfo, bench.ask(AskBatches(1, match, 10)))
        assert [line.batch for line in info.batches] == batches, match


def test_an_empty_or_inverted_span_cancels_nothing(bench: VentilatorBench) -> None:
    """Whatever a client says, only jobs from start to stop are meant."""
    bench.submit(9)
    for start, stop in ((4, 4), (5, 2), (50, 60)):
        assert bench.ask(Cancel(1, BATCH, start, stop, False)) == [Cancelled(1, 0)]
    assert bench.places() == [(0, 9, Place.QUEUED)]


def test_a_batch_cannot_end_before_its_jobs(bench: VentilatorBench) -> None:
    """Such a Submit is refused whole; nothing of it is accepted."""
    bench.submit(3, close=False)
    wrong = Submit(7, (), (ChunkHead(BATCH, 3, 2, 4),), (BatchClose(BATCH, 4),))
    (refused,) = bench.ask(wrong, b"args")
    assert isinstance(refused, Refused)
    assert "cannot end at 4 jobs: it has 5" in refused.text
    assert bench.ask(Submit(8, (), (ChunkHead(BATCH, 3, 2, 4),), (BatchClose(BATCH, 5),)), b"args") == [Accepted(8)]


def test_the_end_of_an_open_batch_that_is_forgotten_is_saved(bench: VentilatorBench) -> None:
    """Or the next life would wait for more of it."""
    bench.submit(3, close=False)
    bench.turn(FromClient(CLIENT, Forget(BATCH)))
    assert SaveTotal(BATCH, 3) in bench.saved


def test_a_delete_is_answered_when_the_batch_is_gone(bench: VentilatorBench) -> None:
    """What runs is ended first; who asks again is told the same, and an unknown batch is an error."""
    bench.submit(2)
    assert bench.ask(Delete(1, BATCH)) == []
    assert bench.told(CLIENT, bench.record(0, 2, JobState.CANCELLED)) == [Done(1)]
    assert bench.store.batches() == []
    assert bench.ask(Delete(2, BATCH)) == [Done(2)]
    (refused,) = bench.ask(Delete(3, b"o" * 16))
    assert isinstance(refused, Refused)


def test_the_sink_is_told_to_forget_until_it_has(bench: VentilatorBench) -> None:
    """Over a restart too; or rows that nobody knows would stay for ever."""
    bench.submit(1)
    bench.turn(bench.record(0, 1))
    assert of(ForgetBatch, bench.told(SINK, FromClient(CLIENT, Forget(BATCH)))) == [ForgetBatch(BATCH)]
    bench.restart()
    bench.sink()
    assert of(ForgetBatch, bench.told(SINK, after=RESEND)) == [ForgetBatch(BATCH)]
    bench.turn(Forgotten(SINK, BATCH))
    assert of(ForgetBatch, bench.told(SINK, after=RESEND)) == []
    assert bench.store.forgotten() == []


def test_results_are_kept_for_a_while_after_the_end(bench: VentilatorBench) -> None:
    """`retain` seconds from its end, over a restart."""
    bench.submit(1, spec=BatchSpec(retain=100.0))
    bench.turn(bench.record(0, 1, JobState.FAILED))
    ended = bench.wall_time
    bench.wall_offset += 99.0  # while it is down
    bench.restart()
    bench.sink()
    bench.turn(after=RETENTION_INTERVAL / 100)
    assert [one.ended_time for one in bench.store.batches()] == [ended]
    bench.turn(after=RETENTION_INTERVAL)
    assert bench.store.batches() == []


# ---------------------------------------------------------------------------------------------- once

OTHER = b"other".ljust(16)


def once(call: bytes, word: str = "nightly") -> BatchSpec:
    """A call that is to be accepted once."""
    return BatchSpec(once=word, call=call.ljust(16))


def test_a_call_is_accepted_once_under_a_word(bench: VentilatorBench) -> None:
    """The same again is told the batch that there is; another one is refused; another word is another matter."""
    bench.submit(2, spec=once(b"this"))
    assert bench.submit(2, spec=once(b"this"), batch=OTHER) == [(CLIENT, Known(2, BATCH, True))]
    refusal = f"once='nightly': another call was accepted under this word, as batch {BATCH.hex()}"
    assert bench.submit(2, spec=once(b"that"), batch=OTHER) == [(CLIENT, Refused(3, "OnceMismatch", refusal))]
    assert [stored.batch for stored in bench.store.batches()] == [BATCH]
    assert bench.submit(2, spec=once(b"that", "daily"), batch=OTHER) == [(CLIENT, Accepted(4))]


def test_what_a_client_left_half_accepted_is_completed_by_the_next(bench: VentilatorBench) -> None:
    """It is told that not all is here, and sends the same under the same id: each job is accepted once."""
    bench.submit(2, spec=once(b"this"), close=False)
    assert bench.submit(2, 3, spec=once(b"this"), batch=OTHER) == [(CLIENT, Known(2, BATCH, False))]
    assert bench.submit(2, 3, spec=once(b"this")) == [(CLIENT, Accepted(3))]
    assert bench.places() == [(0, 5, Place.QUEUED)]
    assert bench.core.ledger.backlog.batches[BATCH].total == 5


def test_a_restart_forgets_no_word_and_a_deleted_batch_frees_its_own(bench: VentilatorBench) -> None:
    """The word lives as long as its batch."""
    bench.submit(1, spec=once(b"this"))
    bench.restart()
    bench.recover()
    sent = bench.submit(1, spec=once(b"this"), batch=OTHER)
    assert [message for to, message in sent if to == CLIENT] == [Known(2, BATCH, True)]
    bench.turn(bench.record(0, 1), FromClient(CLIENT, Forget(BATCH)))
    bench.turn(bench.head())
    sent = bench.submit(1, spec=once(b"that"), batch=OTHER)
    assert [message for to, message in sent if to == CLIENT] == [Accepted(3)]


def test_a_pipeline_may_take_shorter_names_only(tmp_path: Path) -> None:
    """Of whatever users name: refused, with the length and the setting."""
    bench = VentilatorBench(tmp_path, name_chars=8)
    bench.sink()
    for spec in (BatchSpec(name="n" * 9), BatchSpec(needs=("x", "n" * 9)), BatchSpec(once="n" * 9)):
        ((_, refused),) = bench.submit(1, spec=spec)
        assert isinstance(refused, Refused)
        assert "9 characters: this pipeline takes 8 (--name-chars)" in refused.text
    assert of(Accepted, [message for _, message in bench.submit(1, spec=BatchSpec(name="n" * 8))])
