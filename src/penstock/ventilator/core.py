"""The ventilator's decisions.

Promises:

1. A job that was accepted stays here until its outcome is recorded by the sink and that is known here.
2. One place per job: queued, delayed, in unconfirmed, under one lease, awaiting its verdict, or done.
3. No lease number is used twice; what nobody holds any more is queued again, what somebody holds is not.
4. Nothing is given to a worker without credit, and no slot idles while a job that it may run waits.
5. Every answer comes out after the saves that cover it.

A turn is any number of `handle`, then one `tick`, which says all that the turn must save.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from penstock.job.spec import LABEL_CHARS
from penstock.station.contract import Actions, CopyStore, FromClient, Refuse
from penstock.station.lease_tokens import NO_TOKENS, LeaseTokens
from penstock.station.permissions import refusal
from penstock.ventilator import contract, reads
from penstock.ventilator.audit import Audit
from penstock.ventilator.batch_changes import BatchChanges
from penstock.ventilator.damage import Damage
from penstock.ventilator.deletion import Deletion
from penstock.ventilator.dispatch import Dispatcher
from penstock.ventilator.ended_batches import EndedBatches
from penstock.ventilator.intake import Intake
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.other_versions import OtherVersions
from penstock.ventilator.pairing import Pairing
from penstock.ventilator.placement import Placement
from penstock.ventilator.quarantine import Quarantine
from penstock.ventilator.questions import Asked, Questions
from penstock.ventilator.sink_log import SinkLog
from penstock.ventilator.sink_log_repair import SinkLogRepair
from penstock.ventilator.start_conditions import StartConditions
from penstock.ventilator.user_retry import Retries
from penstock.ventilator.worker_reports import WorkerReports
from penstock.wire import desk_messages, messages, records
from penstock.wire.bounds import HEARTBEAT_INTERVAL, LEASE_TIME, RESEND, TRANSIENT_TIME

ANYBODY = contract.Identity()
RETENTION_INTERVAL = 60.0
"""Seconds between two looks for what has been kept for long enough: for days, mostly."""
RETIRE_INTERVAL = 0.1
"""Seconds between two looks while there is more of that."""

VentilatorInput = (
    FromClient
    | contract.ClientSought
    | contract.WallClock
    | contract.Subscribed
    | contract.Unsubscribed
    | contract.PartsUnderWay
    | contract.JobConnections
    | reads.ChunksLoaded
    | reads.ChunkLoaded
    | reads.KeptLoaded
    | reads.NextKeptLoaded
    | reads.BatchesLoaded
    | reads.BatchesFound
    | reads.ExpiredLoaded
    | contract.DamageFound
    | contract.PayloadDamaged
    | messages.ToVentilator
)


class VentilatorCore:
    """`stored` (the batches that do not stay on disk), `applied`, `forgotten`, `damages` (how many there were) and
    `must_compare` (whether jobs are to be compared with the sink's log) are what the queue file says at the start;
    `life` was counted up in it. `wall_time` is what the wall clock says at `now`."""

    def __init__(
        self,
        life: int,
        stored: list[contract.StoredBatch],
        applied: tuple[int, bytes],
        now: float,
        *,
        wall_time: float = 0.0,
        version: str = "",
        lease_time: float = LEASE_TIME,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        transient_time: float = TRANSIENT_TIME,
        seed: int = 0,
        forgotten: Iterable[bytes] = (),
        lease_tokens: LeaseTokens = NO_TOKENS,
        security: str = "",
        pickles: bool = True,
        name_chars: int = LABEL_CHARS,
        damages: int = 0,
        must_compare: bool = False,
        identity: contract.Identity = ANYBODY,
        deleted: Iterable[tuple[bytes, str, str]] = (),
        pause: contract.PipelinePause = contract.NOT_PAUSED,
    ) -> None:
        self.ledger: Ledger = Ledger(
            *(life, stored, applied, now, lease_time, heartbeat_interval, seed, lease_tokens),
            *(identity.pipeline, identity.accepted, wall_time - now),
        )
        self.ledger.turn.last_event = identity.last_event
        self.dispatcher: Dispatcher = Dispatcher(self.ledger)
        self._other_versions = OtherVersions(self.ledger.turn, version)
        self.worker_reports: WorkerReports = WorkerReports(self.ledger, self.dispatcher, self._other_versions)
        self.quarantine: Quarantine = Quarantine(self.ledger, self.dispatcher)
        self.pairing: Pairing = Pairing(self.ledger, identity)
        self.sink_log: SinkLog = SinkLog(self.ledger, self.pairing, self._other_versions, must_compare=must_compare)
        self.start_conditions: StartConditions = StartConditions(self.ledger, now, pause)
        self.batch_changes: BatchChanges = BatchChanges(self.ledger, self.start_conditions)
        self.placement: Placement = Placement(self.ledger)
        self.intake: Intake = Intake(
            self.ledger, self.start_conditions, self.placement, pickles=pickles, name_chars=name_chars, deleted=deleted
        )
        self.deletion: Deletion = Deletion(
            self.ledger, self.start_conditions, self.intake, now, forgotten, transient_time
        )
        self.retries: Retries = Retries(self.ledger, self.intake)
        self.ended: EndedBatches = EndedBatches(self.ledger, self.intake, self.start_conditions, self.retries)
        self.sink_log_repair: SinkLogRepair = SinkLogRepair(self.ledger, self.intake)
        self.damage: Damage = Damage(self.ledger, self.sink_log, damages)
        self.questions: Questions = Questions(
            *(self.ledger, self.start_conditions, self.placement, self.sink_log, self.sink_log_repair, self.damage),
            *(self.dispatcher.start_failures, version, security),
        )
        self.intake.recovered = not any(one.open_from is not None for one in stored)
        if not self.intake.recovered:
            self.ledger.beats.expect_recovery(now)
        self.audit: Audit = Audit(self.ledger.turn)
        self._retention_at = self._ticked_at = self._verdicts_at = now
        self._looked_up: dict[tuple[bytes, int], bool] = {}
        """What single chunks were read for in this turn, as (batch, index), and whether that job is open."""
        self.malformed = 0

    # ------------------------------------------------------------------------------------------ contract

    def handle(self, event: VentilatorInput, now: float) -> Actions:
        """Take in what happened."""
        match event:
            case FromClient():
                self._on_client(event, now)
            case contract.ClientSought():
                self.deletion.on_client_sought(event, now)
            case messages.Took():
                self.worker_reports.on_took(event, now)
            case messages.Heartbeat():
                self.worker_reports.sink_records = self.sink_log.is_present(now) and not self.sink_log.trouble
                self.worker_reports.on_heartbeat(event, now)
            case messages.HandedBack():
                self.worker_reports.on_handed_back(event, now)
                self.intake.recalls.on_handed_back(event)
            case messages.Hello():
                self.worker_reports.on_hello(event, now)
            case messages.Left():
                self.worker_reports.on_left(event)
            case messages.NeedFunction():
                self.worker_reports.on_need_function(event, now)
            case messages.StackTaken():
                self.questions.stacks.on_taken(event)
            case records.BySink():
                self._on_sink(event, now)
            case contract.WallClock(time):
                self.deletion.on_wall_clock(time, now)
            case contract.PartsUnderWay(workers):
                self.worker_reports.loss.on_parts_under_way(workers, now)
            case records.PartsTaken() | records.Part():
                pass  # the process has sent what follows, and puts the others together
            case contract.Subscribed():
                self.worker_reports.on_subscribed(event)
            case contract.Unsubscribed():
                self.worker_reports.on_unsubscribed(event, now)
            case contract.JobConnections():
                self.ledger.connections = event.count
            case reads.ChunksLoaded():
                self.intake.on_chunks_loaded(event)
            case contract.DamageFound():
                self.damage.on_found(event, now)
            case contract.PayloadDamaged():
                self.damage.on_payload(event)
            case reads.KeptLoaded():
                self.retries.on_kept(event)
            case reads.NextKeptLoaded():
                self.sink_log_repair.on_next_kept(event)
            case reads.BatchesLoaded():
                self.ended.on_loaded(event, now)
            case reads.BatchesFound():
                self.questions.on_found(event, now)
            case reads.ExpiredLoaded():
                self._on_expired(event, now)
            case reads.ChunkLoaded():
                self.intake.on_chunk_loaded(event)
                self._looked_up[event.batch, event.index] = event.chunk is not None
            case _:
                assert_never(event)
        return self.ledger.turn.take()

    def _on_sink(self, event: messages.FromSink, now: float) -> None:
        match event:
            case messages.SinkHead():
                self._on_sink_head(event, now)
            case messages.Completions():
                self.sink_log.on_completions(event, now)
            case messages.Diverged():
                if self.sink_log.on_diverged(event):
                    self.sink_log_repair.begin(event.seq, damaged=self.sink_log.must_compare)
            case messages.Restated():
                if self.sink_log.is_of_sink(event) and self.sink_log.diverged:
                    self.sink_log_repair.on_restated(event)
            case messages.VentilatorRefused(_, _, text):
                if self.sink_log.is_of_sink(event):
                    self.ledger.turn.say(Refuse(text))
            case messages.Forgotten(_, batch):
                self.deletion.on_forgotten(batch)
            case messages.LiveTaken(_, worker, number, is_kept):
                self.ledger.turn.tell(worker, messages.LiveAck(number, is_kept))
            case messages.PartsPassed(_, worker, stream, position):
                self.ledger.turn.tell(worker, records.PartsTaken(stream, position))
            case _:
                assert_never(event)

    def tick(self, now: float) -> Actions:
        """Close the turn: what is due, what can be given out, what must be saved."""
        pause = now - self._ticked_at
        if pause > self.ledger.lease_time / 2:
            self.worker_reports.loss.forgive(pause, now)
            self.deletion.forgive(pause, now)
            self.ledger.turn.log("stood_still", seconds=round(pause, 1))
        self._ticked_at = now
        self._go_on(now)
        self.ledger.queue_delayed(now)
        self.worker_reports.loss.tick(now)
        self.deletion.expire(now)
        if now >= self._retention_at:
            self._retention_at = now + RETENTION_INTERVAL
            self.deletion.retire(now)
        self.start_conditions.tick(now)
        self.placement.tick(now)
        self.dispatcher.start_failures.tick(now)
        self.questions.stacks.tick(now)
        self.ledger.await_outcomes(now)
        self._tell_sink(now)
        if self.intake.recovered:
            self.intake.recalls.tick(now)
            self.intake.refill()
        self.quarantine.tick(now)
        self.dispatcher.run(now)
        self.sink_log.flush()
        self.retries.answer()
        self.deletion.sweep(self.sink_log.sink)
        self.ended.tick(now)
        self.ledger.turn.flush()
        return self.ledger.turn.take()

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do even if nothing happens."""
        beat = self.ledger.beats.next_wakeup(is_known=self.sink_log.sink is not None)
        delayed = self.ledger.delayed[0][0] if self.ledger.delayed else None
        awaited, opens = self.ledger.outcomes_awaited_until, self.start_conditions.next_wakeup()
        dispatcher = self.dispatcher
        paused_until = dispatcher.start_failures.next_wakeup()
        due = (
            beat,
            delayed,
            awaited,
            opens,
            dispatcher.look_again_at,
            paused_until,
            self.questions.stacks.next_wakeup(),
        )
        return min(instant for instant in due if instant is not None)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        given = self.ledger.leases.records
        charged = self.ledger.backlog.check(self.ledger.leases.widths())
        assert charged == {number: lease.jobs for number, lease in given.items()}, "a lease counts its jobs"
        self.dispatcher.needs.check()
        for worker in self.ledger.workers.values():
            assert worker.jobs == sum(given[number].jobs for number in worker.leases), "a worker's jobs are its leases'"
            assert worker.width == sum(given[number].width for number in worker.leases), "and what of them can run"
            assert worker.lease_bytes == sum(given[number].chunk.size for number in worker.leases), "so are its bytes"
            assert worker.charged_leases >= 0
            assert worker.charged_jobs >= 0

    # ------------------------------------------------------------------------------------------ the rest

    def _on_client(self, event: FromClient, now: float) -> None:
        if not isinstance(event.message, desk_messages.AskPipeline):  # whose answer tells it
            self.questions.tell_trouble(event.client)
        if why := refusal(event.sender, event.message, self.ledger.backlog.owner):
            self.intake.refuse(event.client, event.message, why)
            return
        self.audit.on_client(event)
        match event.message:
            case ask if isinstance(ask, Asked):
                self.questions.on_ask(event.client, event.sender, ask, now)
            case desk_messages.Submit():
                self._other_versions.on_submit(event)
                self.intake.on_submit(event, now)
                self.deletion.on_submit(event.client, event.message, now)
            case desk_messages.Cancel() as cancel:
                self.intake.on_cancel(event.client, cancel)
            case desk_messages.Retry() as retry:
                self.retries.on_retry(event.client, retry)
            case desk_messages.Forget() as forget:
                self.deletion.on_forget(forget.batch)
            case desk_messages.TrimOutput() as trim:
                if self.sink_log.sink is not None:
                    self.ledger.turn.tell(self.sink_log.sink, trim)
            case desk_messages.Delete() as delete:
                self.deletion.on_delete(event.client, delete)
            case desk_messages.Pause() as pause:
                self.batch_changes.on_pause(event.client, event.sender, pause, now)
            case desk_messages.SetBatch() as change:
                self.batch_changes.on_set(event.client, change, now)
            case desk_messages.Alive() as alive:
                self.deletion.on_alive(event.client, alive, now)
            case desk_messages.AskGone() as ask_gone:
                self.deletion.on_ask_gone(event.client, ask_gone)
            case desk_messages.DrainWorker() as drain:
                self.worker_reports.on_drain(event.client, drain)
            case desk_messages.AskStack() as ask_stack:
                self.questions.stacks.on_ask(event.client, ask_stack, now)
            case desk_messages.BackUp() as asked:
                self.ledger.turn.say(CopyStore(event.client, asked, event.sender.name))
            case desk_messages.AskPipeline() as ask_pipeline:
                self.questions.on_ask_pipeline(event.client, ask_pipeline.number, self.malformed, now)
            case _:
                raise AssertionError(f"no client says {event.message!r}")

    def _on_expired(self, loaded: reads.ExpiredLoaded, now: float) -> None:
        for stored in loaded.batches:
            batch = self.ended.take_in(stored, now)
            if not batch.gone:
                self.deletion.expire_results(batch)
        if len(loaded.batches) == loaded.limit:
            self._retention_at = now + RETIRE_INTERVAL

    def _go_on(self, now: float) -> None:
        """With what waited for chunks, but only when all that was read for this turn is in memory: it is one snapshot,
        and what is changed before a part of it is taken in would be undone by that."""
        if self.intake.missing:
            missing, self.intake.missing = tuple(self.intake.missing), []
            if not self.sink_log.must_compare:
                self.damage.on_found(contract.DamageFound(missing, must_compare=True), now)
        self.retries.open_again()
        if self.sink_log.diverged and (end := self.sink_log_repair.go_on(self.sink_log.sink, now)) is not None:
            if self.sink_log.must_compare:
                self.ledger.turn.say(contract.SaveCompared())
            self.sink_log.agree(*end, now)
        if self._looked_up:
            absent = {key for key, is_open in self._looked_up.items() if not is_open}
            self._looked_up = {}
            self.worker_reports.hear_claims(absent, now)
            self.intake.recalls.absent |= absent
            self.sink_log.advance(now, absent)

    def _on_sink_head(self, head: messages.SinkHead, now: float) -> None:
        sink = self.ledger.workers.pop(head.sink, None)  # a subscriber that turned out to be the sink: it had no hello
        first = sink is not None
        agrees = self.sink_log.on_head(head, now)
        if self.sink_log.sink == head.sink:
            self.worker_reports.sink_takes_parts = head.parts
        if not agrees:
            if first:
                self.ledger.beats.hasten(now)
            return
        if not self.intake.recovered and self.ledger.beats.ends_recovery(head.echo):
            self.intake.recover()
            self.ledger.turn.log("recovered", batches=len(self.ledger.backlog.batches))
        if self.ledger.unconfirmed and self.intake.recovered:
            self.worker_reports.loss.release_unconfirmed(head.echo)
        if self.intake.recovered:
            self.retries.on_echo(head.echo)

    def _tell_sink(self, now: float) -> None:
        sink = self.sink_log.sink
        number = self.ledger.beats.next(now, is_known=sink is not None)
        if sink is None:
            return
        if number is not None:
            self.ledger.turn.tell(sink, self.pairing.beat(number))
        again = now >= self._verdicts_at + RESEND
        if again:
            self._verdicts_at = now
            self.deletion.forget_again(sink)
        self.ledger.send_verdicts(sink, again=again)
