"""What is done on a host, as far as it needs none."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.fleet import on_host, wheel


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> on_host.WorkerFiles:
    """Where a pipeline's worker has its files, on a host of the test's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return on_host.WorkerFiles("head-7555")


def test_a_worker_is_there_while_the_lock_is_held(files: on_host.WorkerFiles) -> None:
    """A process id in a file alone is nobody's."""
    assert files.worker() == 0
    lock = files.take()
    assert lock is not None
    files.pid.write_text("4711\n")
    assert (files.worker(), files.take()) == (4711, None)
    os.close(lock)
    assert files.worker() == 0


def test_a_process_id_of_another_host_is_nobodys(files: on_host.WorkerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that share a home and a name: a signal would hit whoever has that number here."""
    lock = files.take()
    assert lock is not None
    files.pid.write_text(json.dumps({"pid": 4711, "boot": on_host.boot(), "penstock": "x"}))
    assert files.worker() == 4711
    monkeypatch.setattr(on_host, "boot", lambda: "another life")
    with pytest.raises(on_host.HostError, match="give hosts that share a home different names"):
        files.worker()
    os.close(lock)
    assert files.worker() == 0, "its worker has ended"


def test_a_worker_that_0_2_has_started_is_known(files: on_host.WorkerFiles) -> None:
    """By the folder that was all hosts', as long as it runs here."""
    before = files.folder.parent
    assert before.name == "head-7555"
    before.mkdir(parents=True)
    lock = on_host.private_file(before / "worker.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    program = "import sys; print(flush=True); sys.stdin.read()  # penstock"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # from now on the kernel knows its command
        (before / "worker.pid").write_text(f"{process.pid}\n")
        assert on_host.WorkerFiles("head-7555").worker() == process.pid
        assert on_host.WorkerFiles("head-7555").folder == before
        process.communicate()
    assert on_host.WorkerFiles("head-7555").folder == files.folder, "it may be another host's"
    os.close(lock)


def test_a_key_is_its_owners_alone(files: on_host.WorkerFiles) -> None:
    """The file and its folder, also where the file was another's to read."""
    lock = files.take()
    assert lock is not None
    os.close(lock)
    files.key.touch(mode=0o644)
    files.write_key("secret")
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert files.key.read_text() == "secret"


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_worker_leaves_files_of_its_own_alone(files: on_host.WorkerFiles) -> None:
    """Log, pid file and lock, whatever the umask; the log grows from its end also after somebody has emptied it."""
    before = os.umask(0)
    try:
        lock = files.take()
        assert lock is not None
        program = (
            "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {15}); print('is started: ', flush=True);"
            " signal.sigwait({15}); print('leaves')"
        )
        on_host.launch(files, [sys.executable, "-c", program], lock, "digest")
        os.close(lock)
    finally:
        os.umask(before)
    worker = files.worker()
    os.truncate(files.log, 0)
    os.kill(worker, signal.SIGTERM)
    os.waitpid(worker, 0)
    assert files.log.read_bytes() == b"leaves\n"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.folder.iterdir()} == {
        "worker.lock": 0o600,
        "worker.log": 0o600,
        "worker.pid": 0o600,
    }


def test_only_this_very_penstock_fits(files: on_host.WorkerFiles) -> None:
    """Another version, or one with a changed file, is as good as none."""
    assert on_host.fitting(on_host.digest(wheel.PACKAGE)) == sys.executable
    assert on_host.fitting("another") == ""
    venv = on_host.private("another")
    venv.mkdir(parents=True)
    assert on_host.fitting("another") == ""
    (venv / "installed").touch()
    assert on_host.fitting("another") == str(venv / "bin" / "python")


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    """Not of what Python compiled, nor of where it is."""
    seen = []
    for folder, name, text in (("a", "x.py", "1"), ("b", "x.py", "1"), ("c", "x.py", "2"), ("d", "y.py", "1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
        (tmp_path / folder / f"{folder}.pyc").write_text(folder)
        seen.append(on_host.digest(tmp_path / folder))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


def test_a_program_that_fails_says_why() -> None:
    """Its last line, behind what was tried."""
    with pytest.raises(on_host.HostError, match=r"^no venv: out of paper$"):
        on_host.run([sys.executable, "-c", "print('out of paper'); raise SystemExit(3)"], "no venv")


def test_an_order_that_cannot_be_carried_out_is_an_answer(
    files: on_host.WorkerFiles, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, as all answers are."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    on_host.main({"do": "start", "pipeline": "x", "digest": on_host.digest(wheel.PACKAGE), "key": "", "options": []})
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.startswith(on_host.MARK + '{"error": ')
