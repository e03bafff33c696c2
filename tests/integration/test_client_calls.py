"""Calls and commands on an embedded pipeline: what comes back, and what goes wrong."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, as_completed, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jobs.common import MineError, die, flaky, gated, mark_and_sleep, nap, nested, odd_one, raising, whoami
from penstock import CommandResult, Pipeline, current_job, errors
from penstock.station.capacity import default_slots
from support.stations import LIMIT, until


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    """Embedded, with two slots; left at the end."""
    with Pipeline("local", slots=2, pass_output=False) as made:
        yield made


def test_values_and_exceptions_come_back(pipeline: Pipeline) -> None:
    """By submit, with positional and keyword arguments; exceptions as themselves with the remote traceback."""
    assert pipeline.submit(pow, 2, 10, mod=1000).result(30) == 24
    error = pipeline.submit(raising, MineError(1, 2)).exception(30)
    assert isinstance(error, MineError)
    assert error.two == 2
    assert "in raising" in str(error.__cause__)


def test_lambdas_closures_and_partials_travel(pipeline: Pipeline) -> None:
    """Whatever cloudpickle takes."""
    n = 3
    assert pipeline.submit(lambda x: x + n, 4).result(30) == 7
    assert pipeline.submit(partial(pow, 2), 5).result(30) == 32


def test_many_futures_work_as_those_of_the_standard_library(pipeline: Pipeline) -> None:
    """`wait`, `as_completed`, callbacks; each has a job id of its own."""
    futures = [pipeline.submit(abs, -number) for number in range(2000)]
    seen: list[Future[int]] = []
    futures[0].add_done_callback(seen.append)
    assert sorted(future.result() for future in as_completed(futures, 60)) == list(range(2000))
    assert wait(futures).not_done == set()
    assert seen == [futures[0]]
    assert len({future.job_id for future in futures}) == 2000


def test_futures_can_be_awaited(pipeline: Pipeline) -> None:
    """Through asyncio.wrap_future."""

    async def both() -> object:
        return await asyncio.gather(*(asyncio.wrap_future(pipeline.submit(abs, number)) for number in (-1, -2)))

    assert asyncio.run(both()) == [1, 2]


def test_an_argument_that_cannot_be_pickled_is_the_error_of_that_future(pipeline: Pipeline) -> None:
    """Done when submit returns; it says which argument; others are not touched."""
    bad = pipeline.submit(pow, 2, threading.Lock())  # type: ignore[arg-type]  # that is the point
    good = pipeline.submit(pow, 2, 3)
    assert bad.done()
    with pytest.raises(pickle.PicklingError, match=r"argument 2 \(lock\)"):
        bad.result(0)
    assert good.result(30) == 8


def test_a_result_that_cannot_be_pickled_fails_its_job_only(pipeline: Pipeline) -> None:
    """The slot lives."""
    with pytest.raises(errors.ResultNotPicklable, match="lock"):
        pipeline.submit(threading.Lock).result(30)
    assert pipeline.submit(abs, -1).result(30) == 1


def test_a_value_that_cannot_be_rebuilt_is_the_error_of_its_own_job(pipeline: Pipeline) -> None:
    """Whatever chunk it travels in; its neighbours have their values."""
    list(pipeline.map(odd_one, range(6, 1000)))  # now they are known to be short, and run in pieces
    futures = [pipeline.submit(odd_one, number) for number in range(20)]
    assert [type(future.exception(30)) for future in futures] == [type(None)] * 5 + [ValueError] + [type(None)] * 14
    outcomes = list(pipeline.batch(odd_one, range(20)).outcomes())
    assert [one.value for one in outcomes] == [*range(5), None, *range(6, 20)]
    assert [one.index for one in outcomes if one.error is not None] == [5]
    found = pipeline.map(odd_one, range(20), chunksize=20)
    assert [next(found) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="no number"):
        next(found)


def test_a_callback_may_use_the_pipeline_but_not_wait_for_another_future(pipeline: Pipeline, folder: Path) -> None:
    """It runs in a thread of its own: what that thread would settle it is told that it cannot wait for."""
    seen: list[object] = []

    def ask(done: Future[None]) -> None:
        assert done.result() is None
        seen.append(pipeline.submit(abs, -2))
        seen.append(done.cancel())
        seen.append((pipeline.status().url, list(pipeline.map(abs, [-1])), list(pipeline.batch(abs, [-5]).values())))
        with pytest.raises(RuntimeError, match="callback cannot wait for another Future"):
            pipeline.submit(abs, -3).result()
        seen.append("asked")

    pipeline.submit(gated, str(folder / "gate")).add_done_callback(ask)
    (folder / "gate").touch()
    until(lambda: "asked" in seen)
    assert isinstance(seen[0], Future)
    assert (seen[0].result(30), seen[1], pipeline.submit(abs, -4).result(30)) == (2, False, 4)
    assert seen[2] == (pipeline.url, [1], [5])


def test_a_callback_that_lasts_or_leaves_holds_nothing_up(pipeline: Pipeline, folder: Path) -> None:
    """Other jobs run, maps are read and questions answered meanwhile; SystemExit ends nothing."""
    entered, go_on = threading.Event(), threading.Event()

    def stay(_: Future[None]) -> None:
        entered.set()
        go_on.wait(LIMIT)
        sys.exit("leaving")

    pipeline.submit(gated, str(folder / "gate")).add_done_callback(stay)
    (folder / "gate").touch()
    assert entered.wait(LIMIT)
    waiting = pipeline.submit(abs, -2)
    assert list(pipeline.map(abs, range(-100, 0))) == list(range(100, 0, -1))
    assert pipeline.status().leased == 0
    assert not waiting.done()
    go_on.set()
    assert (waiting.result(LIMIT), pipeline.submit(abs, -3).result(LIMIT)) == (2, 3)


def test_who_waits_for_room_does_not_wait_for_a_callback(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that holds a lock while it submits much, as joblib does, and callbacks that want it."""
    monkeypatch.setattr("penstock.client.session.UNACCEPTED_BYTES", 1 << 20)
    lock, seen = threading.RLock(), []  # a callback that is added too late runs here

    def want(done: Future[int]) -> None:
        with lock:
            seen.append(done.result())

    for _ in range(20):
        with lock:
            futures = [pipeline.submit(len, bytes(700_000)) for _ in range(4)]
            for future in futures:
                future.add_done_callback(want)
    until(lambda: len(seen) == 80)
    assert set(seen) == {700_000}


