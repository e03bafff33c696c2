"""Fixtures of all tests. A test that leaves a process, a socket or a folder behind fails."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import hypothesis
import psutil
import pytest

from support.stations import LIMIT, Stations, descendants, free_url, logs, until

MARK = "PENSTOCK_TEST_MARK"
SHOWN = "shown"
"""Among the properties of a test's report."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # started in the background by a shell without job control: what the tests start would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)


hypothesis.settings.register_profile("penstock", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("penstock")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private folder with a short name (a socket's path ends at 107 bytes); temporary files go there too."""
    path = Path(tempfile.mkdtemp(prefix="pt-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path / "config"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a process, an open socket or a pipeline's folder behind."""
    if {"unit", "scenarios"} & set(request.path.parts):
        yield  # these start nothing
    else:
        yield from _watched(request.getfixturevalue("folder"), request.getfixturevalue("monkeypatch"))


def _watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # the standard library starts its helper once, on Python 3.14 for any lock of multiprocessing: of no test's doing
    resource_tracker.ensure_running()
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    for name in ("PENSTOCK_URL", "PENSTOCK_DATA", "PENSTOCK_JOB_ID", "PENSTOCK_KEY", "PENSTOCK_KEYS"):
        monkeypatch.delenv(name, raising=False)
    before = open_sockets()
    yield
    try:
        until(lambda: not descendants(mark), LIMIT, "every process that the test started is gone")
        until(lambda: open_sockets() <= before, LIMIT, "every socket that the test opened is closed")
    finally:
        for process in descendants(mark):
            with contextlib.suppress(psutil.Error):
                print("left behind:", process.pid, process.status(), process.cmdline())
            process.kill()
    left = [str(path) for pattern in ("penstock-*", "penstock-*/**/*") for path in folder.glob(pattern)]
    assert not left, f"a pipeline's private folder was left behind: {left}"


def open_sockets() -> set[str]:
    """The sockets this process has open, by the kernel's names."""
    found: set[str] = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture
def url() -> str:
    """Six free ports."""
    return free_url()


@pytest.fixture
def stations(folder: Path, url: str) -> Iterator[Stations]:
    """Real stations, none started yet."""
    made = Stations(folder, url)
    yield made
    made.close()
    print("\n".join(logs(folder)))


Show = Callable[[str, str], None]


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Show:
    """Takes a title and lines of what a test saw, which are printed at the end of the run, whatever the output is."""

    def say(title: str, text: str) -> None:
        record_property(SHOWN, (title, text))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have shown, also by other processes (pytest -n): under each title all that was shown under it."""
    told: dict[str, list[str]] = {}
    for outcome in ("passed", "failed", "xfailed", "xpassed"):
        for report in terminalreporter.getreports(outcome):
            for name, shown in report.user_properties:
                if name == SHOWN:
                    told.setdefault(shown[0], []).append(shown[1])
    for title, texts in told.items():
        terminalreporter.section(title)
        terminalreporter.write_line("\n".join(texts))


Cli = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def cli(folder: Path) -> Cli:
    """Runs the command line in `folder` and waits for its end."""

    def run(
        *words: str | bytes, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *words],
            input=stdin,
            capture_output=True,
            cwd=folder,
            env=os.environ | (env or {}),
            timeout=4 * LIMIT,
            check=False,
        )

    return run
