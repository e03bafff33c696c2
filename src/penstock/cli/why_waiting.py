"""Why nothing comes, while somebody waits for a batch on a running pipeline: silence is an error.

Promises:

1. After PATIENCE without an outcome it is said, once, that no worker is connected, that none fits, or what ails the
   pipeline; again when it was over and is so again.
2. What the ventilator has told this client by itself is not said a second time.
3. It asks only while nothing comes, and never holds up who waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from penstock.cli.output import in_local_time, printable, said, say
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock import Batch, Outcome, Pipeline
    from penstock.client.records import BatchStatus, PipelineStatus

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
        self._told: list[Reason] = []
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
            if reason not in self._told and not self._over.is_set() and not said(reason.cause):
                say(printable(in_local_time(reason.text)))
        self._told = reasons


class Reason(NamedTuple):
    """Why nothing comes; `cause`: what is in whatever else is said of it."""

    cause: str
    text: str


def ailing(pipeline: PipelineStatus, batch: BatchStatus) -> Iterator[Reason]:
    """What keeps a batch from being run, for people; nothing, if nothing does."""
    if pipeline.trouble:
        yield Reason(pipeline.trouble, pipeline.trouble)
    if batch.waits:
        yield Reason(batch.waits, f"{batch.waits}: batch {batch.id} waits for that")
    elif batch.waiting and not pipeline.workers:
        cause = f"no worker is connected to {pipeline.url}"
        yield Reason(
            cause, f"{cause}: {waiting(batch.waiting)} for one (start one: penstock worker --connect {pipeline.url})"
        )


def waiting(count: int) -> str:
    """So many jobs do."""
    return f"{count} {'job waits' if count == 1 else 'jobs wait'}"


def followed(pipeline: Pipeline, batch: Batch) -> Iterator[Outcome]:
    """The outcomes of a batch as they are recorded; why none comes is said."""
    come = 0
    with Lookout(pipeline, batch, lambda: come):
        for outcome in batch.follow():
            come += 1
            yield outcome
