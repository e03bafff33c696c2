"""A worker's touch with the ventilator."""

from __future__ import annotations

from penstock.wire.messages import Greeting, Hello, Welcome
from penstock.worker.membership import REPORT_PAUSE, Membership

INTERVAL, LEASE_TIME, PACE = 1.0, 5.0, 12.0


def joined(*, parts: bool) -> Membership:
    """Of a worker that was welcomed, by a ventilator that takes parts or not."""
    me = Hello(b"w" * 16, 0, 0, 0, "w", "host", 1, 1, 0, (), "3")
    membership = Membership(me, 0.0, LEASE_TIME, INTERVAL, lambda _: ())
    membership.greeted(Greeting(1, 1, LEASE_TIME, INTERVAL, parts=parts))
    assert membership.welcomed(Welcome(membership.hello(9, 0.0).number, 1, ()), 0.1)
    return membership


def test_a_heartbeat_says_what_is_known_of_the_inventory() -> None:
    """What was said by the newest hello or heartbeat that was answered; an answer that is late says nothing new."""
    membership = joined(parts=True)
    hello = membership.heartbeat(9, 1.0).since
    second = membership.heartbeat(9, 2.0)
    assert second.since == hello == second.number - 2
    membership.echoed(second.number, 1.0)
    membership.echoed(second.number - 1, 1.0)
    assert membership.heartbeat(9, 3.0).since == second.number


def test_a_ventilator_of_an_earlier_release_is_told_everything() -> None:
    """It does not say that it takes anything else."""
    membership = joined(parts=False)
    membership.echoed(membership.heartbeat(9, 1.0).number, 1.0)
    assert membership.heartbeat(9, 2.0).since == 0


def test_nothing_is_said_again_while_it_is_on_its_way() -> None:
    """A heartbeat follows a moment after the one before has arrived; a hello an interval later, because the welcome of
    the one before would be void."""
    membership = joined(parts=True)
    membership.heartbeat(9, 5.0)
    membership.wait(5.2)
    assert membership.beat_due_at == 6.0
    membership.wait(6.0)
    assert membership.beat_due_at == 6.0 + REPORT_PAUSE
    membership.greeted(Greeting(1, 2, LEASE_TIME, INTERVAL, parts=True))
    membership.hello(9, 7.0)
    membership.wait(7.9)
    assert membership.beat_due_at == 7.9 + INTERVAL


def test_a_hello_that_may_be_lost_is_soon_said_again() -> None:
    """Once, however slowly the worker was told to beat: a ventilator that has come up again waits 2 s for it."""
    me = Hello(b"w" * 16, 0, 0, 0, "w", "host", 1, 1, 0, (), "3")
    membership = Membership(me, 0.0, LEASE_TIME, INTERVAL, lambda _: ())
    membership.jobs_connected = membership.sink_connected = True
    membership.greeted(Greeting(1, 1, LEASE_TIME, INTERVAL))
    hello = membership.hello(9, 0.0)
    assert membership.welcomed(Welcome(hello.number, 1, ()), 0.1)
    membership.echoed(membership.heartbeat(9, 1.0).number, PACE)
    assert membership.beat_due_at == 1.0 + PACE * INTERVAL
    membership.greeted(Greeting(2, 1, LEASE_TIME, INTERVAL))
    membership.hello(9, 2.0)
    assert membership.beat_due_at == 2.0 + INTERVAL
    membership.postpone(3.0)
    membership.hello(9, 3.0)
    assert membership.beat_due_at == 3.0 + PACE * INTERVAL


def test_the_name_that_was_given_is_kept() -> None:
    """The next hello says that there is one; a ventilator that gives none has no say in it any more."""
    me = Hello(b"w" * 16, 0, 0, 0, "w", "host", 1, 1, 0, (), "3")
    membership = Membership(me, 0.0, LEASE_TIME, INTERVAL, lambda _: ())
    for life, name in enumerate(("w-77", "", "w-77"), 1):
        membership.greeted(Greeting(life, 1, LEASE_TIME, INTERVAL))
        hello = membership.hello(9, 0.0)
        assert (hello.name, hello.is_apart) == ("w", life == 2)
        assert membership.welcomed(Welcome(hello.number, 1, (), name=name), 0.1)
