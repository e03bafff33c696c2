"""What jobs fork, start and leave behind in a slot, whose its process is, and how it ends."""

from __future__ import annotations

import atexit
import builtins
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from integration.test_slots import Agent, Done, agent, command, is_running, pair
from penstock.job.spec import JobState
from penstock.slot.process_tree import ZOMBIES
from penstock.worker import slot_lives
from penstock.worker.contract import PieceDone, SlotDied, SlotReady, SlotUnfit
from penstock.worker.slot_host import SlotHost

__all__ = ["agent", "pair"]

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # slots cannot import it by name


# ------------------------------------------------------------------------------------------------------- forks


def fork(x: int) -> tuple[int, bool]:
    """Returns twice."""
    return x, os.fork() > 0


def fork_in_thread(x: int) -> tuple[int, bool]:
    """Its thread goes on in the child, and ends there."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(os.fork()))
    thread.start()
    thread.join()
    return x, found[0] > 0


@pytest.mark.parametrize("block", [1, 10])
@pytest.mark.parametrize("forks", [fork, fork_in_thread])
def test_a_forked_child_is_never_the_slot(agent: Agent, block: int, forks: Callable[[int], tuple[int, bool]]) -> None:
    """Each job has one answer, its parent's; a child runs none of those that follow, in the midst of a block either."""
    assert agent.done(forks, range(40), block).values() == [(x, True) for x in range(40)]
    assert agent.count(PieceDone) == 1


def test_a_child_writes_nothing_where_the_agent_looks(agent: Agent, folder: Path) -> None:
    """It goes on while the next piece runs, of which the page tells all the same."""

    def linger(path: str) -> int:
        pid = os.fork()
        if pid == 0:
            while not os.path.exists(path):
                time.sleep(0.01)
        return pid

    gate = str(folder / "gate")
    child = agent.done(linger, [gate]).values()[0]

    def wait(_: int) -> str:
        while os.path.exists(f"/proc/{child}/fd"):
            time.sleep(0.01)
            os.waitpid(child, os.WNOHANG)
        return "alone"

    piece = agent.run(agent.work(wait, [0], first=7), 7, 8)
    agent.until(lambda: agent.running(0) == (piece, 7))
    Path(gate).touch()
    assert Done(agent.answer(PieceDone, piece), "pickle").values() == ["alone"]
    assert agent.count(PieceDone) == 2


def test_a_child_ends_as_a_process_does(agent: Agent) -> None:
    """With the code that it exits with, 0 where its job returned, 1 and a traceback where that raised."""

    def end(how: str) -> int:
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print("child", how, end="")
        if how == "exits":
            raise SystemExit(3)
        if how == "raises":
            raise ValueError("in the child")
        return 0

    done = agent.done(end, ["returns", "exits", "raises"])
    assert done.values() == [0, 3, 1]
    printed = done.printed()
    assert [printed[index][0] for index in range(3)] == [b"child returns", b"child exits", b"child raises"]
    assert printed[2][1].endswith(b"ValueError: in the child\n")


class ForksWhenLoaded:
    """Unpickled it forks: the child comes back in the midst of loading."""

    def __init__(self) -> None:
        self.pid = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return os.fork, ()


def test_a_child_of_what_is_loaded_runs_no_job(agent: Agent, folder: Path) -> None:
    """Nor of an argument, of the function's own state, or of what a result is made of."""
    path = str(folder / "ran")

    def mark(_: object) -> Any:
        with open(path, "a") as file:
            file.write("x")
        return ForksWhenPickled()

    class ForksWhenPickled:
        def __reduce__(self) -> tuple[Any, ...]:
            return int, (int(os.fork() > 0),)

    assert agent.done(mark, [ForksWhenLoaded()]).values() == [1]
    time.sleep(0.1)
    assert Path(path).read_text() == "x"
    assert agent.count(PieceDone) == 1


def test_multiprocessing_works_in_a_job(agent: Agent) -> None:
    """Forked, spawned, from a fork server of its own; a pool of processes too."""

    def start(method: str) -> int:
        context: Any = multiprocessing.get_context(method)
        process = context.Process(target=time.sleep, args=(0,))
        process.start()
        process.join()
        return int(process.exitcode)

    def pool(x: float) -> list[float]:
        import math

        with ProcessPoolExecutor(2) as executor:
            return list(executor.map(math.sqrt, [x] * 3))

    assert agent.done(start, ["fork", "spawn", "forkserver"]).values() == [0, 0, 0]
    assert agent.done(pool, [4.0]).values() == [[2.0] * 3]


