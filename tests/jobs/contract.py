"""Jobs of the contract tests: what a process pool of the standard library can import, too."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

_told: list[object] = []


def tell(value: object) -> None:
    """An initializer."""
    _told.append(value)


def told() -> list[object]:
    """What the initializers of this process were given."""
    return list(_told)


def thirds(x: int) -> int:
    """Fails for the multiples of three."""
    if x % 3 == 0:
        raise KeyError(x)
    return x


class Falsy(Exception):  # noqa: N818 - it says that it is false
    """An error that is one all the same."""

    def __bool__(self) -> bool:
        return False


def falsy(x: int) -> int:
    """Fails for 3 with an error that is false."""
    if x == 3:
        raise Falsy(x)
    return x


class FalsyTell:
    """An initializer that is false."""

    def __len__(self) -> int:
        return 0

    def __call__(self, value: object) -> None:
        """Called all the same."""
        tell(value)


def note(path: str, x: int) -> int:
    """Leaves a trace; fails for 0."""
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{x}\n")
    if x == 0:
        raise ValueError("zero")
    return x


def nap(seconds: float) -> float:
    """Sleeps."""
    time.sleep(seconds)
    return seconds


def marked_nap(path: str, seconds: float) -> float:
    """Sleeps, and says that it has begun."""
    with open(path, "x", encoding="ascii"):
        time.sleep(seconds)
    return seconds


def echo(x: object) -> object:
    """Gives back what it was given."""
    return x


def process(_: object = None) -> int:
    """Which process this is."""
    return os.getpid()


def inside(kind: str) -> tuple[list[int], int]:
    """An executor made inside of a job."""
    from concurrent.futures import Executor, ProcessPoolExecutor

    from penstock import Pipeline

    made: Executor = ProcessPoolExecutor(1) if kind == "standard" else Pipeline(slots=1)
    with made as executor:
        return list(executor.map(abs, [-1, -2])), executor.submit(pow, 2, 3).result()


def lock(_: object = None) -> object:
    """Returns what cannot be pickled."""
    return threading.Lock()


def keyword(x: int, *, y: int) -> tuple[int, int]:
    """Shows what it was given."""
    return x, y


def die(_: object = None) -> None:
    """As a segmentation fault would."""
    os.kill(os.getpid(), 11)


def inner(n: int) -> list[int]:
    """A call of joblib inside of a job."""
    import joblib

    return list(joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-x) for x in range(n)))


def backend_inside() -> str:
    """Which backend joblib takes for a call inside of a job."""
    import joblib

    parallel = joblib.Parallel(n_jobs=4)
    assert parallel(joblib.delayed(abs)(-x) for x in range(3)) == [0, 1, 2]
    return type(parallel._backend).__name__


def threads_wanted() -> tuple[str | None, str | None]:
    """What libraries read when they are imported."""
    return os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS")


def blas_threads() -> list[int]:
    """How many threads numpy's library has."""
    import numpy as np
    from threadpoolctl import threadpool_info

    assert np.dot([1.0], [1.0]) == 1.0
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"][:1]


def add_to(array: Any, x: float) -> float:
    """Changes its argument."""
    array += x
    return float(array[-1])


def array_kind(array: object) -> str:
    """What it has been given."""
    return type(array).__name__


def put(array: Any, n: int) -> None:
    """Writes a place of its own."""
    array[n] = n
