"""Jobs of the tests that workers import by name."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from penstock import Pipeline, current_job


class MineError(Exception):
    """Cannot be rebuilt from its args alone."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)
        self.two = two


def raising(error: BaseException) -> None:
    """A job that fails."""
    raise error


def flaky(path: str) -> str:
    """Fails twice."""
    with Path(path).open("a") as file:
        file.write("x")
    if len(Path(path).read_text()) < 3:
        raise OSError("not yet")
    return "third time"


def die() -> None:
    """As a segmentation fault would."""
    os.kill(os.getpid(), 11)


def nested() -> list[int]:
    """A pipeline inside of a job."""
    with Pipeline(slots=1) as inner:
        assert inner.url.startswith("ipc://")
        return list(inner.map(abs, [-1, -2]))


def whoami() -> tuple[str, int] | None:
    """What the job knows of itself."""
    job = current_job()
    return None if job is None else (job.id, job.attempt)


def large_when(path: Path, which: int, x: int) -> bytes:
    """20,000 bytes, which begin with the number; one of them waits until somebody makes this file."""
    while x == which and not path.exists():
        time.sleep(0.01)
    return b"%04d" % x + bytes(19_996)


def slow(x: int) -> int:
    """Ten milliseconds."""
    time.sleep(0.01)
    return x


def square(x: int) -> int:
    """Nothing to speak of."""
    return x * x


def inverse(x: int) -> float:
    """Fails for zero."""
    return 1 / x


def nap(duration: float) -> float:
    """Sleeps."""
    time.sleep(duration)
    return duration


def moment(_: int) -> float:
    """When it ran: seconds of the machine's monotonic clock."""
    time.sleep(0.002)
    return time.monotonic()


def mark_and_sleep(path: str) -> None:
    """Leaves a file when it starts, and lasts."""
    Path(path).touch()
    time.sleep(60)


def gated(path: str) -> None:
    """Lasts until there is this file."""
    while not Path(path).exists():
        time.sleep(0.02)


def overlapping(path: str) -> None:
    """Tells of its begin and its end, with some time in between."""
    for word in ("+", "-"):
        with Path(path).open("a") as file:
            file.write(word)
        time.sleep(0.02)


def worker_name(_: object) -> str:
    """Of the worker that runs it."""
    job = current_job()
    assert job is not None
    return job.worker


def together(path: str) -> None:
    """Ends when three of it run."""
    with Path(path).open("a") as file:
        file.write("+")
    while Path(path).stat().st_size < 3:
        time.sleep(0.01)


def needs(path: str, index: int) -> int:
    """Every third one fails until there is a file of its number."""
    if index % 3 == 0 and not Path(f"{path}/{index}").exists():
        raise FileNotFoundError(index)
    return index


class Lost:
    """Cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def odd_one(number: int) -> object:
    """The sixth one is lost."""
    return Lost() if number == 5 else number
