"""Whatever ends a job: SIGTERM to all of it, once, a grace, then SIGKILL; and nobody returns before it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.test_slots import Agent, agent, command, with_token
from penstock import Pipeline
from penstock.job.spec import JobState
from penstock.worker.contract import PieceDone, SlotDied
from penstock.worker.slot_host import SlotHost
from support.signal_state import has_signal
from support.stations import LIMIT, Stations, descendants, free_url, until

__all__ = ["agent"]  # a fixture

FOR_EVER = "while :; do sleep 0.05; done"
LONG = 600.0
"""Seconds of a grace that nobody waits for."""


@pytest.fixture
def impatient() -> Iterator[Agent]:
    """One slot, whose jobs have little grace."""
    made = Agent(1)
    made.host.close()
    made.host = SlotHost(1, "mill", grace=0.3)
    made.inputs.clear()
    yield made
    made.host.close()


def shell(text: str) -> Any:
    return command("sh", "-c", text, literal=True)


# -------------------------------------------------------------------------------------------- of one slot


def test_each_process_is_told_once(agent: Agent, folder: Path) -> None:
    """Of a whole group, and of what has left it."""
    tell = f"trap 'echo $0 >> {folder}/told; exit' TERM"
    start = f'sh -c "{tell}; {FOR_EVER}" '
    text = f"{start.replace('$0', 'a')} & setsid {start.replace('$0', 'b')} & {tell.replace('$0', 'c')}; {FOR_EVER}"
    assert agent.died(shell(text), [[]], time_limit=1).state is JobState.TIMED_OUT
    assert sorted((folder / "told").read_text().split()) == ["a", "b", "c"]


def test_what_is_started_to_clear_up_is_let_be(agent: Agent, folder: Path) -> None:
    """A trap may run programs, and they have the grace too; what it prints is the job's last word."""
    text = f"trap 'sleep 0.3; sh -c \"echo clean > {folder}/mark\"; echo bye; exit' TERM; {FOR_EVER}"
    death = agent.died(shell(text), [[]], time_limit=0.5)
    assert (folder / "mark").read_text() == "clean\n"
    assert death.note is not None
    assert death.note.stdout == b"bye\n"


@pytest.mark.parametrize("kind", ["command", "call"])
def test_children_that_outlive_their_parent_have_their_grace(agent: Agent, folder: Path, kind: str) -> None:
    """The parent is gone at once, and they come to their end."""
    child = f"trap 'sleep 0.5; echo clean > {folder}/mark; exit' TERM; touch {folder}/up; {FOR_EVER}"
    function = shell(f'sh -c "{child}" & sleep 1000') if kind == "command" else os.system
    piece = agent.run(agent.work(function, [[] if kind == "command" else child]), 0, 1)
    agent.until((folder / "up").exists)
    agent.host.end(0, piece, LIMIT, JobState.CANCELLED, "cancelled")
    agent.answer(SlotDied, piece)
    assert (folder / "mark").read_text() == "clean\n"


@pytest.mark.parametrize("kind", ["command", "call"])
def test_who_does_not_hear_is_killed(impatient: Agent, kind: str) -> None:
    """When the grace is over, with all that it started."""
    deaf = "trap '' TERM; sleep 1000 & sleep 1000"
    function = shell(deaf) if kind == "command" else os.system
    death = impatient.died(function, [[] if kind == "command" else deaf], time_limit=0.3)
    assert death.state is JobState.TIMED_OUT
    assert [p.name() for p in with_token(impatient.token) if p.name() == "sleep"] == []


def test_who_ends_within_its_grace_is_not_waited_for(agent: Agent, folder: Path) -> None:
    """However long that is."""
    piece = agent.run(agent.work(shell(f"touch {folder}/up; sleep 1000"), [[]]), 0, 1)
    agent.until((folder / "up").exists)
    agent.host.end(0, piece, LONG, JobState.CANCELLED, "cancelled")
    agent.answer(SlotDied, piece)


def test_a_command_that_is_only_just_starting_is_ended_too(agent: Agent) -> None:
    """Told before it was there to hear; or, where it was not even begun, it never is."""
    for _ in range(30):
        piece = agent.run(agent.work(shell("sleep 1000"), [[]]), 0, 1)
        while agent.running(0) != (piece, 0):
            agent.turn(0.001)
        agent.host.end(0, piece, LONG, JobState.CANCELLED, "cancelled")
        found = agent.answer(SlotDied | PieceDone, piece)
        assert isinstance(found, SlotDied) or found.ran == ()


@pytest.mark.parametrize("kind", ["command", "call"])
def test_a_host_that_is_closed_waits_for_what_runs(agent: Agent, folder: Path, kind: str) -> None:
    """Also for what it prints meanwhile, more than a pipe holds."""
    text = f"trap 'head -c 300000 /dev/zero; echo clean > {folder}/mark; exit' TERM; touch {folder}/up; {FOR_EVER}"
    function = shell(text) if kind == "command" else os.system
    agent.run(agent.work(function, [[] if kind == "command" else text]), 0, 1)
    agent.until((folder / "up").exists)
    agent.host.close(LONG)
    agent.host = SlotHost(1, "mill")
    assert (folder / "mark").read_text() == "clean\n"


