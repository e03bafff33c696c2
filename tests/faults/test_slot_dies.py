"""A slot dies, or whatever a job can do to its worker: that job has its outcome, and nobody else suffers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs.fault import (
    MIDDLE,
    bomb,
    close_streams,
    deaf_and_lasting,
    deafen,
    die_in_the_middle,
    ears,
    fill,
    kill_agent,
    kill_parent,
    leave_thread,
    nap,
    recurse,
    wait,
    wait_in_the_middle,
)
from penstock import errors
from penstock.slot.fork_server import CAUSES, PROCESS_LIMIT, TOO_MANY
from penstock.slot.process_limit import ROOM
from support.fault_pipeline import World
from support.stations import until


def test_while_jobs_run(world: World) -> None:
    """kill -9 of one slot: its job runs again in the slot that replaces it, its neighbour goes on."""
    world.up("w1", slots=2)
    batch = world.batch(wait, 4)
    index, pid, _ = world.started(2)[0]
    os.kill(pid, 9)
    world.open_gate()
    world.check(batch, 4)
    assert world.times() == {i: 2 if i == index else 1 for i in range(4)}
    assert [outcome.attempts for outcome in batch.outcomes()] == [2 if i == index else 1 for i in range(4)]


@pytest.mark.parametrize("how", ["cancel", "cancel others", "kill", "crash"])
def test_neighbours_in_a_piece_lose_nothing(world: World, how: str) -> None:
    """3,000 short jobs travel in pieces, one in the middle lasts: if it is cancelled, or its slot dies, every other job
    was started once and has succeeded; if others are cancelled, those that had ended have succeeded all the same."""
    pipeline = world.up("w1", slots=2)
    batch = world.batch(die_in_the_middle if how == "crash" else wait_in_the_middle, 3000)
    if how != "crash":
        until(lambda: MIDDLE in world.times() and len(world.times()) == 3000, what="all others have started")
    started = [pid for index, pid, _ in world.starts() if index == MIDDLE]
    if how == "cancel":
        pipeline.cancel(f"{batch.id}:{MIDDLE}")
    elif how == "cancel others":
        for index in (MIDDLE - 1, MIDDLE + 1, 17, 2999):
            pipeline.cancel(f"{batch.id}:{index}")
    elif how == "kill":
        os.kill(started[0], 9)
    if how != "cancel":
        world.open_gate()
    status = batch.wait(60)
    middle = {"cancel": ("cancelled", 1), "cancel others": ("succeeded", 1), "kill": ("succeeded", 2)}.get(
        how, ("dead", 3)
    )
    assert world.times() == {index: middle[1] if index == MIDDLE else 1 for index in range(3000)}
    assert (status.succeeded, getattr(status, middle[0])) == ((3000, 3000) if middle[0] == "succeeded" else (2999, 1))


def test_with_the_process_that_made_it(world: World) -> None:
    """A job that kills its parent is dead after three times; the worker is the same, the other jobs have succeeded."""
    pipeline = world.up("w1", slots=2)
    poison = world.batch(kill_parent, 1)
    batch = world.batch(nap, 20, max_crashes=100)
    assert poison.wait(30).dead == 1
    assert next(poison.outcomes()).attempts == 3
    world.check(batch, 20)
    assert [worker.name for worker in pipeline.workers()] == ["w1"]


def test_with_its_worker(world: World) -> None:
    """A job that kills the agent is dead after three workers, or one more: the first may have died under another job by
    all that is known. All other jobs succeed."""
    pipeline = world.up("w1", "w2", "w3", "w4", "w5")
    batch = world.batch(nap, 40)
    poison = world.batch(kill_agent, 1)
    assert poison.wait(30).dead == 1
    assert re.fullmatch(r"worker w\d on \S+ was lost while .*, 3 of at most 3 times", next(poison.outcomes()).cause)
    world.check(batch, 40)
    assert len(pipeline.workers()) in {1, 2}


def test_with_a_fork_bomb_in_it(world: World) -> None:
    """It is killed when it has too many processes, and that is its cause; the worker answers all the while."""
    pipeline = world.up("w1", slots=2)
    before = len(psutil.pids())
    batch = world.batch(bomb, 1, max_crashes=1)
    most = 0
    while not batch.status().done:
        most = max(most, len(psutil.pids()) - before)
        assert len(pipeline.workers()) == 1
    (dead,) = batch.outcomes()
    assert dead.state == "dead"
    assert dead.cause.startswith(CAUSES[TOO_MANY])
    print(f"at most {most} processes")
    assert most < 10 * PROCESS_LIMIT
    assert pipeline.submit(abs, -1).result(30) == 1


def forks(_: int) -> tuple[int, str]:
    """How many processes a job can have at once, and what stops it."""
    children: list[int] = []
    try:
        while len(children) < 2 * PROCESS_LIMIT:
            children.append(os.fork() or _idle())
    except OSError as error:
        return len(children), str(error)
    return len(children), "nothing"


def _idle() -> int:
    time.sleep(60)
    os._exit(0)


def test_by_too_many_processes_of_its_own(world: World) -> None:
    """Where there are control groups the kernel refuses more of them; elsewhere they are killed soon."""
    world.up("w1")
    (outcome,) = world.clients[0].batch(forks, [0], max_crashes=1).outcomes()
    if outcome.state == "dead":
        assert outcome.cause.startswith(CAUSES[TOO_MANY])
    else:
        assert outcome.value is not None
        count, reason = outcome.value
        assert count < PROCESS_LIMIT + ROOM
        assert "Resource temporarily unavailable" in reason


@pytest.fixture
def small(folder: Path) -> Iterator[Path]:
    """A file system with room for 4 MB."""
    place = folder / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False)
    if made.returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_with_no_room_in_the_temporary_folder(world: World, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that fills /tmp fails with what the system says; the next jobs run, with all that penstock needs."""
    monkeypatch.setenv("TMPDIR", str(small))
    pipeline = world.up("w1")
    error = pipeline.submit(fill, str(small / "full")).exception(30)
    assert isinstance(error, OSError)
    assert "No space left" in str(error)
    assert pipeline.command(["echo", "hi"]).result(30).stdout == b"hi\n"
    assert pipeline.submit(lambda: "x" * (1 << 20)).result(30) == "x" * (1 << 20)


