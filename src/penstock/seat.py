"""One life of a slot as the agent sees it: its stream, its page, what it has loaded, and the pieces queued on it."""

from __future__ import annotations

import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice

import msgspec

from penstock.capture import Drain, Output
from penstock.core.inputs import PieceDone, Ran, SlotDied
from penstock.errors import ProtocolError
from penstock.job import BatchSpec, JobState, Stamp
from penstock.messages import Note
from penstock.slotwire import (
    LIMIT_CELLS,
    LIMITS,
    NO_LIMIT,
    PREFIX,
    Bytes,
    DropFunction,
    FreeChunk,
    FromSlot,
    LoadChunk,
    LoadFunction,
    Page,
    Running,
    RunPiece,
    SlotMessage,
    frame,
    from_slot,
)

READ_BYTES = 1 << 18
JOINED_BYTES = 1 << 16
"""A payload up to this size is copied behind its header, to be one write."""
WRITE_BUFFERS = 64
"""Frames written at once: a slot is woken once for all that it is told in a turn (Linux takes 1,024)."""
MAX_BYTES = 1 << 40
"""No frame of a slot is larger; a job that writes to its slot's socket may claim anything."""
KEPT_FUNCTIONS = 32
"""Functions a slot keeps loaded: batches that take turns on a worker."""
KEPT_CHUNK_BYTES = 16 << 20
"""Of arguments a slot keeps, serialized; decoded they may be ten times that. Chunks are sent again if need be."""
NANOSECONDS = 1_000_000_000

Received = tuple[FromSlot, bytes | memoryview]


class Work(msgspec.Struct, frozen=True):
    """What a slot must know to run pieces of a lease: the lease's chunk (`payload`) begins with the job `first` of the
    batch; `function` is a digest, and `code` gives its bytes, called only if a slot lacks it."""

    lease: int
    batch: bytes
    spec: BatchSpec
    function: bytes
    code: Callable[[], Bytes]
    first: int
    payload: Bytes
    stamp: Stamp


class Piece(msgspec.Struct, frozen=True):
    """Jobs [start, stop) that a slot was given."""

    work: Work
    start: int
    stop: int
    cell: int


class Ended(msgspec.Struct, frozen=True):
    """Why a slot is being ended, and what it ran when that was decided."""

    state: JobState
    cause: str
    running: Running | None


