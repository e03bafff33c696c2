"""Who changes something is in the log, with the name of the key."""

from __future__ import annotations

from penstock.keys.roles import Peer, Role
from penstock.station.contract import FromClient
from penstock.wire.desk_messages import AskPipeline, Cancel, Delete, DrainWorker, Pause, Retry, SetBatch
from penstock.wire.records import Message
from support.core_benches import BATCH, CLIENT, VentilatorBench

ALICE = Peer("alice", Role.SUBMIT, "her key")
ADMIN = Peer("admin", Role.ADMIN, "its key")


def logged(bench: VentilatorBench) -> list[tuple[str, str]]:
    """What is in the log since the last look, of what somebody has said."""
    kinds = {
        "submitted",
        "cancel_asked",
        "retry_asked",
        "delete_asked",
        "drain_asked",
        "pause_asked",
        "resume_asked",
        "set_asked",
    }
    found = [(line.event, line.fields.strip()) for line in bench.logged if line.event in kinds]
    bench.logged.clear()
    return found


def say(bench: VentilatorBench, sender: Peer, message: Message) -> list[tuple[str, str]]:
    """Said twice, as it is where an answer takes long."""
    for _ in range(2):
        bench.turn(FromClient(CLIENT, message, b"", 1.0, sender))
    return logged(bench)


def test_each_order_is_in_the_log_once_with_the_key(bench: VentilatorBench) -> None:
    """What is submitted, cancelled, retried, drained, paused and deleted; not what is asked, nor what is refused."""
    batch = f"batch={BATCH.hex()}"
    bench.worker("gpu")
    bench.submit(3, sender=ALICE)
    assert logged(bench) == [("submitted", f'{batch} name="" key=alice')]
    assert say(bench, ALICE, Cancel(11, BATCH, 0, 2, unstarted_only=False)) == [
        ("cancel_asked", f"{batch} jobs=0-1 key=alice")
    ]
    assert say(bench, ADMIN, Retry(12, b"asked".ljust(16), BATCH, 1, 2)) == [
        ("retry_asked", f"{batch} jobs=1-1 key=admin")
    ]
    assert say(bench, ALICE, DrainWorker(13, "gpu")) == []
    assert say(bench, ADMIN, DrainWorker(14, "gpu")) == [("drain_asked", "worker=gpu key=admin")]
    assert say(bench, ALICE, Pause(21, BATCH)) == [("pause_asked", f"{batch} key=alice")]
    assert say(bench, ADMIN, Pause(22, b"", resumes=True)) == [("resume_asked", "batch=all key=admin")]
    assert say(bench, ALICE, SetBatch(23, BATCH, limit=2)) == [
        ("set_asked", f"{batch} priority=None limit=2 key=alice")
    ]
    assert say(bench, ALICE, AskPipeline(15)) == []
    assert say(bench, Peer("bob", Role.SUBMIT, "his key"), Delete(16, BATCH)) == []
    assert say(bench, ALICE, Delete(16, BATCH)) == [("delete_asked", f"{batch} key=alice")]
