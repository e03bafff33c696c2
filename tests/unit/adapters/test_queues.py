"""The two queues, over an inline pipeline: what is put, what is got, what is refused."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from jobs.common import square
from penstock import Job, queues
from penstock.adapters.finished_queue import Finished
from penstock.adapters.queues import Dispatched
from penstock.client.follow import Row
from penstock.job.spec import BatchSpec
from support.recording_client import values
from support.stations import LIMIT


class Slow:
    """An executor whose jobs end when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        """A job that is open."""
        future: Future[Any] = Future()
        future.job_id = "b:0"  # type: ignore[attr-defined]  # as a JobFuture has
        self.futures.append(future)
        return future


def test_plain_items_are_arguments_of_run() -> None:
    """The outcomes come in the order in which the jobs ended, each once."""
    with queues("inline", run=square) as (dispatched, finished):
        for x in range(5):
            dispatched.put(x)
        dispatched.join()
        assert finished.qsize() == 5
        assert [finished.get().value for _ in range(5)] == [0, 1, 4, 9, 16]
        assert finished.empty()


class Waits:
    """Is rebuilt when the test lets it."""

    go_on = threading.Event()
    entered = threading.Event()

    def __reduce__(self) -> tuple[object, ...]:
        return rebuilt, ()


def rebuilt() -> str:
    """In the thread of who gets it."""
    Waits.entered.set()
    assert Waits.go_on.wait(LIMIT)
    return "late"


def test_an_outcome_that_is_rebuilt_slowly_holds_up_nobody_else() -> None:
    """Unpickling is the code of users: others come in and are got meanwhile."""
    finished: Finished[Any] = Finished()
    seen: list[Any] = []
    for place, value in enumerate((Waits(), "quick")):
        head, body = values(0, value)
        finished.on_row(Row(head, head.start, head.stop, 0, body, place + 1), BatchSpec())
    slow = threading.Thread(target=lambda: seen.append(finished.get().value))
    slow.start()
    assert Waits.entered.wait(LIMIT)
    assert (finished.qsize(), finished.get(timeout=LIMIT).value, finished.empty()) == (1, "quick", True)
    Waits.go_on.set()
    slow.join(LIMIT)
    assert seen == ["late"]


def test_jobs_bring_their_own_function() -> None:
    """With positional and keyword arguments; a failure is an outcome."""
    with queues("inline") as (dispatched, finished):
        dispatched.put(Job(pow, 2, 10, mod=1000))
        dispatched.put_nowait(Job(int, "seven"))
        assert finished.get(timeout=1).value == 24
        failed = finished.get_nowait()
        assert (failed.state, type(failed.error)) == ("failed", ValueError)


def test_nothing_there_is_empty() -> None:
    """At once, or after the timeout."""
    with queues("inline", run=square) as (_, finished):
        with pytest.raises(queue.Empty):
            finished.get_nowait()
        with pytest.raises(queue.Empty):
            finished.get(timeout=0.01)
        with pytest.raises(ValueError, match="non-negative"):
            finished.get(timeout=-1)


def test_join_waits_for_those_who_get() -> None:
    """As in queue.Queue: until each outcome is reported as dealt with, and not once more."""
    with queues("inline", run=square) as (dispatched, finished):
        finished.join()
        dispatched.put(2)
        dispatched.put(3)
        finished.get()
        finished.task_done()
        with pytest.raises(TimeoutError, match="1 outcomes"):
            finished.join(0.01)
        waiter = threading.Thread(target=finished.join)
        waiter.start()
        finished.get()
        finished.task_done()
        waiter.join(LIMIT)
        assert not waiter.is_alive()
        assert not finished.full()
        with pytest.raises(ValueError, match="too many times"):
            finished.task_done()


def test_what_cannot_be_pickled_is_an_outcome() -> None:
    """Its job never left."""
    with queues("inline", run=square) as (dispatched, finished):
        dispatched.put(threading.Lock())  # type: ignore[arg-type]  # that is the point
        dispatched.put(3)
        outcome = finished.get(timeout=1)
        assert (outcome.state, outcome.attempts) == ("failed", 0)
        assert "lock" in outcome.cause
        assert finished.get(timeout=1).value == 9
        dispatched.join()


def test_a_full_queue_takes_no_more() -> None:
    """Until a job has ended."""
    slow: Any = Slow()
    dispatched = Dispatched(slow, Finished(), square, maxsize=2)
    dispatched.put(1)
    dispatched.put(2)
    assert (dispatched.full(), dispatched.qsize(), dispatched.empty()) == (True, 2, False)
    with pytest.raises(queue.Full):
        dispatched.put_nowait(3)
    with pytest.raises(queue.Full):
        dispatched.put(3, timeout=0.01)
    with pytest.raises(TimeoutError, match="2 jobs"):
        dispatched.join(0.01)
    slow.futures[0].set_result(1)
    dispatched.put(3, timeout=0)
    assert dispatched.qsize() == 2


@pytest.mark.parametrize(("made", "error"), [({"run": 5}, TypeError), ({"run": square, "retry": 1}, TypeError)])
def test_wrong_use_is_said_at_once(made: dict[str, Any], error: type[Exception]) -> None:
    """No function, an unknown option."""
    with pytest.raises(error), queues("inline", **made):
        pass


def test_without_run_only_jobs_are_put() -> None:
    """The message says what to do."""
    with queues("inline") as (dispatched, _), pytest.raises(TypeError, match=r"penstock\.Job"):
        dispatched.put(5)  # type: ignore[arg-type]  # that is the point