class Seat:
    """One life of the slot `number`. `files` are for the fork server; they are closed once it has them."""

    def __init__(self, number: int, life: int, user: str = "") -> None:
        self.number = number
        self.life = life
        self.user = user
        self.is_ready = False
        self.pieces: dict[int, Piece] = {}
        self.cuts: dict[int, int] = {}
        """Where pieces stop whose cut was asked for; NO_LIMIT until that is settled."""
        self.ended: Ended | None = None
        self.last_words: Output = (b"", b"")
        """What a job wrote that came to its end while its slot was being ended."""
        self.prints_fast = False
        self.is_gone = False
        self.socket, self._theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.page = Page.create()
        pipes = [os.pipe(), os.pipe()]
        self.readers = (pipes[0][0], pipes[1][0])
        self._writers = (pipes[0][1], pipes[1][1])
        for reader in self.readers:
            os.set_blocking(reader, False)
        self.drain = Drain(self.page, self.readers)
        self._functions: OrderedDict[bytes, None] = OrderedDict()
        self._chunks: OrderedDict[int, int] = OrderedDict()
        self._chunk_bytes = 0
        self._is_limited = False
        self._run_count = 0
        self._out: deque[memoryview] = deque()
        self._in = bytearray()
        self._large: tuple[FromSlot, bytearray, int] | None = None

    def files(self) -> list[int]:
        """What the fork server needs to make the slot, in its order."""
        return [self._theirs.fileno(), self.page.fd, *self._writers, *self.readers]

    def close_files(self) -> None:
        """Close the slot's own ends, so that the end of the slot is seen."""
        self._theirs.close()
        for writer in self._writers:
            os.close(writer)

    def close(self) -> None:
        """Close everything."""
        self.socket.close()
        self.drain.close()
        self.page.close()

    # ------------------------------------------------------------------------------------------------ pieces

    def run(self, piece: int, work: Work, start: int, stop: int, block: int) -> None:
        """Queue a piece, with what it needs and the slot lacks."""
        cell = LIMITS + self._run_count % LIMIT_CELLS
        self._run_count += 1
        self.page.cells[cell] = NO_LIMIT
        self.pieces[piece] = Piece(work, start, stop, cell)
        self._load_function(piece, work, start)
        self._load_chunk(piece, work, start)
        # a time limit, a command's output and what is shown while it comes are one job's
        single = work.spec.time_limit is not None or work.spec.kind == "command" or work.spec.live
        self._is_limited |= work.spec.time_limit is not None
        self._send(RunPiece(piece, work.lease, start, stop, 1 if single else block, cell))

    def _load_function(self, piece: int, work: Work, start: int) -> None:
        if work.function not in self._functions:
            head = LoadFunction(piece, start, work.function, work.spec.kind, work.spec.serializer)
            self._send(head, work.code())
            if len(self._functions) == KEPT_FUNCTIONS:
                self._send(DropFunction(self._functions.popitem(last=False)[0]))
        self._functions[work.function] = None
        self._functions.move_to_end(work.function)

    def _load_chunk(self, piece: int, work: Work, start: int) -> None:
        if work.lease not in self._chunks:
            spec, size = work.spec, len(work.payload)
            head = LoadChunk(
                piece, start, work.lease, work.batch, work.first, work.stamp.attempt, work.function,
                spec.serializer, spec.check,
            )  # fmt: skip
            while self._chunks and self._chunk_bytes + size > KEPT_CHUNK_BYTES:
                self.free(next(iter(self._chunks)))
            self._send(head, work.payload)
            self._chunks[work.lease] = size
            self._chunk_bytes += size
        self._chunks.move_to_end(work.lease)

    def free(self, lease: int) -> int:
        """Let the slot forget the arguments of a lease, once it is through with the pieces before; returns their
        size."""
        size = self._chunks.pop(lease, None)
        if size is None:
            return 0
        self._chunk_bytes -= size
        self._send(FreeChunk(lease))
        return size

    def refuse_all(self, cause: str) -> list[PieceDone]:
        """Its pieces cannot be run here."""
        pieces, self.pieces = self.pieces, {}
        return [refused(self.number, number, piece.start, piece.stop, cause) for number, piece in pieces.items()]

    def running(self) -> Running | None:
        """What the slot runs of what is outstanding."""
        running = self.page.running()
        return running if running is not None and running.piece in self.pieces else None

    def next_running(self) -> Running | None:
        """The piece that is to run next, as if it ran, without a job to name if it has more than one."""
        for number, piece in self.pieces.items():
            return Running(number, piece.start, 0, piece.stop - piece.start)
        return None

    def hold_back(self, piece: int, running: Running | None) -> int:
        """Lower the piece's limit to behind what runs of it, or to its start; returns the limit, which never grows."""
        given = self.pieces[piece]
        stop = given.start
        if running is not None and running.piece == piece:
            stop = running.index + running.unit
        return self.page.lower_limit(given.cell, min(stop, given.stop))

    def time_left(self) -> float | None:
        """Seconds until the running job is over its time limit, if one has a limit; when it can be known at all."""
        if not self._is_limited or self.ended:
            return None
        limits = [piece.work.spec.time_limit for piece in self.pieces.values()]
        shortest = min((limit for limit in limits if limit is not None), default=None)
        if shortest is None:
            self._is_limited = False
            return None
        running = self.running()
        if running is None or not running.started:
            return shortest
        limit = self.pieces[running.piece].work.spec.time_limit
        return shortest if limit is None else limit - elapsed_of(running)

    def death(self, running: Running | None, cause: str) -> SlotDied:
        """What is to be said of the end of this life; `cause` is what the fork server reported."""
        state = JobState.DEAD
        if self.ended:
            state, cause = self.ended.state, self.ended.cause
        elapsed = elapsed_of(running)
        out, err = (words + rest for words, rest in zip(self.last_words, self.drain.take(), strict=True))
        note = Note(cause=cause, stdout=out, stderr=err) if running is not None else None
        piece = running.piece if running is not None else None
        index = None
        if running is not None and running.unit == 1 and running.index < self.cuts.get(running.piece, NO_LIMIT):
            # an index at a cut is published by a slot that then sees the limit
            index = running.index
        return SlotDied(self.number, piece, index, state, cause, time.time() - elapsed, elapsed, note)

    # ------------------------------------------------------------------------------------------------ stream

    @property
    def wants_write(self) -> bool:
        """Whether something waits until the slot reads."""
        return bool(self._out)

    def _send(self, message: SlotMessage, payload: Bytes = b"") -> None:
        head = frame(message, payload)
        if len(payload) <= JOINED_BYTES:
            self._out.append(memoryview(head + bytes(payload)))
        else:
            self._out.append(memoryview(head))
            self._out.append(memoryview(payload).cast("B"))

    def flush(self) -> None:
        """Write what the socket takes. A slot that is gone is reported by the fork server."""
        while self._out:
            try:
                sent = self.socket.sendmsg(list(islice(self._out, WRITE_BUFFERS)))
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()
                return
            while self._out and sent >= len(self._out[0]):
                sent -= len(self._out.popleft())
            if sent:
                self._out[0] = self._out[0][sent:]

    def receive(self) -> list[Received]:
        """Whatever whole messages have come; `is_gone` then says whether these were the last.

        Raises ProtocolError: a job has written to its slot's socket.
        """
        found: list[Received] = []
        while self._read():
            self._parse(found)
        return found

    def _read(self) -> bool:
        """Read once; False if there is nothing more for now."""
        try:
            if self._large is not None:
                return self._read_large(*self._large)
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.is_gone = not data
        self._in += data
        return bool(data)

    def _read_large(self, message: FromSlot, body: bytearray, at: int) -> bool:
        with memoryview(body) as view:
            count = self.socket.recv_into(view[at:])
        self.is_gone = not count
        self._large = (message, body, at + count)
        return count > 0

    def _parse(self, found: list[Received]) -> None:
        if self._large is not None:
            message, body, at = self._large
            if at == len(body):
                found.append((message, memoryview(body)))
                self._large = None
            return
        place = 0
        data = self._in
        while len(data) - place >= PREFIX.size:
            header_size, payload_size = PREFIX.unpack_from(data, place)
            if max(header_size, payload_size) > MAX_BYTES:
                raise ProtocolError("a frame of a slot is too large")
            begin = place + PREFIX.size + header_size
            if len(data) < begin:
                break
            with memoryview(data) as view:
                message = _decoded(view[place + PREFIX.size : begin])
            place = begin
            if len(data) - begin >= payload_size:
                found.append((message, bytes(data[begin : begin + payload_size])))
                place = begin + payload_size
                continue
            body = bytearray(payload_size)
            body[: len(data) - begin] = data[begin:]
            self._large = (message, body, len(data) - begin)
            place = len(data)
        del data[:place]


def _decoded(header: memoryview) -> FromSlot:
    try:
        message: FromSlot = from_slot.decode(header)
    except (ValueError, RecursionError) as error:  # msgspec's own, and text that is none
        raise ProtocolError(f"a frame of a slot cannot be read: {error}") from error
    return message


def refused(slot: int, piece: int, start: int, stop: int, cause: str) -> PieceDone:
    """A piece whose jobs failed without being started."""
    return PieceDone(slot, piece, (Ran(start, stop, JobState.FAILED, time.time(), 0.0, 0, Note(cause=cause)),), b"")


def elapsed_of(running: Running | None) -> float:
    """Seconds since the running job began."""
    if running is None or not running.started:
        return 0.0
    return max(0.0, (time.monotonic_ns() - running.started) / NANOSECONDS)
