"""`Pipeline("inline")`: every rule of the interface that needs no stations."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from penstock import CommandResult, Pipeline
from penstock.errors import (
    CommandFailed,
    JobError,
    JobExited,
    NoSuchBatch,
    NoSuchWorker,
    RemoteError,
    ResultNotPicklable,
)


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    """Left at the end."""
    with Pipeline("inline") as made:
        yield made


def fail(x: Any) -> Any:
    """Raises its argument."""
    raise ValueError(x)


def odd(x: int) -> int:
    """Of the odd ones."""
    if x % 2:
        return x
    raise KeyError(x)


def test_a_job_runs_at_submit(pipeline: Pipeline) -> None:
    """Its Future is done, with an id of its own."""
    future = pipeline.submit(pow, 2, 10, mod=1000)
    assert (future.done(), future.result()) == (True, 24)
    assert future.job_id.endswith(":0")


def test_arguments_and_values_go_through_the_serializer(pipeline: Pipeline) -> None:
    """So a job cannot change what its caller holds."""
    given = [3, 1, 2]
    assert pipeline.submit(sorted, given).result() == [1, 2, 3]
    assert pipeline.submit(list.sort, given).result() is None
    assert given == [3, 1, 2]


def test_its_own_exception_comes_back(pipeline: Pipeline) -> None:
    """With the traceback as its cause."""
    error = pipeline.submit(fail, "x").exception()
    assert isinstance(error, ValueError)
    assert "in fail" in str(error.__cause__)


def test_an_argument_that_cannot_be_pickled_is_the_error_of_its_future(pipeline: Pipeline) -> None:
    """It says which one."""
    future = pipeline.submit(len, threading.Lock())  # type: ignore[arg-type]  # that is the point
    with pytest.raises(pickle.PicklingError, match=r"argument 1 \(lock\)"):
        future.result(0)


def test_a_result_that_cannot_be_pickled_is_its_error(pipeline: Pipeline) -> None:
    """And no other job's."""
    assert isinstance(pipeline.submit(threading.Lock).exception(), ResultNotPicklable)


def test_sys_exit_in_a_job_is_an_error_with_its_code(pipeline: Pipeline) -> None:
    """The caller goes on."""
    error = pipeline.submit(sys.exit, 3).exception()
    assert isinstance(error, JobExited)
    assert error.code == 3


def test_msgpack_jobs_are_plain_data(pipeline: Pipeline) -> None:
    """Exceptions come as their text."""
    view = pipeline.options(serializer="msgpack")
    assert view.submit(sorted, (2, 1)).result() == [1, 2]
    assert isinstance(view.submit(int, "x").exception(), RemoteError)
    assert isinstance(view.submit(lambda: 1).exception(), pickle.PicklingError)


def test_retries_are_made(pipeline: Pipeline, tmp_path: Any) -> None:
    """Up to so many more."""
    log = tmp_path / "log"

    def flaky() -> int:
        with log.open("a") as file:
            file.write("x")
        if len(log.read_text()) < 3:
            raise OSError("not yet")
        return 5

    assert isinstance(pipeline.options(retries=1).submit(flaky).exception(), OSError)
    assert pipeline.options(retries=1).submit(flaky).result() == 5


def test_map_gives_values_in_order_and_errors_at_their_place(pipeline: Pipeline) -> None:
    """Of one input or several."""
    assert list(pipeline.map(pow, [1, 2, 3], [2, 2])) == [1, 4]
    assert sorted(pipeline.imap_unordered(abs, [-1, 2])) == [1, 2]
    found = pipeline.map(odd, [1, 3, 4, 5])
    assert [next(found), next(found)] == [1, 3]
    with pytest.raises(KeyError):
        next(found)


def test_map_of_an_endless_input_is_run_as_it_is_read(pipeline: Pipeline) -> None:
    """One with a length is run at the call."""
    from itertools import count

    assert next(iter(pipeline.map(abs, count()))) == 0
    ran: list[int] = []
    pipeline.map(ran.append, [1, 2])
    assert ran == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"chunksize": 0}, ValueError), ({"buffersize": 0}, ValueError), ({"buffersize": 1.5}, TypeError)],
)
def test_wrong_sizes_are_refused(pipeline: Pipeline, wrong: Any, error: type[Exception]) -> None:
    """As in the standard library."""
    with pytest.raises(error):
        pipeline.map(abs, [1], **wrong)


def test_a_batch_is_done_when_it_is_made(pipeline: Pipeline) -> None:
    """And has all that a batch has."""
    batch = pipeline.batch(odd, [1, 2, 3], name="odd ones")
    status = batch.wait()
    assert (status.total, status.succeeded, status.failed, status.done) == (3, 2, 1, True)
    assert [one.state for one in batch.outcomes()] == ["succeeded", "failed", "succeeded"]
    assert [one.index for one in batch.failures()] == [1]
    assert [one.index for one in batch.follow(after=2)] == [2]
    assert [one.value for one in batch.attempts(2)] == [3]
    with pytest.raises(KeyError):
        list(batch.values())
    assert batch.cancel() == 0


def test_batches_are_found_again(pipeline: Pipeline) -> None:
    """By id, its beginning or end, name or ``last``."""
    first = pipeline.batch(abs, [1], name="first")
    second = pipeline.batch(abs, [2])
    assert [pipeline.attach(name).id for name in (first.id, "first", first.id[-12:])] == [first.id] * 3
    assert pipeline.attach("last").id == second.id
    assert [status.id for status in pipeline.batches()] == [second.id, first.id]
    with pytest.raises(NoSuchBatch):
        pipeline.attach("zzz")


