"""Who can be given something, and who needs it most."""

from __future__ import annotations

from penstock.ventilator.known_worker import Worker
from penstock.ventilator.worker_demand import VOID, WorkerDemand
from penstock.wire.messages import Hello


class Watched(Worker):
    """Counts how often it is asked whether it wants more."""

    asked = 0

    @property
    def wants(self) -> bool:
        self.asked += 1
        return super().wants


class Fleet:
    """Workers of one slot that idle."""

    def __init__(self, count: int) -> None:
        self.changed: dict[Worker, None] = {}
        self.workers: dict[bytes, Worker] = {}
        for number in range(count):
            worker = Watched(number.to_bytes(16), self.changed)
            worker.hello = Hello(worker.id, 1, 1, 1, "w", "host", 1, 1, 9, (), "3")
            worker.window, worker.connections = 9, 1
            worker.change()
            self.workers[worker.id] = worker
        self.needs = WorkerDemand(self.workers, self.changed)
        self.needs.look()

    def __getitem__(self, number: int) -> Watched:
        worker = self.workers[number.to_bytes(16)]
        assert isinstance(worker, Watched)
        return worker

    def asked(self) -> int:
        """How many workers were asked by now."""
        return sum(self[number].asked for number in range(len(self.workers)))

    def order(self) -> list[Worker]:
        """Everybody who wants more, the greatest need first."""
        found = []
        while (worker := self.needs.first()) is not None:
            found.append(worker)
            self.needs.pass_over(worker)
        return found


def test_only_who_has_changed_is_looked_at() -> None:
    """A turn costs what happened in it, however many workers there are."""
    fleet = Fleet(1000)
    before = fleet.asked()
    fleet[7].hold(1, 1.0, 1)
    fleet.needs.look()
    assert fleet.asked() == before + 1
    assert fleet.needs.first() is fleet[0]
    assert fleet.needs.since(1000) == [fleet[7]]
    fleet.needs.check()


def test_most_idle_slots_then_most_credit_then_who_came_first() -> None:
    """Whoever runs something comes behind those that idle; a smaller window behind a larger one."""
    fleet = Fleet(4)
    fleet[0].leases = {1}
    fleet[0].hold(1, 1.0, 1)
    fleet[1].window = 3
    fleet[1].change()
    fleet.needs.look()
    assert fleet.order() == [fleet[2], fleet[3], fleet[1], fleet[0]]


def test_who_is_gone_is_given_nothing() -> None:
    """Without a connection, or lost; its slots do not count."""
    fleet = Fleet(3)
    fleet[0].connections = 0
    lost = fleet[1]
    del fleet.workers[lost.id]
    for worker in (fleet.workers[bytes(16)], lost):
        worker.change()
    fleet.needs.look()
    assert fleet.order() == [fleet[2]]
    assert (list(fleet.needs.ready), fleet.needs.slots, fleet.needs.since(0)) == ([fleet[2]], 1, [fleet[2]])


def test_who_was_passed_over_comes_back_when_it_changes() -> None:
    """Or when it is marked for that it was passed over."""
    fleet = Fleet(1)
    wanted = [fleet.needs.all_want]
    fleet.needs.pass_over(fleet[0])
    assert fleet.needs.first() is None
    assert [*wanted, fleet.needs.all_want] == [True, False]
    fleet[0].change()
    fleet.needs.look()
    assert fleet.needs.first() is fleet[0]


def test_void_entries_do_not_pile_up() -> None:
    """A need that changes a thousand times while nothing is queued leaves some entries behind, not a thousand."""
    fleet = Fleet(2)
    for number in range(1000):
        fleet[0].window = 5 + number % 2
        fleet[0].change()
        fleet.needs.look()
    assert len(fleet.needs._heap) <= VOID * 2 + VOID
    fleet.needs.check()