# ---------------------------------------------------------------------------------------------- what is left


def test_a_pool_in_a_global_goes_on_working(agent: Agent) -> None:
    """From job to job, with its processes, its threads and the slot that it belongs to."""

    def ask(_: int) -> tuple[int, int, int]:
        if not hasattr(builtins, "pools_of_test"):
            builtins.pools_of_test = ProcessPoolExecutor(1), multiprocessing.Pool(1)  # type: ignore[attr-defined]
        executor, pool = builtins.pools_of_test  # type: ignore[attr-defined]
        return os.getpid(), executor.submit(os.getpid).result(20), pool.apply(os.getpid)

    found = [agent.done(ask, [0]).values()[0] for _ in range(3)]
    assert len(set(found)) == 1


def test_a_thread_that_is_no_daemon_does_not_end_the_slot(agent: Agent) -> None:
    """What the job before it left is still there."""

    def leave(_: int) -> int:
        threading.Thread(target=time.sleep, args=(1000,), name="left").start()
        return os.getpid()

    def find(_: int) -> tuple[int, bool]:
        return os.getpid(), any(thread.name == "left" for thread in threading.enumerate())

    pid = agent.done(leave, [0]).values()[0]
    assert agent.done(find, [0]).values() == [(pid, True)]


def test_dead_children_that_nobody_asked_for_are_bounded(agent: Agent) -> None:
    """When their job has ended; whoever lives is left alone, and so are the newest: somebody may ask for them."""

    def litter(count: int) -> int:
        for number in range(count):
            pid = os.fork()
            if pid == 0:
                os._exit(number % 7)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    def look(pid: int) -> tuple[int, int]:
        from penstock.slot.process_tree import children

        left = len(children(os.getpid()))
        return left, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    pid = agent.done(litter, [130]).values()[0]
    assert agent.done(look, [pid]).values() == [(ZOMBIES, 129 % 7)]


# ------------------------------------------------------------------------------------------------- tenants


def pid_of(agent: Agent, client: bytes, slot: int = 0) -> int:
    """The process that runs a call of this client."""
    work = agent.work(os.getpid, [()], form="star", client=client)
    pid: int = Done(agent.answer(PieceDone, agent.run(work, 0, 1, slot=slot)), "pickle").values()[0]
    return pid


def test_another_client_gets_a_fresh_process(agent: Agent) -> None:
    """The same one the same, also when a command ran in between; a process that ran commands only is fresh."""
    new = agent.host._lives.handles[0].pid
    assert agent.done(command("true"), [[]]).spans() == [(0, 1, "succeeded")]
    first = pid_of(agent, b"a")
    assert first == new
    assert agent.done(command("true"), [[]]).spans() == [(0, 1, "succeeded")]
    assert pid_of(agent, b"a") == first
    second = pid_of(agent, b"b")
    assert second != first
    assert pid_of(agent, b"a") not in {first, second}


def test_a_slot_has_a_name_and_a_number_in_multiprocessing(pair: Agent) -> None:
    """As a worker of a Pool: seeds and log files go by them."""

    def who() -> tuple[str, tuple[int, ...]]:
        me = multiprocessing.current_process()
        return me.name, me._identity

    found = [pair.values(who, [()], form="star", slot=slot)[0] for slot in (0, 1)]
    assert found == [("penstock-slot-0", (1,)), ("penstock-slot-1", (2,))]


# --------------------------------------------------------------------------------------------------- the end


def says_goodbye(path: str) -> int:
    """Registers an exit handler."""
    atexit.register(lambda: Path(path).write_text("goodbye"))
    return os.getpid()


@pytest.mark.parametrize("how", ["replaced", "closed", "used up"])
def test_exit_handlers_run_when_a_slot_is_let_go(agent: Agent, folder: Path, how: str) -> None:
    """For another client's sake, at the end of its worker, after its last run; a thread left behind is waited for."""
    path = str(folder / "goodbye")

    def job(path: str) -> int:
        threading.Thread(target=time.sleep, args=(0.1,)).start()
        if how == "used up":
            from penstock.job.current_job import here

            here.retiring = True
        return says_goodbye(path)

    work = agent.work(job, [path], client=b"a")
    pid = Done(agent.answer(PieceDone, agent.run(work, 0, 1)), "pickle").values()[0]
    if how == "replaced":
        pid_of(agent, b"b")
    elif how == "closed":
        agent.host.close()
        agent.host = SlotHost(1, "mill")
    agent.until(lambda: not is_running(pid))
    assert Path(path).read_text() == "goodbye"


