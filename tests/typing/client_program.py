"""A small program as users write them, for mypy and pyright, both strict. It runs: ``client_program.py FILE...``.

No annotation is there for penstock's sake but one: as_completed gives back plain Futures, so the dictionary of the
well-known idiom has them for keys.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures import TimeoutError as WaitedTooLong
from pathlib import Path

import penstock
from penstock import Job, Outcome, Pipeline, Pool, errors, queues


def words(path: Path) -> dict[str, int]:
    """Count the words of a file."""
    counts: dict[str, int] = {}
    for word in path.read_text().split():
        counts[word] = counts.get(word, 0) + 1
    return counts


def longest(path: Path, least: int = 0) -> str:
    """The longest word of a file."""
    job = penstock.current_job()
    if job is not None and job.attempt > 1:
        print(f"{job.id} is tried again at {job.worker}, in slot {job.slot}")
    return max((word for word in path.read_text().split() if len(word) >= least), key=len, default="")


def as_an_executor(pipeline: Pipeline, paths: Sequence[Path]) -> str:
    """Futures, as they end."""
    futures: dict[Future[str], Path] = {pipeline.submit(longest, path, least=3): path for path in paths}
    best = ""
    for future in as_completed(futures, timeout=60):
        try:
            word = future.result()
        except errors.JobTimedOut as error:
            print(f"{futures[future]}: {error}", file=sys.stderr)
        except errors.JobDied as died:
            print(f"{futures[future]}: process {died.pid} ended with {died.exitcode}", file=sys.stderr)
        else:
            best = max(best, word, key=len)
    return best


def as_a_batch(pipeline: Pipeline, paths: Sequence[Path]) -> int:
    """A handle that outlives this program, and outcomes that say what became of each job."""
    batch = pipeline.batch(words, paths, name="words", retries=2, time_limit="5m")
    total = 0
    for outcome in batch.follow():
        total += report(outcome)
    status = batch.wait(timeout=10)
    print(f"{status.finished} of {status.total}, {status.unsuccessful} without success")
    return total


def report(outcome: Outcome[dict[str, int]]) -> int:
    """The number of words, or 0 for a job that has none."""
    match outcome.state:
        case "succeeded":
            assert outcome.value is not None
            return sum(outcome.value.values())
        case "cancelled":
            return 0
        case "failed" | "timed_out" | "dead":
            print(f"{outcome.job_id} on {outcome.worker}: {outcome.cause}", outcome.stderr.decode(), file=sys.stderr)
            return 0


def as_commands(pipeline: Pipeline, paths: Sequence[Path]) -> list[bytes]:
    """Commands, one by one and by template."""
    try:
        pipeline.command(["sort", "-c", paths[0]], cwd=paths[0].parent).result()
    except errors.CommandFailed as failure:
        print(f"{failure.cmd}: {failure.returncode} {failure.cause}")
    return [result.stdout for result in pipeline.batch(["wc", "-w", "{}"], paths, check=False).values()]


def as_a_pool(paths: Sequence[Path]) -> list[str]:
    """What was written for multiprocessing."""
    with Pool(4) as pool:
        first = pool.apply_async(longest, (paths[0],))
        found = pool.map(longest, paths)
        found += pool.imap_unordered(longest, paths)
        try:
            found.append(first.get(timeout=1))
        except WaitedTooLong:
            pool.terminate()
    return found


def as_two_queues(paths: Sequence[Path]) -> int:
    """Jobs into one, outcomes from the other."""
    total = 0
    with queues(run=words, maxsize=10) as (dispatched, finished):
        for path in paths:
            dispatched.put(path)
        try:
            while True:
                total += report(finished.get(timeout=1))
        except queue.Empty:
            dispatched.join()
    with queues() as (jobs, outcomes):
        jobs.put(Job(longest, paths[0], least=2))
        print(outcomes.get().value)
    return total


def main() -> None:
    """All of it."""
    paths = [Path(name) for name in sys.argv[1:]]
    try:
        with Pipeline(slots=2) as pipeline:
            print(as_an_executor(pipeline, paths), as_a_batch(pipeline, paths), as_commands(pipeline, paths))
            print([worker.name for worker in pipeline.workers() if not worker.draining], pipeline.status().waiting)
            for length in pipeline.map(len, paths_as_text(paths), cost=len):
                print(length + 1)
    except (errors.NoPipeline, errors.Refused) as error:
        sys.exit(str(error))
    print(as_a_pool(paths), as_two_queues(paths))


def paths_as_text(paths: Sequence[Path]) -> list[str]:
    """As their user wrote them."""
    return [str(path) for path in paths]


if __name__ == "__main__":
    main()
