"""What stands around a worker's core: what it reports goes whole or in parts, and has arrived when it leaves."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest

from penstock.station.clock import Clock
from penstock.station.contract import Report
from penstock.station.loop import Process
from penstock.station.ventilator_contact import Outlet, VentilatorContact
from penstock.wire.frames import encode
from penstock.wire.messages import Greeting, HandedBack, Hello
from penstock.wire.records import Bytes, LeaseSpan, Message, Part, PartsTaken
from penstock.wire.sockets import Received
from penstock.worker.contract import Leave
from penstock.worker.core import WorkerCore
from penstock.worker.job_lines import Screens
from penstock.worker.process import LAST_REPORT_TIME, Worker
from support.sim.network import Network, Node
from support.sim.slots import VirtualSlots
from support.surroundings import QuietLinks, QuietOrders

ME = b"me".ljust(16)
MUCH = HandedBack(ME, 0, tuple(LeaseSpan((1 << 40) + number, number, number + 1) for number in range(10_000)))
"""More than goes whole."""


class Links(QuietLinks):
    """Records what is reported, and has what the ventilator says."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[tuple[Message, int]] = []
        self.waiting: list[Received] = []

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:  # noqa: ARG002
        """It is on its way."""
        self.reported.append((message, sum(map(len, payload))))
        return True

    def receive(self, name: str) -> Iterable[Received]:
        """All that waits at a socket."""
        waiting, self.waiting = self.waiting, []
        return waiting if name == "control" else ()


class Bench(Clock):
    """A worker that was greeted, in a time that a test has in its hands."""

    def __init__(self, *, parts: bool) -> None:
        self.time = 0.0
        self.links = Links()
        hello = Hello(ME, 0, 0, 0, "me", "host", 1, 1, 0, (), "3", parts=True)
        process = Process(logging.getLogger("penstock.test"), QuietOrders(), self)
        slots: Any = VirtualSlots(Node(Network(1), "me"), 0)  # type: ignore[arg-type]
        contact, outlet = VentilatorContact("sim", 0.0), Outlet("sim", 0.0)
        core = WorkerCore(hello, 0.0)
        self.worker = Worker(core, slots, self.links, process, hello, contact, outlet, Screens(), 0.0)
        self.hear(Greeting(1, 1, 5.0, 1.0, parts=parts))

    def now(self) -> float:
        """As the test says."""
        return self.time

    def hear(self, *messages: Message) -> None:
        """The ventilator says so; or nothing happens."""
        self.links.waiting += [Received("control", b"", encode(message)) for message in messages]
        list(self.worker.receive(["control"], []))

    def report(self) -> None:
        """It hands back much, and leaves."""
        for action in (Report(MUCH), Leave(0)):
            list(self.worker.perform(action))

    def take(self) -> None:
        """The ventilator has taken all parts that are under way."""
        reported, self.links.reported = self.links.reported, []
        parts = [message for message, _ in reported if isinstance(message, Part)]
        self.hear(PartsTaken(parts[-1].stream, parts[-1].position + parts[-1].size))


def test_what_is_reported_last_has_arrived_when_it_leaves() -> None:
    """What it hands back would be lost with its process, and what may start only once dead for it."""
    bench = Bench(parts=True)
    bench.report()
    took = 0
    while not bench.worker.leaving:
        took += 1
        bench.take()
    assert took > 1
    assert bench.links.reported == []


def test_it_does_not_wait_for_ever() -> None:
    """The ventilator is away, or gone."""
    bench = Bench(parts=True)
    bench.report()
    bench.time = LAST_REPORT_TIME - 0.1
    bench.hear()
    assert not bench.worker.leaving
    wakeup = bench.worker.next_wakeup()
    assert wakeup is not None
    assert wakeup <= LAST_REPORT_TIME
    bench.time = LAST_REPORT_TIME
    bench.hear()
    assert bench.worker.leaving


@pytest.mark.parametrize("parts", [True, False])
def test_who_takes_no_parts_is_told_in_one(parts: bool) -> None:
    """A ventilator of an earlier release; and a greeting makes void what was on its way."""
    bench = Bench(parts=parts)
    bench.report()
    assert bench.worker.leaving is not parts
    assert {type(message) for message, _ in bench.links.reported} == {Part if parts else HandedBack}
    bench.links.reported.clear()
    bench.hear(Greeting(1, 2, 5.0, 1.0, parts=parts))
    assert bench.worker.leaving
