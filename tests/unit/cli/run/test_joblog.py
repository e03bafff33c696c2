"""What is written beside stdout. The formats themselves are compared with GNU parallel's in contract/."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.cli.job_output import Shown
from penstock.cli.run.joblog import HEAD, Ended, JobLog, ResultFiles, file_name
from penstock.cli.run.pipe import kept
from penstock.cli.streams import CannotWrite
from penstock.client.records import FinalState, Outcome
from penstock.errors import ConfigError


def ended(state: FinalState = "succeeded", item: Any = "a", shown: bytes = b"f('a')", **fields: Any) -> Ended:
    fields = {"stdout": b"out", "stderr": b"err", "stdout_size": 3, "stderr_size": 3, **fields}
    outcome = Outcome(job_id="ab:7", index=7, position=1, state=state, **fields)
    return Ended(7, item, lambda slot: shown + b" %d" % slot, Shown(outcome, lambda *_: iter(())))


def test_jobs_that_never_started_are_not_in_the_joblog(tmp_path: Path) -> None:
    """A cancelled job ran nowhere; one that was lost has the exit value of a failure."""
    with JobLog(str(tmp_path / "log"), "") as log:
        log.add(ended("cancelled"))
        log.add(ended("dead", started=5.0, elapsed=1.5, worker="w1", slot=2, shown=b"two\nlines"))
    assert (tmp_path / "log").read_bytes() == HEAD + b"8\tw1\t5.000\t     1.500\t0\t3\t1\t0\ttwo\0lines 3\n"


def test_a_joblog_goes_on(tmp_path: Path) -> None:
    """Behind its whole lines, or behind all that is there; else it begins anew."""
    path = tmp_path / "log"
    for name, resumed, before, after in (
        ("log", 5, b"head\n1\ttor", b"head\n"),
        ("log", 0, b"torn head", HEAD),
        ("+log", None, b"line\n", b"line\n"),
        ("log", None, b"line\n", HEAD),
    ):
        path.write_bytes(before)
        with JobLog(name.replace("log", str(path)), "", resumed=resumed):
            pass
        assert path.read_bytes() == after


def test_a_joblog_on_a_full_disk_is_said_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And the jobs go on: what they print is worth more than the log."""
    with JobLog(str(tmp_path / "log"), ":") as log:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, log._fd)
        os.close(full)
        for _ in range(2):
            log.add(ended(started=5.0))
    assert log.failure == "no space left on device"
    assert capsys.readouterr().err.count("no space left on device") == 1


def test_a_folder_on_a_disk_that_fills_up_is_named(tmp_path: Path) -> None:
    """A joblog goes on without a line that cannot be written; results that are missing end the run."""
    results = ResultFiles(str(tmp_path / "res"), 1)
    (tmp_path / "res").symlink_to("/dev/full")
    with pytest.raises(CannotWrite, match=r"cannot write to .*/res: "):
        results.add(ended())


def listing(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("made", "name", "reason"),
    [
        (JobLog, "file", None),
        (JobLog, "new", None),
        (JobLog, "folder", "it is a folder"),
        (JobLog, "none/new", "there is no folder"),
        (JobLog, "file/new", "not a directory"),
        (ResultFiles, "folder", None),
        (ResultFiles, "new/and/new", None),
        (ResultFiles, "file", "is a file"),
        (ResultFiles, "file/new", "there is no folder"),
    ],
)
def test_looking_makes_nothing_and_changes_nothing(tmp_path: Path, made: Any, name: str, reason: str | None) -> None:
    """What cannot be written is refused with why, before anything runs; what is there stays as it is."""
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    before = listing(tmp_path)
    if reason is None:
        made(str(tmp_path / name), "")
    else:
        with pytest.raises(ConfigError, match=reason):
            made(str(tmp_path / name), "")
    assert listing(tmp_path) == before


@pytest.mark.parametrize("argument", [b"..", b".", b"a/../../b", b"/etc/passwd", b"\xff" * 300, b"", b"a\0b"])
def test_no_argument_leaves_the_folder(tmp_path: Path, argument: bytes) -> None:
    """Whatever an argument is, its files are below DIR, in a folder with a possible name."""
    ResultFiles(str(tmp_path / "res"), 1).add(ended(item=[argument]))
    (found,) = tmp_path.rglob("stdout")
    assert found.resolve().is_relative_to(tmp_path / "res" / "1")
    assert found.read_bytes() == b"out"


@pytest.mark.parametrize("link", ["1", "1/a", "1/a/stdout", "1/a/stderr", "1/a/seq"])
def test_no_link_leads_out_of_the_folder(tmp_path: Path, link: str) -> None:
    """Whoever put it into DIR, and to whatever it leads; DIR itself may be one."""
    elsewhere, real, folder = tmp_path / "elsewhere", tmp_path / "real", tmp_path / "res"
    elsewhere.mkdir()
    real.mkdir()
    folder.symlink_to(real)
    (folder / link).parent.mkdir(parents=True, exist_ok=True)
    (folder / link).symlink_to(elsewhere if link in {"1", "1/a"} else elsewhere / "file")
    with pytest.raises(CannotWrite, match="symbolic link"):
        ResultFiles(str(folder), 1).add(ended())
    assert listing(elsewhere) == []


def test_no_pipe_in_the_folder_is_waited_for(tmp_path: Path) -> None:
    """Nobody reads it."""
    (tmp_path / "1" / "a").mkdir(parents=True)
    os.mkfifo(tmp_path / "1" / "a" / "stdout")
    with pytest.raises(CannotWrite):
        ResultFiles(str(tmp_path), 1).add(ended())


ARGUMENTS = st.sampled_from([b"", b"1", b"2", b"stdout", b"stderr", b"seq", b"\\empty", b"\\stdout", b"a/b", b".."])


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[ARGUMENTS] * n), unique=True, min_size=2, max_size=9)))
@example([(b"",), (b"stdout",)])
@example([(b"stdout",), (b"",)])
@example([(b"", b"2"), (b"2", b"")])
def test_no_argument_is_in_the_way_of_another(rows: list[tuple[bytes, ...]]) -> None:
    """Whatever they are, and whichever ends first: as many folders as jobs."""
    with TemporaryDirectory() as folder:
        files = ResultFiles(folder, len(rows[0]))
        for row in rows:
            files.add(ended(item=list(row)))
        assert len([path for path in Path(folder).rglob("stdout") if path.is_file()]) == len(rows)


def test_blocks_have_folders_of_their_own(tmp_path: Path) -> None:
    """Named by their numbers; the joblog says how large they were."""
    item = kept([b"block"])
    ResultFiles(str(tmp_path / "res"), 1).add(ended(item=item))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("stdout")] == ["res/8/stdout"]
    with JobLog(str(tmp_path / "log"), ":") as log:
        log.add(ended(item=item, started=5.0))
    assert (tmp_path / "log").read_bytes().splitlines()[1].split(b"\t")[4] == b"5"


def test_long_arguments_stay_apart() -> None:
    """What is cut off counts too."""
    names = {file_name(b"a" * 300 + end) for end in (b"x", b"y")}
    assert len(names) == 2
    assert all(len(name) <= 255 for name in names)


@pytest.mark.parametrize("folder", ["out.csv", "out/{1}"])
def test_other_forms_of_results_are_refused(folder: str) -> None:
    """GNU parallel makes something else of these."""
    with pytest.raises(ConfigError, match="the name of a folder"):
        ResultFiles(folder, 1)
