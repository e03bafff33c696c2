"""The command line against stations that stay: real processes, real stores."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Cli
from penstock import Pipeline
from support.stations import LIMIT, Stations, free_url, until


def records(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert done.returncode in {0, 1}, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def env(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pipeline of three stations, named by PENSTOCK_URL."""
    stations.start("ventilator", "sink", "w1", slots=2)
    until(lambda: b" worker_joined: " in stations.log("ventilator").read_bytes())
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    return stations.url


def test_batch_outlives_its_client_and_its_stations(stations: Stations, cli: Cli, env: str) -> None:
    """Submitted by one process, followed by a second, read by a third after stop and restart on the same data."""
    done = cli("submit", "--name", "lengths", "--call", "builtins:len", "--", stdin=b"a\nbb\nccc\n")
    batch = done.stdout.decode().strip()
    assert done.returncode == 0, done.stderr
    followed = cli("results", batch, "--follow")
    assert sorted(followed.stdout.split()) == [b"1", b"2", b"3"]

    for name in ("w1", "sink", "ventilator"):
        assert stations.end(name) == 0
    stations.start("ventilator", "sink")
    again = cli("results", "lengths", "--json")
    assert {(r["index"], r["value"], r["state"]) for r in records(again)} == {
        (0, 1, "succeeded"),
        (1, 2, "succeeded"),
        (2, 3, "succeeded"),
    }


def test_submit_wait_shows_results_and_exits_1_on_failure(cli: Cli, env: str) -> None:
    """`submit --wait` is `run` on the running pipeline."""
    done = cli("submit", "--wait", "--shell", "echo {}; exit {}", ":::", "0", "1")
    assert done.returncode == 1
    assert sorted(done.stdout.split()) == [b"0", b"1"]


def test_run_says_where(cli: Cli, env: str) -> None:
    """`run` with a URL uses the running pipeline, and says which and how large."""
    done = cli("run", "true", ":::", "a")
    assert done.stderr.splitlines()[0] == f"penstock: {env}, 2 slots on 1 host".encode()


def test_lists_are_json_lines(cli: Cli, env: str) -> None:
    """status, workers, batches, jobs and show give an object per line."""
    batch = cli("submit", "--name", "codes", "--shell", "echo hi; exit {}", ":::", "0", "5").stdout.decode().strip()
    cli("results", batch, "--follow")
    assert records(cli("status", "--json"))[0]["workers"] == 1
    (worker,) = records(cli("workers", "--json"))
    assert (worker["name"], worker["slots"]) == ("w1", 2)
    (line,) = records(cli("batches", "--json"))
    assert (line["id"], line["name"], line["total"], line["succeeded"], line["failed"]) == (batch, "codes", 2, 1, 1)
    jobs = records(cli("jobs", "last", "--json"))
    assert {(job["index"], job["state"], job["worker"]) for job in jobs} == {
        (0, "succeeded", "w1"),
        (1, "failed", "w1"),
    }
    (attempt,) = records(cli("show", "codes:1", "--json"))
    assert (attempt["returncode"], attempt["stdout"]) == (5, "hi\n")


def test_lists_are_tables_for_people(cli: Cli, env: str) -> None:
    """Without `--json` they are columns; what failed has its cause."""
    batch = cli("submit", "--name", "na\nme", "false", ":::", "x").stdout.decode().strip()
    cli("results", batch, "--follow")
    assert b"sink      connected" in cli("status").stdout
    assert cli("workers").stdout.split(b"\n")[1].startswith(b"w1 ")
    assert rb"na\nme" in cli("batches").stdout
    assert b"exit code 1" in cli("jobs", batch[:30]).stdout
    assert b"exit code  1" in cli("show", f"{batch}:0").stdout


def test_results_as_csv_and_failed_only(cli: Cli, env: str) -> None:
    """`--csv` has a head line; `--failed` leaves out what succeeded."""
    cli("submit", "--wait", "--call", "builtins:int", ":::", "1", "x")
    done = cli("results", "last", "--failed", "--csv")
    assert done.returncode == 1
    (row,) = csv.DictReader(done.stdout.decode().splitlines())
    assert (row["index"], row["state"]) == ("1", "failed")


