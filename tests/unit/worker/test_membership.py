"""A worker's touch with the ventilator."""

from __future__ import annotations

from penstock.wire.messages import Greeting, Hello, Welcome
from penstock.worker.membership import Membership

INTERVAL, LEASE_TIME, PACE = 1.0, 5.0, 12.0


def test_a_hello_that_may_be_lost_is_soon_said_again() -> None:
    """Once, however slowly the worker was told to beat: a ventilator that has come up again waits 2 s for it."""
    me = Hello(b"w" * 16, 0, 0, 0, "w", "host", 1, 1, 0, (), "3")
    membership = Membership(me, 0.0, LEASE_TIME, INTERVAL, lambda _: ())
    membership.jobs_connected = membership.sink_connected = True
    membership.greeted(Greeting(1, 1, LEASE_TIME, INTERVAL))
    hello = membership.hello(9, (), 0.0)
    assert membership.welcomed(Welcome(hello.number, 1, ()), 0.1)
    membership.echoed(membership.heartbeat(9, (), 1.0).number, PACE)
    assert membership.beat_due_at == 1.0 + PACE * INTERVAL
    membership.greeted(Greeting(2, 1, LEASE_TIME, INTERVAL))
    membership.hello(9, (), 2.0)
    assert membership.beat_due_at == 2.0 + INTERVAL
    membership.postpone(3.0)
    membership.hello(9, (), 3.0)
    assert membership.beat_due_at == 3.0 + PACE * INTERVAL


def test_the_name_that_was_given_is_kept() -> None:
    """The next hello says that there is one; a ventilator that gives none has no say in it any more."""
    me = Hello(b"w" * 16, 0, 0, 0, "w", "host", 1, 1, 0, (), "3")
    membership = Membership(me, 0.0, LEASE_TIME, INTERVAL, lambda _: ())
    for life, name in enumerate(("w-77", "", "w-77"), 1):
        membership.greeted(Greeting(life, 1, LEASE_TIME, INTERVAL))
        hello = membership.hello(9, (), 0.0)
        assert (hello.name, hello.is_apart) == ("w", life == 2)
        assert membership.welcomed(Welcome(hello.number, 1, (), name=name), 0.1)
