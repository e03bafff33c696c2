"""The examples of the package run, alone and on a running pipeline, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from penstock import Pipeline
from support.stations import LIMIT, Stations, free_url, until


def run(name: str, *arguments: str, code: int = 0) -> list[str]:
    """The lines an example prints."""
    argv = [sys.executable, "-W", "error", "-m", f"penstock.examples.{name}", *arguments]
    # unbuffered, each word of a line would be written alone, and jobs print, too
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=2 * LIMIT, check=False, env=environment)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.splitlines()


def test_dispatch_ten_and_wait_for_the_ten() -> None:
    """Each job is dispatched, run and finished once; the second ten begin when the first have finished."""
    lines = run("ten", "2")
    kinds = ("Dispatch", "Run", "Finished")
    assert sorted(lines) == sorted(f"{kind} job: {n}" for kind in kinds for n in range(1, 21))
    assert lines.index("Dispatch job: 11") > max(lines.index(f"Finished job: {n}") for n in range(1, 11))


def test_squares_through_two_queues() -> None:
    """What was put comes back, then the finished queue is empty."""
    lines = run("squares")
    put = sorted(int(line.split()[-1]) for line in lines if line.startswith("Put"))
    results = [re.fullmatch(r"Result: (\d+) \* \1 = (\d+)", line) for line in lines if line.startswith("Result")]
    assert put == sorted(int(found[1]) for found in results if found)
    assert all(int(found[1]) ** 2 == int(found[2]) for found in results if found)
    assert lines[-1] == "That was all."


def test_tour_of_a_pool() -> None:
    """From apply to join."""
    assert run("pool") == [
        "apply: 100",
        "apply_async: 400",
        "map: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]",
        "imap: 0 1 4",
        "closed and joined",
        "terminated and joined",
    ]


def test_queens_over_several_workers(stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is right, and the picture has a line for each slot and a box for each job."""
    stations.start("ventilator", "sink", "one", "two")
    with Pipeline(stations.url) as pipeline:
        until(lambda: len(pipeline.workers()) == 2, what="both workers are there")
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    picture = folder / "queens.svg"
    assert run("queens", "10", str(picture)) == ["10 queens: 724 solutions in 72 jobs"]
    space = "{http://www.w3.org/2000/svg}"
    svg = ET.parse(picture).getroot()
    assert len(svg.findall(f"{space}rect/{space}title")) == 72
    names = [text.text for text in svg.findall(f"{space}text") if text.text]
    assert [name.split(":")[0] for name in names[:2]] == ["one 0", "two 0"]


def test_a_channel_for_each_worker(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task runs where it was sent, the results come together; that nobody listens is said at once."""
    stations.start("ventilator", "sink", "one", "two")
    with Pipeline(stations.url) as pipeline:
        until(lambda: len(pipeline.workers()) == 2, what="both workers are there")
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    lines = sorted(run("channels", "one", "two", "gone"))
    assert [line.split(": no worker")[0] for line in lines] == [
        "dispatch failed: task 3 to gone",
        "dispatch failed: task 6 to gone",
        *("done: task 1 on one", "done: task 2 on two", "done: task 4 on one", "done: task 5 on two"),
    ]


class Mailbox:
    """A mail server: refuses one address for good and another one once."""

    def __init__(self) -> None:
        self.mails: dict[str, str] = {}
        self._refused: set[str] = set()

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        """aiosmtpd's hook."""
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("busy") and address not in self._refused:
            self._refused.add(address)
            return "451 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        """aiosmtpd's hook."""
        for address in envelope.rcpt_tos:
            assert address not in self.mails, "nobody gets a mail twice"
            self.mails[address] = envelope.content.decode()
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A real SMTP server on loopback, and its address."""
    handler = Mailbox()
    port = int(free_url().rpartition(":")[2])
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, f"127.0.0.1:{port}"
    controller.stop()


def test_a_queue_of_mails(mailbox: tuple[Mailbox, str]) -> None:
    """Each is sent once; who refuses for a moment is asked again, and a lasting refusal is said."""
    handler, server = mailbox
    addresses = [*(f"user{n}@example.org" for n in range(8)), "busy@example.org", "nobody@example.org"]
    lines = run("mails", server, *addresses, code=1)
    assert sorted(handler.mails) == sorted(addresses[:-1])
    found = [re.search(r"Message-ID: (\S+@penstock)>", mail) for mail in handler.mails.values()]
    assert len({match[1] for match in found if match}) == len(handler.mails)
    refused = ["nobody@example.org: refused: no such user"]
    assert sorted(lines) == sorted([*(f"{address}: sent" for address in addresses[:-1]), *refused])


NAMES = ("ten", "squares", "pool", "channels", "mails", "queens")


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is(name: str) -> None:
    """`--help` has what it shows and what it takes, and nothing is run."""
    lines = run(name, "--help")
    assert lines[0].startswith(f"usage: python -m penstock.examples.{name}")
    assert any(line.startswith("It uses the pipeline of PENSTOCK_URL") for line in lines)


@pytest.mark.parametrize(
    "words", [("mails",), ("channels",), ("ten", "x"), ("ten", "0"), ("queens", "2"), ("pool", "x")]
)
def test_what_is_missing_is_said_in_one_line(words: tuple[str, ...]) -> None:
    """A missing or impossible argument is one line on stderr, exit code 2."""
    argv = [sys.executable, "-m", f"penstock.examples.{words[0]}", *words[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"python -m penstock.examples.{words[0]}: ")
    assert done.stderr.count("\n") == 1


def test_no_pipeline_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PENSTOCK_URL names a pipeline that is not there, that is said, with the exit code of the command line."""
    monkeypatch.setenv("PENSTOCK_URL", url)
    argv = [sys.executable, "-m", "penstock.examples.squares"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=2 * LIMIT, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"answers at {url}" in done.stderr
    assert done.stderr.count("\n") == 1
