"""Clients ask how things stand. Nothing changes by it."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from penstock.core.actions import Answer, ReadDigests
from penstock.core.agreement import Agreement
from penstock.core.backlog import Batch
from penstock.core.books import Books
from penstock.core.gates import Gates
from penstock.core.placement import Placement
from penstock.core.reasons import Reasons
from penstock.core.settle import Settlement
from penstock.messages import (
    AskBatches,
    AskDigests,
    AskWhy,
    BatchesInfo,
    BatchLine,
    Message,
    PipelineInfo,
    Refused,
    Why,
    WorkerLine,
)


class Questions:
    """Answers them. `version` is penstock's, `security` how the pipeline is guarded."""

    def __init__(
        self,
        books: Books,
        gates: Gates,
        placement: Placement,
        settlement: Settlement,
        agreement: Agreement,
        version: str,
        security: str,
    ) -> None:
        self._books = books
        self._gates = gates
        self._placement = placement
        self._settlement = settlement
        self._agreement = agreement
        self._version = version
        self._security = security
        self._reasons = Reasons(books, gates, placement)
        self.trouble = ""
        """Why the ventilator takes nothing in."""

    def on_ask_batches(self, client: bytes, ask: AskBatches) -> None:
        """The newest first."""
        found = self._matching(ask.match)
        lines = tuple(self._line(batch) for batch in found[: ask.limit])
        self._answer(client, BatchesInfo(ask.number, lines))

    def on_ask_digests(self, client: bytes, ask: AskDigests) -> None:
        """They are on disk only."""
        if ask.batch in self._books.backlog.batches:
            self._books.say(ReadDigests(client, ask.number, ask.batch, ask.start))
        else:
            self._answer(client, Refused(ask.number, "NoSuchBatch", f"no batch {ask.batch.hex()}"))

    def _matching(self, match: str) -> list[Batch]:
        newest = sorted(self._books.backlog.batches.values(), key=lambda batch: batch.id, reverse=True)
        if not match:
            return newest
        if match == "last":
            return newest[:1]
        named = [batch for batch in newest if match in (batch.id.hex(), batch.spec.name)][:1]
        by_id = named or [batch for batch in newest if batch.id.hex().startswith(match)]
        return by_id or [batch for batch in newest if batch.id.hex().endswith(match)]

    def _line(self, batch: Batch) -> BatchLine:
        return BatchLine(
            batch=batch.id,
            spec=batch.spec,
            accepted=batch.accepted,
            total=batch.total,
            counts=dict(batch.counts),
            leased=batch.leased,
            created_time=batch.created_time,
            waits=self._gates.shut(batch) or self._placement.missing(batch),
            function=batch.function,
        )

    def on_why(self, client: bytes, ask: AskWhy, now: float) -> None:
        """What a job waits for."""
        self._answer(client, self._why(ask, now))

    def _why(self, ask: AskWhy, now: float) -> Why | Refused:
        batch = self._books.backlog.batches.get(ask.batch)
        if batch is None:
            return Refused(ask.number, "NoSuchBatch", f"no batch {ask.batch.hex()}")
        if ask.index >= batch.accepted:
            return Refused(ask.number, "NoSuchBatch", f"no job {ask.index}: the batch has {batch.accepted} jobs")
        return Why(ask.number, self._reasons.why(batch, ask.index, now))

    def on_ask_pipeline(self, client: bytes, number: int, malformed: int, now: float) -> None:
        """How things stand."""
        books = self._books
        batches = books.backlog.batches.values()
        leased = sum(batch.leased for batch in batches)
        lines = tuple(
            WorkerLine(
                id=worker.id,
                name=worker.hello.name,
                host=worker.hello.host,
                pid=worker.hello.pid,
                slots=worker.slots,
                jobs=worker.jobs,
                done=worker.done,
                draining=worker.draining,
                python=worker.hello.python,
                tags=worker.hello.tags,
                version=worker.hello.version,
                users=worker.hello.users,
                broken=worker.broken,
            )
            for worker in books.workers.values()
            if worker.hello is not None
        )
        info = PipelineInfo(
            number=number,
            life=books.life,
            version=self._version,
            python=platform.python_version(),
            queued=sum(batch.accepted - batch.done for batch in batches) - leased,
            leased=leased,
            batches=sum(batch.accepted > batch.done for batch in batches),
            sink_present=self._has_sink(now),
            malformed=malformed,
            security=self._security,
            workers=lines,
            reopened=self._agreement.reopened,
            lost=self._agreement.lost,
            wall_time=max(0.0, now + books.wall_offset),
            trouble="; ".join(self._troubles(now)),
        )
        self._answer(client, info)

    def _has_sink(self, now: float) -> bool:
        """Whether it is there; while the ventilator takes nothing in it hears nobody, and whoever was there counts."""
        return self._settlement.is_present(now) or (bool(self.trouble) and self._settlement.sink is not None)

    def _troubles(self, now: float) -> Iterator[str]:
        """What keeps jobs from being taken in, recorded and run: one after the other, the worst first."""
        if self.trouble:
            yield f"the ventilator takes nothing in: {self.trouble}"
        if not self._has_sink(now):
            yield "the sink is not connected: nothing is recorded until it is"
        elif self._settlement.trouble:
            yield f"the sink records nothing: {self._settlement.trouble}"
        wait = any(batch.accepted > batch.done for batch in self._books.backlog.batches.values())
        if wait and not any(worker.hello is not None for worker in self._books.workers.values()):
            yield "no worker is connected, and jobs wait for one"

    def _answer(self, client: bytes, message: Message) -> None:
        self._books.say(Answer(client, message))
