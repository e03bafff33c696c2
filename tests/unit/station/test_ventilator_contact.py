"""What a station says of its touch with the ventilator."""

from __future__ import annotations

from penstock.station.ventilator_contact import WAIT_AGAIN, WAIT_PATIENCE, Outlet, VentilatorContact

URL = "tcp://head:5555"


CONTROL, REPORT = "tcp://head:5559 (control)", "tcp://head:5556 (report)"


def said(contact: VentilatorContact, now: float, *, down: str = "", failure: str = "") -> list[str]:
    """The events of this look."""
    return [log.event for log in contact.look(CONTROL not in down, down, failure, now)]


def test_waiting_is_said_and_said_again_but_is_no_flood() -> None:
    """At once, after a moment, then once in WAIT_AGAIN, and what it waits for: nothing there, a port that is shut, or
    not let join."""
    contact = VentilatorContact(URL, 0.0)
    down = f"{CONTROL}, {REPORT}"
    (log,) = contact.look(connected=False, down=down, handshake_failure="", now=0.0)
    assert (log.event, log.fields) == ("joining", {"url": URL, "down": down})
    assert said(contact, WAIT_PATIENCE - 0.1, down=down) == []
    (log,) = contact.look(connected=False, down=down, handshake_failure="", now=WAIT_PATIENCE)
    assert (log.event, log.fields) == ("no_answer", {"url": URL, "seconds": 2, "down": down})
    assert said(contact, WAIT_PATIENCE + WAIT_AGAIN - 0.1) == []
    assert contact.due_at == WAIT_PATIENCE + WAIT_AGAIN
    (log,) = contact.look(connected=True, down=REPORT, handshake_failure="", now=WAIT_PATIENCE + WAIT_AGAIN)
    assert (log.event, log.fields["down"]) == ("not_connected", REPORT)
    assert said(contact, WAIT_PATIENCE + 2 * WAIT_AGAIN) == ["not_joined"]


def test_a_port_that_is_shut_after_joining_is_named() -> None:
    """The ventilator is heard, and something else is down: said after a moment, said again, and that it is over."""
    contact = VentilatorContact(URL, 0.0)
    contact.heard(1.0)
    assert said(contact, 5.0, down=REPORT) == said(contact, 6.0) == said(contact, 10.0, down=REPORT) == []
    assert contact.due_at == 10.0 + WAIT_PATIENCE
    (log,) = contact.look(connected=True, down=REPORT, handshake_failure="", now=10.0 + WAIT_PATIENCE)
    assert (log.event, log.fields) == ("link_down", {"down": REPORT, "seconds": 2})
    assert said(contact, 71.0, down=REPORT) == []
    assert said(contact, 10.0 + WAIT_PATIENCE + WAIT_AGAIN, down=REPORT) == ["link_down"]
    assert said(contact, 100.0) == ["connected_again"]
    assert said(contact, 200.0) == []
    assert contact.due_at is None


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
    assert said(contact, 1000.0) == []


def test_a_lost_link_is_said_at_once_and_that_it_is_back() -> None:
    """Then it waits as at the start, and joins again."""
    contact = VentilatorContact(URL, 0.0)
    contact.heard(1.0)
    assert said(contact, 10.0, down=CONTROL) == ["lost_link"]
    assert said(contact, 10.1, down=CONTROL) == ["joining"]
    assert said(contact, 10.0 + WAIT_PATIENCE, down=CONTROL) == ["no_answer"]
    assert [log.event for log in contact.heard(20.0)] == ["joined"]


def test_a_handshake_that_failed_is_said_again() -> None:
    """As what it was. The first time whoever saw it has said so; that nothing answers would not be true."""
    contact = VentilatorContact(URL, 0.0)
    assert said(contact, 0.0, down=CONTROL) == ["joining"]
    assert said(contact, WAIT_PATIENCE, down=CONTROL, failure="it hung up") == []
    assert said(contact, WAIT_PATIENCE + WAIT_AGAIN, down=CONTROL, failure="no answer") == ["no_handshake"]


def test_outcomes_that_nobody_takes_are_told_of() -> None:
    """A sink that is away for a moment is nothing; for longer it is said, said again, and that it is over."""
    outlet = Outlet("tcp://head:5558 (outcomes)", 0.0)

    def events(now: float, *, is_open: bool = False) -> list[str]:
        return [log.event for log in outlet.look(is_open, now)]

    assert events(1.0) == events(1.1, is_open=True) == events(50.0, is_open=True) == []
    assert not outlet.due_at
    assert events(60.0) == events(60.0 + WAIT_PATIENCE / 2) == events(62.0, is_open=True) == []
    assert events(70.0) == []
    assert outlet.due_at == 70.0 + WAIT_PATIENCE
    (log,) = outlet.look(is_open=False, now=70.0 + WAIT_PATIENCE)
    assert (log.event, log.fields) == ("no_sink", {"down": "tcp://head:5558 (outcomes)", "seconds": 2})
    assert events(70.0 + WAIT_PATIENCE + WAIT_AGAIN - 0.1) == []
    assert events(70.0 + WAIT_PATIENCE + WAIT_AGAIN) == ["no_sink"]
    assert events(200.0, is_open=True) == ["sink_reached"]
    assert events(201.0, is_open=True) == []
