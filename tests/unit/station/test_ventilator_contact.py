"""What a station says of its touch with the ventilator."""

from __future__ import annotations

from penstock.station.ventilator_contact import WAIT_AGAIN, WAIT_PATIENCE, Outlet, VentilatorContact

URL = "tcp://head:5555"


def said(contact: VentilatorContact, now: float, *, connected: bool = False, failure: str = "") -> list[str]:
    """The events of this look."""
    return [log.event for log in contact.look(connected, failure, now)]


def test_waiting_is_said_and_said_again_but_is_no_flood() -> None:
    """After a moment, then once in WAIT_AGAIN, and what it waits for: nothing there, or not let join."""
    contact = VentilatorContact(URL, 0.0)
    assert said(contact, WAIT_PATIENCE - 0.1) == []
    (log,) = contact.look(connected=False, handshake_failure="", now=WAIT_PATIENCE)
    assert (log.event, log.fields) == ("no_answer", {"url": URL, "seconds": 2})
    assert said(contact, WAIT_PATIENCE + WAIT_AGAIN - 0.1) == []
    assert contact.due_at == WAIT_PATIENCE + WAIT_AGAIN
    assert said(contact, WAIT_PATIENCE + WAIT_AGAIN, connected=True) == ["not_joined"]


def test_joining_is_said_with_what_it_brings() -> None:
    """Once, and only by the welcome that answers the newest hello; then nothing is due."""
    contact = VentilatorContact(URL, 0.0, slots=4)
    contact.said_hello(1, 0.1)
    contact.said_hello(2, 0.2)
    assert contact.welcomed(1, 0.3) == []
    (log,) = contact.welcomed(2, 0.4)
    assert (log.event, log.fields) == ("joined", {"url": URL, "slots": 4})
    assert contact.welcomed(2, 0.5) == []
    assert contact.due_at is None
    assert said(contact, 1000.0, connected=True) == []


def test_a_lost_link_is_said_at_once_and_that_it_is_back() -> None:
    """Then it waits as at the start, and joins again."""
    contact = VentilatorContact(URL, 0.0)
    contact.heard(1.0)
    assert said(contact, 10.0) == ["lost_link"]
    assert said(contact, 10.1) == []
    assert said(contact, 10.0 + WAIT_PATIENCE) == ["no_answer"]
    assert [log.event for log in contact.heard(20.0)] == ["joined"]


def test_a_handshake_that_failed_is_said_again() -> None:
    """As what it was. The first time whoever saw it has said so; that nothing answers would not be true."""
    contact = VentilatorContact(URL, 0.0)
    assert said(contact, WAIT_PATIENCE, failure="it hung up") == []
    assert said(contact, WAIT_PATIENCE + WAIT_AGAIN, failure="no answer") == ["no_handshake"]


def test_outcomes_that_nobody_takes_are_told_of() -> None:
    """A sink that is away for a moment is nothing; for longer it is said, said again, and that it is over."""
    outlet = Outlet("tcp://head:5558", 0.0)

    def events(now: float, *, is_open: bool = False) -> list[str]:
        return [log.event for log in outlet.look(is_open, now)]

    assert events(1.0) == events(1.1, is_open=True) == events(50.0, is_open=True) == []
    assert not outlet.due_at
    assert events(60.0) == events(60.0 + WAIT_PATIENCE / 2) == events(62.0, is_open=True) == []
    assert events(70.0) == []
    assert outlet.due_at == 70.0 + WAIT_PATIENCE
    (log,) = outlet.look(is_open=False, now=70.0 + WAIT_PATIENCE)
    assert (log.event, log.fields) == ("no_sink", {"endpoint": "tcp://head:5558", "seconds": 2})
    assert events(70.0 + WAIT_PATIENCE + WAIT_AGAIN - 0.1) == []
    assert events(70.0 + WAIT_PATIENCE + WAIT_AGAIN) == ["no_sink"]
    assert events(200.0, is_open=True) == ["sink_reached"]
    assert events(201.0, is_open=True) == []
