"""Feeding the slots: pieces of leases, sized to a few milliseconds, two ahead where jobs are short.

Promises:

1. A slot is given nothing while its process does not wait for work, and pieces of one tenant only (job/spec.py). It
   stays with a tenant for TENANT_SECONDS while there is something of that tenant's to start: its process is replaced in
   between. Of slots that idle those are taken first whose process need not be.
2. The first piece of an unknown function is one job; so is every piece of jobs that may not be started twice, have a
   time limit or are looked on while they print, and of a lease in which a slot died.
3. While a slot idles and nothing is unstarted, or every slot is stuck, a piece that overruns is cut after its running
   job.
"""

from __future__ import annotations

from collections import deque

from penstock.job.running_mean import running_mean
from penstock.job.spans import SpanSet
from penstock.job.spec import JobState, Tenant
from penstock.station.contract import Actions
from penstock.wire.messages import InSlot
from penstock.worker.contract import Cut, EndSlot, Run
from penstock.worker.held_lease import HeldLease
from penstock.worker.holdings import Holdings

PIECE_SECONDS = 0.01
"""Of work in one piece: a hundred times what handing it over costs, also while all cores are busy."""
SHARE_SECONDS = 0.0005
"""Of work in one piece at least, when the last lease is shared out among the slots."""
AHEAD = 2
"""Pieces a slot has at once: it never waits for the agent, and little can be stuck behind a job that runs long."""
AHEAD_SECONDS = 0.05
"""A job expected to run longer than this is not put behind another one."""
OVERRUN = 0.02
"""Seconds beyond twice its expected time after which a piece may be cut."""
TENANT_SECONDS = 1.0
"""Many times what a new process costs; and others' jobs wait little longer than for any job that runs."""
STUCK = 0.05
"""Seconds beyond the expected time of what it runs after which a slot is stuck: what waits behind that could have been
started by another worker."""
CANCEL_PATIENCE = 0.05
"""Seconds a cancelled piece may still finish by itself before its slot is ended."""
MEAN_WEIGHT = 0.3
"""Of the newest piece in the running mean of a function's duration."""
MEANS = 1024
"""Functions remembered."""
BLOCK_SECONDS = 0.0005
"""Of work that a slot does at a stretch where jobs are shorter than BLOCK_BELOW: it can be cut between blocks only."""
BLOCK_BELOW = 5e-5
"""Seconds per job below which marking each job (some 3 us, part of what is measured) costs too much."""
NOBODY = Tenant()
"""Of a process that has run nothing yet."""


class Piece:
    """Jobs [start, stop) of a lease, in a slot."""

    __slots__ = (
        "cut",
        "end_at",
        "ending",
        "expected",
        "first",
        "given_at",
        "held",
        "late",
        "number",
        "settled",
        "start",
        "stop",
    )

    def __init__(self, number: int, held: HeldLease, start: int, stop: int, given_at: float, expected: float) -> None:
        self.number: int = number
        self.held: HeldLease = held
        self.first: int = start
        self.start: int = start
        """The first of its jobs of which nothing is known; `first` was the first of all."""
        self.stop: int = stop
        self.given_at: float = given_at
        self.expected: float = expected
        self.cut: bool = False
        """Its slot was asked to stop it after the job that runs."""
        self.settled: bool = False
        """What is left of it has started, or it is no longer in its slot."""
        self.late: bool = False
        """It was seen that it keeps its slot from what waits behind it."""
        self.end_at: float | None = None
        """When its slot is ended if it still runs one of those that are `ending`: they were cancelled."""
        self.ending: SpanSet = SpanSet()


