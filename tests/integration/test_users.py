"""Jobs as another user: on a worker that runs as root and allows that user by name."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline, errors
from penstock.job import payload
from penstock.job.spec import BatchSpec, Stamp
from penstock.station.contract import Input
from penstock.wire.records import BatchHead, Lease
from penstock.worker.contract import PieceDone, Run
from penstock.worker.slot_host import SlotHost
from support.stations import Stations, until

USER = "nobody"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@as_root
def test_jobs_run_as_the_user_they_name(stations: Stations) -> None:
    """Calls and commands, beside jobs that name none; the next job of the slot is itself again, also after a death."""
    stations.start("ventilator", "sink")
    stations.start("w1", allow_users=(USER,))
    entry = pwd.getpwnam(USER)

    def who(_: int) -> tuple[int, int, list[int], str, str]:
        with open("/dev/stdout", "wb") as file:
            file.write(b"heard")
        return os.getuid(), os.getgid(), os.getgroups(), os.environ["USER"], os.environ["HOME"]

    def become_root() -> bool:
        try:
            os.setuid(0)
        except PermissionError:
            return b"NoNewPrivs:\t1" not in Path("/proc/self/status").read_bytes()
        return True

    with Pipeline(stations.url) as pipeline:
        theirs = pipeline.options(user=USER)
        (outcome,) = pipeline.batch(who, [0], user=USER).outcomes()
        groups = sorted(os.getgrouplist(USER, entry.pw_gid))
        assert outcome.value is not None
        uid, gid, found, name, home = outcome.value
        assert (uid, gid, sorted(found), name, home) == (entry.pw_uid, entry.pw_gid, groups, USER, entry.pw_dir)
        assert outcome.stdout == b"heard"
        assert not theirs.submit(become_root).result(30)
        futures = [view.submit(os.getuid) for _ in range(10) for view in (pipeline, theirs)]
        assert [future.result(60) for future in futures] == [0, entry.pw_uid] * 10
        assert theirs.options(max_crashes=1).submit(os.abort).exception(30) is not None
        assert pipeline.command(["id", "-un"], cwd="/", user=USER).result(30).stdout == f"{USER}\n".encode()
        assert pipeline.command(["id", "-u"], cwd="/").result(30).stdout == b"0\n"


@as_root
def test_a_folder_that_the_user_must_not_enter_is_the_cause(stations: Stations, folder: Path) -> None:
    """The submitter's folder may be private."""
    folder.chmod(0o700)
    stations.start("ventilator", "sink")
    stations.start("w1", allow_users=(USER,))
    with Pipeline(stations.url) as pipeline:
        batch = pipeline.batch(["true"], [()], cwd=folder, user=USER)
        (outcome,) = batch.outcomes()
        assert (outcome.state, outcome.cause) == ("failed", f"cannot run in the folder '{folder}': Permission denied")


def test_a_user_that_is_not_allowed_is_refused(stations: Stations, cli: Cli) -> None:
    """NoSuchWorker or a warning in Python, one line and exit code 2 on the command line; nothing has started."""
    stations.start("ventilator", "sink", "w1")
    with Pipeline(stations.url) as pipeline:
        until(pipeline.workers)
        for target in (abs, ["true"]):
            with pytest.raises(errors.NoSuchWorker, match=f"no worker that allows user={USER}"):
                pipeline.batch(target, [1], user=USER, on_missing="fail")
            batch = pipeline.batch(target, [1], user=USER)
            assert batch.status().waits == f"no worker that allows user={USER} is connected"
            batch.cancel()
        known = len(pipeline.batches())
        for command in ("run", "submit"):
            done = cli(command, "--url", stations.url, "--user", USER, "touch", "made", ":::", "a")
            assert (done.returncode, done.stdout) == (2, b"")
            assert done.stderr.splitlines()[-1].endswith(f"start one as root with --allow-user {USER}".encode())
        assert len(pipeline.batches()) == known
    assert not (stations.folder / "made").exists()


@as_root
def test_jobs_of_a_user_go_where_it_is_allowed(stations: Stations, cli: Cli) -> None:
    """Of two workers, to the one that allows it; from the command line too."""
    stations.start("ventilator", "sink", "w1")
    stations.start("w2", allow_users=(USER,))
    with Pipeline(stations.url) as pipeline:
        until(lambda: len(pipeline.workers()) == 2)
        found = {outcome.worker for outcome in pipeline.batch(abs, range(6), user=USER).outcomes()}
        assert found == {"w2"}
    done = cli("run", "--url", stations.url, "--user", USER, "--cwd", "/", "--one", "id", "-un")
    assert (done.returncode, done.stdout) == (0, USER.encode() + b"\n")


def test_a_worker_refuses_users_that_it_cannot_be(cli: Cli) -> None:
    """Root, a user that is not there; anybody, if it is not root itself."""
    for name, text in (("root", "jobs without user="), ("no-such-user", "no such user")):
        done = cli("worker", "--allow-user", name)
        assert done.returncode == 2
        assert (text if os.geteuid() == 0 else "runs as root").encode() in done.stderr


def test_a_slot_that_cannot_become_the_user_fails_the_job(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """It is not tried for ever: the user may have been removed meanwhile."""
    monkeypatch.setattr("penstock.worker.slot_host.refusal", lambda *_: "")
    with contextlib.closing(SlotHost(1, "mill")) as host:
        code, chunk = payload.dumps(abs), payload.chunk_blob("item", [1], "pickle")
        head = BatchHead(bytes(16), BatchSpec(user="no-such-user"), bytes(16), len(code), 0)
        inputs: list[Input] = []

        def turn() -> PieceDone | None:
            inputs.extend(event for fd in host.filenos() for event in host.receive(fd))
            inputs.extend(host.tick(time.clock_gettime(time.CLOCK_BOOTTIME)))
            return next((event for event in inputs if isinstance(event, PieceDone)), None)

        until(lambda: turn() or inputs, what="the slot is ready")
        host.run(Run(0, 1, Lease(1, bytes(16), 0, 1, 0, 1, Stamp(), 0), head, 0, 1), code, chunk)
        done = until(turn)
        assert done is not None
        assert done.ran[0].note is not None
        assert done.ran[0].note.cause.startswith("no slot can be started as user no-such-user: KeyError: ")
