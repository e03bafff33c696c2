"""A channel for each worker, one for all results: ``python -m penstock.examples.channels WORKER ...``.

What a dispatcher does with publish and subscribe; but it is told when nobody listens, and nothing gets lost.
"""

from __future__ import annotations

from concurrent.futures import Future, as_completed

from penstock import Pipeline, current_job, errors
from penstock.examples import Arguments, run


def task(number: int) -> str:
    """Runs on the worker it was sent to."""
    job = current_job()
    return f"task {number} on {job.worker if job else 'no worker'}"


def main(arguments: Arguments) -> None:
    """Two tasks for each."""
    arguments.add_argument(
        "workers", nargs="+", metavar="WORKER", help="the name of a worker: `penstock workers` has them"
    )
    workers = arguments.parse_args().workers
    with Pipeline() as pipeline:
        sent: dict[Future[str], str] = {}
        for number, worker in enumerate(workers * 2, 1):
            channel = pipeline.options(worker=worker, on_missing="fail")
            sent[channel.submit(task, number)] = f"task {number} to {worker}"
        for future in as_completed(sent):
            try:
                print("done:", future.result())
            except errors.NoSuchWorker as error:
                print(f"dispatch failed: {sent[future]}: {error}")


if __name__ == "__main__":
    run(main, "channels", __doc__)
