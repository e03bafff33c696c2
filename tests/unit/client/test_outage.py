"""What a client says of a pipeline that does not answer."""

from __future__ import annotations

import pytest

from penstock.client.outage import SAID_AFTER, Outage, not_let_in
from penstock.errors import NoPipeline
from penstock.wire.greeting import Reception

URL = "tcp://head:5555"


def test_a_lasting_outage_is_said_once_and_so_is_its_end() -> None:
    """With the station and the address."""
    said: list[str] = []
    outage = Outage(URL, said.append)
    for now in (0.0, 1.0, SAID_AFTER, SAID_AFTER + 1):
        outage.watch(["sink"], 0.0, now)
    outage.watch([], 0.0, 10.0)
    outage.watch([], 0.0, 11.0)
    assert said == [f"no sink answers at {URL}: waiting for it", f"{URL} answers again"]


def test_a_short_outage_is_not_worth_a_word() -> None:
    """A restart takes a second or two; each outage is counted from its own beginning."""
    said: list[str] = []
    outage = Outage(URL, said.append)
    for start in (0.0, 4.0, 8.0):
        outage.watch(["ventilator", "sink"], 0.0, start)
        outage.watch(["sink"], 0.0, start + 2)
        outage.watch([], 0.0, start + 3)
    assert said == []


def test_a_ventilator_that_is_there_and_silent_is_said_too() -> None:
    """Its disk is full, or it is stopped: its connections live on. It is counted from when it owed an answer."""
    said: list[str] = []
    outage = Outage(URL, said.append)
    for silence in (0.0, 1.0, SAID_AFTER, SAID_AFTER + 1, 0.0):
        outage.watch([], silence, 100.0 + silence)
    first, second = said
    assert "does not answer" in first
    assert "disk" in first
    assert second == f"{URL} answers again"


def test_who_has_no_key_is_not_told_of_his_key() -> None:
    """Whoever does not shake hands may want one."""
    assert "this key" not in str(not_let_in(URL, Reception.GREETED, has_key=False))
    assert "this key" in str(not_let_in(URL, Reception.GREETED, has_key=True))


@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize("met", [Reception.SILENT, Reception.HUNG_UP])
def test_where_nobody_greets_nothing_is_said_of_keys(has_key: bool, met: Reception) -> None:
    """It is no answer of a station's: what listens there is stopped, or none, or a tunnel."""
    error = not_let_in(URL, met, has_key=has_key)
    assert type(error) is NoPipeline
    assert "key" not in str(error)
