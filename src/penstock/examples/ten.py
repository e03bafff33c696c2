"""Dispatch ten, wait for the ten, for ever: ``python -m penstock.examples.ten [ROUNDS]``, until Ctrl-C or so many."""

from __future__ import annotations

import contextlib
import sys
from itertools import count, islice

from penstock import queues


def job(number: int) -> int:
    """Runs in a slot; what it prints is in its outcome too."""
    print("Run job:", number)
    return number


def main() -> None:
    """Ten at a time."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else None
    with queues(run=job) as (dispatched, finished):
        for first in islice(count(1, 10), rounds):
            for number in range(first, first + 10):
                print("Dispatch job:", number)
                dispatched.put(number)
            for _ in range(10):
                print("Finished job:", finished.get().value)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