def test_a_host_that_is_hurried_kills(agent: Agent, folder: Path) -> None:
    """Whatever grace there was."""
    agent.run(agent.work(shell(f"trap '' TERM; touch {folder}/up; {FOR_EVER}"), [[]]), 0, 1)
    agent.until((folder / "up").exists)
    hurry, told = os.pipe()
    os.write(told, b"!")
    agent.host.close(LONG, [hurry])
    os.close(hurry)
    os.close(told)
    agent.host = SlotHost(1, "mill")


# -------------------------------------------------------------------------------------------- of a pipeline


def trap(folder: Path) -> str:
    """A command that has something to do when it is told to end."""
    return f"trap 'sleep 0.5; echo clean > {folder}/mark; exit' TERM; touch {folder}/up; {FOR_EVER}"


LEFT = {
    "by an exception": "with Pipeline(slots=1) as p: run(p); sys.exit(3)",
    "by Ctrl-C": "with Pipeline(slots=1) as p: run(p); raise KeyboardInterrupt",
    "terminated": "p = Pipeline(slots=1); run(p); p.terminate_workers()",
}


@pytest.mark.parametrize("way", LEFT)
def test_leaving_an_embedded_pipeline_is_gentle(folder: Path, way: str) -> None:
    """And the client is not gone before its jobs are."""
    text = (
        "import os, sys, time\nfrom penstock import Pipeline\n"
        "def run(p):\n"
        f"  p.command(['sh', '-c', {trap(folder)!r}])\n"
        f"  while not os.path.exists({str(folder / 'up')!r}): time.sleep(0.02)\n"
        f"{LEFT[way]}"
    )
    subprocess.run([sys.executable, "-c", text], cwd=folder, timeout=4 * LIMIT, check=False, capture_output=True)
    assert (folder / "mark").read_text() == "clean\n"
    assert not descendants(os.environ["PENSTOCK_TEST_MARK"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_jobs_of_a_run_that_is_gone_are_told(folder: Path, number: int) -> None:
    """Also if it was killed: the stations see to it."""
    argv = [sys.executable, "-m", "penstock", "run", "--shell", trap(folder) + "; : {}", ":::", "x"]
    with subprocess.Popen(argv, cwd=folder, stderr=subprocess.DEVNULL) as run:
        until((folder / "up").exists)
        run.send_signal(number)
    until(lambda: (folder / "mark").exists() and (folder / "mark").read_text() == "clean\n")


def test_without_a_grace_there_is_no_waiting(folder: Path) -> None:
    """`run --grace 0`: the control of those above."""
    deaf = f"trap '' TERM; touch {folder}/up; {FOR_EVER}; : {{}}"
    argv = [sys.executable, "-m", "penstock", "run", "--grace", "0", "--timeout", "1", "--shell", deaf, ":::", "x"]
    done = subprocess.run(argv, cwd=folder, timeout=4 * LIMIT, check=False, capture_output=True)
    assert (done.returncode, b"time limit" in done.stderr) == (1, True)


@pytest.mark.parametrize("times", [2, 3])
def test_a_worker_that_is_told_twice_to_leave_gives_a_grace(stations: Stations, folder: Path, times: int) -> None:
    """Told three times it gives none; the job is handed back when it is gone, and runs on the next worker."""
    deaf = "trap '' TERM; " if times == 3 else ""
    text = f"[ -e {folder}/up ] && exit; {deaf if times == 3 else ''}" + (trap(folder) if times == 2 else "")
    text += f"touch {folder}/up; {FOR_EVER}" if times == 3 else ""
    stations.start("ventilator", "sink")
    stations.start("w1", grace=LONG)
    with Pipeline(stations.url) as pipeline:
        future = pipeline.command(["sh", "-c", text], cwd="/")
        until((folder / "up").exists)
        worker = stations.processes["w1"]
        for _ in range(times):
            worker.send_signal(signal.SIGTERM)
            until(lambda: not has_signal(worker.pid, "ShdPnd", signal.SIGTERM), what="it has come: two at once are one")
        assert stations.processes.pop("w1").wait(LIMIT) == 0
        assert (folder / "mark").exists() == (times == 2)
        stations.start("w2")
        assert future.result(LIMIT).returncode == 0


def test_a_pipeline_that_is_interrupted_twice_ends_its_jobs_gently(folder: Path) -> None:
    """`up` is not gone before they are."""
    url = free_url()
    argv = [sys.executable, "-m", "penstock", "up", "--bind", url, "--data", str(folder / "data"), "--slots", "1"]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith(b"export")
        with Pipeline(url) as pipeline:
            pipeline.batch(["sh", "-c", trap(folder)], [[]], cwd="/", name="trap")
        until((folder / "up").exists)
        for _ in range(2):
            up.send_signal(signal.SIGINT)
            until(lambda: not has_signal(up.pid, "ShdPnd", signal.SIGINT), what="it has come: two at once are one")
        up.wait(LIMIT)
    assert (folder / "mark").read_text() == "clean\n"
