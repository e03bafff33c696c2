"""One life of a slot as the agent sees it: its page, what it has loaded, the pieces queued on it, and its clock."""

from __future__ import annotations

import os
import socket
import time
from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from penstock.errors import ProtocolError
from penstock.job.spec import JobState, Tenant
from penstock.job.spooled_output import Spooled
from penstock.slot.framing import Bytes
from penstock.slot.journal import saved
from penstock.slot.output_capture import Output, Spooler
from penstock.slot.protocol import (
    LIMIT_CELLS,
    LIMITS,
    MEDDLED,
    MEDDLING,
    NO_LIMIT,
    PIECE,
    SAVED_FROM,
    STARTED,
    Done,
    DropFunction,
    FreeChunk,
    LoadChunk,
    LoadFunction,
    Page,
    Ran,
    Running,
    RunPiece,
)
from penstock.wire.records import Note
from penstock.worker.contract import PieceDone, Run, SlotDied
from penstock.worker.output_notes import Spools, noted
from penstock.worker.slot_stream import SlotStream

KEPT_FUNCTIONS = 32
"""Functions a slot keeps loaded: batches that take turns on a worker."""
KEPT_CHUNK_BYTES = 16 << 20
"""Of arguments a slot keeps, serialized; decoded they may be ten times that. Chunks are sent again if need be."""
NANOSECONDS = 1_000_000_000
ENDS = (JobState.SUCCEEDED, JobState.FAILED)
"""What a slot can say of a job."""
LOADING = "being made ready: its function loaded, its initializer run"


class Ended(msgspec.Struct, frozen=True):
    """Why a slot is being ended, and what it ran when that was decided."""

    state: JobState
    cause: str
    running: Running | None


