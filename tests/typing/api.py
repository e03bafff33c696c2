"""What type checkers know of penstock. Nobody runs this: mypy and pyright read it, both strict (tests/test_typing.py).

A line with an ignore comment is a mistake that they must report: where one of them does not, its comment is unused, and
that is an error too.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, assert_type

from penstock import (
    Batch,
    BatchStatus,
    CommandResult,
    Job,
    JobInfo,
    Outcome,
    Pipeline,
    PipelineStatus,
    Pool,
    WorkerInfo,
    current_job,
    queues,
)

FinalState = Literal["succeeded", "failed", "timed_out", "cancelled", "dead"]


def square(x: int) -> int:
    return x * x


def label(x: int, *, unit: str = "m") -> str:
    return f"{x} {unit}"


def executor(p: Pipeline) -> None:
    future = p.submit(square, 3)
    assert_type(future.result(), int)
    assert_type(future.job_id, str)
    assert_type(p.submit(label, 3, unit="s").result(timeout=1.0), str)
    plain: Future[int] = future
    assert plain is future
    assert_type(p.map(square, [1, 2]), Iterator[int])
    assert_type(p.map(label, range(3), timeout=5, buffersize=2), Iterator[str])
    assert_type(p.imap_unordered(square, [1, 2], cost=[1.0, 2.0]), Iterator[int])
    with p as same:
        assert_type(same, Pipeline)

    p.submit(square, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    p.submit(square)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    p.submit(label, 3, units="s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    print(f"{p.submit(square, 3).result() + 'm'}")  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    p.submit(square, 3).stop()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def views(p: Pipeline) -> None:
    view = p.options(retries=2, time_limit="90s", needs=["gpu"], on_missing="fail", initializer=print, initargs=("x",))
    assert_type(view.submit(square, 3).result(), int)
    p.options(not_before=datetime.now(UTC), expires=timedelta(days=1), cwd=Path("/tmp"), env={"A": 1}, keep_output="1M")

    p.options(retries="two")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    p.options(retry=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    p.options(check=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    p.options(on_missing="retry")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    p.options(serializer="json")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    p.options(after=p.submit(square, 3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def batches(p: Pipeline) -> None:
    batch = p.batch(square, [1, 2], name="squares", retries=2, time_limit=30)
    assert_type(batch, Batch[int])
    assert_type(batch.values(), Iterator[int])
    assert_type(batch.outcomes(), Iterator[Outcome[int]])
    assert_type(batch.follow(after=3), Iterator[Outcome[int]])
    assert_type(batch.failures(), Iterator[Outcome[int]])
    assert_type(batch.attempts(0), list[Outcome[int]])
    assert_type(batch.wait(timeout=1), BatchStatus)
    assert_type(batch.job(0), JobInfo)
    assert_type(p.attach(batch.id), Batch[Any])
    whatever: Batch[object] = batch
    p.options(after=whatever)

    p.batch(square, [1], retry=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    p.batch(square, [1], retries="two")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    p.batch(square, [1], check=False)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    p.batch(["gzip", "{}"], ["a"], initializer=print)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def outcomes(outcome: Outcome[int], info: JobInfo, status: BatchStatus) -> None:
    assert_type(outcome.value, int | None)
    assert_type(outcome.error, BaseException | None)
    assert_type(outcome.stdout, bytes)
    assert_type(outcome.state, FinalState)
    if outcome.state == "succeeded" or info.state == "running" or status.kind == "call":
        return

    print(outcome.state == "succeded")  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    print(info.state == "runing")  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    print(status.kind == "cal")  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    outcome.state = "failed"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def commands(p: Pipeline) -> None:
    assert_type(p.command(["true"], cwd="/tmp", check=False).result(), CommandResult)
    assert_type(p.command(["true"]).job_id, str)
    assert_type(p.batch(["gzip", "{}"], ["a"], check=False), Batch[CommandResult])
    assert_type(p.command([Path("/bin/true"), b"x"]).result().stdout, bytes)

    p.command(["true"], initializer=print)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    p.command(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def pool(p: Pool) -> None:
    assert_type(p.map(square, [1, 2]), list[int])
    assert_type(p.starmap(label, [(1,), (2,)]), list[str])
    assert_type(p.apply(square, (1,)), int)
    assert_type(p.apply_async(square, (1,)).get(timeout=1), int)
    assert_type(p.map_async(label, [1], callback=lambda found: assert_type(found, list[str])).get(), list[str])
    assert_type(p.starmap_async(square, [(1,)]).get(), list[int])
    for value in p.imap(square, [1]):
        assert_type(value, int)
    assert_type(p.imap_unordered(label, [1]).next(timeout=1), str)

    p.map(square, ["x"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    p.imap(square, ["x"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def two_queues() -> None:
    with queues(run=square, maxsize=5, retries=2) as (dispatched, finished):
        dispatched.put(3)
        assert_type(finished.get(timeout=1), Outcome[int])
        dispatched.put("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with queues("tcp://head:5555", label, name="labels") as (_, labels):
        assert_type(labels.get().value, str | None)
    with queues() as (jobs, anything):
        jobs.put(Job(label, 3, unit="s"))
        assert_type(anything.get(), Outcome[Any])
        jobs.put(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        Job(square, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    queues(retry=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def pipelines(p: Pipeline) -> None:
    assert_type(p.status(), PipelineStatus)
    assert_type(p.workers(), list[WorkerInfo])
    assert_type(p.batches("squares", limit=5), list[BatchStatus])
    assert_type(p.cancel(p.submit(square, 3)), int)
    job = current_job()
    if job is not None:
        assert_type(job.attempt, int)

    Pipeline(slots="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
