"""What has ended lies in the queue file alone, and all that can be asked of it goes on as if it were in memory."""

from __future__ import annotations

import pytest

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.keys.roles import Peer, Role
from penstock.station import loop
from penstock.station.contract import FromClient
from penstock.ventilator import deletion
from penstock.ventilator.contract import SaveClockSet, SaveCounts, SaveEnded
from penstock.ventilator.core import RETENTION_INTERVAL, RETIRE_INTERVAL
from penstock.ventilator.ended_batches import EndedBatches
from penstock.ventilator.jobs_model import Place
from penstock.ventilator.start_conditions import LEFT
from penstock.wire.desk_messages import (
    Accepted,
    AskBatches,
    AskGone,
    AskWhy,
    BatchesInfo,
    Cancel,
    Cancelled,
    Delete,
    Done,
    Gone,
    Known,
    Refused,
    Retry,
    Why,
)
from penstock.wire.frames import encode
from penstock.wire.records import Message
from penstock.wire.sockets import Received
from support.core_benches import BATCH, CLIENT, VentilatorBench, held, leases, of

ALL = 1 << 62
OTHER = b"other".ljust(16)
THIRD = b"third".ljust(16)
FOURTH = b"fourth".ljust(16)
ALICE = Peer("alice", Role.SUBMIT, "a" * 40)
BOB = Peer("bob", Role.SUBMIT, "b" * 40)


def end(
    bench: VentilatorBench, *, batch: bytes = BATCH, spec: BatchSpec | None = None, sender: Peer = ALICE, jobs: int = 2
) -> None:
    """A batch of which one job fails and the others succeed; it has left the memory."""
    bench.submit(jobs, batch=batch, spec=spec, sender=sender)
    bench.turn(bench.record(0, 1, JobState.FAILED, batch=batch), bench.record(1, jobs, batch=batch))
    bench.turn()
    assert batch not in in_memory(bench)


def in_memory(bench: VentilatorBench) -> list[bytes]:
    """The batches that are."""
    return list(bench.core.ledger.backlog.batches)


def found(bench: VentilatorBench, match: str, limit: int = 10) -> list[bytes]:
    """What an AskBatches finds."""
    (info,) = bench.ask(AskBatches(1, match, limit))
    assert isinstance(info, BatchesInfo)
    return [line.batch for line in info.batches]


def test_its_end_is_saved_with_its_last_outcome_and_then_it_leaves(bench: VentilatorBench) -> None:
    """In one commit, whenever it is killed; in the turn after, so that what is not in memory is committed."""
    bench.submit(2)
    bench.saved.clear()
    bench.turn(bench.record(0, 2))
    ended = SaveEnded(BATCH, bench.wall_time, BatchSpec().retain, bench.core.ledger.wall_clock.setting)
    assert of(SaveEnded, bench.saved) == [ended]
    assert of(SaveCounts, bench.saved) == [SaveCounts(BATCH, {"succeeded": 2})]
    assert in_memory(bench) == [BATCH]
    bench.turn()
    assert in_memory(bench) == []
    bench.submit(batch=OTHER)
    bench.turn()
    assert in_memory(bench) == [], "nor is one without jobs"


def test_a_start_brings_what_is_open_alone(bench: VentilatorBench) -> None:
    """However much has ended."""
    end(bench, batch=OTHER)
    end(bench, batch=THIRD)
    bench.submit(1)
    bench.restart()
    assert in_memory(bench) == [BATCH]


def test_a_map_stays_until_it_is_deleted(bench: VentilatorBench) -> None:
    """Its client may come back to it, also after a restart; the file does not say that it has ended."""
    bench.submit(1, spec=BatchSpec(transient=True))
    bench.turn(bench.record(0, 1))
    bench.turn()
    assert in_memory(bench) == [BATCH]
    bench.restart()
    bench.turn()
    assert in_memory(bench) == [BATCH]


def test_a_map_is_kept_for_as_long_as_it_is_to_be(bench: VentilatorBench) -> None:
    """However alive its client is."""
    bench.connected.add(CLIENT)
    bench.submit(1, spec=BatchSpec(transient=True, retain=1000.0))
    bench.turn(bench.record(0, 1))
    bench.pass_time(990.0)
    assert in_memory(bench) == [BATCH]
    bench.pass_time(2 * RETENTION_INTERVAL)
    assert bench.store.batches() == []


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_sent_again_is_not_run_again(bench: VentilatorBench, *, restarts: bool) -> None:
    """A client that has not heard that it was accepted says it until it has, and the batch may have ended by then."""
    end(bench)
    if restarts:
        bench.restart()
        bench.sink()
    bench.worker()
    sent = bench.submit(2)
    assert of(Accepted, [message for _, message in sent])
    assert not leases(sent)
    bench.turn()
    assert in_memory(bench) == []


