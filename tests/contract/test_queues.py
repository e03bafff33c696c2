"""The two queues on real pipelines: ten at a time, killed processes, getters in several threads."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import pytest

from jobs.common import square
from jobs.contract import die, echo, nap, thirds
from penstock import Job, queues
from penstock.adapters.finished_queue import Finished
from penstock.adapters.queues import Dispatched
from support.stations import LIMIT

Made = AbstractContextManager[tuple[Dispatched[Any], Finished[Any]]]


class Make:
    """Queues on one kind of pipeline."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, **kwargs: Any) -> Made:
        return queues(self._url, **kwargs)


@pytest.fixture(scope="module", params=["local", "connected"])
def make(request: pytest.FixtureRequest) -> Make:
    """Embedded, and running with two workers."""
    return Make("local" if request.param == "local" else request.getfixturevalue("running"))


def test_ten_at_a_time(make: Make) -> None:
    """Put ten, get ten, again; then nothing is left."""
    with make(run=square) as (dispatched, finished):
        for first in (0, 100):
            for x in range(10):
                dispatched.put(first + x)
            found = sorted(finished.get(timeout=LIMIT).value or 0 for _ in range(10))
            assert found == [(first + x) ** 2 for x in range(10)]
        dispatched.join(LIMIT)
        with pytest.raises(queue.Empty):
            finished.get(timeout=0.01)


def test_failures_are_outcomes(make: Make) -> None:
    """Of a job's own, and of a process that died; options hold."""
    with make(max_crashes=1) as (dispatched, finished):
        dispatched.put(Job(thirds, 3))
        assert finished.get(timeout=LIMIT).state == "failed"
        dispatched.put(Job(die))
        dead = finished.get(timeout=LIMIT)
        assert (dead.state, dead.attempts) == ("dead", 1)
        dispatched.put(Job(square, 4))
        assert finished.get(timeout=LIMIT).value == 16


def test_each_outcome_goes_to_one_of_several_getters(make: Make) -> None:
    """While others put."""
    seen: list[int] = []
    with make(run=square, maxsize=50) as (dispatched, finished):
        getters = [
            threading.Thread(target=lambda: seen.extend(finished.get(timeout=LIMIT).value or 0 for _ in range(100)))
            for _ in range(3)
        ]
        for getter in getters:
            getter.start()
        for x in range(300):
            dispatched.put(x, timeout=LIMIT)
        for getter in getters:
            getter.join(LIMIT)
    assert sorted(seen) == [x * x for x in range(300)]


def test_a_full_queue_waits_for_a_job_to_end(make: Make) -> None:
    """Or is Full."""
    with make(run=nap, maxsize=1) as (dispatched, finished):
        dispatched.put(0.5)
        with pytest.raises(queue.Full):
            dispatched.put_nowait(0)
        dispatched.put(0.0, timeout=LIMIT)
        assert finished.get(timeout=LIMIT).value == 0.5


def test_another_process_holds_the_other_end(running: str) -> None:
    """By its name: one puts and leaves, another gets; each outcome once, also by a getter who comes later."""
    name = "shared"
    with queues(running, run=square, name=name) as (dispatched, _):
        for x in range(20):
            dispatched.put(x)
    with queues(running, name=name) as (_, finished):
        first = [finished.get(timeout=LIMIT).value or 0 for _ in range(5)]
        finished.task_done()
        with pytest.raises(TimeoutError):
            finished.join(0.01)
    with queues(running, name=name) as (dispatched, finished):
        rest = [finished.get(timeout=LIMIT).value or 0 for _ in range(15)]
        with pytest.raises(queue.Empty):
            finished.get(timeout=0.3)
        assert finished.qsize() == 0
        dispatched.put(Job(pow, 2, 3))
        assert finished.get(timeout=LIMIT).value == 8
    assert sorted(first + rest) == [x * x for x in range(20)]


GETTER = """
import queue, sys
from penstock import queues
with queues(sys.argv[1], name=sys.argv[2]) as (_, finished):
    while True:
        value = finished.get(timeout=60).value
        if value is None:
            break
        print(value, flush=True)
"""


def test_each_outcome_goes_to_one_of_several_processes(running: str) -> None:
    """Two processes and a thread of this one get from one queue while another thread puts."""
    name = "crowd"
    argv = [sys.executable, "-c", GETTER, running, name]
    getters = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    run: Callable[[int | None], Any] = echo
    with queues(running, run=run, name=name) as (dispatched, finished):
        for x in range(300):
            dispatched.put(x)
        mine = [finished.get(timeout=LIMIT).value or 0 for _ in range(20)]
        dispatched.join(LIMIT)
        for _ in getters:
            dispatched.put(None)
        outputs = [getter.communicate(timeout=LIMIT)[0].split() for getter in getters]
    assert sorted([*mine, *map(int, chain(*outputs))]) == list(range(300))
