"""Dispatch ten, wait for the ten, for ever: ``python -m penstock.examples.ten [ROUNDS]``, until Ctrl-C or so many."""

from __future__ import annotations

from itertools import count, islice

from penstock import queues
from penstock.examples import Arguments, run


def job(number: int) -> int:
    """Runs in a slot; what it prints is in its outcome too."""
    print("Run job:", number)
    return number


def main(arguments: Arguments) -> None:
    """Ten at a time."""
    arguments.add_argument("rounds", nargs="?", type=int, metavar="ROUNDS", help="so often; else until Ctrl-C")
    rounds = arguments.parse_args().rounds
    if rounds is not None and rounds < 1:
        arguments.error("ROUNDS is a number from 1 on")
    with queues(run=job) as (dispatched, finished):
        for first in islice(count(1, 10), rounds):
            for number in range(first, first + 10):
                print("Dispatch job:", number)
                dispatched.put(number)
            for _ in range(10):
                print("Finished job:", finished.get().value)


if __name__ == "__main__":
    run(main, "ten", __doc__)
