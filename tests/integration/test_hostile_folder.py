"""A folder in which somebody has put files named like modules: no process of penstock's imports one of them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.cli import group
from penstock.fleet.ssh import Fleet, Host
from support.stations import LIMIT, free_url, until

SCRIPT = [str(Path(sys.executable).with_name("penstock"))]
MODULE = [sys.executable, "-m", "penstock"]

OF_OTHERS = {"apsw", "click", "cloudpickle", "cloup", "msgspec", "psutil", "rich", "zmq"}
OF_OTHERS |= {"anyio", "h11", "jinja2", "markupsafe", "prometheus_client", "starlette", "uvicorn"}
CAUGHT = "import os; open({caught!r}, 'a').write(f'{{__name__}} in {{os.getpid()}}\\n'); raise SystemExit(3)\n"

COMMANDS = (
    "run echo ::: a",
    "run --call math:sqrt --input json ::: 4",
    "submit --wait true ::: 1",
    "results last",
    "status",
    "workers",
    "batches",
    "jobs last",
    "failures last",
    "show last:0",
    "why last:0",
    "stack last:0",
    "events",
    "notify --on batch-end http://127.0.0.1:1 --secret-file none",
    "top",
    "doctor --module fractions",
    "pause last",
    "resume last",
    "set last --priority 1",
    "cancel last",
    "retry last",
    "delete last",
    "backup --data data copy",
    "drain w",
    "check --data copy",
    "compact --data copy",
    "keys init --keys keys tcp://127.0.0.1:5555",
    "print systemd worker",
    "print slurm",
    "print k8s --image penstock",
    "print prometheus",
    "completion bash",
    "guide keys",
)
CODES = {"stack": 1, "notify": 2}
"""Of those that fail: a job that has ended has no stack, and there is no such secret."""


class Hostile:
    """A folder of such files, and how the command line is started there."""

    def __init__(self, folder: Path, modules: set[str], entry: list[str]) -> None:
        self.folder = folder / "hostile"
        self.folder.mkdir()
        self._caught = folder / "caught"
        self._entry = entry
        for name in modules:
            (self.folder / f"{name}.py").write_text(CAUGHT.format(caught=str(self._caught)))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*self._entry, *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def run(self, argv: list[str], url: str, **env: str) -> tuple[int, str]:
        """Run a program to its end; returns its exit code and all that it says."""
        done = subprocess.run(
            argv,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PENSTOCK_URL": url} | env,
            timeout=LIMIT,
            check=False,
        )
        return done.returncode, done.stdout.decode()

    def command(self, url: str, *words: str) -> tuple[int, str]:
        """Run a command of the command line."""
        return self.run([*self._entry, *words], url)

    @property
    def caught(self) -> str:
        """Who has imported what."""
        return self._caught.read_text() if self._caught.exists() else ""

    @contextmanager
    def stations(self, url: str) -> Iterator[None]:
        """Each of the three, started by hand."""
        started = [
            self.start("ventilator", "--bind", url, "--data", "data"),
            self.start("sink", "--bind", url, "--data", "data"),
            self.start("worker", "--connect", url, "--slots", "1", "--name", "w"),
        ]
        try:
            until(lambda: " worker_joined: " in (self.folder / "log").read_text() and "sink_joined" in self.log())
            yield
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                process.wait(LIMIT)

    def log(self) -> str:
        """Of what goes on."""
        return (self.folder / "log").read_text()


@pytest.fixture(params=["script", "module"])
def hostile(folder: Path, request: pytest.FixtureRequest) -> Hostile:
    """For the command `penstock` all modules that there are; for `python -m penstock`, which Python lets begin in
    the folder, those that are imported after that."""
    if request.param == "script":
        return Hostile(folder, set(sys.stdlib_module_names) | OF_OTHERS, SCRIPT)
    return Hostile(folder, {"heapq", *OF_OTHERS}, MODULE)


def test_no_command_imports_from_the_current_folder(hostile: Hostile, url: str) -> None:
    """None of those that there are, nor what it starts: stations, fork servers, slots, embedded stations."""
    tried = {line.split()[0] for line in COMMANDS}
    assert tried | {"up", "ventilator", "sink", "worker", "fleet", "web"} == set(group.commands)
    with hostile.stations(url):
        for line in COMMANDS:
            code, said = hostile.command(url, *line.split())
            assert (hostile.caught, code) == ("", CODES.get(line.split()[0], 0)), (line, said)
        web = hostile.start("web", "--url", url, "--listen", "127.0.0.1:0")
        until(lambda: "/login?token=" in hostile.log())
        web.send_signal(signal.SIGINT)
        assert (web.wait(LIMIT), hostile.caught) == (0, "")
    other = free_url()
    process = hostile.start("up", "--bind", other, "--data", "others", "--slots", "1")
    until(lambda: "export PENSTOCK_URL" in hostile.log())
    assert hostile.command(other, "run", "echo", ":::", "a")[0] == 0
    process.send_signal(signal.SIGINT)
    process.wait(LIMIT)
    for line in COMMANDS[:2]:  # with stations of their own
        code, said = hostile.command("", *line.split())
        assert (hostile.caught, code) == ("", 0), (line, said)


def test_a_fleet_imports_nothing_from_where_a_login_ends(folder: Path, url: str) -> None:
    """Neither what goes there through ssh, nor the worker that it starts in the user's home."""
    hostile = Hostile(folder, set(sys.stdlib_module_names) | OF_OTHERS, SCRIPT)
    ssh = folder / "ssh"
    ssh.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\ncd {hostile.folder}\n'
        f'HOME={hostile.folder} XDG_STATE_HOME={folder} exec sh -c "$3"\n'
    )
    ssh.chmod(0o755)
    fleet = Fleet([Host(name="near", slots=1, python=sys.executable)], url, str(ssh))
    with hostile.stations(url):
        for answers in (fleet.start(""), fleet.look(), fleet.stop()):
            (answer,) = answers
            assert (hostile.caught, answer.error) == ("", "")
            assert answer.found["pid"] or answer.found["stopped"]


def test_what_is_printed_imports_nothing_from_where_it_is_started(folder: Path, url: str) -> None:
    """A job script of Slurm runs in the folder of whoever has submitted it."""
    hostile = Hostile(folder, set(sys.stdlib_module_names) | OF_OTHERS, SCRIPT)
    _, unit = hostile.command(url, "print", "systemd", "sink")
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    started = [*shlex.split(line.removeprefix("ExecStart=")), "--help"]
    assert (hostile.run(started, url)[0], hostile.caught) == (0, "")
    _, script = hostile.command(url, "print", "slurm")
    (folder / "job.sh").write_text(f"{script.rstrip()} --help\n")
    code, said = hostile.run(["bash", str(folder / "job.sh")], url, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="1")
    assert (code, hostile.caught) == (0, ""), said


def test_a_function_of_the_current_folder_is_found(folder: Path, url: str) -> None:
    """Whoever names a module that lies there wants what lies there."""
    (folder / "mine.py").write_text("import besides\ndef double(x): return besides.TWO * x\n")
    (folder / "besides.py").write_text("TWO = 2\n")
    done = subprocess.run(
        [*SCRIPT, "run", "--call", "mine:double", "--input", "json", ":::", "4"],
        cwd=folder,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"8\n"), done.stderr
