"""The sink's decisions.

Promises:

1. The first outcome of a job wins, a worker's like the ventilator's verdict: an outcome that overlaps what is recorded
   is cut down to what is new, and each new part is one line of the log.
2. The log's lines are numbered from 1 without a gap, each with the chain of all lines up to it.
3. Whatever leaves - completions, rows, heads - is about lines that were saved before.
4. A retry's opening is a line of the log too: the jobs in it have no outcome from then on, and what is of an older
   generation comes too late. The ventilator alone opens.
5. The ventilator is told every line once, in order; after a Replay every line behind the one it named, and then the new
   ones. A log that does not have that line with that chain is Diverged, and says so instead.
6. A SinkHead says that all lines up to it were told, and echoes the newest SinkBeat: a barrier; none during a replay.
7. A batch is forgotten only when the ventilator has applied its last line. What comes in for it later changes nothing.
8. Memory grows with the gaps in what is recorded of the batches that were spoken of last, never with the number of
   outcomes or of batches.
9. Where readers share a batch, each outcome is given to one of them (see claims.py).

A turn is any number of `handle`, then one `tick`, which says what the turn has to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from msgspec.structs import replace

from penstock.job.spec import FINAL
from penstock.sink.contract import (
    FromWorker,
    Full,
    Known,
    LinesLost,
    LinesRead,
    LogRead,
    ReadLines,
    ReadLog,
    RecordsLoaded,
    RowsRead,
    SaveRow,
    SaveTrimmed,
)
from penstock.sink.hash_chain import LogReplay, completion
from penstock.sink.kept_output import Outputs
from penstock.sink.live_output import LiveOutput
from penstock.sink.pairing import Pairing
from penstock.sink.readers import Readers
from penstock.sink.recorded_batches import IN_MEMORY, RecordedBatches
from penstock.sink.refused_records import refused
from penstock.station.contract import Actions, Bytes, DeleteBatch, FromClient, Log, Refuse, Report
from penstock.station.control_silence import ControlSilence
from penstock.station.lease_tokens import NO_TOKENS, LeaseTokens
from penstock.wire.bounds import HEARTBEAT_INTERVAL, LEASE_TIME, LIMITS
from penstock.wire.desk_messages import TrimOutput
from penstock.wire.filter_messages import FetchEnded
from penstock.wire.messages import (
    Claim,
    Completions,
    Credit,
    Delivery,
    Diverged,
    Follow,
    ForgetBatch,
    Forgotten,
    Greeting,
    Outcomes,
    Output,
    PartsPassed,
    Prints,
    Replay,
    Restate,
    Restated,
    SinkBeat,
    SinkHead,
    SinkRefused,
    Verdicts,
)
from penstock.wire.records import Completion, OutcomeHead, PartsTaken

LOG_LINES = 2000
"""Lines of a replay read and told per turn: about 10 ms, so that workers and clients are served in between."""
LINES_PER_MESSAGE = 400
"""At most 50 kB: half a second of a link of 1 Mbit/s, and heartbeats fit between."""
TELL_DELAY = 0.002
"""Seconds that the ventilator is told of a line later than its followers: jobs done one by one cost it a turn and a
sync less each, and a worker looks further ahead than that."""
TELL_LINES = 64
"""So many lines are told at once."""
FORGOTTEN_BATCHES = 10_000
"""Deleted batches whose late outcomes are still recognised: resends end within seconds."""

NOBODY = Known()
Said = SinkRefused | Greeting | SinkBeat | Replay | Restate | Verdicts | ForgetBatch | TrimOutput
Arrived = FromWorker | PartsTaken
SinkInput = Arrived | FromClient | Full | RecordsLoaded | RowsRead | LogRead | LinesRead | LinesLost | Said


class SinkCore:
    """`head`, `damages` (how many there were) and `damaged_to` (up to which line) are what the results file says;
    `sink` and `boot` are new at each start. `in_memory`: so many batches are."""

    def __init__(
        self,
        boot: int,
        head: tuple[int, bytes],
        *,
        sink: bytes,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        lease_time: float = LEASE_TIME,
        lease_tokens: LeaseTokens = NO_TOKENS,
        damages: int = 0,
        damaged_to: int = 0,
        known: Known = NOBODY,
        follows: int = LIMITS.follows,
        in_memory: int = IN_MEMORY,
    ) -> None:
        self._pairing = Pairing(sink, boot, known)
        self._boot, self._sink = boot, sink
        self.lease_tokens: LeaseTokens = lease_tokens
        self._seq, self._chain = head
        self.batches: RecordedBatches = RecordedBatches(in_memory)
        self._readers = Readers(boot, self.batches, follows)
        self._followers = self._readers.followers
        self._live_output = LiveOutput(sink, lease_tokens, self._followers)
        self._hearing = ControlSilence(lease_time)
        self._heartbeat_interval, self._head_at = heartbeat_interval, 0.0
        self._echo = self._applied = 0
        self._replay: LogReplay | None = None
        self._damages, self._damaged_to = damages, damaged_to
        self._forgotten: dict[bytes, bool] = {}
        """Batches to be forgotten, oldest first, and whether they are already."""
        self._outputs = Outputs(sink, lease_tokens, self._forgotten)
        self._lines: list[Completion] = []
        """Not told yet."""
        self._tell_at: float | None = None
        """When they are to be told."""
        self._rows: dict[bytes, list[SaveRow]] = {}
        self._before: dict[bytes, int] = {}
        """Both of this turn: what was recorded, and the last line of each batch before it."""
        self.refused: int = 0
        """Records that no worker should have sent, or not this one (see station/lease_tokens.py)."""

    # ------------------------------------------------------------------------------------------ contract

    def handle(self, event: SinkInput, now: float) -> Actions:
        """Take in what happened."""
        self._hearing.hear(event, now)
        match event:
            case FromWorker(message, bodies):
                return self.on_worker(message, bodies)
            case Verdicts(records):
                return self.on_outcomes(Outcomes(b"", "", records), (b"",) * len(records))
            case PartsTaken(stream, position, worker):
                return [Report(PartsPassed(self._sink, worker, stream, position))]
            case FromClient():
                return self._readers.on_client(event, now)
            case Full(clients):
                self._followers.full = clients
                return []
            case RowsRead():
                return self._followers.rows_read(event, self.batches.last(event.batch))
            case RecordsLoaded(records, claims):
                for stored in records:
                    self.batches.take_in(stored)
                self._readers.claims.take_in(claims)
                return []
            case LogRead():
                return self.on_log_read(event)
            case SinkBeat():
                return self.on_beat(event)
            case Greeting():
                self._head_at = now  # a ventilator that has just come up learns of the sink at once
                return []
            case Replay():
                return self.on_replay(event)
            case SinkRefused(text):
                return [Refuse(text)]
            case Restate(after):
                return [ReadLines(after, LINES_PER_MESSAGE)]
            case LinesLost():
                return self.on_lines_lost(event)
            case LinesRead(after, position, seq, chain, records):
                return [Report(Restated(self._sink, self._boot, after, position, seq, chain, records))]
            case ForgetBatch():
                return self.on_forget(event)
            case TrimOutput(batch, bound):
                return [SaveTrimmed(batch, bound)]
            case _:
                assert_never(event)

    def absent(self, event: Any) -> set[bytes]:
        """The batches that this input is about and that are not in memory: they are to be read before."""
        match event:
            case FromWorker(Outcomes(records=records)) | Verdicts(records):
                named = {head.batch for head in records}
            case FromClient(message=Follow() | Credit() | Claim() | FetchEnded() as message):
                named = {message.batch}
            case RowsRead() | ForgetBatch():
                named = {event.batch}
            case SinkBeat():
                named = {batch for batch, is_gone in self._forgotten.items() if not is_gone}
            case _:
                return set()
        return self.batches.absent(named)

    def tick(self, now: float) -> Actions:
        """Close the turn: tell the followers, then the ventilator, of several turns at once if they are short."""
        actions: Actions = []
        for batch, rows in self._rows.items():
            actions += self.batches.checkpoint(batch)
            actions += self._followers.recorded(batch, rows, self._before[batch])
        self._rows, self._before = {}, {}
        if self._lines and self._tell_at is None:
            self._tell_at = now + TELL_DELAY
        is_head_due = now >= self._head_at
        if self._replay is not None or is_head_due or self._tell_is_due(now):
            actions += self._tell_lines()
        if self._replay is not None:
            actions += self._read_on(self._replay)
        elif is_head_due:
            self._head_at = now + self._heartbeat_interval
            actions.append(Report(self._own_head()))
        self._followers.expire(now)
        for batch in self.batches.close_turn():
            self._readers.claims.drop_batch(batch)
        return actions + self._hearing.look(now)

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do even if nothing happens."""
        due = self._head_at if self._replay is None else 0.0
        return due if self._tell_at is None else min(due, self._tell_at)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        self.batches.check(self._seq)
        assert not any(self._forgotten.get(batch) for batch in self.batches.here), "what is forgotten is gone"
        numbers = [line.seq for line in self._lines]
        assert numbers == list(range(self._seq - len(numbers) + 1, self._seq + 1)), "lines wait in order, to the last"
        assert all(rows for rows in self._rows.values()), "a batch is touched by rows"
        self._readers.check()

    # ------------------------------------------------------------------------------------------ outcomes

    def on_worker(self, message: Delivery, bodies: tuple[Bytes, ...]) -> Actions:
        """Outcomes, or what jobs write."""
        match message:
            case Outcomes():
                return self.on_outcomes(message, bodies)
            case Prints():
                return self._live_output.on_live_output(message, bodies)
            case Output():
                return self._outputs.on_output(message, bodies)
            case _:
                assert_never(message)

    def on_outcomes(self, message: Outcomes, bodies: tuple[Bytes, ...]) -> Actions:
        """Record what is new of a worker's outcomes, or of the ventilator's verdicts, which no worker sent."""
        saves: Actions = []
        is_granted = self.lease_tokens.opened(message.tokens if message.worker else None)
        for head, body in zip(message.records, bodies, strict=True):
            opens = not message.worker and head.stamp.opens and not head.final
            is_outcome = (head.state not in FINAL or head.stamp.opens) is opens
            if head.start >= head.stop or not is_outcome or not is_granted(head):
                self.refused += 1
                saves += refused(message, self.refused)
                continue
            new = [] if head.batch in self._forgotten else self.batches.claim(head)
            saves += [self._line(message, head, body, start, stop) for start, stop in new]
        return saves

    def _line(self, message: Outcomes, head: OutcomeHead, body: Bytes, start: int, stop: int) -> SaveRow:
        """The next line of the log. The body is not cut: `offset` says where the values begin in it."""
        offset = head.offset + start - head.start
        head = replace(head, start=start, stop=stop, offset=offset, size=len(body), worker=message.name)
        line = completion(self._seq + 1, head, message.worker, self._chain)
        self._seq, self._chain = line.seq, line.chain
        self._lines.append(line)
        row = SaveRow(line.seq, head, message.worker, line.chain, body)
        self._before.setdefault(head.batch, self.batches.add_line(head.batch, line.seq))
        self._rows.setdefault(head.batch, []).append(row)
        return row

    # ---------------------------------------------------------------------------------------- ventilator

    def on_beat(self, beat: SinkBeat) -> Actions:
        """The ventilator's sign of life: its number is echoed behind all that is recorded."""
        is_heard, news = self._pairing.take(beat)
        if not is_heard:
            return news
        self._echo = beat.number
        self._applied = beat.applied
        self._head_at = 0.0
        replay = self._replay
        if replay is not None and replay.after < beat.applied <= self._seq:  # an earlier answer arrived after all
            replay.after, replay.chain = beat.applied, None
            self._end_replay(replay)
        unforgotten = [batch for batch, is_gone in self._forgotten.items() if not is_gone]
        return news + [action for batch in unforgotten for action in self._forget(batch)]

    def on_replay(self, message: Replay) -> Actions:
        """Tell the log again, from behind a line that must have this chain."""
        self._replay = None
        if message.seq > self._seq or (message.seq == self._seq and message.chain != self._chain):
            return self._diverged(message.seq)
        self._head_at = 0.0
        if message.seq < self._seq:
            self._replay = LogReplay(message.seq, message.chain)
        else:
            self._lines, self._tell_at = [], None  # it has them
        return []

    def on_log_read(self, read: LogRead) -> Actions:
        """The next slice of a replay."""
        replay = self._replay
        if replay is None:
            return []
        replay.is_reading = False
        if read.after != replay.after:
            return []
        if (replay.chain is not None and read.chain != replay.chain) or not read.records:
            self._replay = None
            return self._diverged(read.after)
        replay.after, replay.chain, replay.rests = read.records[-1].seq, None, True
        self._end_replay(replay)
        return self._completions(read.records)

    def _completions(self, lines: Sequence[Completion]) -> Actions:
        slices = (tuple(lines[at : at + LINES_PER_MESSAGE]) for at in range(0, len(lines), LINES_PER_MESSAGE))
        return [Report(Completions(self._sink, self._boot, some)) for some in slices]

    def _own_head(self) -> SinkHead:
        return SinkHead(
            *(self._sink, self._boot, self._seq, self._chain, self._echo),
            damages=self._damages,
            pipeline=self._pairing.pipeline,
            accepts_older=self._pairing.accepts_older,
            parts=True,
        )

    def on_lines_lost(self, lost: LinesLost) -> Actions:
        """What was recorded in them is not any more; the ventilator learns of it by the end of the log, which is
        another one now."""
        self._damages += len(lost.what)
        if lost.recorded is not None:
            (self._seq, self._chain), self._damaged_to = lost.head, lost.damaged_to
            self.batches.replace(lost.recorded)
            self._lines, self._tell_at, self._replay = [], None, None
            self._head_at = 0.0
        return [Log("damaged", {"what": what}) for what in lost.what]

    def _end_replay(self, replay: LogReplay) -> None:
        """If it has reached the lines of this turn: those are told like any others."""
        first = self._lines[0].seq if self._lines else self._seq + 1
        if replay.after >= first - 1:
            self._replay = None

    def _read_on(self, replay: LogReplay) -> Actions:
        if replay.is_reading or replay.rests:
            replay.rests = False
            return []
        replay.is_reading = True
        return [ReadLog(replay.after, LOG_LINES)]

    def _tell_is_due(self, now: float) -> bool:
        return self._tell_at is not None and (now >= self._tell_at or len(self._lines) >= TELL_LINES)

    def _tell_lines(self) -> Actions:
        lines, self._lines, self._tell_at = self._lines, [], None
        if self._replay is not None:
            return []  # the replay will read them
        return self._completions(lines)

    def _diverged(self, seq: int) -> Actions:
        is_explained = 0 < seq <= self._damaged_to
        log = Log("log_diverged", {"asked": seq, "end": self._seq})
        return [Report(Diverged(self._sink, self._boot, seq, is_explained)), *([] if is_explained else [log])]

    def on_forget(self, message: ForgetBatch) -> Actions:
        """Delete a batch, at once if the ventilator has applied all of it, else when it has."""
        self._forgotten.setdefault(message.batch, False)
        return self._forget(message.batch)

    def _forget(self, batch: bytes) -> Actions:
        if self.batches.last(batch) > self._applied:
            return []
        deleted: Actions = [] if self._forgotten[batch] else [DeleteBatch(batch)]
        self._forgotten[batch] = True
        self._rows.pop(batch, None)
        self._readers.drop_batch(batch)
        if len(self._forgotten) > FORGOTTEN_BATCHES:
            oldest = next(batch for batch, is_gone in self._forgotten.items() if is_gone)
            del self._forgotten[oldest]
        self.batches.drop(batch)
        return [*deleted, Report(Forgotten(self._sink, batch))]
