"""A limit that batches share: one count for all that came through one view."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.backlog import FairQueue
from penstock.ventilator.contract import JobConnections
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.open_leases import LimitGroups, OpenLeases
from penstock.wire.desk_messages import AskWhy, Delete, Why
from support.core_benches import VentilatorBench, held, leases

VIEW = BatchSpec(limit=1, limit_group=b"one view".ljust(16))


def names(count: int) -> list[bytes]:
    """Ids of batches."""
    return [f"batch {number:>4}".encode().ljust(16) for number in range(count)]


def out(bench: VentilatorBench) -> list[bytes]:
    """The batches of the leases that are out, in the order in which they were given out."""
    given = bench.core.ledger.leases.records
    return [given[number].chunk.batch.id for number in sorted(given)]


def end_next(bench: VentilatorBench, worker: bytes) -> bytes:
    """The oldest lease ends; whose it was."""
    lease = bench.core.ledger.leases.records[min(bench.core.ledger.leases.records)]
    (part,) = [part for part in lease.chunk.parts if part.lease == lease.number]
    batch: bytes = lease.chunk.batch.id
    bench.turn(bench.record(part.start, part.stop, lease=lease.number, worker=worker, batch=batch))
    return batch


def why(bench: VentilatorBench, batch: bytes) -> str:
    """What its first job waits for."""
    (answer,) = bench.ask(AskWhy(7, batch, 0))
    assert isinstance(answer, Why)
    return answer.reason


def test_batches_of_one_view_share_their_limit(bench: VentilatorBench) -> None:
    """They go on one after the other, in the order in which they began to wait."""
    peer = bench.worker("w", slots=4, window=99)
    one, two, three = names(3)
    bench.submit(1, 1, batch=one, spec=VIEW)
    bench.submit(1, 1, batch=two, spec=VIEW)
    bench.submit(1, batch=three, spec=replace(VIEW, name="other options, the same view"))
    assert out(bench) == [one]
    assert [end_next(bench, peer.id) for _ in range(5)] == [one, one, two, three, two]


@pytest.mark.parametrize(
    "other", [BatchSpec(limit=1), replace(VIEW, limit_group=b"another view".ljust(16)), replace(VIEW, limit=2)]
)
def test_what_came_another_way_counts_for_itself(bench: VentilatorBench, other: BatchSpec) -> None:
    """A batch with a limit of its own, another view, a view of this one with another limit."""
    bench.worker("w", slots=4, window=99)
    one, two = names(2)
    bench.submit(1, 1, batch=one, spec=VIEW)
    bench.submit(1, 1, 1, batch=two, spec=other)
    assert out(bench) == [one, *[two] * (other.limit or 0)]


def test_a_view_is_of_one_owner() -> None:
    """Nobody can hold up another one by naming his view."""
    groups = LimitGroups[Batch]()

    def open_leases(owner: str) -> OpenLeases[Batch] | None:
        spec = replace(VIEW, owner=owner)
        return groups.join(spec)

    alice = open_leases("alice")
    assert open_leases("alice") is alice
    assert open_leases("bob") is not alice
    for _ in range(2):
        groups.leave(replace(VIEW, owner="alice"))
    assert open_leases("alice") is not alice  # which was forgotten with its last batch


def test_who_fits_nobody_holds_up_nobody(bench: VentilatorBench) -> None:
    """Of one view: what asks for a worker that is not there, while another one may run; and urgent goes first."""
    peer = bench.worker("w", slots=4, window=99)
    first, missing, plain, urgent = names(4)
    bench.submit(1, batch=first, spec=VIEW)
    bench.submit(1, batch=missing, spec=replace(VIEW, needs=("gpu",)))
    bench.submit(1, batch=plain, spec=VIEW)
    bench.submit(1, batch=urgent, spec=replace(VIEW, priority=1))
    assert [end_next(bench, peer.id) for _ in range(3)] == [first, urgent, plain]
    bench.worker("g", slots=1, tags=("gpu",))
    assert out(bench) == [missing]


def test_a_batch_that_is_gone_or_has_nothing_left_makes_way(bench: VentilatorBench) -> None:
    """Deleted, or cancelled, while it waits for the limit of its view, and while it is its turn."""
    peer = bench.worker("w", slots=4, window=99)
    first, deleted, empty, last = names(4)
    for batch in (first, deleted, empty, last):
        bench.submit(1, batch=batch, spec=VIEW)
    bench.ask(Delete(1, deleted))
    for part in bench.parts(deleted):
        bench.turn(bench.record(part.start, part.stop, JobState.CANCELLED, batch=deleted))
    bench.turn(bench.record(0, 1, batch=empty))
    assert [end_next(bench, peer.id) for _ in range(2)] == [first, last]


def test_after_a_restart_a_view_waits_until_it_is_known_what_is_out(bench: VentilatorBench) -> None:
    """Also a batch that comes after the restart; then what a worker still has counts."""
    peer = bench.worker("w", slots=4, window=99)
    one, two, new = names(3)
    (lease,) = leases(bench.submit(1, batch=one, spec=VIEW))
    bench.submit(1, batch=two, spec=VIEW)
    bench.restart()
    bench.turn(JobConnections(1))
    mine = held(lease, running=((0, 1),))
    bench.turn(peer.hello(peer.connect(), mine))
    bench.submit(1, batch=new, spec=VIEW)
    assert out(bench) == [one]
    assert why(bench, new).startswith("the ventilator was restarted")
    bench.sink()
    bench.pass_time(3.0, (peer, (mine,)))
    bench.turn(bench.head())
    assert out(bench) == [one]
    assert why(bench, new) == "its view has reached its limit of 1 at once"
    assert {end_next(bench, peer.id) for _ in range(3)} == {one, two, new}


def test_to_let_one_go_on_costs_the_same_however_many_wait(
    bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn in which one of a thousand batches of a view ends moves a few of them, not all."""
    peer = bench.worker("w", slots=4, window=99)
    for batch in names(1000):
        bench.submit(1, batch=batch, spec=VIEW)
    moved: list[Batch] = []

    def counted(kind: type, name: str) -> None:
        step = getattr(kind, name)

        def count(*args: Any) -> Any:
            moved.append(args[-1])
            return step(*args)

        monkeypatch.setattr(kind, name, count)

    for kind, name in ((FairQueue, "_append"), (FairQueue, "_remove"), (Batch, "pop")):
        counted(kind, name)
    assert [end_next(bench, peer.id) for _ in range(3)] == names(1000)[:3]
    assert len(moved) <= 3 * 8
