"""What comes back from the slots: jobs that ran, pieces that were cut, slots that died.

Promises:

1. Each job of a piece that comes back has an outcome, is unstarted again, or was dropped meanwhile and is gone.
2. A slot that dies costs the job that ran in it one crash, and its neighbours nothing: what had ended is not run again.
   Where nobody knows which job it was, the rest of the lease runs one by one.
   A job that wipes out that it runs, and ends its slot, does so UNBEGUN_DEATHS times.
3. What could not be started is no outcome where others may try it.
4. Whether an outcome is final is decided by the batch's options and the stamp of the lease.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.job.spec import JobState
from penstock.slot.protocol import Ran
from penstock.wire.frames import split
from penstock.wire.records import Note, OutcomeHead, Print
from penstock.worker.contract import JobPrinted, PieceCut, PieceDone, SlotDied
from penstock.worker.held_lease import Bytes, HeldLease
from penstock.worker.holdings import Holdings
from penstock.worker.outbox import Outbox
from penstock.worker.slot_feed import Piece, SlotFeed

UNBEGUN_DEATHS = 3
"""In a row, of slots that had a piece of a lease before them: after these it is taken for what they die of."""


class SlotResults:
    """Turns what slots say into outcomes and unstarted jobs."""

    def __init__(self, holdings: Holdings, feed: SlotFeed, outbox: Outbox) -> None:
        self._holdings = holdings
        self._feed = feed
        self._outbox = outbox
        self.unable: list[tuple[HeldLease, int, int, str]] = []
        """Jobs that could not be started here and are for others to try, and why."""
        self.hurried = False
        """The worker was told twice to stop: what was ended has started, and is not handed back. What may not be
        started twice is dead of it: of what a worker does not tell, the ventilator believes that it never came."""

    def on_piece_done(self, event: PieceDone) -> HeldLease | None:
        """Outcomes of a piece; returns its lease."""
        piece = self._feed.find(event.slot, event.piece)
        if piece is None:
            return None
        piece.held.unbegun = 0
        bodies = split(event.payload, [ran.size for ran in event.ran])
        done, elapsed = piece.start, 0.0
        for ran, body in zip(event.ran, bodies, strict=True):
            if ran.unstarted and piece.held.lease.elsewhere:
                self._holdings.unstart(piece.held, ran.start, ran.stop)
                self.unable.append((piece.held, ran.start, ran.stop, ran.note.cause if ran.note else ""))
            else:
                self._finish(piece.held, event.slot, ran, body)
            done, elapsed = ran.stop, elapsed + ran.elapsed
        jobs, piece.start = done - piece.start, done
        if event.goes_on:
            return piece.held
        self._feed.remove(event.slot, piece)
        if jobs:
            self._feed.observe(piece.held.function, jobs, elapsed)
        self._holdings.unstart(piece.held, done, piece.stop)
        return piece.held

    def on_printed(self, event: JobPrinted) -> None:
        """What the job of a piece wrote goes to those who look on."""
        piece = self._feed.find(event.slot, event.piece)
        if piece is None or not piece.held.spec.live or piece.stop - piece.start != 1:
            return
        lease = piece.held.lease
        for is_error, (position, body) in enumerate(event.streams):
            if body:
                head = Print(lease.batch, piece.start, lease.number, lease.stamp, bool(is_error), position, len(body))
                self._outbox.live_output.add(head, body, lease.token)

    def on_piece_cut(self, event: PieceCut) -> HeldLease | None:
        """The rest of a piece is unstarted again; returns its lease."""
        piece = self._feed.find(event.slot, event.piece)
        if piece is None:
            return None
        piece.settled = True
        if event.stop >= piece.stop:
            return None
        stop, piece.stop = piece.stop, event.stop
        self._holdings.unstart(piece.held, event.stop, stop)
        if piece.start >= piece.stop:
            self._feed.remove(event.slot, piece)
        return piece.held

    def on_slot_died(self, event: SlotDied) -> list[HeldLease]:
        """The slot is gone with all its pieces; returns their leases."""
        pieces = self._feed.slot_gone(event.slot)
        if event.piece is None and pieces and event.state is JobState.DEAD:
            event = self._doubted(event, pieces[0])
        for piece in pieces:
            if piece.number == event.piece:
                self._bury(event, piece)
            self._holdings.unstart(piece.held, piece.start, piece.stop)
        return [piece.held for piece in pieces]

    @staticmethod
    def _doubted(event: SlotDied, first: Piece) -> SlotDied:
        """Its slot died before it began, by the page that jobs can write to: it runs again, but not for ever."""
        first.held.unbegun += 1
        if first.held.unbegun < UNBEGUN_DEATHS:
            return event
        first.held.unbegun = 0
        return replace(event, piece=first.number, cause=f"{event.cause}, each of {UNBEGUN_DEATHS} times that it had it")

    def _bury(self, event: SlotDied, piece: Piece) -> None:
        """The job in which a slot ended gets its outcome; who else was in the piece runs again."""
        index = event.index
        if index is None and piece.stop - piece.first == 1:
            index = piece.first
        if index is None or index < piece.start:
            piece.held.careful |= event.state is JobState.DEAD
            return
        state, note = event.state, event.note or Note(cause=event.cause)
        if state is JobState.CANCELLED:
            if not self.hurried:
                return
            if piece.held.spec.max_crashes > 1:
                piece.held.running.remove(index, index + 1)
                return
            state, note = JobState.DEAD, replace(note, cause="its worker was told to leave at once while it ran")
        ran = Ran(index, index + 1, state, event.started_time, event.elapsed, 0, note, event.spooled)
        self._finish(piece.held, event.slot, ran, b"", crashed=state is JobState.DEAD)

    def _finish(self, held: HeldLease, slot: int, ran: Ran, body: Bytes, *, crashed: bool = False) -> None:
        stamp, spec = held.lease.stamp, held.spec
        head = OutcomeHead(
            batch=held.lease.batch,
            start=ran.start,
            stop=ran.stop,
            state=ran.state,
            final=spec.is_final(ran.state, stamp, crashed=crashed),
            stamp=stamp,
            lease=held.lease.number,
            slot=slot,
            started_time=ran.started_time,
            elapsed=ran.elapsed,
            size=len(body),
            crashed=crashed,
            note=ran.note,
            offset=ran.offset,
        )
        kept = self._holdings.keep(held, head, body)
        if ran.spooled is None:
            self._outbox.add(kept)
        else:
            self._outbox.uploads.add(kept, slot, ran.spooled, spec.keep_output)