def test_batches_by_name_state_and_time(cli: Cli, env: str) -> None:
    """Each filter alone and together; a name beats the beginning of an id."""
    for name, code in (("good", "0"), ("bad", "1"), ("bad", "1")):
        cli("submit", "--wait", "--name", name, "--shell", "exit {}", ":::", code)

    def names(*words: str) -> list[str]:
        return [record["name"] for record in records(cli("batches", "--json", *words))]

    assert names() == names("--all") == names("--since", "1h") == ["bad", "bad", "good"]
    assert names("--name", "bad") == names("--state", "failed") == ["bad", "bad"]
    assert names("--state", "waiting") == names("--name", "good", "--state", "failed") == []
    assert names("--since", "2100-01-01") == []
    first = records(cli("batches", "--json"))[-1]["id"][:1]
    assert cli("results", "last").returncode == 1
    assert cli("results", first).stderr.startswith(b"penstock results: more than one batch fits")
    cli("submit", "--wait", "--name", first, "true", ":::", "x")
    assert cli("results", first).returncode == 0


def test_top_prints_once_where_nobody_looks(cli: Cli, env: str) -> None:
    """Into a pipe it tells how things stand and ends."""
    cli("submit", "--wait", "--name", "some", "true", ":::", "a", "b")
    done = cli("top", "--interval", "0.1")
    assert done.returncode == 0, done.stderr
    assert b"1 worker, 2 slots" in done.stdout
    assert re.search(rb"\nw1 .*idle\n", done.stdout)
    assert re.search(rb"some +2 +2 +0 .*done\n", done.stdout)


def test_top_is_live_on_a_terminal_until_q(env: str, folder: Path) -> None:
    """It shows the screen again and again, takes single keys, and leaves the terminal as it was."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "top", "--interval", "0.1"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm", "LINES": "24", "COLUMNS": "100"},
    )
    seen = bytearray()

    def screens() -> int:
        with contextlib.suppress(BlockingIOError):
            seen.extend(os.read(master, 65536))
        return seen.count(b"(q ends)")

    try:
        until(lambda: screens() >= 3)
        assert b"w1" in seen
        os.write(master, b"q")
        until(lambda: (screens(), process.poll())[1] is not None)
        assert process.returncode == 0
        assert termios.tcgetattr(slave)[3] == before[3]
    finally:
        process.kill()
        process.wait(LIMIT)
        os.close(slave)
        os.close(master)


@pytest.mark.parametrize("command", ["batches", "jobs last", "results last --json", "results last --csv"])
def test_reader_that_has_enough_ends_lists_quietly(cli: Cli, env: str, folder: Path, command: str) -> None:
    """`| head` costs no complaint and no failure."""
    cli("submit", "--wait", "--call", "builtins:str", ":::", *map(str, range(3000)))
    script = f"set -o pipefail; {sys.executable} -m penstock {command} | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=2 * LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("results", "nope"),
        ("jobs", "nope"),
        ("cancel", "nope"),
        ("drain", "nope"),
        ("show", "nope:0"),
        ("show", "last"),
    ],
)
def test_what_is_not_there_exits_2(cli: Cli, env: str, words: tuple[str, ...]) -> None:
    """No such batch, worker or job: one line, exit code 2."""
    done = cli(*words)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


def test_cancel_ends_running_jobs(cli: Cli, env: str) -> None:
    """`cancel` ends what runs and what waits."""
    batch = cli("submit", "sleep", ":::", *["60"] * 5).stdout.decode().strip()
    assert cli("cancel", batch).returncode == 0
    done = cli("results", batch, "--follow", "--json")
    assert [r["state"] for r in records(done)] == ["cancelled"] * 5


def test_drained_worker_finishes_and_leaves(stations: Stations, cli: Cli, env: str, folder: Path) -> None:
    """`drain` lets the worker finish what it runs; its process ends well."""
    done = folder / "done"
    waiting = ["--shell", "while [ ! -e {} ]; do sleep 0.05; done"]
    batch = cli("submit", *waiting, ":::", str(done)).stdout.decode().strip()
    until(lambda: records(cli("workers", "--json"))[0]["jobs"] == 1)
    assert cli("drain", "w1").returncode == 0
    done.touch()
    assert stations.processes.pop("w1").wait(LIMIT) == 0
    assert records(cli("results", batch, "--json"))[0]["state"] == "succeeded"


def test_nobody_answers_exits_3(cli: Cli) -> None:
    """A URL where nobody listens: exit code 3 within the connect timeout, no hang."""
    begun = time.monotonic()
    done = cli("status", "--url", free_url())
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert time.monotonic() - begun < LIMIT


def test_port_in_use_is_named(cli: Cli, env: str, folder: Path) -> None:
    """A second ventilator on the same ports says which, and by whom; nothing is half-started."""
    done = cli("ventilator", "--bind", env, "--data", str(folder / "other"))
    assert done.returncode == 2
    assert b"cannot bind" in done.stderr
    assert b"process" in done.stderr
    assert done.stderr.count(b"\n") == 2  # the other says who can come


@pytest.mark.parametrize("station", ["ventilator", "sink"])
def test_data_folder_in_use_is_named(cli: Cli, env: str, folder: Path, station: str) -> None:
    """A second station on the same data folder says which folder and who holds it."""
    done = cli(station, "--bind", free_url(), "--data", str(folder / "data"))
    assert done.returncode == 2
    assert str(folder / "data").encode() in done.stderr
    assert done.stderr.count(b"\n") == 2


@pytest.mark.parametrize("words", [["ventilator"], ["sink"], ["up", "--workers", "0"]])
def test_data_in_memory_is_refused(cli: Cli, words: list[str]) -> None:
    """What is acknowledged must last: exit code 2, and the line says what to do; an embedded pipeline may."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        done = cli(*words, "--bind", free_url(), "--data", memory)
        assert done.returncode == 2, done.stderr
        assert f"{memory}: in memory (tmpfs), gone at the next boot; name a folder on a disk".encode() in done.stderr


