"""Jobs are clean processes: nothing of their slot is theirs, and what they do to it reaches nobody else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from conftest import Cli
from integration.test_slots import Agent, agent, pair
from integration.test_slots import Done as Answer
from penstock import Pipeline
from penstock.job.spec import JobState
from penstock.slot.protocol import MEDDLING, Done, Ran, Ready, Unfit, frame
from penstock.worker import slot_host
from penstock.worker.contract import PieceDone, SlotDied
from support.stations import LIMIT, Stations

__all__ = ["agent", "pair"]  # fixtures

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # slots cannot import it by name

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
FIRST_THREE = b"0\n1\n2\n3\n"
"""What `ls /proc/self/fd` says of itself: it opens one file."""


# ----------------------------------------------------------------------------------------------- what they have


def test_a_command_has_no_descriptor_of_its_slot(cli: Cli) -> None:
    """In a pipeline of its own; its stdin has nothing."""
    done = cli("run", "--shell", "ls /proc/self/fd; readlink /proc/self/fd/0; : {}", ":::", "x")
    assert (done.returncode, done.stdout) == (0, FIRST_THREE + b"/dev/null\n")


def _posix_spawn() -> None:
    os.waitpid(os.posix_spawnp("ls", ["ls", "/proc/self/fd"], os.environ), 0)


def _fork_and_exec() -> None:
    pid = os.fork()
    if not pid:
        os.execlp("ls", "ls", "/proc/self/fd")
    os.waitpid(pid, 0)


def _keeping() -> None:
    subprocess.run(["ls", "/proc/self/fd"], close_fds=False, check=True)


def _shell() -> None:
    os.system("ls /proc/self/fd")


@pytest.mark.parametrize("start", [_posix_spawn, _fork_and_exec, _keeping, _shell])
def test_what_a_call_starts_has_none_either(agent: Agent, start: Any) -> None:
    """However it does."""
    assert agent.done(lambda _: start(), [0]).printed()[0][0].splitlines()[:4] == FIRST_THREE.splitlines()


def test_the_low_numbers_are_a_calls_own(agent: Agent) -> None:
    """A number that scripts use (3 to 99) is no file of the slot's."""
    (found,) = agent.done(lambda _: [int(fd) for fd in os.listdir("/proc/self/fd")], [0]).values()
    assert [fd for fd in found if 3 < fd < 100] == []  # 3 is the listing


@as_root
def test_another_users_commands_have_none(stations: Stations) -> None:
    """Nor what they start."""
    user = "nobody"
    stations.start("ventilator", "sink")
    stations.start("w1", allow_users=(user,))
    with Pipeline(stations.url) as pipeline:
        done = pipeline.command(["ls", "/proc/self/fd"], cwd="/", user=user).result(LIMIT)
        assert done.stdout == FIRST_THREE
        call = pipeline.options(user=user).submit(subprocess.getoutput, "ls /proc/self/fd")
        assert call.result(LIMIT).encode() + b"\n" == FIRST_THREE


@pytest.mark.parametrize("ignored", [(), (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)])
def test_a_run_may_be_started_by_nohup(cli: Cli, folder: Path, ignored: Iterable[int]) -> None:
    """Signals have their defaults in every job, whoever ignored them before; but for those that Python ignores itself,
    in a call, and not in what that starts."""
    del cli
    words = ["--shell", "grep -E 'Sig(Blk|Ign)' /proc/self/status; : {}", ":::", "x"]
    call = ["--call", "os:system", ":::", "grep -E 'Sig(Blk|Ign)' /proc/self/status"]
    for given in (words, call):
        done = subprocess.run(
            [sys.executable, "-m", "penstock", "run", *given],
            preexec_fn=lambda: [signal.signal(one, signal.SIG_IGN) for one in ignored],
            capture_output=True,
            cwd=folder,
            timeout=4 * LIMIT,
            check=True,
        )
        masks = {name: int(value, 16) for name, value in (line.split(b":") for line in done.stdout.splitlines()[:2])}
        own = 1 << 31 | 1 << 32  # glibc's, in what posix_spawn starts
        if given is call:
            own |= 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1  # os.system leaves them as they are
        assert (masks[b"SigBlk"], masks[b"SigIgn"] & ~own) == (0, 0)


