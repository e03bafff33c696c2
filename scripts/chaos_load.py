"""The load of scripts/chaos: jobs of every kind, what each must come to, and the client process that submits them.

Every job writes a line when it starts: ``BATCH:INDEX attempt pid worker time``, into the file of PENSTOCK_CHAOS_STARTS.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import Pipeline, current_job
from penstock.errors import PenstockError

STARTS = "PENSTOCK_CHAOS_STARTS"
MEGABYTE = 1 << 20

_starts = -1


def log_start() -> int:
    """One line in one write; returns the attempt."""
    global _starts  # noqa: PLW0603 - one file per slot process
    if _starts < 0:
        _starts = os.open(os.environ[STARTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    job = current_job()
    assert job is not None
    os.write(_starts, f"{job.id} {job.attempt} {os.getpid()} {job.worker} {time.time():.6f}\n".encode())
    return job.attempt


def square(x: int) -> int:
    """Tiny."""
    log_start()
    return x * x


def nap(x: int) -> int:
    """From 50 to 500 ms."""
    log_start()
    time.sleep(0.05 + x * 37 % 19 / 40)
    return x


def flaky(x: int) -> int:
    """Fails at first."""
    if log_start() == 1:
        raise ValueError(x)
    return x


def fail(x: int) -> None:
    """Fails always."""
    log_start()
    raise ValueError(x)


def die_once(x: int) -> int:
    """Ends its slot at first."""
    if log_start() == 1:
        end_slot(x)
    return x


def die(x: int) -> None:
    """Ends its slot always."""
    log_start()
    end_slot(x)


def end_slot(x: int) -> None:
    """In one of two ways."""
    if x % 2:
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def hang(x: int) -> None:
    """Longer than its limit."""
    log_start()
    time.sleep(3600 + x)


def megabyte(x: int) -> bytes:
    """A large result."""
    log_start()
    return bytes([x]) * MEGABYTE


SHELL = (
    'echo "$PENSTOCK_JOB_ID $PENSTOCK_ATTEMPT $$ - $(date +%s.%N)" >> "$' + STARTS + '"; '
    'sleep 0.0$1; echo "out $1"; [ $(($1 % 3)) != 0 ] || exit 3'
)
COMMAND = ["sh", "-c", SHELL, "sh", "{}"]

Ending = tuple[str, Any]
"""State, and value (of a command: code and stdout)."""


@dataclass(frozen=True)
class Kind:
    """Jobs of one kind: the items are their indexes."""

    target: Callable[[int], Any] | list[str]
    count: int
    options: dict[str, Any]
    endings: Callable[[int], Sequence[Ending]]
    """What a job may come to, by its index."""
    has_own_attempts: bool = False
    """Whether it starts again on its own account."""
    weight: int = 2


def _success(x: int) -> Sequence[Ending]:
    return [("succeeded", x)]


def _command_ending(x: int) -> Sequence[Ending]:
    return [("failed", (3, b"out %d\n" % x)) if x % 3 == 0 else ("succeeded", (0, b"out %d\n" % x))]


HARDY = {"max_crashes": 100}
"""Faults alone shall not make a job dead."""

KINDS: dict[str, Kind] = {
    "squares": Kind(square, 2000, HARDY, lambda x: [("succeeded", x * x)]),
    "naps": Kind(nap, 20, HARDY, _success, weight=4),
    "flaky": Kind(flaky, 10, HARDY | {"retries": 2, "retry_delay": 0.2}, _success, has_own_attempts=True),
    "failing": Kind(
        fail, 6, HARDY | {"retries": 1, "retry_delay": 0.2}, lambda _: [("failed", None)], has_own_attempts=True
    ),
    "dying-once": Kind(die_once, 4, HARDY, _success, has_own_attempts=True),
    "dying": Kind(die, 2, {"max_crashes": 2}, lambda _: [("dead", None)], has_own_attempts=True),
    "hanging": Kind(hang, 2, HARDY | {"time_limit": 0.7}, lambda _: [("timed_out", None)]),
    "megabytes": Kind(megabyte, 6, HARDY, lambda x: [("succeeded", bytes([x]) * MEGABYTE)]),
    "commands": Kind(COMMAND, 9, HARDY, _command_ending),
    "once": Kind(nap, 10, {"max_crashes": 1}, lambda x: [("succeeded", x), ("dead", None)]),
}
"""By the beginning of the batch's name."""


def run_client(url: str, accepted: Path, seed: int) -> None:
    """Submit until SIGTERM; what is known to be accepted goes into the file: ``batch KIND ID COUNT`` or ``job KIND
    BATCH:INDEX``, a line each."""
    rng = random.Random(seed)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    names = list(KINDS)
    with accepted.open("ab", buffering=0) as log:
        while not stopped:
            try:
                pipeline = Pipeline(url)
                while not stopped:
                    name = rng.choices(names, [kind.weight for kind in KINDS.values()])[0]
                    for line in submit(pipeline, name, rng):
                        log.write(line.encode())
                    time.sleep(rng.uniform(0.05, 0.4))
                pipeline.shutdown(wait=False)
            except PenstockError as error:
                print(f"client: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                time.sleep(0.2)


def submit(pipeline: Pipeline, name: str, rng: random.Random) -> list[str]:
    """A batch, or single jobs of a kind that can only succeed; the lines that say so, once it is accepted."""
    kind = KINDS[name]
    if name == "naps" and rng.random() < 0.5:
        view = pipeline.options(**kind.options)
        futures: list[Future[int]] = [view.submit(nap, x) for x in range(rng.randrange(1, 5))]
        pipeline.flush()
        return [f"job {name} {future.job_id}\n" for future in futures]  # type: ignore[attr-defined]  # a JobFuture
    batch = pipeline.batch(kind.target, range(kind.count), name=name, **kind.options)
    return [f"batch {name} {batch.id} {kind.count}\n"]


if __name__ == "__main__":
    run_client(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
