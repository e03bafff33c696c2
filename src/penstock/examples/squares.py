"""Squares through two queues: ``python -m penstock.examples.squares``."""

from __future__ import annotations

import queue
import random

from penstock import queues
from penstock.examples import Arguments, run


def square(n: int) -> str:
    """What the slaves of a manager with two queues would do in their loop."""
    return f"{n} * {n} = {n * n}"


def main(arguments: Arguments) -> None:
    """Put, then get until nothing comes any more."""
    arguments.parse_args()
    with queues(run=square) as (dispatched, finished):
        for _ in range(10):
            n = random.randint(0, 10_000)
            print("Put task", n)
            dispatched.put(n)
        for _ in range(10):
            print("Result:", finished.get(timeout=60).value)
        try:
            finished.get(timeout=0.1)
        except queue.Empty:
            print("That was all.")


if __name__ == "__main__":
    run(main, "squares", __doc__)
