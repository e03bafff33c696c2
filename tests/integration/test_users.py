"""Jobs as another user: on a worker that runs as root and allows that user by name."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline, payload
from penstock.core.inputs import Input, PieceDone
from penstock.job import BatchSpec, Stamp
from penstock.seat import Work
from penstock.slots import SlotHost
from support import Stations, until

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


def test_a_user_that_is_not_allowed_is_refused(stations: Stations) -> None:
    """In one line that says what to do; the job has not started."""
    stations.start("ventilator", "sink", "w1")
    with Pipeline(stations.url) as pipeline:
        for target in (abs, ["true"]):
            (outcome,) = pipeline.batch(target, [1], user=USER).outcomes()
            assert outcome.state == "failed"
            assert outcome.cause == (
                f"worker w1 does not allow user={USER}: it has to be started as root with --allow-user {USER}"
            )


def test_a_worker_refuses_users_that_it_cannot_be(cli: Cli) -> None:
    """Root, a user that is not there; anybody, if it is not root itself."""
    for name, text in (("root", "jobs without user="), ("no-such-user", "no such user")):
        done = cli("worker", "--allow-user", name)
        assert done.returncode == 2
        assert (text if os.geteuid() == 0 else "runs as root").encode() in done.stderr


def test_a_slot_that_cannot_become_the_user_fails_the_job(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """It is not tried for ever: the user may have been removed meanwhile."""
    monkeypatch.setattr("penstock.slots.refusal", lambda *_: "")
    with contextlib.closing(SlotHost(1, "mill")) as host:
        code, chunk = payload.function_blob(abs, "pickle"), payload.chunk_blob("item", [1], "pickle")
        work = Work(1, bytes(16), BatchSpec(user="no-such-user"), bytes(16), lambda: code, 0, chunk, Stamp())
        inputs: list[Input] = []

        def turn() -> PieceDone | None:
            inputs.extend(event for fd in host.filenos() for event in host.receive(fd))
            inputs.extend(host.tick(time.clock_gettime(time.CLOCK_BOOTTIME)))
            return next((event for event in inputs if isinstance(event, PieceDone)), None)

        until(lambda: turn() or inputs, what="the slot is ready")
        host.run(0, 1, work, 0, 1)
        done = until(turn)
        assert done is not None
        assert done.ran[0].note is not None
        assert done.ran[0].note.cause == "no slot can be started as user no-such-user: exit code 1"