def test_a_pipeline_that_was_left_says_so(folder: Path) -> None:
    """Whoever asks it, or reads one of its batches, does not wait for ever."""
    with Pipeline("local", slots=1) as pipeline:
        batch = pipeline.batch(abs, [-1])
        read = batch.values()
        future = pipeline.submit(abs, -2)
    assert (future.result(0), future.cancel()) == (2, False)
    for ask in (
        batch.status,
        lambda: next(read),
        batch.wait,
        batch.cancel,
        pipeline.status,
        lambda: pipeline.attach("last"),
    ):
        with pytest.raises(RuntimeError, match="has been left"):
            ask()
    with Pipeline("local", slots=1) as pipeline:
        pipeline.submit(abs, -1).add_done_callback(lambda _: pipeline.shutdown(wait=False))
        until(lambda: not list(folder.glob("penstock-*")), what="left by a callback, it ends")


def test_modules_that_were_found_since_go_along(
    pipeline: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path was changed after the pipeline was made; and a module that was reloaded is sent anew."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / "only_here.py").write_text("def f(x): return x")
    monkeypatch.syspath_prepend(str(folder))
    import only_here  # type: ignore[import-not-found]  # made above

    assert pipeline.submit(only_here.f, 1).result(30) == 1
    (folder / "only_here.py").write_text("def f(x): return [x] * 3")
    importlib.reload(only_here)
    assert list(pipeline.map(only_here.f, range(3))) == [[0] * 3, [1] * 3, [2] * 3]


@pytest.mark.parametrize(("raised", "code"), [(SystemExit(7), 7), (KeyboardInterrupt(), None)])
def test_a_job_that_wants_to_exit_fails(pipeline: Pipeline, raised: BaseException, code: object) -> None:
    """With JobExited and its code; the slot lives."""
    with pytest.raises(errors.JobExited) as caught:
        pipeline.submit(raising, raised).result(30)
    assert caught.value.code == code


def test_a_job_that_kills_its_process_is_dead(pipeline: Pipeline) -> None:
    """After max_crashes tries, with the signal as cause; others go on."""
    dead = pipeline.options(max_crashes=2).submit(die)
    with pytest.raises(errors.JobDied, match="SIGSEGV"):
        dead.result(60)
    assert pipeline.submit(abs, -1).result(30) == 1


def test_a_job_over_its_time_limit_is_ended(pipeline: Pipeline) -> None:
    """It is JobTimedOut, which is no TimeoutError."""
    with pytest.raises(errors.JobTimedOut, match="time limit"):
        pipeline.options(time_limit=0.3).submit(time.sleep, 60).result(30)
    assert not issubclass(errors.JobTimedOut, TimeoutError)


def test_a_job_that_fails_is_tried_again(pipeline: Pipeline, folder: Path) -> None:
    """As often as `retries` says."""
    view = pipeline.options(retries=2, retry_delay=0.05)
    assert view.submit(flaky, str(folder / "log")).result(30) == "third time"


def test_msgpack_jobs(pipeline: Pipeline) -> None:
    """Plain data in and out, by submit, map and batch."""
    view = pipeline.options(serializer="msgpack")
    assert view.submit(sorted, [3, 1]).result(30) == [1, 3]
    assert list(view.map(abs, range(-3, 0))) == [3, 2, 1]
    assert list(view.batch(pow, [2, 3], [3, 2]).values()) == [8, 9]


def test_calls_run_where_and_after_what_their_options_say(pipeline: Pipeline, folder: Path) -> None:
    """cwd and env of each job, an initializer once per slot; jobs without these options are as before."""
    log = folder / "log"
    options: dict[str, Any] = {"cwd": folder, "env": {"COLOUR": "red"}}
    batch = pipeline.batch(
        lambda _: (os.getcwd(), os.environ["COLOUR"], nap(0.01)),
        range(50),
        **options,
        initializer=lambda word: log.open("a").write(f"{os.getpid()} {word} {os.getcwd()}\n"),
        initargs=("hello",),
    )
    assert set(batch.values()) == {(str(folder), "red", 0.01)}
    lines = log.read_text().splitlines()
    assert len(lines) == len({line.split()[0] for line in lines}) == 2
    assert {line.split(maxsplit=1)[1] for line in lines} == {f"hello {folder}"}
    assert pipeline.submit(lambda: (os.getcwd(), "COLOUR" in os.environ)).result(30) == (os.getcwd(), False)
    assert pipeline.options(**options).submit(os.getcwd).result(30) == str(folder)
    assert pipeline.options(**options).command(["sh", "-c", "pwd; echo $COLOUR"]).result(30).stdout == (
        f"{folder}\nred\n".encode()
    )


def test_what_cannot_be_prepared_fails_its_jobs(pipeline: Pipeline) -> None:
    """An initializer that raises, a folder that is not there: a clear cause, and the slots live on."""
    pids = {pipeline.submit(os.getpid).result(30) for _ in range(20)}
    outcomes = list(pipeline.batch(abs, range(5), initializer=raising, initargs=(ValueError("no licence"),)).outcomes())
    assert {(one.state, one.cause) for one in outcomes} == {("failed", "in the initializer: ValueError: no licence")}
    assert isinstance(outcomes[0].error, ValueError)
    (missing,) = pipeline.batch(abs, [1], cwd="/missing").outcomes()
    assert missing.state == "failed"
    assert missing.cause.endswith("cannot run in the folder /missing: No such file or directory")
    assert {pipeline.submit(os.getpid).result(30) for _ in range(20)} <= pids


def test_a_future_is_cancelled_only_before_it_starts(pipeline: Pipeline, folder: Path) -> None:
    """Also where it waits at a worker; `Pipeline.cancel` ends running ones too."""
    files = [folder / str(number) for number in range(8)]
    futures = [pipeline.submit(mark_and_sleep, str(file)) for file in files]
    until(lambda: sum(file.exists() for file in files) == 2, what="both slots are busy")
    assert pipeline.status().leased > 2
    assert [future.cancel() for future in futures] == [not file.exists() for file in files]
    running = [future for future, file in zip(futures, files, strict=True) if file.exists()]
    assert len(running) == 2
    for future in running:
        pipeline.cancel(future)
        with pytest.raises(CancelledError):
            future.result(30)
    assert pipeline.submit(abs, -1).result(30) == 1


def test_what_a_job_prints_is_kept(pipeline: Pipeline) -> None:
    """On both streams, by functions as by commands."""
    outcome = next(pipeline.batch(lambda _: print("out") or print("err", file=sys.stderr), [0]).outcomes())
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")


def test_a_job_knows_who_it_is(pipeline: Pipeline) -> None:
    """And outside of a job nobody does."""
    future = pipeline.submit(whoami)
    assert future.result(30) == (future.job_id, 1)
    assert current_job() is None


def test_numerical_libraries_have_their_share_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the cores; what is set for them stays."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    monkeypatch.setenv(names[0], "77")
    monkeypatch.delenv(names[1], raising=False)
    with Pipeline("local", slots=default_slots()) as pipeline:
        assert list(pipeline.map(os.getenv, names[:2])) == ["77", "1"]
        assert pipeline.options(env={names[2]: "5"}).submit(os.getenv, names[2]).result(30) == "5"


def test_a_job_has_its_own_pipeline(pipeline: Pipeline) -> None:
    """Embedded, whatever the environment says."""
    assert pipeline.submit(nested).result(60) == [1, 2]


def test_commands_run_without_a_shell(pipeline: Pipeline, folder: Path) -> None:
    """In this folder or `cwd`, with the environment added to; the value is a CompletedProcess."""
    result = pipeline.command(["sh", "-c", 'pwd; echo "$0" "$A" >&2', "a b;c"], cwd=folder, env={"A": "é"}).result(30)
    assert isinstance(result, CommandResult)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{folder}\n".encode(), "a b;c é\n".encode())
    assert pipeline.command(["pwd"]).result(30).stdout == os.getcwdb() + b"\n"


def test_commands_fail_with_their_exit_code_or_cause(pipeline: Pipeline, folder: Path) -> None:
    """CommandFailed, unless ``check=False``; a program or folder that is not there is said."""
    with pytest.raises(errors.CommandFailed) as caught:
        pipeline.command(["sh", "-c", "echo no >&2; exit 3"]).result(30)
    assert (caught.value.returncode, caught.value.stderr) == (3, b"no\n")
    assert pipeline.command(["false"], check=False).result(30).returncode == 1
    with pytest.raises(errors.JobError, match="No such file"):
        pipeline.command([folder / "nothing"]).result(30)
    with pytest.raises(errors.JobError, match="cannot run in the folder"):
        pipeline.command(["true"], cwd=folder / "nowhere").result(30)


def test_a_batch_of_commands(pipeline: Pipeline) -> None:
    """A template and its arguments, whatever bytes they are."""
    names = ["a b", "it's", "new\nline", b"\xff"]
    batch = pipeline.batch(["printf", "%s", "{}"], names)
    assert [result.stdout for result in batch.values()] == [b"a b", b"it's", b"new\nline", b"\xff"]


def test_a_batch_has_a_handle(pipeline: Pipeline) -> None:
    """Accepted when it returns; values, outcomes, failures, and found again by its name."""
    batch = pipeline.batch(lambda x: 1 / x, [1, 0, 2], name="thirds")
    status = batch.wait(30)
    assert (status.total, status.succeeded, status.failed) == (3, 2, 1)
    again = pipeline.attach("thirds")
    assert again.id == batch.id
    assert [one.state for one in again.outcomes()] == ["succeeded", "failed", "succeeded"]
    assert [type(one.error) for one in again.failures()] == [ZeroDivisionError]
    assert sorted(one.position for one in again.follow()) == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        list(again.values())


def test_readers_of_one_batch_do_not_disturb_each_other(pipeline: Pipeline) -> None:
    """Each has its own place."""
    batch = pipeline.batch(abs, range(100))
    assert [(a.index, b) for a, b in zip(batch.outcomes(), batch.values(), strict=True)] == [(n, n) for n in range(100)]


@pytest.mark.parametrize("bad", [[1, threading.Lock(), 2], (1 / n for n in (1, 0, 2))])
def test_an_input_that_fails_leaves_nothing_of_its_batch(pipeline: Pipeline, bad: Any) -> None:
    """The error is raised where the batch was asked for."""
    with pytest.raises((pickle.PicklingError, ZeroDivisionError)):
        pipeline.batch(abs, bad)
    until(lambda: not pipeline.batches(), what="the batch is deleted")


def test_a_cancelled_batch_ends(pipeline: Pipeline) -> None:
    """Running jobs too."""
    batch = pipeline.batch(time.sleep, [60] * 20)
    until(lambda: pipeline.status().leased >= 2)
    batch.cancel()
    assert batch.wait(30).cancelled == 20


def test_a_batch_that_is_not_there_is_an_error(pipeline: Pipeline) -> None:
    """So is a worker."""
    with pytest.raises(errors.NoSuchBatch, match="no batch 'abc'"):
        pipeline.attach("abc")
    with pytest.raises(errors.NoSuchWorker):
        pipeline.drain("nobody")


def test_how_the_pipeline_stands(pipeline: Pipeline) -> None:
    """Its workers and slots."""
    pipeline.submit(abs, 1).result(30)
    until(lambda: pipeline.status().sink_present, what="ventilator and sink know each other")
    assert (pipeline.status().slots, len(pipeline.workers())) == (2, 1)
    until(lambda: pipeline.workers()[0].done == 1, what="the job is counted")


def test_a_large_function_and_large_arguments(pipeline: Pipeline) -> None:
    """Five megabytes bound to a function, three as an argument, four back."""
    bound = bytes(5 << 20)
    assert list(pipeline.map(partial(lambda data, n: len(data) + n, bound), range(8))) == [
        len(bound) + n for n in range(8)
    ]
    assert pipeline.submit(len, bytes(3 << 20)).result(30) == 3 << 20
    assert len(pipeline.submit(bytes, 4 << 20).result(30)) == 4 << 20


def test_the_time_limit_counts_the_initializer(pipeline: Pipeline) -> None:
    """From the moment a job has its slot."""
    view = pipeline.options(time_limit=0.5, initializer=time.sleep, initargs=(60,))
    error = view.submit(abs, 1).exception(30)
    assert isinstance(error, errors.JobTimedOut)
    assert "initializer" in str(error)
    assert pipeline.submit(abs, -1).result(30) == 1


def test_a_job_that_died_names_its_process(pipeline: Pipeline) -> None:
    """As the error of a ProcessPoolExecutor does."""
    error = pipeline.options(max_crashes=1).submit(die).exception(30)
    assert isinstance(error, errors.JobDied)
    assert (error.pid is not None, error.exitcode) == (True, -11)
    assert str(error).endswith(f"killed by SIGSEGV (segmentation fault), pid {error.pid}")
