"""Jobs of the tests that workers import by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

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


def needs(path: str, index: int) -> int:
    """Every third one fails until there is a file of its number."""
    if index % 3 == 0 and not Path(f"{path}/{index}").exists():
        raise FileNotFoundError(index)
    return index
