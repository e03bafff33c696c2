"""Who may say what, message by message."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from penstock.job.spec import BatchSpec
from penstock.keys.roles import EVERYONE, Peer, Role
from penstock.station.lease_tokens import NO_TOKENS
from penstock.station.permissions import Bindings, may_not_ask, refusal
from penstock.wire.desk_messages import (
    Alive,
    AskArguments,
    AskBatches,
    AskFiltered,
    AskGone,
    AskJobs,
    AskPipeline,
    BackUp,
    BatchClose,
    BatchOpen,
    Cancel,
    DrainWorker,
    Forget,
    Pause,
    Submit,
)
from penstock.wire.messages import (
    Completions,
    Diverged,
    FromSink,
    Hello,
    Left,
    Outcomes,
    PartsPassed,
    SinkHead,
    ToVentilator,
    VentilatorRefused,
)
from penstock.wire.records import BySink, PartsTaken

A, B = b"a" * 16, b"b" * 16
OWNERS = {A: "alice", B: "bob"}
GPU, CPU, SINK = Peer("gpu", Role.WORK, "1"), Peer("cpu", Role.WORK, "2"), Peer("sink", Role.SINK, "3")


def hello(name: str) -> Hello:
    return Hello(A, 1, 1, 1, name, "host", 1, 1, 0, (), "3")


@pytest.mark.parametrize(
    ("message", "submit", "observe"),
    [
        (AskPipeline(1), True, True),
        (AskBatches(1, "", 50), True, True),
        (AskJobs(1, B, 0, 1, 1), True, True),
        (AskArguments(1, B, 0, 1, 1), True, True),
        (Pause(1, A), True, False),
        (Pause(1, B), False, False),
        (Pause(1, b""), False, False),
        (AskFiltered(1, "", B, 0, 1), True, True),
        (Submit(1, (BatchOpen(b"n" * 16, BatchSpec(), A, 0),), (), ()), True, False),
        (Submit(1, (), (), (BatchClose(A, 1),)), True, False),
        (Submit(1, (), (), (BatchClose(B, 1),)), False, False),
        (Cancel(1, A, 0, 1, False), True, False),
        (Cancel(1, B, 0, 1, False), False, False),
        (Cancel(1, b"?" * 16, 0, 1, False), True, False),
        (Forget(A), True, False),
        (Forget(B), False, False),
        (Alive((A,)), True, False),
        (Alive((A, B)), False, False),
        (AskGone(1, (A, B)), True, True),
        (DrainWorker(1, "w"), False, False),
        (BackUp(1, A, "/backup"), False, False),
    ],
)
def test_what_a_client_may(message: Any, submit: bool, observe: bool) -> None:
    """By role: alice may submit, and end what is hers; a watcher changes nothing; an admin and, without keys, everybody
    may do everything."""
    assert (refusal(Peer("alice", Role.SUBMIT, "1"), message, OWNERS.get) == "") is submit
    assert (refusal(Peer("w", Role.OBSERVE, "2"), message, OWNERS.get) == "") is observe
    for everything in (Peer("root", Role.ADMIN, "3"), EVERYONE):
        assert refusal(everything, message, OWNERS.get) == ""


def test_a_backup_of_the_sink_is_an_admins_business() -> None:
    """It writes on the sink's host."""
    asked = BackUp(1, A, "/backup")
    for sender in (Peer("alice", Role.SUBMIT, "1"), Peer("w", Role.OBSERVE, "2")):
        assert "backups are an admin's business" in may_not_ask(sender, asked, NO_TOKENS)
    for everything in (Peer("root", Role.ADMIN, "3"), EVERYONE):
        assert may_not_ask(everything, asked, NO_TOKENS) == ""


def test_an_id_belongs_to_the_key_that_used_it_first() -> None:
    """What another key says under it does not count, whatever it says."""
    bindings = Bindings()
    assert bindings.may_report(GPU, hello("gpu/h/1"))
    assert not bindings.may_report(CPU, Left(A))
    assert bindings.may_report(GPU, Left(A))
    assert not bindings.admits(CPU, A)


def test_a_worker_has_the_name_of_its_key() -> None:
    """At the ventilator and at the sink."""
    bindings = Bindings()
    assert not bindings.may_report(GPU, hello("cpu/h/1"))
    assert not bindings.may_report(GPU, hello("gpux"))
    assert not bindings.may_hand_in(GPU, Outcomes(B, "cpu/h/1", ()))
    assert bindings.may_hand_in(GPU, Outcomes(B, "gpu/h/1", ()))
    assert not bindings.may_hand_in(CPU, Outcomes(B, "cpu/h/1", ()))


def test_only_the_sinks_key_speaks_for_the_sink() -> None:
    """And it speaks for no worker."""
    bindings = Bindings()
    assert {kind for kind in get_args(ToVentilator) if issubclass(kind, BySink)} == set(get_args(FromSink))
    for message in (SinkHead(B, 1, 0, b"", 0), Completions(B, 1, ()), Diverged(B, 1, 0), VentilatorRefused(B, 1, "")):
        assert not bindings.may_report(GPU, message)
        assert bindings.may_report(SINK, message)
    assert not bindings.may_report(SINK, hello("sink/h/1"))


def test_without_keys_everybody_may_say_everything() -> None:
    """As on loopback."""
    bindings = Bindings()
    for sender in (EVERYONE, EVERYONE):
        assert bindings.may_report(sender, hello("any"))
        assert bindings.may_report(sender, SinkHead(A, 1, 0, b"", 0))
        assert bindings.may_hand_in(sender, Outcomes(A, "any", ()))


def test_a_key_has_so_many_new_ids_in_a_second() -> None:
    """A burst, then as many as the rate allows; what it has stays its own, and other keys notice nothing."""
    bindings = Bindings(rate=0.02)  # two at once
    bindings.tick(100.0)
    names = [bytes([number]) * 16 for number in range(9)]
    assert [bindings.admits(GPU, name) for name in names[:4]] == [True, True, False, False]
    assert bindings.refused == {"gpu": 2}
    assert bindings.admits(GPU, names[0])
    assert bindings.admits(CPU, names[4])
    bindings.tick(150.0)
    assert [bindings.admits(GPU, name) for name in names[5:7]] == [True, False]
    bindings.tick(1e6)
    assert [bindings.admits(GPU, name) for name in (names[2], names[7], names[8])] == [True, True, False]


def test_who_says_how_far_parts_have_come() -> None:
    """A worker of its own stream, the sink's key of what it takes from workers: nobody hurries or holds up others'."""
    bindings = Bindings()
    assert bindings.may_report(GPU, PartsTaken(1, 1, A))
    assert not bindings.may_report(CPU, PartsTaken(1, 1, A))
    assert not bindings.may_report(GPU, PartsPassed(B, A, 1, 1))
    assert bindings.may_report(SINK, PartsPassed(B, A, 1, 1))
