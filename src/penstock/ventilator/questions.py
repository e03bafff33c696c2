"""Clients ask how things stand. Nothing changes by it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import UTC, datetime

from penstock.job.spec import BatchSpec
from penstock.keys.roles import Peer
from penstock.station.contract import Answer
from penstock.station.permissions import may_claim
from penstock.ventilator.contract import ReadArguments, ReadDigests, ReadEvents, StoredBatch
from penstock.ventilator.damage import Damage
from penstock.ventilator.filtered_jobs import FilteredJobs
from penstock.ventilator.job_states import JobStates
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.placement import Placement
from penstock.ventilator.reads import BatchesFound, FindBatches
from penstock.ventilator.reasons import Reasons
from penstock.ventilator.sink_log import SinkLog
from penstock.ventilator.sink_log_repair import SinkLogRepair
from penstock.ventilator.stack_questions import StackQuestions
from penstock.ventilator.start_conditions import StartConditions
from penstock.ventilator.start_failures import StartFailures
from penstock.ventilator.trouble_notices import TroubleNotices
from penstock.wire.desk_messages import (
    AskArguments,
    AskBatches,
    AskDigests,
    AskEvents,
    AskFiltered,
    AskJobs,
    AskMetrics,
    AskWhy,
    BatchesInfo,
    BatchLine,
    PipelineInfo,
    Refused,
    Why,
    WorkerLine,
    no_such_batch,
)
from penstock.wire.records import Message

JOBS_PER_ANSWER = 10_000
"""Whose arguments are looked for at once."""

KEPT_BATCHES = 10_000
"""Ended and not deleted: each costs room on the disk, and what lists all of them."""

Asked = AskBatches | AskDigests | AskWhy | AskJobs | AskArguments | AskFiltered | AskEvents | AskMetrics


class Questions:
    """Answers them. `version` is penstock's, `security` how the pipeline is guarded."""

    def __init__(
        self,
        ledger: Ledger,
        start_conditions: StartConditions,
        placement: Placement,
        sink_log: SinkLog,
        sink_log_repair: SinkLogRepair,
        damage: Damage,
        start_failures: StartFailures,
        version: str,
        security: str,
    ) -> None:
        self._ledger = ledger
        self._start_conditions = start_conditions
        self._placement = placement
        self._sink_log = sink_log
        self._sink_log_repair = sink_log_repair
        self._damage = damage
        self._version = version
        self._security = security
        self._start_failures = start_failures
        self._reasons = Reasons(ledger, start_conditions, placement, start_failures)
        self._standing = JobStates(ledger)
        self._filtered = FilteredJobs(ledger, self._standing, self._line_of)
        self.stacks: StackQuestions = StackQuestions(ledger, self._reasons)
        self._notices = TroubleNotices()
        self.trouble = ""
        """Why the ventilator takes nothing in."""
        self.growth: tuple[str, ...] = ()
        """What of its files grows."""
        self.ended: tuple[int, float | None] = 0, None
        """How many batches have ended and are kept, and when (wall clock) the first of them had."""

    def on_ask(self, client: bytes, sender: Peer, ask: Asked, now: float) -> None:
        """What is asked of batches and their jobs."""
        match ask:
            case AskBatches():
                self._ledger.turn.say(FindBatches(client, sender, ask))
                return
            case AskFiltered():
                self._filtered.on_ask(client, sender, ask)
                return
            case AskEvents():
                self._ledger.turn.say(ReadEvents(client, ask))
                return
            case AskMetrics(number):
                batches = iter(self._ledger.backlog.batches.values())
                self._ledger.turn.say(self._ledger.metrics.answer(client, number, batches, now))
                return
            case AskJobs(batch=b""):
                self._answer(client, self._standing.answer(ask, None, now))
                return
        batch = self._ledger.backlog.batches.get(ask.batch)
        if batch is None:
            self._answer(client, no_such_batch(ask.number, ask.batch))
            return
        match ask:
            case AskJobs():
                self._answer(client, self._standing.answer(ask, batch, now))
            case AskWhy():
                self._answer(client, self._why(ask, batch, now))
            case AskDigests(number, _, start):
                self._ledger.turn.say(ReadDigests(client, number, batch.id, start))
            case AskArguments(number, _, start, stop, each, code):
                last = min(stop, batch.accepted)
                end = min(last, start + JOBS_PER_ANSWER)
                function = batch.function if code else b""
                self._ledger.turn.say(ReadArguments(client, number, batch.id, function, start, end, each, end < last))

    def on_found(self, found: BatchesFound, now: float) -> None:
        """The batches that somebody has asked for; of those in memory, that knows more."""
        client, sender, ask = found.asked.client, found.asked.sender, found.asked.ask
        if isinstance(ask, AskFiltered):
            self._filtered.on_found(found, ask, now)
            return
        here = {one.batch: self._ledger.backlog.batches.get(one.batch) for one in found.batches}
        running = self._standing.counts(batch for batch in here.values() if batch is not None)
        lines: list[BatchLine] = []
        for stored in found.batches:
            batch = here[stored.batch]
            lines.append(self._line_of(stored, batch, sender, 0 if batch is None else running[batch.id]))
        self._answer(client, BatchesInfo(ask.number, tuple(lines)))

    def _line_of(self, stored: StoredBatch, batch: Batch | None, sender: Peer, running: int | None = None) -> BatchLine:
        return self._ended_line(stored, sender) if batch is None else self._line(batch, running, sender)

    def _ended_line(self, stored: StoredBatch, sender: Peer) -> BatchLine:
        return BatchLine(
            batch=stored.batch,
            spec=stored.spec,
            accepted=stored.accepted,
            total=stored.total,
            counts=stored.counts,
            leased=0,
            created_time=stored.created_time,
            function=stored.function,
            running=0,
            claim=self._claim_token(stored.batch, stored.spec, sender),
        )

    def _claim_token(self, batch: bytes, spec: BatchSpec, sender: Peer) -> bytes:
        is_claimed = may_claim(sender, spec.owner)
        return self._ledger.lease_tokens.claim_token(batch, sender.name) if is_claimed else b""

    def _line(self, batch: Batch, running: int | None, sender: Peer) -> BatchLine:
        return BatchLine(
            batch=batch.id,
            spec=batch.spec,
            accepted=batch.accepted,
            total=batch.total,
            counts=dict(batch.counts),
            leased=batch.leased,
            created_time=batch.created_time,
            waits=self._start_conditions.shut(batch) or self._placement.missing(batch),
            function=batch.function,
            running=running,
            claim=self._claim_token(batch.id, batch.spec, sender),
        )

    def _why(self, ask: AskWhy, batch: Batch, now: float) -> Why | Refused:
        """What a job waits for."""
        if ask.index >= batch.accepted:
            return Refused(ask.number, "NoSuchBatch", f"no job {ask.index}: the batch has {batch.accepted} jobs")
        return Why(ask.number, self._reasons.why(batch, ask.index, now))

    def on_ask_pipeline(self, client: bytes, number: int, malformed: int, now: float) -> None:
        """Answer how the pipeline stands."""
        ledger = self._ledger
        batches = ledger.backlog.batches.values()
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
                running=worker.running_jobs,
                clock_ahead=worker.clock_ahead,
                paused=self._start_failures.of_worker(worker),
            )
            for worker in ledger.workers.values()
            if worker.hello is not None
        )
        info = PipelineInfo(
            number=number,
            life=ledger.life,
            version=self._version,
            python=platform.python_version(),
            queued=sum(batch.accepted - batch.done for batch in batches) - leased,
            leased=leased,
            batches=sum(batch.accepted > batch.done for batch in batches),
            sink_present=self._has_sink(now),
            malformed=malformed,
            security=self._security,
            workers=lines,
            reopened=self._sink_log_repair.reopened,
            lost=self._sink_log_repair.lost,
            wall_time=max(0.0, now + ledger.wall_clock.offset),
            running=sum(worker.running_jobs for worker in ledger.workers.values()),
            trouble="; ".join(self._troubles(now)),
            pipeline=ledger.pipeline,
            damage=self._damage.in_words(self._sink_log.damages),
            growth=(*self.growth, *self._sink_log.growth, *self._kept(), *ledger.wall_clock.warnings(now)),
            paused=self._start_conditions.paused,
        )
        self._answer(client, info)

    def _kept(self) -> Iterator[str]:
        """Batches that have ended, and that nobody has deleted."""
        count, first = self.ended
        if count > KEPT_BATCHES and first is not None:
            since = datetime.fromtimestamp(first, UTC)
            said = f"{count:,} batches that have ended are kept, the first since {since:%Y-%m-%d %H:%M:%S} UTC"
            yield f"{said}: delete what nobody reads any more (`penstock delete`), or give batches a shorter retain"

    def _has_sink(self, now: float) -> bool:
        """Whether it is there; while the ventilator takes nothing in it hears nobody, and whoever was there counts."""
        return self._sink_log.is_present(now) or (bool(self.trouble) and self._sink_log.sink is not None)

    def _troubles(self, now: float) -> Iterator[str]:
        """What keeps jobs from being taken in, recorded and run: one after the other, the worst first."""
        if self.trouble:
            yield f"the ventilator takes nothing in: {self.trouble}"
        if not self._has_sink(now):
            yield "the sink is not connected: nothing is recorded until it is"
        elif self._sink_log.trouble:
            yield self._of_sink()

    def _of_sink(self) -> str:
        return f"the sink records nothing: {self._sink_log.trouble}"

    def tell_trouble(self, client: bytes) -> None:
        """To a client that has said something: why it may wait for long."""
        for notice in self._notices.of(client, self._of_sink() if self._sink_log.trouble else ""):
            self._answer(client, notice)

    def _answer(self, client: bytes, message: Message) -> None:
        self._ledger.turn.say(Answer(client, message))
