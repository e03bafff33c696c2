"""A user's retry: jobs that ended without success are opened again, under a new generation.

Promises:

1. It is decided when all that the sink had recorded by then is known here: who asks has read that.
2. All that is asked for is opened again, or nothing: whoever asks for a job whose arguments are not kept is refused.
3. A retry asked twice opens once, also over a restart.
4. It is answered when the sink has recorded it: whoever reads the batch from then on reads what holds.
5. Opening goes through the sink, like a verdict: it is said until its completion comes back, and the jobs wait for
   that.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.job.spans import SpanSet
from penstock.job.spec import UNSUCCESSFUL, JobState
from penstock.station.contract import Answer
from penstock.ventilator.contract import StoredChunk
from penstock.ventilator.intake import Intake
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reads import KeptLoaded, LoadKept
from penstock.wire.desk_messages import Refused, Retried, Retry, no_such_batch


class Asked(NamedTuple):
    """A request, which client's, and the beat whose echo it waits for."""

    client: bytes
    retry: Retry
    barrier: int


class Opening(NamedTuple):
    """Jobs that are to be opened again."""

    chunk: StoredChunk
    start: int
    stop: int
    state: JobState

    @property
    def jobs(self) -> int:
        """How many jobs are opened again."""
        return self.stop - self.start


class Retries:
    """Those that were asked for."""

    def __init__(self, ledger: Ledger, intake: Intake) -> None:
        self._ledger = ledger
        self._intake = intake
        self._held: dict[tuple[bytes, int], Asked] = {}
        """Those that wait for it, by client and number."""
        self._reading: dict[tuple[bytes, int, int], list[Asked]] = {}
        """Those whose chunks are being read, by batch, start and stop."""
        self._read: list[tuple[Asked, KeptLoaded]] = []
        self._unanswered: dict[tuple[bytes, int], tuple[bytes, int]] = {}
        """(batch, jobs opened) by (client, number): to be answered when the sink has recorded it."""

    @property
    def batches(self) -> set[bytes]:
        """Of which something is to be opened again, or may be: they stay in memory."""
        asked = {one.retry.batch for one in (*self._held.values(), *(read for read, _ in self._read))}
        return asked | {key[0] for key in self._reading} | {batch for batch, _ in self._unanswered.values()}

    def on_retry(self, client: bytes, retry: Retry) -> None:
        """Known ones are answered, others wait until all that the sink has recorded by now is applied."""
        batch = self._ledger.backlog.batches.get(retry.batch)
        if batch is None or batch.gone:
            self._ledger.turn.say(Answer(client, no_such_batch(retry.number, retry.batch)))
        elif retry.asked in batch.asked:
            self._unanswered[client, retry.number] = (batch.id, batch.asked[retry.asked])
        elif (client, retry.number) not in self._held:
            self._held[client, retry.number] = Asked(client, retry, self._ledger.beats.barrier())

    def on_echo(self, echo: int) -> None:
        """All that the sink had recorded by this beat is applied: look up what was asked before it."""
        for key, asked in [(key, asked) for key, asked in self._held.items() if asked.barrier <= echo]:
            del self._held[key]
            batch = self._ledger.backlog.batches.get(asked.retry.batch)
            start, stop = asked.retry.start, min(asked.retry.stop, batch.accepted if batch is not None else 0)
            reading = self._reading.setdefault((asked.retry.batch, start, stop), [])
            reading.append(asked)
            if len(reading) == 1:
                self._ledger.turn.say(LoadKept(asked.retry.batch, start, stop))

    def on_kept(self, loaded: KeptLoaded) -> None:
        """What is kept of the chunks; decided in the tick, when all that was read is in memory."""
        asked = self._reading.pop((loaded.batch, loaded.start, loaded.stop), [])
        self._read += [(one, loaded) for one in asked]

    def open_again(self) -> None:
        """Decide what was read."""
        read, self._read = self._read, []
        for (client, retry, _), loaded in read:
            batch = self._ledger.backlog.batches.get(loaded.batch)
            if batch is None or batch.gone or retry.asked in batch.asked:
                self.on_retry(client, retry)
                continue
            found = self._unsuccessful(batch, loaded)
            lost = self._lost(batch, loaded, sum(one.jobs for one in found))
            if lost:
                text = (
                    f"the arguments of {lost} jobs of batch {batch.id.hex()} are no longer kept (a day, or 256 MiB of"
                    " finished ones): nothing was opened again; submit them anew"
                )
                self._ledger.turn.say(Answer(client, Refused(retry.number, "NoLongerKept", text)))
                continue
            self._open(batch, retry, found)
            self._unanswered[client, retry.number] = (batch.id, sum(one.jobs for one in found))

    def _unsuccessful(self, batch: Batch, loaded: KeptLoaded) -> list[Opening]:
        """The jobs that ended without success; of a chunk in memory, that knows."""
        found: list[Opening] = []
        for stored in loaded.chunks:
            chunk = batch.chunks.get(stored.first)
            for part in stored.ended if chunk is None else chunk.ended_parts():
                start, stop = max(part.start, loaded.start), min(part.stop, loaded.stop)
                if start < stop:
                    found.append(Opening(stored, start, stop, part.state))
        return found

    @staticmethod
    def _lost(batch: Batch, loaded: KeptLoaded, found: int) -> int:
        """How many of the jobs asked for ended without success, or may have, and are not kept."""
        unsuccessful = sum(batch.counts.get(state, 0) for state in UNSUCCESSFUL)
        if (loaded.start, loaded.stop) == (0, batch.accepted) or not unsuccessful:
            return unsuccessful - found
        kept = SpanSet((chunk.first, chunk.first + chunk.count) for chunk in loaded.chunks)
        return sum(stop - start for start, stop in kept.gaps(loaded.start, loaded.stop))

    def _open(self, batch: Batch, retry: Retry, found: list[Opening]) -> None:
        if not found:
            return
        batch.generation += 1
        for one in found:
            self._intake.load(batch, one.chunk)
            self._ledger.open_again(batch.chunks[one.chunk.first], one.start, one.stop, one.state)
        jobs = sum(one.jobs for one in found)
        self._ledger.mark_retried(batch, retry.asked, jobs)
        self._ledger.turn.log("retried", batch=batch.id.hex(), jobs=jobs, generation=batch.generation)

    def answer(self) -> None:
        """Tell those whose jobs are open."""
        for (client, number), (batch_id, jobs) in list(self._unanswered.items()):
            batch = self._ledger.backlog.batches.get(batch_id)
            if batch is None or not batch.opening:
                del self._unanswered[client, number]
                self._ledger.turn.say_last(Answer(client, Retried(number, jobs)))