# ----------------------------------------------------------------------------------------------- what they can reach


def test_a_number_that_would_be_the_slots_is_none(cli: Cli) -> None:
    """The shell says so, each job fails by itself, at once, and the others run."""
    done = cli("run", "-k", "--shell", "echo {} >&{} && echo {}", ":::", "1", "5", "7", "9")
    assert (done.returncode, done.stdout) == (1, b"1\n1\n")
    assert done.stderr.lower().count(b"bad f") == 3


def close_all(_: object = None) -> None:
    os.closerange(3, 10_000)


def close_all_and_stay(_: object = None) -> None:
    os.closerange(3, 10_000)
    time.sleep(1000)


def replace_all(_: object = None) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3, 1024):
        os.dup2(null, fd)


@pytest.mark.parametrize("deed", [close_all, close_all_and_stay, replace_all])
def test_who_closes_all_descriptors_loses_its_slot_and_nobody_else(pair: Agent, deed: Any) -> None:
    """The job is dead of it, and told so; a neighbour runs on, and the next one has a new slot."""
    neighbour = pair.run(pair.work(lambda _: time.sleep(1), [0]), 0, 1, slot=1)
    death = pair.died(deed, [0])
    assert (death.index, death.state, death.cause.startswith(MEDDLING)) == (0, JobState.DEAD, True)
    assert pair.done(abs, [-1]).values() == [1]
    assert pair.answer(PieceDone, neighbour).ran[0].state is JobState.SUCCEEDED
    assert pair.count(SlotDied) == 1


def test_what_a_closer_opens_is_not_written_to(agent: Agent, folder: Path) -> None:
    """A file under a number that was the slot's is the job's: nothing that is meant for the agent gets there."""

    def take_all_numbers(path: str) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        for fd in range(3, 1024):
            os.dup2(file, fd)

    death = agent.died(take_all_numbers, [str(folder / "mine")])
    assert (death.cause.startswith(MEDDLING), (folder / "mine").read_bytes()) == (True, b"")


def test_the_culprit_is_found_among_many(folder: Path) -> None:
    """Of jobs so short that many are run at a stretch only the one that closed everything is dead."""

    def job(index: int) -> int:
        if index == 700:
            os.closerange(3, 10_000)
        return index

    with Pipeline("local", slots=2, data=folder / "data") as pipeline:
        outcomes = list(pipeline.batch(job, range(1000), max_crashes=2).outcomes())
    assert [one.index for one in outcomes if one.state != "succeeded"] == [700]
    assert [one.index for one in outcomes if one.attempts > 1] == [700], "its neighbours had ended, or not begun"
    assert (outcomes[700].state, outcomes[700].cause.startswith(MEDDLING)) == ("dead", True)


def test_a_child_that_closes_all_is_no_harm(agent: Agent) -> None:
    """A daemon does so, and goes on by itself."""

    def daemonize(_: int) -> int:
        pid = os.fork()
        if not pid:
            os.closerange(3, 10_000)
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert agent.done(daemonize, [0]).values() == [7]


