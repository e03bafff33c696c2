"""All of what jobs print, wherever it goes on: nothing is cut, whatever its size and whatever is in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from conftest import Cli
from support.stations import Stations

BINARY = bytes(range(256)) * 20_000 + b"no end of a line"
"""5 MB of any bytes, without a final newline."""


def digest(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("flags", [(), ("-k",), ("--lb",), ("-k", "--lb")])
def test_a_large_output_is_shown_whole(cli: Cli, folder: Path, flags: tuple[str, ...]) -> None:
    """On both streams, as one text for each job, any bytes of it, also a line of 5 MB and one without an end."""
    (folder / "large").write_bytes(BINARY)
    jobs = ["a"] if flags == ("--lb",) else ["a", "b"]  # lines of jobs that run at once are mixed there
    done = cli("run", *flags, "-j2", "--shell", "cat large; cat large >&2; : {}", ":::", *jobs)
    assert done.returncode == 0
    assert digest(done.stdout) == digest(BINARY * len(jobs))
    assert done.stderr.count(BINARY) == len(jobs)


def test_records_have_all_of_it(cli: Cli, folder: Path) -> None:
    """The files of --results, the byte count of --joblog, and the records of --json."""
    (folder / "large").write_bytes(BINARY)
    done = cli("run", "--results", "r", "--joblog", "log", "--json", "cat", ":::", "large")
    assert [path.read_bytes() for path in folder.glob("r/1/large/stdout")] == [BINARY]
    assert (folder / "log").read_text().splitlines()[1].split("\t")[5] == str(len(BINARY))
    (record,) = map(json.loads, done.stdout.splitlines())
    assert record["stdout"] == BINARY.decode("utf-8", "backslashreplace")


def test_what_a_call_prints_is_whole_too(cli: Cli, folder: Path) -> None:
    """Before its value."""
    (folder / "talk.py").write_text("def talk(x):\n    print('x' * 3_000_000)\n    return 'said'\n")
    done = cli("run", "--call", "talk:talk", ":::", "a")
    assert done.stdout == b"x" * 3_000_000 + b"\nsaid\n"


def test_results_of_a_submitted_batch_are_whole(cli: Cli, folder: Path, stations: Stations) -> None:
    """Also long after; with --keep-output as much as that says, and who reads them is told what is missing."""
    stations.start("ventilator", "sink", "w1")
    (folder / "large").write_bytes(BINARY)
    where = ("--url", stations.url)
    for keep, kept in (("all", len(BINARY)), ("4k", 4096), ("2M", 2 << 20), ("none", 0)):
        cli("submit", *where, "--keep-output", keep, "--name", keep, "--wait", "cat", ":::", "large")
        done = cli("results", *where, keep)
        half = kept // 2
        assert digest(done.stdout) == digest(BINARY if kept == len(BINARY) else BINARY[:half] + BINARY[-half:][:half])
        missing = f"{len(BINARY) - kept:,} bytes of its stdout are missing".encode()
        assert (missing in done.stderr) == (kept < len(BINARY))
        assert (missing in cli("results", *where, "--csv", keep).stderr) == (kept < len(BINARY))
        assert b"its stdout had 5,120,016 bytes" in cli("show", *where, f"{keep}:0").stderr


def test_run_shows_all_and_leaves_what_is_to_be_kept(cli: Cli, folder: Path, stations: Stations) -> None:
    """What was shown need not be kept."""
    stations.start("ventilator", "sink", "w1")
    (folder / "large").write_bytes(BINARY)
    where = ("--url", stations.url)
    done = cli("run", *where, "--keep-output", "1M", "--name", "r", "cat", ":::", "large")
    assert (done.returncode, digest(done.stdout)) == (0, digest(BINARY))
    assert b"missing" not in done.stderr
    done = cli("results", *where, "r")
    assert len(done.stdout) < 2 << 20
    assert BINARY.startswith(done.stdout[: 1 << 19])
    assert b"bytes of its stdout are missing" in done.stderr