def test_an_exit_handler_that_hangs_is_not_waited_for(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next client has its process at once, and the old one is ended after a while."""
    monkeypatch.setattr(slot_lives, "EXIT_TIME", 0.2)

    def hang() -> int:
        atexit.register(time.sleep, 1000)
        return os.getpid()

    work = agent.work(hang, [()], form="star", client=b"a")
    pid = Done(agent.answer(PieceDone, agent.run(work, 0, 1)), "pickle").values()[0]
    assert pid_of(agent, b"b") != pid
    agent.until(lambda: not is_running(pid))


def test_a_slot_that_is_ended_runs_no_exit_handlers(agent: Agent, folder: Path) -> None:
    """Whoever is over a limit has no more time."""
    path = str(folder / "goodbye")

    def stay(path: str) -> None:
        says_goodbye(path)
        Path(path).with_suffix(".begun").touch()
        signal.pause()

    piece = agent.run(agent.work(stay, [path]), 0, 1)
    agent.until(Path(path).with_suffix(".begun").exists)
    agent.host.end(0, piece, 0.2, JobState.CANCELLED, "cancelled")
    agent.answer(SlotDied, piece)
    assert not Path(path).exists()


# ---------------------------------------------------------------------------------------- limits and failures


class Slow:
    """Takes long to be loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return time.sleep, (1000,)


def test_the_time_limit_counts_what_is_loaded(agent: Agent) -> None:
    """The job that was first in line is timed out, with a cause that says so; the next one has its own time."""
    piece = agent.run(agent.work(partial(max, Slow()), [1], time_limit=0.3), 0, 1)
    death = agent.answer(SlotDied, piece)
    assert (death.index, death.state) == (0, JobState.TIMED_OUT)
    assert death.cause.startswith("ran longer than its time limit of 0.3 s, and was still being made ready")
    assert death.elapsed >= 0.3
    agent.until(lambda: agent.count(SlotReady) == 2)
    assert agent.done(time.sleep, [0.2, 0.2, 0.2], time_limit=0.5).spans() == [(0, 3, "succeeded")]


def test_a_job_that_closes_its_standard_files_harms_nobody(agent: Agent) -> None:
    """Whichever way; what the next one prints is caught."""

    def close(how: int) -> None:
        sys.stdout.close()
        if how:
            os.close(2)
            os.close(1)

    done = agent.done(close, [0, 1])
    assert [state for *_, state in done.spans()] == ["succeeded"] * len(done.ran)
    assert agent.done(print, ["here"]).printed() == {0: (b"here\n", b"")}


def test_what_keeps_slots_from_starting_is_said_until_it_is_gone(pair: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fork server can be started: there is no such Python any more."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        os.kill(pair.server, signal.SIGKILL)
        pair.until(lambda: pair.count(SlotUnfit) >= 2)
        unfit = [event for event in pair.inputs if isinstance(event, SlotUnfit)]
        assert {event.slot for event in unfit} == {0, 1}
        assert "/nonexistent/python" in unfit[0].cause
        piece = pair.run(pair.work(abs, [-1]), 0, 1)
        assert pair.answer(PieceDone, piece).ran == ()
    pair.until(lambda: pair.count(SlotReady) == 4)
    assert pair.done(abs, [-1]).values() == [1]


def test_a_slot_without_room_is_tried_again(pair: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one goes on meanwhile."""

    def no_room(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", no_room)
        pair.run(pair.work(os._exit, [0]), 0, 1)
        unfit = pair.until(lambda: next((event for event in pair.inputs if isinstance(event, SlotUnfit)), None))
        assert (unfit.slot, unfit.cause) == (0, "[Errno 24] Too many open files")
        assert pair.values(abs, [-1], slot=1) == [1]
    pair.until(lambda: pair.count(SlotReady) == 3)
    assert pair.done(abs, [-1]).values() == [1]