def test_by_recursion_without_end(world: World) -> None:
    """A stack that overflows is a failure or a death, said in words; it is never a worker's."""
    pipeline = world.up("w1")
    error = pipeline.options(max_crashes=1).submit(recurse, 0).exception(30)
    assert isinstance(error, RecursionError) or "SIGSEGV" in str(error)
    assert pipeline.submit(abs, -1).result(30) == 1


def test_job_with_threads_and_deaf_ears_changes_nothing_for_the_next(world: World) -> None:
    """Signal handlers and masks are as before for the next job; a thread of the one before runs on, in the same
    process, of which the initializer has run once."""
    pipeline = world.up("w1")
    first = pipeline.submit(os.getpid).result(30)
    assert pipeline.submit(leave_thread, 1).result(30) == 1
    assert pipeline.submit(threading.active_count).result(30) == 2
    view = pipeline.options(initializer=leave_thread, initargs=(0,))
    assert [view.submit(threading.active_count).result(30) for _ in range(3)] == [3, 3, 3]
    assert pipeline.submit(os.getpid).result(30) == first
    assert pipeline.submit(ears).result(30) == (True, False)
    assert pipeline.submit(leave_thread, 1).result(30) == 1
    assert pipeline.submit(deafen, 2).result(30) == 2
    assert pipeline.submit(ears).result(30) == (True, False)
    assert world.end("w1") == 0


def test_job_that_closes_its_streams_harms_itself(world: World) -> None:
    """The next job reads nothing and is heard, whether it is a call or a command."""
    pipeline = world.up("w1")
    assert pipeline.submit(close_streams, 1).result(30) == 1
    (outcome,) = pipeline.batch(lambda _: print("heard") or (sys.stdin.read(), os.read(0, 1)), [0]).outcomes()
    assert (outcome.stdout, outcome.value) == (b"heard\n", ("", b""))
    assert pipeline.submit(close_streams, 1).result(30) == 1
    assert pipeline.command(["sh", "-c", "cat; echo heard; echo too >&2"]).result(30).stdout == b"heard\n"


def test_deaf_job_is_ended_all_the_same(world: World) -> None:
    """A time limit ends a job that ignores every signal, with SIGKILL after the grace."""
    pipeline = world.up("w1")
    error = pipeline.options(time_limit=0.2).submit(deaf_and_lasting).exception(30)
    assert isinstance(error, errors.JobTimedOut)
    assert pipeline.submit(abs, -1).result(30) == 1
