"""Clients ask which jobs fit a filter: which batches may have some and, of what is open, which jobs do.

Promises:

1. What can be decided of a batch is decided before any job of it is looked at: by its options, and by its counts.
2. An answer looks at BATCHES batches and LOOKS places of open jobs at most, whatever there is; it says where to go on.
3. Read from answer to answer, every job that stays as it is while that is done is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from penstock.errors import ConfigError
from penstock.job.filters import OPEN_STATES, Filter
from penstock.keys.roles import Peer
from penstock.station.contract import Answer
from penstock.ventilator.contract import StoredBatch
from penstock.ventilator.job_states import JobStates
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reads import BatchesFound, FindBatches
from penstock.wire.desk_messages import AskFiltered, BatchLine, Filtered, FilteredBatch, JobLine, Refused
from penstock.wire.job_facts import batch_facts, open_facts

BATCHES = 200
"""In one answer: 4 ms, since several clients may be answered in a turn."""
LOOKS = 1_000
"""In one answer: as long."""
WORKERS_PER_LOOK = 100
"""So many workers are asked whether they have jobs of a batch in the time of one look."""

Lines = Callable[[StoredBatch, Batch | None, Peer], BatchLine]


class FilteredJobs:
    """Answers AskFiltered. `line_of` makes the line about a batch."""

    def __init__(self, ledger: Ledger, standing: JobStates, line_of: Lines) -> None:
        self._ledger = ledger
        self._standing = standing
        self._line_of = line_of

    def on_ask(self, client: bytes, sender: Peer, ask: AskFiltered) -> None:
        """The batches that it is about are to be read first."""
        try:
            named = Filter.parse(ask.where).batches
        except ConfigError as error:  # of a client of a later release
            self._ledger.turn.say(Answer(client, Refused(ask.number, "ConfigError", str(error))))
            return
        if named is not None and not named:
            self._ledger.turn.say(Answer(client, Filtered(ask.number, ())))
            return
        ids = tuple(map(bytes.fromhex, named or ()))
        self._ledger.turn.say(FindBatches(client, sender, ask, BATCHES, ids))

    def on_found(self, found: BatchesFound, ask: AskFiltered, now: float) -> None:
        """They are read."""
        look = _Look(Filter.parse(ask.where), min(ask.limit, LOOKS), now + self._ledger.wall_clock.offset)
        batches: list[FilteredBatch] = []
        for stored in found.batches:
            batch = self._ledger.backlog.batches.get(stored.batch)
            line = self._line_of(stored, batch, found.asked.sender)
            first = ask.index if stored.batch == ask.batch else 0
            spans = look.wanted.within(stored.batch.hex(), first, line.accepted)
            if not spans or not look.wanted.matches_batch(batch_facts(line)):
                continue
            lines: list[JobLine] = []
            stop = line.accepted
            if batch is not None and not look.wanted.states.isdisjoint(OPEN_STATES):
                look.left -= len(self._ledger.workers) // WORKERS_PER_LOOK if batch.leased else 0
                parts = (self._standing.of_batch(batch, *span, now) for span in spans)
                lines, end = look.open_jobs(chain.from_iterable(parts), line.created_time)
                stop = stop if end is None else end
            batches.append(FilteredBatch(line, first, stop, tuple(lines)))
            if look.is_over:
                self._answer(found, ask, batches, (stored.batch, stop))
                return
        is_all = len(found.batches) < found.asked.limit
        self._answer(found, ask, batches, None if is_all else _before(found.batches[-1].batch))

    def _answer(
        self, found: BatchesFound, ask: AskFiltered, batches: list[FilteredBatch], at: tuple[bytes, int] | None
    ) -> None:
        self._ledger.turn.say(Answer(found.asked.client, Filtered(ask.number, tuple(batches), at)))


class _Look:
    """What one answer may look at, and hold."""

    def __init__(self, wanted: Filter, room: int, now: float) -> None:
        self.wanted = wanted
        self.left = LOOKS
        self._room = room
        self._now = now

    @property
    def is_over(self) -> bool:
        """Whether it has looked at enough."""
        return self.left <= 0 or self._room <= 0

    def open_jobs(self, lines: Iterable[JobLine], submitted: float) -> tuple[list[JobLine], int | None]:
        """Those that fit, and where it ended, if that is before the last of them."""
        fit: list[JobLine] = []
        for line in lines:
            self.left -= 1
            if self.wanted.matches(open_facts(line, submitted, self._now)):
                fit.append(line)
                self._room -= 1
            if self.is_over:
                return fit, line.stop
        return fit, None


def _before(batch: bytes) -> tuple[bytes, int] | None:
    """The place in front of a batch, in the order from the newest on."""
    number = int.from_bytes(batch, "big")
    return ((number - 1).to_bytes(len(batch), "big"), 0) if number else None
