"""What a client says of a pipeline that does not answer."""

from __future__ import annotations

from penstock.client.outage import CONNECT_TIMEOUT, Outage

URL = "tcp://head:5555"


def test_a_lasting_outage_is_said_once_and_so_is_its_end() -> None:
    """With the station and the address."""
    said: list[str] = []
    outage = Outage(URL, said.append)
    for now in (0.0, 1.0, CONNECT_TIMEOUT, CONNECT_TIMEOUT + 1):
        outage.watch(["sink"], now)
    outage.watch([], 10.0)
    outage.watch([], 11.0)
    assert said == [f"no sink answers at {URL}: waiting for it", f"{URL} answers again"]


def test_a_short_outage_is_not_worth_a_word() -> None:
    """A restart takes a second or two; each outage is counted from its own beginning."""
    said: list[str] = []
    outage = Outage(URL, said.append)
    for start in (0.0, 4.0, 8.0):
        outage.watch(["ventilator", "sink"], start)
        outage.watch(["sink"], start + 2)
        outage.watch([], start + 3)
    assert said == []