def test_what_failed_runs_again_at_retry(pipeline: Pipeline, tmp_path: Any) -> None:
    """All of it or one job, with the arguments it was given; what it comes to then counts, and is recorded last."""
    ready = tmp_path / "ready"
    batch = pipeline.batch(["sh", "-c", 'test -e "$1" && echo "$2"', "", str(ready), "{}"], ["a", "b"])
    future = pipeline.submit(fail, 1)
    assert (batch.retry(), batch.retry(1), batch.retry(9), batch.status().failed) == (2, 1, 0, 2)
    ready.touch()
    assert (batch.retry(0), [one.state for one in batch.outcomes()]) == (1, ["succeeded", "failed"])
    assert [one.index for one in batch.follow()] == [1, 0]
    assert (batch.retry(), [one.stdout for one in batch.values()], batch.retry()) == (1, [b"a\n", b"b\n"], 0)
    assert pipeline.retry(future) == 1


def test_jobs_are_found_by_a_filter(pipeline: Pipeline) -> None:
    """The newest batch first, from behind any of them on, as in a pipeline with stations."""
    first = pipeline.batch(odd, range(6), name="first")
    second = pipeline.batch(odd, [1, 2], name="second")
    failed = {first.id: [0, 2, 4], second.id: [1]}
    assert [job.id for job in pipeline.jobs("state=failed")] == [
        f"{batch}:{index}" for batch in sorted(failed, reverse=True) for index in failed[batch]
    ]
    assert [job.index for job in pipeline.jobs("name=first", limit=2, after=f"{first.id}:2")] == [3, 4]
    assert not pipeline.jobs("state=running")
    assert [job.state for job in pipeline.jobs(f"id={first.id}:4 function~ODD error=KeyError")] == ["failed"]
    with pytest.raises(ValueError, match="no field 'colour'"):
        pipeline.jobs("colour=red")
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        pipeline.jobs(limit=0)


def test_a_batch_that_is_deleted_is_gone(pipeline: Pipeline) -> None:
    """For whoever looks for it, and for its handle."""
    batch = pipeline.batch(abs, [1], name="gone")
    batch.delete()
    with pytest.raises(NoSuchBatch):
        pipeline.attach("gone")
    for ask in (batch.status, batch.retry, lambda: list(batch.values())):
        with pytest.raises(NoSuchBatch, match="was deleted"):
            ask()


def test_commands_are_completed_processes(pipeline: Pipeline, tmp_path: Any) -> None:
    """With their folder and environment."""
    result = pipeline.command(["sh", "-c", "pwd; echo $A >&2"], cwd=tmp_path, env={"A": "b"}).result()
    assert isinstance(result, CommandResult)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{tmp_path}\n".encode(), b"b\n")


def test_a_command_that_fails_raises_unless_unchecked(pipeline: Pipeline) -> None:
    """CommandFailed, or the result with its exit code."""
    assert isinstance(pipeline.command(["false"]).exception(), CommandFailed)
    assert pipeline.command(["false"], check=False).result().returncode == 1
    assert isinstance(pipeline.command(["/nowhere/x"]).exception(), JobError)


def test_a_command_is_no_line_for_a_shell(pipeline: Pipeline) -> None:
    """A string is refused, an argument is passed as it is."""
    assert isinstance(pipeline.command("echo a").exception(), TypeError)
    with pytest.raises(TypeError, match="list of words"):
        pipeline.batch("echo {}", ["a"])
    assert pipeline.command(["echo", "a b; c"]).result().stdout == b"a b; c\n"


def test_a_template_takes_each_item_as_its_arguments(pipeline: Pipeline) -> None:
    """A list item is several."""
    batch = pipeline.batch(["echo", "{2}-{1}"], [["a", "b"], ["c d", b"\xff"]])
    assert [one.stdout for one in batch.values()] == [b"b-a\n", b"\xff-c d\n"]


def test_options_are_checked_where_they_are_given(pipeline: Pipeline) -> None:
    """An unknown one is a TypeError that names it."""
    with pytest.raises(TypeError, match="unknown option 'retry'"):
        pipeline.options(retry=1)  # type: ignore[call-arg]  # that is the point
    with pytest.raises(TypeError, match="unknown option 'check'"):
        pipeline.batch(abs, [1], check=False)  # type: ignore[call-overload]  # that is the point
    with pytest.raises(TypeError, match="initializer is for calls"):
        pipeline.batch(["true"], [1], initializer=print)  # type: ignore[call-overload]  # that is the point
    assert list(pipeline.options(retries=1).options(priority=2).map(abs, [-1])) == [1]


def test_leaving_ends_submitting(pipeline: Pipeline) -> None:
    """As in every executor."""
    pipeline.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pipeline.submit(abs, 1)


def test_it_stands_like_a_pipeline_without_workers(pipeline: Pipeline) -> None:
    """Nothing waits, nobody can be drained."""
    assert (pipeline.status().queued, pipeline.workers(), pipeline.url) == (0, [], "inline")
    pipeline.flush()
    with pytest.raises(NoSuchWorker):
        pipeline.drain("w")


def test_a_job_knows_its_options() -> None:
    """What was asked for beyond the defaults, as on a pipeline with stations."""
    with Pipeline("inline") as pipeline:
        (job,) = pipeline.batch(abs, [-1], retries=2, retry_delay="3s").jobs()
    assert job.options == {"retries": 2, "retry_delay": 3.0}