class SlotHandle:
    """One life of the slot `number`. `files` are for the fork server; they are closed once it has them."""

    def __init__(self, number: int, life: int, spools: Spools, user: str = "") -> None:
        self.number = number
        self.life = life
        self.spools = spools
        self.tenant: Tenant = Tenant(user)
        self.pid: int = 0
        """Of its process, once that is ready."""
        self.pieces: dict[int, Run] = {}
        self._cells: dict[int, int] = {}
        """Where the limit of each piece is."""
        self._said: dict[int, int] = {}
        """Of pieces that go on: the first job of which the slot has said nothing."""
        self._known: dict[int, int] = {}
        """The first of which nothing has come back, from the journal neither."""
        self.cuts: dict[int, int] = {}
        """Where pieces stop whose cut was asked for; NO_LIMIT until that is settled."""
        self.ended: Ended | None = None
        self.last_words: Output = ((), ())
        """What a job wrote that came to its end while its slot was being ended."""
        self.prints_fast = False
        self.unfit = ""
        """Why its process could not become a slot, by its own words."""
        self.retires = ""
        """Why its process is used up, by its own words."""
        self.begun_at: int = 0
        """When its process had the piece that comes first (CLOCK_MONOTONIC ns)."""
        ours, self._theirs = socket.socketpair()
        self.stream: SlotStream = SlotStream(ours)
        self.page: Page = Page.create()
        pipes = [os.pipe(), os.pipe()]
        self.readers: tuple[int, int] = (pipes[0][0], pipes[1][0])
        self._writers = (pipes[0][1], pipes[1][1])
        for reader in self.readers:
            os.set_blocking(reader, False)
        self.drain: Spooler = Spooler(self.page, self.readers, spools)
        self._functions: OrderedDict[bytes, None] = OrderedDict()
        self._chunks: OrderedDict[int, int] = OrderedDict()
        self._chunk_bytes = 0
        self._is_limited = False
        self._run_count = 0

    def files(self) -> list[int]:
        """What the fork server needs to make the slot, in its order."""
        return [self._theirs.fileno(), self.page.fd, *self._writers, *self.readers]

    def close_files(self) -> None:
        """Close the slot's own ends, so that the end of the slot is seen."""
        self._theirs.close()
        for writer in self._writers:
            os.close(writer)

    def close(self) -> None:
        """Close the files and sockets of the slot."""
        self.stream.socket.close()
        self.drain.close()
        self.page.close()

    # ------------------------------------------------------------------------------------------------ pieces

    def run(self, order: Run, code: Bytes, arguments: Bytes) -> None:
        """Queue a piece, with what it needs and the slot lacks."""
        spec = order.head.spec
        cell = LIMITS + self._run_count % LIMIT_CELLS
        self._run_count += 1
        self.page.cells[cell] = NO_LIMIT
        if not self.pieces:
            self.begun_at = time.monotonic_ns()
        self.tenant = self.tenant.joined_by(spec.tenant)
        self.pieces[order.piece] = order
        self._cells[order.piece] = cell
        self._load_function(order, code)
        self._load_chunk(order, arguments)
        # a time limit, a command's output and what is shown while it comes are one job's
        single = spec.time_limit is not None or spec.kind == "command" or spec.live
        self._is_limited |= spec.time_limit is not None
        block = 1 if single else order.block
        self.stream.send(RunPiece(order.piece, order.lease.number, order.start, order.stop, block, cell))

    def _load_function(self, order: Run, code: Bytes) -> None:
        function, spec = order.head.function, order.head.spec
        if function not in self._functions:
            self.stream.send(LoadFunction(order.piece, order.start, function, spec.kind, spec.serializer), code)
            if len(self._functions) == KEPT_FUNCTIONS:
                self.stream.send(DropFunction(self._functions.popitem(last=False)[0]))
        self._functions[function] = None
        self._functions.move_to_end(function)

    def _load_chunk(self, order: Run, arguments: Bytes) -> None:
        lease, spec, size = order.lease, order.head.spec, len(arguments)
        if lease.number not in self._chunks:
            head = LoadChunk(
                order.piece, order.start, lease.number, lease.batch, lease.first, lease.stamp.attempt,
                order.head.function, spec.serializer, spec.check, spec.client, spec.title, spec.traceparent,
            )  # fmt: skip
            while self._chunks and self._chunk_bytes + size > KEPT_CHUNK_BYTES:
                self.free(next(iter(self._chunks)))
            self.stream.send(head, arguments)
            self._chunks[lease.number] = size
            self._chunk_bytes += size
        self._chunks.move_to_end(lease.number)

    def free(self, lease: int) -> int:
        """Let the slot forget the arguments of a lease, once it is through with the pieces before; returns their
        size."""
        size = self._chunks.pop(lease, None)
        if size is None:
            return 0
        self._chunk_bytes -= size
        self.stream.send(FreeChunk(lease))
        return size

    def refuse_all(self, cause: str) -> list[PieceDone]:
        """Its pieces cannot be run here."""
        pieces, self.pieces = self.pieces, {}
        return [refused(order, cause) for order in pieces.values()]

    def ready(self, pid: int) -> None:
        """Its process waits for pieces."""
        self.pid, self.begun_at = pid, time.monotonic_ns()

    @property
    def is_ready(self) -> bool:
        """Whether its process has been."""
        return self.pid > 0

    def done(self, piece: int) -> None:
        """It is through with a piece."""
        del self.pieces[piece], self._cells[piece]
        self.cuts.pop(piece, None)
        self._said.pop(piece, None)
        self._known.pop(piece, None)
        self.begun_at = time.monotonic_ns()

    def next_to_say(self, piece: int) -> int:
        """The first job of a piece of which the slot has said nothing."""
        return self._said.get(piece, self.pieces[piece].start)

    def next_of(self, piece: int) -> int:
        """The first job of a piece of which nothing has come back."""
        return self._known.get(piece, self.pieces[piece].start)

    def news(self, message: Done, payload: bytes | memoryview) -> tuple[Done, bytes | memoryview]:
        """What of it has not come back from the journal already."""
        at = self.next_of(message.piece)
        if message.ran:
            self._said[message.piece] = message.ran[-1].stop
            self._known[message.piece] = max(at, message.ran[-1].stop)
        if not message.ran or message.ran[0].start == at:
            return message, payload
        ran = [one for one in message.ran if one.stop > at]
        known = sum(one.size for one in message.ran if one.stop <= at)
        if ran and ran[0].start < at:
            first = ran[0]
            elapsed = first.elapsed * (first.stop - at) / (first.stop - first.start)
            ran[0] = replace(first, start=at, elapsed=elapsed, offset=at - first.start)
        return replace(message, ran=tuple(ran)), memoryview(payload)[known:]

    def culprit(self, piece: int) -> int | None:
        """The job of this piece for which the slot is being ended, if it is known: that has its outcome."""
        running = self.ended.running if self.ended else None
        return running.index if running is not None and running.piece == piece and running.unit == 1 else None

    def saved(self) -> tuple[Done, bytes] | None:
        """What the journal has of the piece that comes first, as the slot would say it; None: nothing new."""
        number, cells = next(iter(self.pieces), 0), self.page.cells
        before = cells[PIECE], cells[SAVED_FROM]
        if not number or before[0] != number:
            return None
        order, start = self.pieces[number], self.next_of(number)
        stop = min(order.stop, self.cuts.get(number, NO_LIMIT))
        if (culprit := self.culprit(number)) is not None:
            stop = min(stop, culprit)
        took = max(0, cells[STARTED] - self.begun_at) / NANOSECONDS
        try:
            found = saved(self.page, start, stop, order.head.spec.serializer, time.time(), took)
        except ProtocolError:  # a job has written there, or its slot has begun anew
            return None
        if not found.ran or not are_in_order(found.ran, start, stop) or (cells[PIECE], cells[SAVED_FROM]) != before:
            return None
        if any(ran.size != len(body) or not self.drain.has(ran.output()) for ran, body in zip(*found, strict=True)):
            return None
        self._known[number] = found.ran[-1].stop
        return Done(number, found.ran, goes_on=True), b"".join(found.bodies)

    def running(self) -> Running | None:
        """What the slot runs of what is outstanding; a job may have written to the page."""
        running = self.page.running()
        piece = self.pieces.get(running.piece) if running is not None else None
        if running is None or piece is None:
            return None
        if running.unit < 1 or not piece.start <= running.index <= piece.stop - running.unit or running.started < 0:
            return Running(running.piece, piece.start, 0, piece.stop - piece.start)
        return running

    def next_running(self) -> Running | None:
        """The piece that is to run next, as if it ran, without a job to name if it has more than one."""
        for number, piece in self.pieces.items():
            return Running(number, piece.start, 0, piece.stop - piece.start)
        return None

    def idle_with_orders(self) -> float | None:
        """Seconds that its process has begun none of what it was told; None: it has, or has nothing to begin."""
        if self.ended or not self.pieces or not self.is_ready or self.stream.wants_write or self.page.cells[PIECE]:
            return None
        return (time.monotonic_ns() - self.begun_at) / NANOSECONDS

    def hold_back(self, piece: int, running: Running | None) -> int:
        """Lower the piece's limit to behind what runs of it, or to its start; returns the limit, which never grows."""
        given = self.pieces[piece]
        stop = self.next_of(piece)
        if running is not None and running.piece == piece:
            stop = running.index + running.unit
        return max(self.page.lower_limit(self._cells[piece], min(stop, given.stop)), self.next_of(piece))

    def settle_cut(self, piece: int, stop: int) -> None:
        """The piece is cut before the job `stop`, which may be behind where it was held back."""
        self.page.cells[self._cells[piece]] = self.cuts[piece] = stop

    def time_left(self) -> float | None:
        """Seconds until the running job is over its time limit, if one has a limit; when it can be known at all."""
        if not self._is_limited or self.ended:
            return None
        limits = [piece.head.spec.time_limit for piece in self.pieces.values()]
        shortest = min((limit for limit in limits if limit is not None), default=None)
        if shortest is None:
            self._is_limited = False
            return None
        running = self.running_or_next()
        if running is None:
            return shortest
        limit = self.pieces[running.piece].head.spec.time_limit
        return shortest if limit is None else limit - self.elapsed(running)

    def running_or_next(self) -> Running | None:
        """What the slot runs, or has before it once its process is ready: its time counts from when it had its slot."""
        return self.running() or (self.next_running() if self.is_ready else None)

    def elapsed(self, running: Running) -> float:
        """Seconds that the running job has had its slot: what is loaded for a piece is its first job's."""
        if running.unit != 1 or running.index != self.pieces[running.piece].start:
            return elapsed_of(running)
        return (time.monotonic_ns() - self.begun_at) / NANOSECONDS

    def overdue(self) -> Ended | None:
        """What to end it for: the job that runs, or is being made ready, is over its time limit; that is held back."""
        running = self.running_or_next()
        if running is None:
            return None
        limit = self.pieces[running.piece].head.spec.time_limit
        self.hold_back(running.piece, running)
        # it may have gone on to the next job just before: that one has its own time
        again = self.running_or_next()
        if limit is None or again is None or again[:2] != running[:2] or self.elapsed(again) < limit:
            return None
        cause = f"ran longer than its time limit of {limit:g} s"
        return Ended(JobState.TIMED_OUT, cause if again.started else f"{cause}, and was still {LOADING}", again)

    def death(self, running: Running | None, cause: str, exitcode: int | None, left: int = 0) -> SlotDied:
        """What is to be said of the end of this life; the others are what the fork server reported: why, and which
        process is `left` behind (0: none)."""
        state, pid = JobState.DEAD, self.pid or None
        if self.ended:
            state, cause, pid, exitcode = self.ended.state, self.ended.cause, None, None
        elif self.retires and running is None:
            state, cause = JobState.CANCELLED, self.retires
        elif self.page.cells[MEDDLED]:
            cause = MEDDLING
        elif pid is not None:
            cause = f"{cause}, pid {pid}"
        cause += f"; its process {left} runs on, as another user whose processes the worker may not end" if left else ""
        elapsed = elapsed_of(running) or (self.elapsed(running) if running is not None else 0.0)
        piece = running.piece if running is not None else None
        note, spooled = None, None
        if piece is not None:
            note, spooled = self._last_output(piece, Note(cause=cause, pid=pid, exitcode=exitcode))
        index = None
        if (
            running is not None
            and running.unit == 1
            and self._known.get(running.piece, 0) <= running.index < self.cuts.get(running.piece, NO_LIMIT)
        ):
            # an index at a cut is published by a slot that then sees the limit, and one that came back has ended
            index = running.index
        started_time = time.time() - elapsed
        return SlotDied(self.number, piece, index, state, cause, started_time, elapsed, note, spooled, left)

    def _last_output(self, piece: int, note: Note) -> tuple[Note | None, Spooled | None]:
        """What the job wrote in which this life ended."""
        (out, err), lost = self.drain.take()
        output = self.last_words[0] + out, self.last_words[1] + err
        bound = self.pieces[piece].head.spec.keep_output if piece in self.pieces else 0
        ran = noted(Ran(0, 1, JobState.DEAD, 0.0, 0.0, 0, note, output, lost), self.spools, bound)
        return ran.note, ran.spooled


def are_in_order(spans: tuple[Ran, ...], at: int, stop: int) -> bool:
    """Whether these are what a slot can say of jobs from `at` on, one behind the other, before `stop`."""
    for ran in spans:
        if ran.start != at or ran.stop <= at or ran.state not in ENDS:
            return False
        at = ran.stop
    return at <= stop


def refused(order: Run, cause: str) -> PieceDone:
    """A piece whose jobs failed without being started."""
    ran = Ran(order.start, order.stop, JobState.FAILED, time.time(), 0.0, 0, Note(cause=cause))
    return PieceDone(order.slot, order.piece, (ran,), b"")


def elapsed_of(running: Running | None) -> float:
    """Seconds since the running job began."""
    if running is None or not running.started:
        return 0.0
    return max(0.0, (time.monotonic_ns() - running.started) / NANOSECONDS)
