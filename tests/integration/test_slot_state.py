"""What a job changes of its process, and leaves so, is no later job's: the slot goes on in a new process."""

from __future__ import annotations

import builtins
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from integration.test_slots import Agent, Done, agent, command, is_running
from penstock.job.spec import JobState
from penstock.job.wrappers import Initializer, Prepared, Surroundings
from penstock.slot.inherited_state import LOOK_INTERVAL
from penstock.worker.contract import PieceDone, SlotDied, SlotReady
from penstock.worker.slot_host import SlotHost

__all__ = ["agent"]

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # slots cannot import it by name


def _free_file() -> int:
    file = os.dup(0)
    os.close(file)
    return file


def as_inherited() -> dict[str, Any]:
    """What a process that is started here would have of this one."""
    mask = os.umask(0o77)
    os.umask(mask)
    return {
        "umask": mask,
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [resource.getrlimit(number) for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_STACK)],
        "cores": os.sched_getaffinity(0),
        "path": os.environ["PATH"],
        "user": (os.getresuid(), os.getresgid()),
        "free file": _free_file() < 500,
    }


def change_umask() -> None:
    os.umask(0o007)


def be_nice() -> None:
    os.nice(3)


def limit_stack() -> None:
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 22, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def take_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def change_path() -> None:
    os.environ["PATH"] = "/nowhere"


def forget_path() -> None:
    del os.environ["PATH"]


