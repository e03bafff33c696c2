"""Why nothing comes, while somebody waits for a batch on a running pipeline: silence is an error.

Promises:

1. After PATIENCE without an outcome it is said, once, that no worker is connected, that none fits, or what ails the
   pipeline; again when it was over and is so again.
2. What the ventilator has told this client by itself is not said a second time.
3. It asks only while nothing comes, and never holds up who waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from penstock.cli.output import printable, said, say
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.outcome import BatchStatus, PipelineStatus

PATIENCE = 2.3
"""Seconds: by then workers that were started together with it are connected, and the ventilator has told its client
by itself that nobody fits."""


class Lookout:
    """As a context manager it looks, in a thread of its own, until it is left."""

    def __init__(self, pipeline: Pipeline, batch: Batch, has_come: Callable[[], int]) -> None:
        """`has_come`: how many outcomes have, so far."""
        self._pipeline = pipeline
        self._batch = batch
        self._has_come = has_come
        self._told: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, name="penstock-lookout", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()  # its last question may never be answered: nobody waits for that

    def _look_again_and_again(self) -> None:
        before = self._has_come()
        while not self._over.wait(PATIENCE):
            now = self._has_come()
            if now == before:
                with suppress(PenstockError, RuntimeError):  # it does not answer, which the client says by itself
                    self._look()
            else:
                self._told = []
            before = now

    def _look(self) -> None:
        reasons = list(ailing(self._pipeline.status(), self._batch.status()))
        for reason in reasons:
            if reason not in self._told and not self._over.is_set() and not said(reason):
                say(f"{printable(reason)}: batch {self._batch.id} waits")
        self._told = reasons


def ailing(pipeline: PipelineStatus, batch: BatchStatus) -> list[str]:
    """Why nothing of a batch runs, for people; empty: nothing is wrong."""
    found = [getattr(pipeline, "trouble", ""), batch.waits]
    if not batch.waits and not pipeline.workers and batch.waiting:
        start = f"start one: penstock worker --connect {pipeline.url}"
        found.append(f"no worker is connected to {pipeline.url} ({start}), {waiting(batch.waiting)}")
    return [one for one in found if one]


def waiting(count: int) -> str:
    """So many jobs do."""
    return f"{count} {'job waits' if count == 1 else 'jobs wait'}"
