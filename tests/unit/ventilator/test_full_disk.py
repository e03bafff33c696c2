"""What is said while the ventilator's store takes nothing, and what waits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from penstock.job.spec import Stamp
from penstock.station.contract import Answer, FromClient
from penstock.ventilator.contract import ReadArguments
from penstock.ventilator.full_disk import POSTPONED_BYTES, FullDisk
from penstock.wire.desk_messages import (
    AskArguments,
    AskGone,
    AskPipeline,
    AskWhy,
    BackUp,
    Cancel,
    Delete,
    DrainWorker,
    Knock,
    Notice,
    PipelineInfo,
    Refused,
    Retry,
    Submit,
    Why,
)
from penstock.wire.messages import Beat, HandedBack, Left, NeedFunction, SinkBeat, Took
from penstock.wire.records import Held, Message
from support.core_benches import BATCH, CLIENT, SINK, VentilatorBench, of

ID = b"id".ljust(16)
FULL = "q: the disk is full"
WHY = f"the ventilator takes nothing in: {FULL}"


@pytest.fixture
def full(bench: VentilatorBench) -> FullDisk:
    """Of a ventilator with a batch."""
    bench.submit(2)
    batches = bench.station.batches
    return FullDisk(bench.core, bench.links, batches, lambda _: True, lambda event: isinstance(event.message, AskGone))


def said(full: FullDisk, message: Message, payload: bytes = b"") -> list[Any]:
    """What is done about what a client says."""
    return list(full.on_client(FromClient(CLIENT, message, payload, 1.0), FULL, 100.0))


def test_questions_are_answered(full: FullDisk) -> None:
    """From memory, or by reading the store; nothing waits for later."""
    (info,) = said(full, AskPipeline(1))
    (why,) = said(full, AskWhy(2, BATCH, 0))
    assert [type(one.message) for one in (info, why)] == [PipelineInfo, Why]
    (read,) = said(full, AskArguments(3, BATCH, 0, 2, 100))
    assert isinstance(read, ReadArguments)
    assert not full


@pytest.mark.parametrize(
    "order",
    [
        Cancel(7, BATCH, 0, 2, False),
        Delete(7, BATCH),
        Retry(7, ID, BATCH, 0, 2),
        DrainWorker(7, "w"),
        BackUp(7, ID, "/"),
    ],
)
def test_orders_are_refused_at_once_and_not_carried_out_later(full: FullDisk, order: Message) -> None:
    """With the reason. One that was taken in before it was known is not: it is answered when it is saved."""
    assert said(full, order) == [Answer(CLIENT, Refused(7, "StoreFull", WHY))]
    assert not full


def test_an_order_that_was_taken_in_before_is_not_refused(full: FullDisk, bench: VentilatorBench) -> None:
    """It is in the turn that waits: who is told that nothing was changed would be wrong."""
    order = Cancel(7, BATCH, 0, 2, unstarted_only=False)
    bench.turn(FromClient(CLIENT, order, b"", 1.0))
    assert said(full, order) == []
    assert not full


def test_what_is_submitted_waits_and_its_client_knows_why(full: FullDisk, bench: VentilatorBench) -> None:
    """Told once, then it hears now and then that somebody is here; more than enough is not read."""
    submit = Submit(7, (), (), ())
    assert said(full, submit, bytes(POSTPONED_BYTES - 1)) == [Answer(CLIENT, Notice(bytes(16), WHY))]
    assert list(full.sockets) == ["report", "desk"]
    assert said(full, submit, b"x") == []
    assert list(full.sockets) == ["report"]
    bench.links.sent.clear()
    full.remind()
    assert bench.links.sent == [(CLIENT, Knock())]
    assert [event.message for event in full.take()] == [submit, submit]
    assert not full


def test_workers_hear_that_they_are_heard(full: FullDisk, bench: VentilatorBench) -> None:
    """Each heartbeat is echoed; who is not known, or given up, hears nothing. What it says of what is held waits: all
    that has changed since what was echoed, as it is not said again, and of whole inventories the last one."""
    worker = bench.worker()
    bench.links.sent.clear()
    first, second = Held(1, BATCH, Stamp(), ((0, 1),), (), ()), Held(2, BATCH, Stamp(), ((1, 2),), (), ())
    beats = [
        worker.beat(first),
        worker.beat(),
        replace(worker.beat(first), since=2),
        replace(worker.beat(), since=3),
        replace(worker.beat(second), since=3, gone=(1,)),
        replace(worker.beat(), since=4),
    ]
    for beat in beats:
        full.on_report(beat)
    assert bench.links.sent == [(worker.id, Beat(beat.number, 1.0)) for beat in beats]
    assert list(full.take()) == [beats[1], beats[2], beats[4]]
    bench.pass_time(2 * bench.lease_time)
    bench.links.sent.clear()
    full.on_report(worker.beat())
    assert bench.links.sent == []


def test_the_sink_hears_what_it_was_told_last(full: FullDisk, bench: VentilatorBench) -> None:
    """All that it says was saved then."""
    beat = SinkBeat(5, 3)
    full.on_beat(SINK, SinkBeat(4, 2))
    full.on_beat(SINK, beat)
    bench.links.sent.clear()
    full.remind()
    assert bench.links.sent == [(SINK, beat)]


def test_what_stations_say_waits_in_order(full: FullDisk, bench: VentilatorBench) -> None:
    """Of what they say again and again the last one."""
    worker = bench.worker()
    greeting = worker.connect()
    hellos = [worker.hello(greeting) for _ in range(3)]
    heads = [bench.head(), bench.head(boot=8)]
    need, took, back, left = NeedFunction(ID, ID), Took(ID, (1,), 2), HandedBack(ID, 0, ()), Left(ID)
    for message in (hellos[0], took, need, heads[0], hellos[1], back, took, heads[1], need, hellos[2], left):
        full.on_report(message)
    assert list(full.take()) == [took, back, took, heads[1], need, hellos[2], left]
    assert not full


def test_a_station_whose_disk_is_full_takes_in_what_waited_when_it_has_room(bench: VentilatorBench) -> None:
    """Reports before what clients have said."""
    worker = bench.worker()
    greeting = worker.connect()
    station = bench.station
    hello, submit = worker.hello(greeting), FromClient(CLIENT, Submit(7, (), (), ()), b"", 1.0)
    list(station._full_disk.on_client(submit, FULL, bench.now))
    station._full_disk.on_report(hello)
    assert station.next_wakeup() == bench.now
    inputs = list(station.receive([], []))
    assert inputs[1:] == [hello, submit]
    assert not of(Refused, inputs)
