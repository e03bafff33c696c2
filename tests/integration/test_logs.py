"""Whoever reads the log of a station, and does not, or cuts it, harms neither the station nor the log."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from penstock import Pipeline
from support.stations import LIMIT, Stations, until

NAME = "n" * 250
"""Of a batch: with it a line of the log has 400 bytes."""
MANY = 1200
"""Batches, whose lines are more than a pipe holds and may wait besides."""


class Logs(Stations):
    """Their ventilator writes its log to this descriptor."""

    log_fd = -1

    def start_logging(self, fd: int) -> None:
        """Start it."""
        argv = self.argv("ventilator", 1, self.url, {})
        self.processes["ventilator"] = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, start_new_session=True
        )
        self.start("sink")


@pytest.fixture
def logging_to(stations: Stations) -> Iterator[Logs]:
    """Nothing is started yet."""
    with closing(Logs(stations.folder, stations.url)) as made:
        yield made


def test_a_reader_that_stalls_holds_up_nobody(logging_to: Logs) -> None:
    """The station serves on; how many lines were dropped is in the log when it is read again, and none else is
    missing."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    logging_to.start_logging(writer)
    os.close(writer)
    with Pipeline(logging_to.url) as pipeline:
        for _ in range(MANY):
            pipeline.options(name=NAME).batch(abs, [1])
        until(lambda: pipeline.status().batches == MANY)
        text = ""

        def dropped() -> list[str]:
            nonlocal text
            with suppress(BlockingIOError):
                text += os.read(reader, 1 << 20).decode()
            return re.findall(r" log_dropped: .* lines=(\d+)", text)

        (lines,) = until(dropped)
        assert text.count(" submitted: ") + int(lines) == MANY
        pipeline.options(name="afterwards").batch(abs, [1])
        until(lambda: dropped() and " name=afterwards " in text)
    os.close(reader)
    assert logging_to.end("ventilator") == 0


def test_a_log_can_be_truncated(logging_to: Logs) -> None:
    """Also one that was not opened for appending: what follows is at its beginning, behind no hole."""
    log = logging_to.log("ventilator")
    with log.open("wb") as file:
        logging_to.start_logging(file.fileno())
    with Pipeline(logging_to.url) as pipeline:
        until(lambda: b" sink_joined: " in log.read_bytes(), LIMIT)
        os.truncate(log, 0)
        pipeline.batch(abs, [1])
        said = until(log.read_bytes)
    assert b"\0" not in said
    assert b" submitted: " in said
