"""Log lines: one line each, worded in one place."""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path

import pytest

import penstock
from penstock.station.log_events import VALUE_CHARS, WORDS, JsonLine, Line, emit, escape


def test_every_event_that_is_logged_has_words() -> None:
    """And no words are kept for events that nobody logs."""
    source = "".join(path.read_text() for path in Path(penstock.__file__).parent.rglob("*.py"))
    logged = set(re.findall(r'(?:\blog\(|\bLog\(|emit\([\w.]*logger, )\s*"(\w+)"', source))
    assert logged == set(WORDS)


def test_a_line_is_event_words_and_fields_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """key=value, so that a program can read it too."""
    logger = logging.getLogger("penstock.test")
    with caplog.at_level(logging.INFO, "penstock.test"):
        emit(logger, "started", {"pid": 7, "url": "tcp://head:1"})
    assert caplog.messages == ["started: up pid=7 url=tcp://head:1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [("", '""'), ("two words", '"two words"'), ("a\nb\x1b[2J", r"a\nb\x1b[2J"), (b"\xff\x00", r"\\xff\x00"), (7, "7")],
)
def test_what_a_peer_says_stays_on_one_line(value: object, text: str) -> None:
    """Control characters are escaped."""
    assert escape(value) == text


def test_a_time_has_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of hosts in several zones are read side by side."""
    record = logging.LogRecord("penstock.x", logging.INFO, "", 0, "text", None, None)
    record.created = 1_800_000_000.25
    monkeypatch.setenv("TZ", "NST3:30")
    time.tzset()
    try:
        assert Line(4000).format(record) == "2027-01-15 04:30:00.250-03:30 penstock.x INFO text"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_long_is_cut() -> None:
    """A log line is no way to fill a disk."""
    assert len(escape("x" * 10_000)) <= VALUE_CHARS + 3
    record = logging.LogRecord("penstock.x", logging.INFO, "", 0, "y" * 10_000, None, None)
    assert [len(Line(chars).format(record)) for chars in (80, 4000)] == [80, 4000]


def test_a_line_of_json_has_the_fields_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """Numbers are numbers, all else is text; whatever peers say, it is one line of ASCII that any parser reads."""
    logger = logging.getLogger("penstock.sink")
    hostile = "a\nb\x1b\u2028\udcff" + "x" * VALUE_CHARS
    fields = {"pid": 7, "seconds": 0.5, "never": float("inf"), "peer": b"\xff\x00", "name": hostile, "is_said": True}
    with caplog.at_level(logging.INFO, "penstock.sink"):
        emit(logger, "started", fields | {"event": "another"})
    line = JsonLine().format(caplog.records[0])
    assert line.isascii()
    assert line.isprintable()
    said = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", said.pop("time"))
    told = said.pop("fields")
    assert said == {"station": "sink", "level": "INFO", "event": "started", "text": "up"}
    assert told.pop("name") == hostile[:VALUE_CHARS] + "..."
    of_text = {"never": "inf", "peer": "\\xff\x00", "event": "another"}
    assert told == {"pid": 7, "seconds": 0.5, "is_said": True} | of_text