def own_socket() -> socket.socket:
    """In a slot: its end of the stream to the agent."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                return socket.socket(fileno=os.dup(fd))
    raise AssertionError("a slot without a socket")


def _ran(start: int, stop: int, size: int = 0, elapsed: float = 0.1) -> Ran:
    return Ran(start, stop, JobState.SUCCEEDED, 1.0, elapsed, size)


NONSENSE = {
    "a piece that is none": frame(Done(10_000, ())),
    "jobs that are not its own": frame(Done(1, (_ran(5, 9),))),
    "jobs behind its end": frame(Done(1, (_ran(0, 9),))),
    "less than it says": frame(Done(1, (_ran(0, 1, 10),)), 5) + b"five!",
    "a time that is none": frame(Done(1, (_ran(0, 1, elapsed=float("nan")),))),
    "a second beginning": frame(Ready(1)),
    "an end": frame(Unfit("tired")),
    "another message": frame(Done(1, ()))[:-1] + b"\xff",
    "more than there can be": frame(Done(1, ()), 1)[:8] + b"\xff" * 8,
    "text": b"hello\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_slot_that_speaks_nonsense_is_replaced(pair: Agent, name: str) -> None:
    """Whatever a job writes to its slot's socket, also frames that decode: that job is dead, the agent and the
    neighbour go on."""
    data = NONSENSE[name]

    def speak(_: int) -> None:
        own_socket().sendall(data)
        time.sleep(1000)

    piece = pair.run(pair.work(speak, [0, 1]), 0, 2)
    assert piece == 1  # of which the frames speak
    neighbour = pair.run(pair.work(lambda _: time.sleep(0.5), [0]), 0, 1, slot=1)
    death = pair.answer(SlotDied, piece)
    assert (death.index, death.state, death.cause.startswith(MEDDLING)) == (0, JobState.DEAD, True)
    assert pair.done(abs, [-1]).values() == [1]
    assert pair.answer(PieceDone, neighbour).ran[0].state is JobState.SUCCEEDED


def test_who_reads_what_is_the_slots_is_dead_of_it(agent: Agent) -> None:
    """An order that is cut is not taken for another one."""

    def read(_: int) -> None:
        connection = own_socket()
        connection.recv(5)

    first = agent.run(agent.work(read, [0]), 0, 1)
    agent.until(lambda: agent.running(0) == (first, 0))
    second = agent.run(agent.work(abs, [-1]), 0, 1)
    agent.answer(PieceDone, first)
    death = agent.answer(SlotDied, None)
    assert death.cause.startswith(MEDDLING)
    assert agent.answer(PieceDone, second).ran == ()


def test_an_order_that_a_job_has_read_is_given_again(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is dead of it: the slot is replaced, and what it was to run comes back unrun."""
    monkeypatch.setattr(slot_host, "DEAF_TIME", 0.5)

    def read_all(_: int) -> int:
        return len(own_socket().recv(1 << 20))

    first = agent.run(agent.work(read_all, [0]), 0, 1)
    agent.until(lambda: agent.running(0) == (first, 0))
    second = agent.run(agent.work(abs, [-1]), 0, 1)
    assert Answer(agent.answer(PieceDone, first), "pickle").values()[0] > 0
    assert (agent.answer(PieceDone, second).ran, agent.answer(SlotDied, None).index) == ((), None)
    assert agent.done(abs, [-1]).values() == [1]


def test_the_shared_page_cannot_be_cut(agent: Agent) -> None:
    """Its agent would be killed by the next look at it."""

    def cut(_: int) -> int:
        for fd in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):
                if "penstock-slot" in os.readlink(f"/proc/self/fd/{fd}"):
                    os.ftruncate(fd, 0)
        return 1

    assert agent.done(cut, [0]).values() == [1]
    assert agent.done(abs, [-1]).values() == [1]


def test_a_page_of_noise_harms_its_job_only(pair: Agent) -> None:
    """Each cell that a slot writes holds anything."""

    def scribble(_: int) -> None:
        for fd in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):
                if "penstock-slot" in os.readlink(f"/proc/self/fd/{fd}"):
                    os.pwrite(fd, b"\x7f" * 8, 8)  # the index
                    os.kill(os.getpid(), signal.SIGKILL)

    death = pair.died(scribble, [0])
    assert (death.index, death.state) == (0, JobState.DEAD)
    assert pair.done(abs, [-1]).values() == [1]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_program_whose_streams_are_closed_has_its_results(folder: Path, closed: str) -> None:
    """Their numbers are nobody else's in the slots: one that had a pipe of its fork server there could not start."""
    script = folder / "script.py"
    script.write_text(
        "from penstock import Pipeline\n"
        "with Pipeline(slots=1) as pipeline:\n"
        "    open('result', 'w').write(str(pipeline.submit(abs, -2).result(60)))\n"
    )
    line = f"exec {sys.executable} script.py {closed}"
    subprocess.run(["bash", "-c", line], cwd=folder, check=True, timeout=2 * LIMIT)
    assert (folder / "result").read_text() == "2"