class SlotFeed:
    """The slots of a worker and the pieces in them."""

    def __init__(self, slots: int, holdings: Holdings) -> None:
        self._holdings = holdings
        self._pieces: dict[int, deque[Piece]] = {slot: deque() for slot in range(slots)}
        self._ready: set[int] = set()
        self._number = 0
        self._means: dict[bytes, float] = {}
        self._tenants: dict[int, tuple[Tenant, float]] = {}
        """Whose jobs the process of each slot runs, and since when; none is named while it is new."""

    # ------------------------------------------------------------------------------------------ slots

    def slot_ready(self, slot: int) -> None:
        """Its process waits for pieces."""
        self._ready.add(slot)

    def slot_retires(self, slot: int) -> None:
        """Its process runs nothing more."""
        self._ready.discard(slot)

    def slot_gone(self, slot: int) -> list[Piece]:
        """Its process is gone; returns the pieces it had, which are no longer in it."""
        self._ready.discard(slot)
        self._tenants.pop(slot, None)
        pieces = list(self._pieces[slot])
        self._pieces[slot].clear()
        for piece in pieces:
            piece.settled = True
            self._holdings.shares.over(piece.held)
        return pieces

    def find(self, slot: int, number: int) -> Piece | None:
        """The piece, if the slot still has it."""
        for piece in self._pieces[slot]:
            if piece.number == number:
                return piece
        return None

    def remove(self, slot: int, piece: Piece) -> None:
        """The slot is done with it."""
        pieces = self._pieces[slot]
        was_first = pieces[0] is piece
        pieces.remove(piece)
        piece.settled = True
        self._holdings.shares.over(piece.held)
        if was_first and pieces:
            pieces[0].given_at = max(pieces[0].given_at, piece.given_at + piece.expected)

    def in_slots(self, now: float) -> tuple[InSlot, ...]:
        """What each slot runs, and for how long."""
        first = [(slot, pieces[0]) for slot, pieces in self._pieces.items() if pieces]
        return tuple(
            InSlot(slot, piece.held.lease.number, piece.start, max(0.0, now - piece.given_at)) for slot, piece in first
        )

    @property
    def busy(self) -> bool:
        """Whether any slot has a piece."""
        return any(self._pieces.values())

    # ------------------------------------------------------------------------------------------ pieces

    def observe(self, function: bytes, jobs: int, elapsed: float) -> None:
        """Take in how long some jobs took."""
        self._means[function] = running_mean(self._means.pop(function, None), elapsed / jobs, MEAN_WEIGHT)
        if len(self._means) > MEANS:
            del self._means[next(iter(self._means))]

    def fill(self, functions: set[bytes], now: float) -> Actions:
        """Give pieces to the slots that have room."""
        actions: Actions = []
        if not self._holdings.shares.waiting:
            return actions
        for depth in range(AHEAD):
            for slot in self._in_order(functions):
                pieces = self._pieces[slot]
                if len(pieces) > depth or (pieces and not self._moves_on(pieces, now)):
                    continue
                held = self._choose(functions, slot, now)
                if held is None:
                    break
                actions += self._give(slot, held, now)
        return actions

    def _in_order(self, functions: set[bytes]) -> list[int]:
        """The slots that wait for work, first those whose process may run what is next."""
        slots, held = sorted(self._ready), self._holdings.next(functions)
        if held is not None:
            slots.sort(key=lambda slot: not self._tenant(slot).admits(held.tenant))
        return slots

    def _tenant(self, slot: int) -> Tenant:
        return self._tenants[slot][0] if slot in self._tenants else NOBODY

    def _choose(self, functions: set[bytes], slot: int, now: float) -> HeldLease | None:
        held, pieces = self._holdings.next(functions), self._pieces[slot]
        tenant, since = self._tenants.get(slot, (NOBODY, now))
        if held is not None and now < since + TENANT_SECONDS and not tenant.admits(held.tenant):
            held = self._holdings.next_of(tenant, held.spec.priority, functions) or held
        if held is None or not pieces:
            return held
        if not tenant.admits(held.tenant):
            return None  # the slot's process is to be replaced in between
        short = self._means.get(held.function, AHEAD_SECONDS) < AHEAD_SECONDS
        return held if short and not self._single(held) else None

    @classmethod
    def _moves_on(cls, pieces: deque[Piece], now: float) -> bool:
        """Whether what the slot runs is expected to end soon: nothing is put behind a job that lasts."""
        ends_at = min(cls._overrun_at(pieces), cls._stuck_at(pieces))
        return 0 < pieces[0].expected < AHEAD_SECONDS and now < ends_at

    @staticmethod
    def _single(held: HeldLease) -> bool:
        spec = held.spec
        return held.careful or spec.live or spec.time_limit is not None or spec.max_crashes == 1

    def _give(self, slot: int, held: HeldLease, now: float) -> Actions:
        mean = self._means.get(held.function)
        jobs = 1
        if mean is not None and not self._single(held):
            jobs = max(1, int(PIECE_SECONDS / max(mean, 1e-9)))
            if self._holdings.is_last(held) and not held.serial:
                share = -(-held.unstarted.count // (2 * len(self._pieces)))
                jobs = min(jobs, max(share, int(SHARE_SECONDS / max(mean, 1e-9)), 1))
        start, stop = held.unstarted.take_first(jobs)
        held.running.add(start, stop)
        self._holdings.shares.begun(held)
        tenant = self._tenant(slot)
        joined = tenant.joined_by(held.tenant) if tenant.admits(held.tenant) else held.tenant
        if slot not in self._tenants or joined != tenant:
            self._tenants[slot] = (joined, now)
        self._number += 1
        piece = Piece(self._number, held, start, stop, now, (mean or 0.0) * (stop - start))
        self._pieces[slot].append(piece)
        return [Run(slot, piece.number, held.lease, held.head, start, stop, _block(mean))]

    # ------------------------------------------------------------------------------------------ taking back

    def relieve(self, now: float) -> Actions:
        """Cut what overruns while a slot idles; end the slots of cancelled pieces that do not end by themselves."""
        actions: Actions = []
        if not self.busy:
            return actions
        idle = any(not self._pieces[slot] for slot in self._ready)
        stuck = self.is_stuck(now)
        for slot, pieces in self._pieces.items():
            for place, piece in enumerate(pieces):
                if piece.end_at is not None and piece.end_at <= now and place == 0:
                    piece.end_at = None
                    actions.append(EndSlot(slot, piece.number, tuple(piece.ending), JobState.CANCELLED, "cancelled"))
                if (
                    not piece.cut
                    and self._can_be_cut(place, piece)
                    and (stuck or (idle and self._overrun_at(pieces) <= now))
                ):
                    piece.cut = True
                    actions.append(Cut(slot, piece.number))
        return actions

    def cut(self, held: HeldLease, start: int, stop: int) -> tuple[list[Piece], Actions]:
        """Let the slots stop before those of these jobs that have not begun; the pieces of which it is not known yet
        which these are, and what must be done to know it."""
        open_pieces: list[Piece] = []
        actions: Actions = []
        for slot, pieces in self._pieces.items():
            for place, piece in enumerate(pieces):
                is_meant = piece.held is held and piece.start < stop and start < piece.stop
                if is_meant and self._can_be_cut(place, piece) and not piece.settled:
                    open_pieces.append(piece)
                    if not piece.cut:
                        actions.append(Cut(slot, piece.number))
                    piece.cut = True
        return open_pieces, actions

    @staticmethod
    def _can_be_cut(place: int, piece: Piece) -> bool:
        """Whether there may be a job in it that has not begun."""
        return place > 0 or piece.stop - piece.start > 1

    def is_stuck(self, now: float) -> bool:
        """Whether every slot runs something that lasts far longer than expected."""
        stuck_at = self._all_stuck_at()
        if stuck_at is None or now < stuck_at:
            return False
        for pieces in self._pieces.values():
            pieces[0].late = True
        return True

    def _all_stuck_at(self) -> float | None:
        """When every slot is stuck if none gets on; None: one has nothing to run, or nobody knows how long it takes."""
        if not all(pieces and pieces[0].expected for pieces in self._pieces.values()):
            return None
        return max(self._stuck_at(pieces) for pieces in self._pieces.values())

    @staticmethod
    def _stuck_at(pieces: deque[Piece]) -> float:
        return pieces[0].given_at + pieces[0].expected + STUCK

    @staticmethod
    def _overrun_at(pieces: deque[Piece]) -> float:
        return pieces[0].given_at + 2 * pieces[0].expected + OVERRUN

    def next_wakeup(self) -> float | None:
        """When `relieve` may have something to do."""
        if not self.busy:
            return None
        idle = any(not self._pieces[slot] for slot in self._ready)
        due = [piece.end_at for pieces in self._pieces.values() for piece in pieces if piece.end_at is not None]
        if idle:
            due += [
                self._overrun_at(pieces)
                for pieces in self._pieces.values()
                if any(not piece.cut and self._can_be_cut(place, piece) for place, piece in enumerate(pieces))
            ]
        stuck_at = self._all_stuck_at()
        if stuck_at is not None and not all(pieces[0].late for pieces in self._pieces.values()):
            due.append(stuck_at)
        return min(due, default=None)

    def end(self, held: HeldLease, start: int, stop: int, at: float) -> None:
        """These jobs are to end; one that still runs at `at` takes its slot with it."""
        for pieces in self._pieces.values():
            for piece in pieces:
                if piece.held is held and piece.start < stop and start < piece.stop:
                    piece.end_at = at
                    piece.ending.add(max(start, piece.start), min(stop, piece.stop))


def _block(mean: float | None) -> int:
    """How many jobs that take `mean` seconds each (None: nobody knows) a slot runs at a stretch."""
    return 1 if mean is None or mean >= BLOCK_BELOW else max(1, int(BLOCK_SECONDS / max(mean, 1e-8)))
