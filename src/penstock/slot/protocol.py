"""What an agent and one of its slots share: a stream socket and a page of memory.

**The stream** is one of frames (framing.py). A slot handles them in order and answers each RunPiece with one last Done;
nothing else is ever answered.

**The page** says what the slot is doing without the slot's help: it may hold the GIL, be stopped or dead. All cells are
int64. The slot writes PIECE (0: none) last when it begins and clears it after its Done is sent, so an index that is
read between two equal readings of PIECE belongs to that piece. The agent writes LIMIT cells, TAKEN and UNTIL.

**A cut** is one cell: the slot compares the limit of its piece with the index *after* it has published the index. The
agent lowers the limit, waits CUT_DELAY, and looks where the slot is by then: every store of either side has long been
seen by the other.

What jobs print goes through pipes, and where it is much through files of the agent's (output_capture.py).
"""

from __future__ import annotations

import ctypes
import mmap
import socket
from typing import Annotated, NamedTuple

import msgspec

from penstock.job.originals import end_process, os
from penstock.job.spec import Instant, JobState, Seconds
from penstock.job.spooled_output import Spooled
from penstock.slot.framing import MAX_BYTES, FrameReader, prefix
from penstock.slot.originals import fcntl
from penstock.wire.records import MAX_FRAME_BYTES, Count, Note, Text

PIECE, INDEX, STARTED, UNIT, TAKEN, COLLECTED, UNTIL, ENDED = range(8)
"""Cells: the piece, the job's index, when it started (CLOCK_MONOTONIC ns, 0: loading), how many jobs are run as one
from there on, whether the agent has moved output to the spools, the piece whose output the slot has begun to take, when
the slot may start nothing any more (CLOCK_BOOTTIME ns), whether it is being ended: what its command started has its
grace then."""
SPOOL_START, SPOOLED, SPOOL_LOST = 8, 10, 12
"""Two cells each, of stdout and of stderr: where in its spool the output since the slot took some last begins, how many
bytes of it are there, and how many the disk had no room for."""
SAVED, SAVED_FROM = 14, 15
"""How many entries the journal has, and bytes of them; the job of the first (journal.py)."""
LIMITS = 16
LIMIT_CELLS = 64
"""The pieces queued on a slot have a cell each for their limits, from LIMITS on, in turns."""
MEDDLED = LIMITS + LIMIT_CELLS
"""Cell: the slot ends because the job that runs has closed or replaced descriptors of its own."""
MEDDLING = "it wrote to, closed or replaced descriptors of its slot"
"""The cause, of a job."""
NO_LIMIT = 2**63 - 1
CUT_DELAY = 0.002
"""Seconds between lowering a limit and looking; a store is visible to another core within microseconds."""

RECORDS_BYTES = 64 << 20
"""Of what a slot says at once, unless it is one record: values, and notes."""
FROM_SLOT_BYTES = MAX_FRAME_BYTES + RECORDS_BYTES
"""A header or a payload from a slot that is larger is none: a record is at most a frame on the wire."""
READ_BYTES = 1 << 16
"""A payload up to this size is one write with its header."""

PAGE_BYTES = 4096
JOURNAL_BYTES = 1 << 20
"""Of results that are not sent yet: a piece of the shortest jobs has about so much."""
SHARED_BYTES = PAGE_BYTES + JOURNAL_BYTES
MAP_FIXED = 0x10
"""Of mmap(2): in place of what is mapped there."""


class Ran(msgspec.Struct, frozen=True, array_like=True):
    """What the jobs [start, stop) of a piece came to, all alike; owns `size` bytes of the piece's payload: one
    serialized list of values. `started_time` is wall clock; `elapsed` seconds for all of them together. Of an output
    that is `spooled` the note has head and tail."""

    start: int
    stop: int
    state: JobState
    started_time: Instant
    elapsed: Seconds
    size: Count
    note: Note | None = None
    spooled: Spooled | None = None
    lost: tuple[Count, Count] = (0, 0)
    """Bytes of stdout and of stderr that the worker's disk had no room for."""
    offset: Count = 0
    """The place of `start` in the list of values."""
    unstarted: bool = False
    """They failed because nothing of them could be started here."""

    def output(self) -> Spooled:
        """What the jobs wrote, wherever that is."""
        if self.spooled is not None or self.note is None:
            return self.spooled or ((), ())
        return (self.note.stdout,), (self.note.stderr,)


class SlotMessage(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What travels between an agent and its slot."""


class LoadFunction(SlotMessage):
    """Keep this function (payload); it is loaded for the piece that follows, which begins at `index`."""

    piece: int
    index: int
    function: bytes
    kind: str
    serializer: str


class DropFunction(SlotMessage):
    """Forget a function; no piece that is queued needs it."""

    function: bytes


class LoadChunk(SlotMessage):
    """Keep the arguments (payload) of the jobs from `first` on under the lease's number."""

    piece: int
    index: int
    lease: int
    batch: bytes
    first: int
    attempt: int
    function: bytes
    serializer: str
    check: bool
    client: bytes
    title: str
    traceparent: str


class FreeChunk(SlotMessage):
    """Forget the arguments of a lease."""

    lease: int


class RunPiece(SlotMessage):
    """Run the jobs [start, stop) of a lease, `block` at a time, below the limit in `cell`; answered by a last Done."""

    piece: int
    lease: int
    start: int
    stop: int
    block: int
    cell: int


class Ready(SlotMessage):
    """The slot's process waits for pieces."""

    pid: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]