def test_first_worker_does_not_take_everything(stations: Stations) -> None:
    """400 jobs of 20 ms, one worker there, three more join after a second: all four are busy until the end."""
    stations.start("ventilator", "sink", "w1")
    with Pipeline(stations.url) as pipeline:
        until(lambda: len(pipeline.workers()) == 1)
        batch = pipeline.batch(time.sleep, [0.02] * 400)
        time.sleep(1)
        stations.start("w2", "w3", "w4")
        ends: dict[str, float] = {}
        counts: dict[str, int] = {}
        for outcome in batch.follow():
            ends[outcome.worker] = max(ends.get(outcome.worker, 0), outcome.started + outcome.elapsed)
            counts[outcome.worker] = counts.get(outcome.worker, 0) + 1
    assert set(counts) == {"w1", "w2", "w3", "w4"}
    assert sum(counts.values()) == 400
    assert max(ends.values()) - min(ends.values()) < 0.5, ends


def test_up_starts_all_and_stops_all(folder: Path, cli: Cli) -> None:
    """`up` prints the line that points others to it, and leaves nothing behind after SIGTERM."""
    url = free_url()
    with (
        (folder / "up.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "penstock", "up", "--bind", url, "--workers", "2", "--slots", "1"],
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == f"export PENSTOCK_URL={url}\n".encode()
        assert cli("run", "--url", url, "echo", ":::", "a").stdout == b"a\n"
        assert len(records(cli("workers", "--url", url, "--json"))) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 130


def test_up_is_found_without_a_word_by_its_own_user_alone(folder: Path, cli: Cli) -> None:
    """Its sockets are in a folder that nobody else enters."""
    folder.chmod(0o755)
    with up(folder, ""):
        assert f"export PENSTOCK_URL=ipc://{folder}/penstock\n" in (folder / "up.log").read_text()
        assert cli("submit", "--wait", "echo", ":::", "a").stdout == b"a\n"
        assert b"no keys: only its own user reaches it" in cli("status").stdout
        knock = "import os, socket, sys; {}; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        desk = str(folder / "penstock" / "desk")
        assert subprocess.run([sys.executable, "-c", knock.format("1"), desk], check=False).returncode == 0
        if os.geteuid() == 0:
            argv = [sys.executable, "-c", knock.format("os.setuid(65_534)"), desk]
            stranger = subprocess.run(argv, stderr=subprocess.PIPE, check=False)
            assert b"PermissionError" in stranger.stderr


def test_without_keys_it_is_said_who_can_come_over_tcp(folder: Path) -> None:
    """Before anything runs."""
    with up(folder, free_url()):
        assert b" has no keys: every user of this machine can run code here, as " in (folder / "up.log").read_bytes()


@contextlib.contextmanager
def up(folder: Path, url: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`penstock up` with its output in up.log, as soon as all is up; told to end, it does so as after Ctrl-C. Without a
    `url` it has its own."""
    argv = [sys.executable, "-m", "penstock", "up", "--data", str(folder / "data"), "--slots", "1"]
    argv += ["--bind", url] if url else []
    with (
        (folder / "up.log").open("wb") as log,
        subprocess.Popen([*argv, *words], cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            until(lambda: b"export PENSTOCK_URL" in (folder / "up.log").read_bytes())
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 130
        finally:
            process.kill()


def children_of(process: psutil.Process) -> dict[str, psutil.Process]:
    """Those that live, by their names."""
    found = {}
    for child in process.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since they were listed
            found[child.name()] = child
    return found


def test_up_starts_again_what_is_killed(folder: Path, url: str, cli: Cli) -> None:
    """A station under `up` that is killed comes back on the same data; a worker that was drained does not."""
    with up(folder, url) as process:
        cli("submit", "--url", url, "--wait", "true", ":::", "a")
        supervisor = psutil.Process(process.pid)
        stations = children_of(supervisor)
        assert set(stations) == {"ventilator", "sink", "worker"}
        stations["sink"].kill()
        stations["ventilator"].kill()
        until(lambda: (folder / "up.log").read_bytes().count(b"ended with signal 9: started again\n") == 2)
        assert supervisor.num_threads() == 1  # it forks
        assert cli("results", "--url", url, "last", "--json").returncode == 0
        assert cli("submit", "--url", url, "--wait", "echo", ":::", "b").stdout == b"b\n"
        (worker,) = records(cli("workers", "--url", url, "--json"))
        cli("drain", "--url", url, worker["name"])
        until(lambda: set(children_of(supervisor)) == {"ventilator", "sink"})
    assert (folder / "up.log").read_bytes().count(b"started again") == 2


def test_up_goes_on_when_a_job_kills_its_agents(folder: Path, url: str, cli: Cli) -> None:
    """Two, right after the start, or one of them again: the job is dead, and there are two workers that work."""
    up_from = "for _ in slot server watcher; do p=$(awk '{ print $4 }' /proc/$p/stat); done"
    kill = f"p=$PPID; {up_from}; kill -9 $p; sleep 60; : {{}}"
    again = b"the worker ended with signal 9: started again"
    with up(folder, url, "--workers", "2") as process:
        cli("submit", "--url", url, "--max-crashes", "2", "--shell", kill, ":::", "x")
        until(lambda: process.poll() is not None or (folder / "up.log").read_bytes().count(again) == 2)
        assert process.poll() is None
        (outcome,) = records(cli("results", "--url", url, "last", "--follow", "--json"))
        assert outcome["state"] == "dead"
        until(
            lambda: (
                [psutil.pid_exists(one["pid"]) for one in records(cli("workers", "--url", url, "--json"))] == [True] * 2
            )
        )
        assert cli("submit", "--url", url, "--wait", "echo", ":::", "b").stdout == b"b\n"


def test_up_has_a_sink_until_its_workers_have_finished(stations: Stations, url: str, folder: Path, cli: Cli) -> None:
    """Killed after Ctrl-C it is started again, and records what they finish."""
    waiting = ["--shell", "touch begun; while [ ! -e {} ]; do sleep 0.05; done"]
    with up(folder, url) as process:
        cli("submit", "--url", url, *waiting, ":::", str(folder / "go"))
        until((folder / "begun").exists)
        process.send_signal(signal.SIGINT)
        until(lambda: b" drains: " in (folder / "up.log").read_bytes())
        (sink,) = (child for child in psutil.Process(process.pid).children() if child.name() == "sink")
        sink.kill()
        until(lambda: b"the sink ended with signal 9: started again" in (folder / "up.log").read_bytes())
        (folder / "go").touch()
        assert process.wait(LIMIT) == 130
    stations.start("ventilator", "sink")
    (outcome,) = records(cli("results", "--url", url, "last", "--json"))
    assert outcome["state"] == "succeeded"


def test_up_ends_when_a_station_cannot_start(env: str, folder: Path, url: str, cli: Cli) -> None:
    """The line of the station says why, and that of `up` which it was; nothing is left."""
    done = cli("up", "--bind", f"ipc://{folder}/sockets", "--data", str(folder / "data"))
    assert done.returncode == 2
    assert b"penstock up: the ventilator ended with exit code 2, see above\n" in done.stderr
    assert f"{folder / 'data'}: queue.db is in use by process ".encode() in done.stderr