def leak_files() -> None:
    builtins.leaked = [os.dup(0) for _ in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 6 // 10)]  # type: ignore[attr-defined]


def be_somebody_else() -> None:
    os.setegid(os.getegid() + 1)


CHANGES = [
    (change_umask, "umask"),
    (be_nice, "niceness"),
    (limit_stack, "limits"),
    pytest.param(
        take_one_core, "cores", marks=pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is but one")
    ),
    (change_path, "PATH"),
    (forget_path, "PATH"),
    (leak_files, "files"),
    pytest.param(
        be_somebody_else, "group", marks=pytest.mark.skipif(os.getuid() != 0, reason="only root may change that")
    ),
]


def replaced(agent: Agent) -> list[str]:
    """Why slots were replaced, one after the other; those that run next are there."""
    agent.until(lambda: 1 < agent.count(SlotReady) == agent.count(SlotDied) + 1)
    return [event.cause for event in agent.inputs if isinstance(event, SlotDied)]


def found(agent: Agent) -> Any:
    return agent.values(as_inherited, [()], form="star")[0]


@pytest.mark.parametrize("block", [1, 50])
@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_what_a_job_leaves_changed_is_no_later_jobs(
    agent: Agent, change: Callable[[], None], name: str, block: int
) -> None:
    """The next piece finds what the first found; why its slot was replaced is told, and no job is blamed for it."""
    before = found(agent)
    time.sleep(2 * LOOK_INTERVAL)

    def change_some(x: int) -> int:
        if x == 7:
            change()
        return x

    assert agent.done(change_some, range(10), block).values() == list(range(10))
    (why,) = replaced(agent)
    assert why.startswith("a job changed ")
    assert name in why
    assert found(agent) == before
    assert [event.state for event in agent.inputs if isinstance(event, SlotDied)] == [JobState.CANCELLED]


@pytest.mark.parametrize("block", [1, 5, 2000])
@pytest.mark.parametrize("name", ["len", "sum", "isinstance", "open", "OSError"])
def test_a_builtin_that_a_job_leaves_changed_is_put_right(agent: Agent, name: str, block: int) -> None:
    """At once, or where jobs are short behind some of them, of which those that it makes fail are told why. All others
    end as they should, and the slot is replaced."""

    def change_some(x: int) -> list[int]:
        if x == 3:
            setattr(builtins, name, changed)
        return [x, x]

    def changed(*_: Any, **__: Any) -> None:
        raise ArithmeticError

    pid = agent.slot_pid()
    done = agent.done(change_some, range(20), block)
    assert replaced(agent) == [f"a job changed builtins.{name}"]
    failed = [ran for ran in done.ran if ran.state is not JobState.SUCCEEDED]
    assert {ran.start for ran in failed} <= (set() if block == 1 else {3, 4})
    assert all(ran.note is not None and f"left builtins.{name} changed" in ran.note.cause for ran in failed)
    assert sum(ran.stop - ran.start for ran in done.ran) == 20
    assert agent.slot_pid() != pid
    assert agent.values(lambda x: len([x]), range(3)) == [1, 1, 1]


def test_who_runs_into_a_changed_builtin_is_told(agent: Agent) -> None:
    """Short jobs follow each other without a look: the first that fails for it says why, and is the last."""

    def length(x: int) -> int:
        if x == 3:
            builtins.len = lambda _: 1 / 0  # type: ignore[assignment, return-value]
            return 1
        return len([x])

    done = agent.done(length, range(20), 2000)
    assert done.spans() == [(0, 4, "succeeded"), (4, 5, "failed"), (5, 20, "succeeded")]
    (cause,) = [ran.note.cause for ran in done.ran if ran.note is not None]
    reason = "ZeroDivisionError: division by zero"
    assert cause == f"RuntimeError: it, or a job before it in its process, left builtins.len changed: {reason}"
    assert replaced(agent) == ["a job changed builtins.len"]


def test_another_functions_jobs_come_however_soon(agent: Agent) -> None:
    """A piece that is queued right behind the one that changes something, within LOOK_INTERVAL, goes back unrun."""
    before = found(agent)
    pieces = [agent.run(agent.work(function, [()], form="star"), 0, 1) for function in (change_umask, as_inherited)]
    assert [len(agent.answer(PieceDone, piece).ran) for piece in pieces] == [1, 0]
    assert replaced(agent) == ["a job changed its umask"]
    assert found(agent) == before


def add_variable() -> None:
    os.environ["PENSTOCK_TEST_ADDED"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"


def test_what_libraries_do_to_the_environment_costs_no_process(agent: Agent) -> None:
    """New variables and numbers of threads stay as long as the process, as with a Pool; a command has none of them."""
    pid = agent.slot_pid()
    agent.done(lambda _: add_variable(), [0])
    assert agent.slot_pid() == pid
    work = agent.work(command("sh", "-c", "echo $PENSTOCK_TEST_ADDED."), [[]])
    piece = agent.run(work, 0, 1)
    assert agent.answer(PieceDone, piece).ran == ()  # it is to be given again, to a process that is fresh
    assert replaced(agent) == ["it was used up"]
    assert Done(agent.answer(PieceDone, agent.run(work, 0, 1)), "pickle").printed() == {0: (b".\n", b"")}


def test_what_an_initializer_changes_is_its_own_jobs(agent: Agent) -> None:
    """It stays for them, in one process; others have another one."""
    before = found(agent)
    function = Prepared(as_inherited, Initializer(b"nice", os.nice, (3,)), Surroundings())
    pid = agent.slot_pid()
    work = agent.work(function, [()] * 6, form="star")
    for start in (0, 3):
        done = Done(agent.answer(PieceDone, agent.run(work, start, start + 3)), "pickle")
        assert [value["niceness"] for value in done.values()] == [before["niceness"] + 3] * 3
    assert is_running(pid)
    assert agent.count(SlotDied) == 0
    assert agent.answer(PieceDone, agent.run(agent.work(as_inherited, [()], form="star"), 0, 1)).ran == ()
    assert replaced(agent) == ["it was used up"]
    assert found(agent) == before


def test_leaving_in_between_is_no_crash_of_what_waits(agent: Agent) -> None:
    """A piece that was queued on it comes back unrun, and however often that happens its jobs are not blamed."""
    for _ in range(4):
        agent.run(agent.work(lambda _: os.umask(0o111), [0]), 0, 1)
        piece = agent.run(agent.work(abs, [-1]), 0, 1)
        assert agent.answer(PieceDone, piece).ran == ()
        agent.until(lambda: agent.count(SlotReady) == agent.count(SlotDied) + 1)
    assert {(event.state, event.piece) for event in agent.inputs if isinstance(event, SlotDied)} == {
        (JobState.CANCELLED, None)
    }


@pytest.mark.parametrize("block", [1, 50])
def test_a_process_runs_no_more_jobs_than_it_may(block: int) -> None:
    """What is left of a piece comes back unrun, and goes on in the next process; commands and failures count too."""
    made = Agent(1)
    made.host.close()
    made.host = SlotHost(1, "mill", jobs_per_slot=3)
    made.inputs.clear()
    try:
        work = made.work(lambda x: 1 // (x - 4) and os.getpid(), range(8))
        spans, pids = [], set[int]()
        for life, start in enumerate((0, 3, 6)):
            made.until(lambda life=life: made.count(SlotReady) == life + 1)  # type: ignore[misc]
            pids.add(made.host._lives.handles[0].pid)
            answer = made.answer(PieceDone, made.run(work, start, 8, block))
            spans += [(ran.start, ran.stop, str(ran.state)) for ran in answer.ran]
        assert spans == [
            (0, 3, "succeeded"), (3, 4, "succeeded"), (4, 5, "failed"), (5, 6, "succeeded"), (6, 8, "succeeded"),
        ]  # fmt: skip
        assert len(pids) == 3
        made.answer(PieceDone, made.run(made.work(command("true"), [[]]), 0, 1))
        made.until(lambda: made.count(SlotDied) == 3)
        assert {event.state for event in made.inputs if isinstance(event, SlotDied)} == {JobState.CANCELLED}
    finally:
        made.host.close()