class Unfit(SlotMessage):
    """The slot's process cannot be one, for this reason: it ends."""

    reason: Text


class Retires(SlotMessage):
    """The slot's process is used up, and ends after its last Done; it is told why if that is somebody's doing."""

    reason: Text = ""


class Done(SlotMessage):
    """What the next jobs of a piece came to; the payload is that of its Ran, one after the other. The piece is over,
    unless it `goes_on`."""

    piece: int
    ran: tuple[Ran, ...]
    goes_on: bool = False


ToSlot = LoadFunction | DropFunction | LoadChunk | FreeChunk | RunPiece
FromSlot = Ready | Unfit | Retires | Done

to_slot: msgspec.msgpack.Decoder[ToSlot] = msgspec.msgpack.Decoder(ToSlot)
from_slot: msgspec.msgpack.Decoder[FromSlot] = msgspec.msgpack.Decoder(FromSlot)
_encoder = msgspec.msgpack.Encoder()


def frame(message: SlotMessage, payload_size: int = 0) -> bytes:
    """The frame up to its payload."""
    return prefix(_encoder.encode(message), payload_size)


class Running(NamedTuple):
    """What a slot does: the job `index` of a piece, since `started` (ns; 0: still loading), `unit` jobs at once."""

    piece: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants of it
    started: int
    unit: int


class Page:
    """The shared page, as either side maps it, and the journal behind it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        # not by mmap.mmap, which keeps a descriptor of its own under a low number, where jobs look for theirs
        self._place = _mapped(fd, 0, mmap.MAP_SHARED)
        self._view = memoryview((ctypes.c_ubyte * SHARED_BYTES).from_address(self._place)).cast("B")
        self.cells: memoryview[int] = self._view[:PAGE_BYTES].cast("q")
        self.journal: memoryview[int] = self._view[PAGE_BYTES:]

    @classmethod
    def create(cls) -> Page:
        """A new page of zeros and an empty journal, in memory only."""
        return cls(_memory_file())

    def detach(self) -> None:
        """In a forked child: from now on memory and file are its own; the cells say what they say now, and that
        nothing of its output is in a spool."""
        cells = self.cells.tobytes()
        try:
            _mapped(-1, self._place, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED)
        except OSError:
            end_process(1)  # it would be seen as the slot
        self._view[:PAGE_BYTES] = cells
        for cell in range(SPOOL_START, LIMITS):
            self.cells[cell] = 0
        fd = _memory_file()
        os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)

    def begin(self, piece: int, index: int) -> None:
        """The slot makes this job of a piece ready."""
        cells = self.cells
        cells[PIECE] = 0
        cells[INDEX] = index
        cells[STARTED] = 0
        cells[UNIT] = 1
        cells[PIECE] = piece

    def running(self) -> Running | None:
        """What the slot runs at this moment."""
        cells = self.cells
        while piece := cells[PIECE]:
            found = Running(piece, cells[INDEX], cells[STARTED], cells[UNIT])
            if cells[PIECE] == piece:
                return found
        return None

    def lower_limit(self, cell: int, stop: int) -> int:
        """Let the piece stop before the job with index `stop`, unless it is to stop earlier already; returns where."""
        self.cells[cell] = stop = min(stop, self.cells[cell])
        return stop

    def close(self) -> None:
        """Unmap it and close its file."""
        for view in (self.cells, self.journal, self._view):
            view.release()
        _libc.munmap(ctypes.c_void_p(self._place), ctypes.c_size_t(SHARED_BYTES))
        os.close(self.fd)


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
MAP_FAILED = ctypes.c_void_p(-1).value


def _mapped(fd: int, place: int, kind: int) -> int:
    """Where SHARED_BYTES of the file are mapped."""
    found: int | None = _libc.mmap(place, SHARED_BYTES, mmap.PROT_READ | mmap.PROT_WRITE, kind, fd, 0)
    if found is None or found == MAP_FAILED:
        raise OSError(ctypes.get_errno(), "no memory can be shared with a slot")
    return found


def _memory_file() -> int:
    """A file descriptor of SHARED_BYTES zeros."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("penstock-slot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SHARED_BYTES)
        # a job that truncated it would kill the agent
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    else:
        import tempfile  # noqa: PLC0415 - brings much that Linux needs not

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
        os.ftruncate(fd, SHARED_BYTES)
    return fd


class AgentStream:
    """The slot's end of the stream to its agent; blocking. EOFError: the agent is gone. ProtocolError: a job has
    read some of it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = FrameReader(to_slot, MAX_BYTES)

    def receive(self) -> ToSlot:
        """The next message; its payload, if it has one, is to be taken next."""
        while (message := self._frames.header()) is None:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise EOFError
            self._frames.feed(data)
        return message

    def payload(self) -> bytes | memoryview:
        """The payload of the message just received."""
        while (body := self._frames.payload()) is None:
            with self._frames.space() as space:
                count = self._socket.recv_into(space)
            if not count:
                raise EOFError
            self._frames.filled(count)
        return body

    def send(self, message: SlotMessage, bodies: list[bytes]) -> None:
        """Send a message and its payload."""
        size = sum(map(len, bodies))
        head = frame(message, size)
        if size < READ_BYTES:
            self._socket.sendall(head + b"".join(bodies))
            return
        self._socket.sendall(head)
        for body in bodies:
            self._socket.sendall(body)

    def close(self) -> int:
        """Close the connection to the agent; returns the descriptor that it had."""
        descriptor = self._socket.fileno()
        self._socket.close()
        return descriptor
