"""The tour of a pool: ``python -m penstock.examples.pool``. Every line would run on multiprocessing.Pool, too."""

from __future__ import annotations

import time

from penstock import Pool
from penstock.examples import Arguments, run


def square(x: int) -> int:
    """What each job of the tour computes."""
    return x * x


def main(arguments: Arguments) -> None:
    """From apply to join."""
    arguments.parse_args()
    with Pool(4) as pool:
        print("apply:", pool.apply(square, (10,)))
        result = pool.apply_async(square, (20,))
        print("apply_async:", result.get(timeout=60))
        print("map:", pool.map(square, range(10)))
        values = pool.imap(square, range(10))
        print("imap:", next(values), next(values), values.next(timeout=60))
        pool.close()
        pool.join()
        print("closed and joined")
    with Pool(4) as pool:
        pool.map_async(time.sleep, [3600] * 10)
        pool.terminate()
        pool.join()
        print("terminated and joined")


if __name__ == "__main__":
    run(main, "pool", __doc__)