def test_what_is_sent_again_is_run_again_without_a_look_at_the_file(
    bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: that is what the look is for."""
    end(bench)
    monkeypatch.setattr("penstock.ventilator.ended_batches._named", lambda _: (set(), set()))
    bench.worker()
    assert leases(bench.submit(2))


def test_a_word_is_known_for_as_long_as_its_batch_is_kept(bench: VentilatorBench) -> None:
    """Of whatever life it is; whoever deletes the batch frees the word."""
    spec = BatchSpec(once="nightly", call=b"this".ljust(16))
    end(bench, spec=spec)
    assert (CLIENT, Known(2, BATCH, True)) in bench.submit(2, spec=spec, batch=OTHER)
    bench.turn()
    bench.restart()
    bench.sink()
    assert in_memory(bench) == []
    assert (CLIENT, Known(3, BATCH, True)) in bench.submit(2, spec=spec, batch=OTHER)
    assert bench.ask(Delete(4, BATCH)) == [Done(4)]
    assert (CLIENT, Accepted(4)) in bench.submit(2, spec=spec, batch=OTHER)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_comes_after_it_begins(bench: VentilatorBench, *, restarts: bool) -> None:
    """If all of it has succeeded, else never, with that cause; also if the ventilator is killed meanwhile."""
    bench.submit(1)
    bench.turn(bench.record(0, 1))
    end(bench, batch=OTHER)
    bench.submit(1, batch=THIRD, spec=BatchSpec(after=BATCH))
    bench.submit(1, batch=FOURTH, spec=BatchSpec(after=OTHER))
    if restarts:
        bench.restart()
        bench.recover()
    bench.turn()
    assert in_memory(bench) == [THIRD, FOURTH]
    assert bench.places(THIRD) == [(0, 1, Place.QUEUED)]
    (part,) = bench.parts(FOURTH)
    assert part.verdict == (
        JobState.CANCELLED,
        f"batch {OTHER.hex()} did not succeed: 1 failed of 2 jobs",
    )


def test_a_retry_opens_it_and_it_leaves_when_that_has_ended(bench: VentilatorBench) -> None:
    """It is retained anew from then on; the file says that it is open meanwhile."""
    end(bench)
    bench.saved.clear()
    bench.turn(FromClient(CLIENT, Retry(1, b"asked".ljust(16), BATCH, 0, ALL)))
    bench.pass_time(3.0)
    assert in_memory(bench) == [BATCH], "it waits for the sink"
    bench.turn(bench.head())
    (opened,) = of(SaveEnded, bench.saved)
    assert opened.ended_time is None
    bench.restart()
    bench.recover()
    assert bench.places() == [(0, 1, Place.OPENING)]
    bench.turn(bench.record(0, 1, JobState.QUEUED, final=False, stamp=Stamp(1, 0)))
    bench.turn(bench.record(0, 1, stamp=Stamp(1, 1)))
    bench.turn()
    assert in_memory(bench) == []
    (stored,) = bench.store.batches()
    assert (stored.counts["succeeded"], stored.generation) == (2, 1)


def test_all_else_that_is_said_of_it_is_answered(bench: VentilatorBench) -> None:
    """As of one in memory, by whoever may say it; and then it leaves again."""
    end(bench)
    assert bench.ask(AskWhy(1, BATCH, 1)) == [Why(1, "")]
    assert bench.ask(Cancel(2, BATCH, 0, ALL, False)) == [Cancelled(2, 0)]
    assert bench.ask(AskGone(3, (BATCH,))) == [Gone(3, ())]
    (refused,) = bench.told(CLIENT, FromClient(CLIENT, Delete(4, BATCH), sender=BOB))
    assert isinstance(refused, Refused)
    assert "is not of the key bob" in refused.text
    bench.turn()
    assert in_memory(bench) == []
    assert bench.told(CLIENT, FromClient(CLIENT, Delete(5, BATCH), sender=ALICE)) == [Done(5)]
    assert bench.store.batches() == []
    assert bench.ask(Delete(6, BATCH)) == [Done(6)], "nothing of it comes back"


def test_it_is_found_as_before(bench: VentilatorBench) -> None:
    """By its id, the beginning or the end of it, its name, or as the last one; the newest first, whatever is open."""
    first, second, third = (bytes.fromhex(f"{number:030x}{end}") for number, end in ((1, "ab"), (2, "cd"), (3, "cd")))
    end(bench, batch=second, spec=BatchSpec(name="nightly"))
    end(bench, batch=first, spec=BatchSpec(name="nightly"))
    bench.submit(1, batch=third)
    assert found(bench, "") == [third, second, first]
    assert found(bench, "", limit=2) == [third, second]
    assert found(bench, "last") == [third]
    assert found(bench, "nightly") == [second]
    assert found(bench, first.hex()) == [first]
    assert found(bench, first.hex()[:30]) == [first]
    assert found(bench, "0000") == [third, second, first]
    assert found(bench, "cd") == [third, second]
    assert found(bench, "ab") == [first]
    assert found(bench, "%") == found(bench, "other") == found(bench, "ABAB") == []
    assert in_memory(bench) == [third], "to be listed it comes not here"


def test_a_worker_that_holds_outcomes_of_it_is_heard_before_the_sink_is(bench: VentilatorBench) -> None:
    """What it holds is in this file: it is not a newer one's."""
    peer = bench.worker()
    (lease,) = leases(bench.submit(1))
    bench.turn(bench.record(0, 1, lease=lease.number, worker=peer.id))
    bench.turn()
    bench.restart()
    bench.turn(peer.hello(peer.connect(), held(lease, finished=((0, 1),))))
    assert bench.core.ledger.workers[peer.id].hello is not None


def test_what_is_too_old_is_deleted_a_few_at_a_time(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by when it may go, whatever its order and of whatever life; others stay."""
    monkeypatch.setattr(deletion, "RETIRED_AT_ONCE", 2)
    for number in range(5):
        end(bench, batch=bytes([number]) * 16, spec=BatchSpec(retain=1e6 if number == 1 else 1000.0 - number))
    bench.restart()
    bench.sink()
    bench.now += 1000.0
    bench.turn(after=RETENTION_INTERVAL)
    left = [[stored.batch[0] for stored in bench.store.batches()]]
    for _ in range(2):
        bench.turn(after=RETIRE_INTERVAL)
        left.append([stored.batch[0] for stored in bench.store.batches()])
    assert left == [[0, 1, 2], [1], [1]]
    assert in_memory(bench) == []


def test_instants_of_what_has_left_do_not_pile_up(bench: VentilatorBench) -> None:
    """Of batches that might have expired in a year."""
    for number in range(3 * LEFT):
        spec = BatchSpec(expires_time=bench.wall_time + 1e7)
        end(bench, batch=number.to_bytes(16, "big"), spec=spec)
    due = bench.core.start_conditions._due
    assert len(due) <= 2 * LEFT + 2


def test_a_clock_that_is_set_is_told_to_the_file_once(bench: VentilatorBench) -> None:
    """Also if that is saved twice, as after a commit of which nobody knows whether it happened."""
    end(bench)
    (before,) = [one.ended_time for one in bench.store.batches()]
    bench.saved.clear()
    bench.set_wall_clock(1e6)
    bench.store.save(of(SaveClockSet, bench.saved))
    assert before is not None
    assert [one.ended_time for one in bench.store.batches()] == [before + 1e6]


def ask_while_it_is_full(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch, *asked: Message) -> list[Message]:
    """What is answered while the ventilator waits for room on its disk."""
    waiting = [Received("desk", CLIENT, encode(message)) for message in asked]

    def poll(timeout: float, only: object) -> tuple[list[str], list[int]]:
        bench.now += timeout
        return (["desk"] if waiting else []), []

    def receive(_name: str) -> list[Received]:
        found, waiting[:] = waiting[:], []
        return found

    with monkeypatch.context() as patch:
        patch.setattr(bench.links, "poll", poll)
        patch.setattr(bench.links, "receive", receive)
        bench.station.wait_for_room("q: the disk is full", 0.5)
    sent, bench.links.sent = bench.links.sent, []
    return [message for _, message in sent if isinstance(message, Why | BatchesInfo)]


def test_it_is_asked_of_while_the_disk_is_full(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes nothing in can be read; if it cannot be opened, the question waits until it can."""
    end(bench)
    why, info = ask_while_it_is_full(bench, monkeypatch, AskWhy(1, BATCH, 1), AskBatches(2, "", 9))
    assert why == Why(1, "")
    assert isinstance(info, BatchesInfo)
    assert [line.batch for line in info.batches] == [BATCH]
    bench.turn()
    bench.turn()
    bench.store.db.close()
    assert ask_while_it_is_full(bench, monkeypatch, AskWhy(3, BATCH, 1), AskBatches(4, "", 9)) == []
    bench.store.reopen()
    for _ in range(4):
        loop.step(bench.station)
    assert [message.number for message in of(Why, [one for _, one in bench.links.sent])] == [3]
    assert [message.number for message in of(BatchesInfo, [one for _, one in bench.links.sent])] == [4]


def test_it_would_be_seen_if_it_did_not_leave(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: with the rule switched off, all that ended is in memory."""
    monkeypatch.setattr(EndedBatches, "_leave", lambda *_: None)
    bench.submit(2)
    bench.turn(bench.record(0, 2))
    bench.turn()
    assert in_memory(bench) == [BATCH]
