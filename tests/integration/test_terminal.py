"""Nobody's text moves the cursor of who looks: every command on a real terminal, with a batch made to do harm."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline
from penstock.client.options import PARSERS
from support.stations import LIMIT, Stations, until

EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202edrawkcab\u2066\r\x08\x7f\nsucceeded"
"""Sets the title, clears the screen (both ways there are), turns letters around, and writes over a line."""
SIGNS = ("\x1b]0;", "\x1b[2J\x9b", "\x9b", "\x07", "\u202e", "\u2066", "\x08", "\x7f", "\r")
"""No command may send one of these to a terminal."""
LINE = "\nsucceeded"
"""Nor this, unless it is a line of what a job has printed."""


class Evil:
    """Is shown by what it is made of."""

    def __init__(self) -> None:
        self.text = EVIL


def say(argument: str) -> str:
    print(argument)
    print(argument, file=sys.stderr)
    return argument


def made(_: str) -> Evil:
    return Evil()


def fail(argument: str) -> None:
    raise ValueError(argument)


@pytest.fixture
def pipeline(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Stations and a worker whose name and tag are EVIL, named by PENSTOCK_URL."""
    stations.start("ventilator", "sink")
    argv = stations.argv("w", 2, stations.url, {"tags": (EVIL,)})
    argv[-1] = json.dumps(json.loads(argv[-1]) | {"name": f"w{EVIL}"})
    with stations.log("w").open("wb") as log:
        stations.processes["w"] = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    for name in ("needs", "worker"):  # a client of somebody's own checks nothing
        monkeypatch.setitem(PARSERS, name, lambda value, _: value)
    with Pipeline(stations.url) as found:
        until(found.workers)
        yield found


def on_terminal(folder: Path, *words: str, keys: bytes = b"") -> str:
    """What a command sends to a terminal that it has for stdin, stdout and stderr."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200", "LINES": "60"},
    )
    os.close(slave)
    seen = bytearray()
    with contextlib.suppress(OSError):  # the terminal is closed when its last process ends
        while part := os.read(master, 65536):
            seen += part
            if keys and b"drawkcab" in seen:
                os.write(master, keys)
                keys = b""
    os.close(master)
    assert process.wait(LIMIT) in {0, 1, 2}, seen
    return seen.decode().replace("\r\n", "\n")


def test_no_command_lets_a_stranger_write_to_the_terminal(pipeline: Pipeline, folder: Path, cli: Cli) -> None:
    """Names, tags, arguments, values, exceptions, output, folders and words of every kind are shown, not obeyed."""
    (folder / EVIL.replace("/", "")).mkdir()
    batches = {
        "say": pipeline.batch(say, [EVIL], name=f"say{EVIL}"),
        "made": pipeline.batch(made, [EVIL], name=f"made{EVIL}"),
        "fail": pipeline.batch(fail, [EVIL], name=f"fail{EVIL}"),
        "command": pipeline.batch(
            ["sh", "-c", "echo {}; echo {} >&2; exit 3"], [EVIL], name=f"c{EVIL}", env={"X": EVIL}, cwd=folder / EVIL
        ),
        "argv": pipeline.batch([EVIL, "{}"], [EVIL]),
    }
    for batch in batches.values():
        batch.wait(LIMIT)
    waits = pipeline.batch(say, [EVIL], name=f"waits{EVIL}", needs=(f"{EVIL}2",))
    named = pipeline.batch(say, [EVIL], worker=f"nobody{EVIL}")
    runs = pipeline.batch(["sh", "-c", "sleep 600; : {}"], [EVIL], name=f"runs{EVIL}")
    until(lambda: runs.status().running)
    commands: list[tuple[str, ...]] = [
        *(("status",), ("workers",), ("workers", "--json"), ("batches",), ("batches", "--json"), ("doctor",)),
        *(("drain", EVIL), ("jobs", EVIL), ("show", f"{EVIL}:0"), ("why", f"{EVIL}:0"), ("results", EVIL), (EVIL,)),
        *(("batches", "--since", EVIL), ("results", "--url", EVIL, "last"), ("cancel", EVIL), ("guide", EVIL)),
    ]
    for batch in (*batches.values(), waits, named, runs):
        commands += [("jobs", batch.id), ("show", f"{batch.id}:0"), ("why", f"{batch.id}:0")]
    for batch in batches.values():
        commands += [("results", batch.id, *more) for more in ((), ("--csv",))]
    for more in ("--json", "--failed", "--values", "--follow"):
        commands += [("results", batches[name].id, more) for name in ("made", "fail")]
    for job in (batches["command"].id, runs.id):
        commands += [("jobs", job, "--full"), ("jobs", job, "--json")]
        commands += [("show", f"{job}:0", "--full"), ("show", f"{job}:0", "--json")]
    with ThreadPoolExecutor(4) as pool:
        for words, shown in zip(commands, pool.map(lambda words: on_terminal(folder, *words), commands), strict=True):
            assert [sign for sign in (*SIGNS, "\x1b") if sign in shown] == [], (words, shown)
            are_lines_told = words[0] in {"show", "results"} and not {"--json", "--csv"} & set(words)
            assert LINE not in shown or are_lines_told, (words, shown)
    shown = on_terminal(folder, "top", "--interval", "0.1", keys=b"q")
    assert "drawkcab" in shown
    assert [sign for sign in SIGNS if sign in shown and sign != "\r"] == []
    assert EVIL.encode() in cli("results", batches["say"].id).stdout  # what is piped is what the job wrote
    runs.cancel()
