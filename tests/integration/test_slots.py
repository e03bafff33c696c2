"""A SlotHost with its fork server and slots, all of them real processes."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import cloudpickle
import msgspec
import psutil
import pytest

from penstock.client.functions import Functions
from penstock.errors import ResultNotPicklable
from penstock.job import payload
from penstock.job.command import CommandTemplate
from penstock.job.spec import KEEP_OUTPUT, BatchSpec, JobState, Stamp
from penstock.slot.process import SAVED_AS_ONE
from penstock.slot.process_tree import children, descendants
from penstock.slot.protocol import (
    CUT_DELAY,
    JOURNAL_BYTES,
    MEDDLING,
    LoadChunk,
    LoadFunction,
    Ran,
    RunPiece,
    SlotMessage,
)
from penstock.station.contract import Bytes, Input
from penstock.wire.records import BatchHead, Lease
from penstock.worker.contract import PieceCut, PieceDone, Run, SlotDied, SlotReady
from penstock.worker.fork_server_handle import OWNER_VARIABLE
from penstock.worker.slot_host import SlotHost
from penstock.worker.slot_stream import SlotStream
from support.signal_state import has_signal

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # slots cannot import it by name

LIMIT = 30.0
"""Seconds after which a condition that was waited for will not come."""
BATCH = bytes(range(16))


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Work(NamedTuple):
    """All that the agent knows of a lease."""

    lease: Lease
    head: BatchHead
    code: bytes
    chunk: bytes


class Agent:
    """What a worker does with its host: a poll loop, and a memory of all inputs."""

    def __init__(self, slots: int) -> None:
        self.host = SlotHost(slots, "mill")
        self.inputs: list[Input] = []
        self._leases = 0
        self._pieces = 0
        self.until(lambda: self.count(SlotReady) == slots)

    def count(self, kind: type[Input]) -> int:
        return sum(isinstance(event, kind) for event in self.inputs)

    def turn(self, limit: float = 0.05) -> None:
        due = self.host.next_wakeup()
        timeout = limit if due is None else max(0.0, min(limit, due - now()))
        ready, _, _ = select.select(self.host.filenos(), [], [], timeout)
        for fd in ready:
            self.inputs += self.host.receive(fd)
        self.inputs += self.host.tick(now())

    def until(self, condition: Callable[[], object], limit: float = LIMIT) -> Any:
        """Turn until the condition holds; its value."""
        deadline = time.monotonic() + limit
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not in {limit} s; inputs so far: {self.inputs[-5:]}"
            self.turn()
        return found

    def work(
        self,
        function: Callable[..., Any] | CommandTemplate,
        items: Sequence[Any],
        form: str = "item",
        first: int = 0,
        **options: Any,
    ) -> Work:
        self._leases += 1
        if isinstance(function, CommandTemplate):
            spec = BatchSpec(kind="command", **options)
            code, chunk = function.encode(), msgspec.msgpack.encode(items)
        else:
            spec = BatchSpec(**options)
            code = Functions().serialized(function, spec.serializer).code
            chunk = payload.chunk_blob(form, items, spec.serializer)
        lease = Lease(self._leases, BATCH, first, len(items), first, first + len(items), Stamp(attempt=2), len(chunk))
        return Work(lease, BatchHead(BATCH, spec, os.urandom(16), len(code), 0), code, chunk)

    def run(self, work: Work, start: int, stop: int, block: int = 1, slot: int = 0) -> int:
        self._pieces += 1
        self.host.run(Run(slot, self._pieces, work.lease, work.head, start, stop, block), work.code, work.chunk)
        return self._pieces

    def running(self, slot: int) -> tuple[int, int] | None:
        """The piece and the index of the job that the slot runs at this moment."""
        running = self.host._lives.handles[slot].running()
        return None if running is None else (running.piece, running.index)

    def answer(self, kind: Any, piece: int | None, limit: float = LIMIT) -> Any:
        """The first input of this kind about the piece."""

        def find() -> Input | None:
            return next((e for e in self.inputs if isinstance(e, kind) and e.piece == piece), None)

        return self.until(find, limit)

    def done(self, function: Any, items: Sequence[Any], block: int = 1, **options: Any) -> Done:
        """Run all items as one piece."""
        work = self.work(function, items, **options)
        piece = self.run(work, work.lease.start, work.lease.stop, block)
        return Done(self.answer(PieceDone, piece), work.head.spec.serializer)

    def died(self, function: Any, items: Sequence[Any], block: int = 1, **options: Any) -> SlotDied:
        """Run all items as one piece, of which the slot dies."""
        ready = self.count(SlotReady)
        piece = self.run(self.work(function, items, **options), 0, len(items), block)
        death: SlotDied = self.answer(SlotDied, piece)
        self.until(lambda: self.count(SlotReady) == ready + 1)
        return death

    @property
    def server(self) -> int:
        found: list[int] = self.until(lambda: (live := self.host._lives.server) and children(live.process.pid))
        return found[0]

    @property
    def token(self) -> str:
        owner: str = self.until(lambda: self.host._lives.server).owner
        return owner

    def slot_pid(self, slot: int = 0) -> int:
        pid: int = self.values(os.getpid, [()], form="star", slot=slot)[0]
        return pid

    def values(self, function: Any, items: Sequence[Any], form: str = "item", slot: int = 0) -> list[Any]:
        piece = self.run(self.work(function, items, form), 0, len(items), slot=slot)
        return Done(self.answer(PieceDone, piece), "pickle").values()


class Done:
    """A PieceDone with its records and their bodies."""

    def __init__(self, event: PieceDone, serializer: str) -> None:
        self.ran = event.ran
        self.bodies: list[bytes] = []
        self._serializer = serializer
        at = 0
        for ran in event.ran:
            self.bodies.append(bytes(event.payload[at : at + ran.size]))
            at += ran.size
        assert at == len(event.payload)

    def values(self) -> list[Any]:
        assert all(ran.state is JobState.SUCCEEDED for ran in self.ran), self.ran
        return [value for body in self.bodies for value in payload.decode_values(body, self._serializer)]

    def spans(self) -> list[tuple[int, int, str]]:
        return [(ran.start, ran.stop, str(ran.state)) for ran in self.ran]

    def printed(self) -> dict[int, tuple[bytes, bytes]]:
        return {ran.start: (ran.note.stdout, ran.note.stderr) for ran in self.ran if ran.note is not None}

    def error(self, place: int) -> Any:
        return payload.loads(self.bodies[place])


@pytest.fixture
def agent() -> Iterator[Agent]:
    """One slot; nothing of it is left when the test ends."""
    yield from _agent(1)


@pytest.fixture
def pair() -> Iterator[Agent]:
    """Two slots."""
    yield from _agent(2)


def _agent(slots: int) -> Iterator[Agent]:
    files = len(os.listdir("/proc/self/fd"))
    agent = Agent(slots)
    yield agent
    token = agent.token
    agent.host.close()
    assert not with_token(token)
    assert len(os.listdir("/proc/self/fd")) == files, "a file stayed open"


def with_token(token: str) -> list[psutil.Process]:
    """Who descends from the slots of a host."""
    return [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get(OWNER_VARIABLE) == token]


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


# ------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("block", [1, 3, 100])
def test_values_come_back_in_order(agent: Agent, block: int) -> None:
    """Silent jobs that succeed are one record with one list of values, whatever the block."""
    done = agent.done(lambda x: x * x, list(range(10)), block, first=70)
    assert done.spans() == [(70, 80, "succeeded")]
    assert done.values() == [x * x for x in range(10)]


@pytest.mark.parametrize(
    ("form", "items", "expected"),
    [
        ("star", [(1, 2), (3, 4)], [3, 7]),
        ("call", [((1,), {"y": 2}), ((3, 4), {})], [3, 7]),
        ("star", [([1], [2]), ([3], [4])], [[1, 2], [3, 4]]),
    ],
)
def test_every_form_calls_as_it_says(agent: Agent, form: str, items: list[Any], expected: list[Any]) -> None:
    """Star and call spread their arguments, plain or each pickled by itself."""
    assert agent.done(lambda x, y: x + y, items, form=form).values() == expected


def test_msgpack_batch_runs_a_function_by_its_name(agent: Agent) -> None:
    """With msgpack neither function, arguments nor values are pickled."""
    done = agent.done(os.path.basename, ["/a/b", "c"], serializer="msgpack")
    assert msgspec.msgpack.decode(done.bodies[0]) == ["b", "c"]


def test_pieces_of_one_lease_load_it_once(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second piece of a lease sends neither function nor arguments again."""
    work, sent = agent.work(lambda x: -x, list(range(10))), list[type]()
    send = SlotStream.send

    def seen(stream: SlotStream, head: SlotMessage, payload: Bytes = b"") -> None:
        sent.append(type(head))
        send(stream, head, payload)

    monkeypatch.setattr(SlotStream, "send", seen)
    pieces = [agent.run(work, i, i + 2) for i in range(0, 10, 2)]
    values = [agent.answer(PieceDone, piece).payload for piece in pieces]
    assert [payload.loads(value) for value in values] == [[-i, -i - 1] for i in range(0, 10, 2)]
    assert sent == [LoadFunction, LoadChunk, *[RunPiece] * 5]


def test_freed_lease_is_loaded_again(agent: Agent) -> None:
    """After free the slot has no arguments; a further piece brings them along."""
    work = agent.work(lambda x: x, ["a"])
    agent.answer(PieceDone, agent.run(work, 0, 1))
    agent.host.free(work.lease.number)
    assert agent.answer(PieceDone, agent.run(work, 0, 1)).ran[0].state is JobState.SUCCEEDED


def test_many_functions_are_kept_within_a_bound(agent: Agent) -> None:
    """A slot that has seen 40 functions still runs the first one."""
    works = [agent.work(lambda x, n=n: x + n, [1]) for n in range(40)]
    for work in [*works, works[0]]:
        agent.answer(PieceDone, agent.run(work, 0, 1))


def test_large_payloads_pass_both_ways(agent: Agent) -> None:
    """100 MB arrive whole, in and out, without holding up the agent."""
    size = 100_000_000
    assert agent.done(len, [b"x" * size]).values() == [size]
    longest = 0.0
    piece = agent.run(agent.work(lambda n: b"y" * n, [size]), 0, 1)
    while not any(isinstance(event, PieceDone) and event.piece == piece for event in agent.inputs):
        begun = time.monotonic()
        agent.turn(0)
        longest = max(longest, time.monotonic() - begun)
    done = agent.answer(PieceDone, piece)
    assert len(payload.loads(done.payload)[0]) == size
    assert longest < 1.0


def test_current_job_and_environment(pair: Agent) -> None:
    """Inside a job current_job tells which one, in a block too; libraries get their share of the cores."""

    def tell(_: int) -> Any:
        from penstock.job.current_job import current_job

        job = current_job()
        return job and (job.id, job.attempt, job.worker, job.slot), os.environ["OMP_NUM_THREADS"]

    for block in (1, 10):
        piece = pair.run(pair.work(tell, [0, 0], first=7), 7, 9, block, slot=1)
        values = payload.loads(pair.answer(PieceDone, piece).payload)
        assert [value[0] for value in values] == [(f"{BATCH.hex()}:{i}", 2, "mill", 1) for i in (7, 8)]
        assert int(values[0][1]) >= 1


# ----------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("block", [1, 100])
def test_failed_job_has_its_own_record(agent: Agent, block: int) -> None:
    """An exception comes back as itself with cause and traceback; its neighbours succeed."""

    def fail_at_two(x: int) -> int:
        if x in {2, 3}:
            raise ValueError(f"no {x}")
        return x

    done = agent.done(fail_at_two, list(range(6)), block)
    assert done.spans() == [(0, 2, "succeeded"), (2, 3, "failed"), (3, 4, "failed"), (4, 6, "succeeded")]
    note = done.ran[1].note
    assert note is not None
    assert note.cause == "ValueError: no 2"
    assert "fail_at_two" in note.traceback
    assert "slot/process.py" not in note.traceback
    assert repr(done.error(1)) == "ValueError('no 2')"


@pytest.mark.parametrize("block", [1, 100])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_leaving_exceptions_are_failures(agent: Agent, kind: type[BaseException], block: int) -> None:
    """SystemExit and its like fail the job; the slot lives."""

    def leave(x: int) -> int:
        if x != 1:
            return x
        raise kind

    pid = agent.slot_pid()
    done = agent.done(leave, [0, 1, 2, 3], block)
    assert done.spans() == [(0, 1, "succeeded"), (1, 2, "failed"), (2, 4, "succeeded")]
    assert type(done.error(1)) is kind
    assert agent.slot_pid() == pid


def test_unpicklable_result_fails_alone(agent: Agent) -> None:
    """Of a list of values only those that cannot be pickled fail, as ResultNotPicklable that says what it was."""
    done = agent.done(lambda x: Lock() if x == 2 else x, list(range(5)))
    assert done.spans() == [(0, 2, "succeeded"), (2, 3, "failed"), (3, 5, "succeeded")]
    assert isinstance(done.error(1), ResultNotPicklable)
    note = done.ran[1].note
    assert note is not None
    assert "returned a lock that cannot be serialized" in note.cause


def test_missing_module_is_named(agent: Agent) -> None:
    """A function that cannot be imported fails its jobs with the very error, in one record."""
    work = agent.work(len, [1, 2, 3])
    code = pickle.dumps(len).replace(b"builtins", b"builtinz")
    piece = agent.run(work._replace(code=code), 0, 3)
    done = Done(agent.answer(PieceDone, piece), "pickle")
    assert done.spans() == [(0, 3, "failed")]
    assert done.error(0).name == "builtinz"


def test_recursion_without_end_is_a_failure(agent: Agent) -> None:
    """Python's own limit makes it a RecursionError."""

    def down(x: int) -> int:
        return down(x + 1)

    assert isinstance(agent.done(down, [0]).error(0), RecursionError)


def test_exception_that_cannot_be_pickled_leaves_its_text(agent: Agent) -> None:
    """The body is empty then; cause and traceback are there."""

    def fail(_: int) -> None:
        error = ValueError("odd")
        error.stream = Lock()  # type: ignore[attr-defined]
        raise error

    done = agent.done(fail, [0])
    assert done.bodies == [b""]
    assert done.ran[0].note is not None
    assert done.ran[0].note.cause == "ValueError: odd"


# ------------------------------------------------------------------------------------------------------- output


@pytest.mark.parametrize("block", [1, 100])
def test_python_output_belongs_to_its_job(agent: Agent, block: int) -> None:
    """A job that prints stands alone with what it printed, in a block too."""

    def speak(x: int) -> int:
        if x in {1, 2}:
            print("out", x)
        if x == 4:
            sys.stderr.write("err 4, no newline")
        if x == 5:
            print("failing")
            raise ValueError
        return x

    done = agent.done(speak, list(range(8)), block)
    assert done.spans() == [
        (0, 1, "succeeded"), (1, 2, "succeeded"), (2, 3, "succeeded"), (3, 4, "succeeded"), (4, 5, "succeeded"),
        (5, 6, "failed"), (6, 8, "succeeded"),
    ]  # fmt: skip
    assert done.printed() == {
        1: (b"out 1\n", b""), 2: (b"out 2\n", b""), 4: (b"", b"err 4, no newline"), 5: (b"failing\n", b"")
    }  # fmt: skip


def test_output_of_c_and_of_children_is_caught(agent: Agent) -> None:
    """What is written to 1 and 2 by whomever is that job's."""

    def speak(x: int) -> None:
        if x == 0:
            ctypes.CDLL(None).printf(b"from C")
        if x == 1:
            os.write(2, b"raw")
        if x == 2:
            subprocess.run(["sh", "-c", "echo child; echo bad >&2"], check=True)

    assert agent.done(speak, list(range(4))).printed() == {
        0: (b"from C", b""), 1: (b"", b"raw"), 2: (b"child\n", b"bad\n")
    }  # fmt: skip


def test_long_output_keeps_head_and_tail(agent: Agent) -> None:
    """Of much output as much as is to be kept stays, half of it head, and the number of bytes cut; the next job starts
    afresh."""

    def speak(x: int) -> None:
        if x == 0:
            for line in range(300_000):
                print(f"line {line}")

    out = agent.done(speak, [0, 1]).printed()[0][0]
    assert out.startswith(b"line 0\nline 1\n")
    assert out.endswith(b"line 299999\n")
    total = sum(len(f"line {line}\n") for line in range(300_000))
    assert b"\n[... %d bytes cut ...]\n" % (total - KEEP_OUTPUT) in out
    assert len(out) < KEEP_OUTPUT + 100


def test_output_while_the_gil_is_held_blocks_nobody(agent: Agent) -> None:
    """C code that writes more than a pipe holds without letting go of the GIL comes to its end."""

    def speak(_: int) -> None:
        held = ctypes.PyDLL(None)
        for _ in range(4):
            held.write(1, b"x" * 200_000, 200_000)

    assert agent.done(speak, [0]).printed()[0][0] == b"x" * 800_000


def test_endless_output_costs_no_memory(agent: Agent) -> None:
    """A second of `yes` leaves agent and slot as small as before."""

    def shout(_: int) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["yes"], timeout=1, check=False)

    pid = agent.slot_pid()
    before = [psutil.Process(p).memory_info().rss for p in (os.getpid(), pid)]
    out = agent.done(shout, [0]).printed()[0][0]
    after = [psutil.Process(p).memory_info().rss for p in (os.getpid(), pid)]
    assert b"bytes cut" in out
    assert all(new < old + (8 << 20) for old, new in zip(before, after, strict=True))


def test_jobs_cannot_take_the_streams_away(agent: Agent) -> None:
    """A job that closes or replaces stdout harms itself; the next piece prints as ever."""

    def vandal(x: int) -> None:
        if x == 0:
            os.close(1)
        elif x == 1:
            sys.stdout.close()
        elif x == 2:
            sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        elif x == 3:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    for x in range(4):
        agent.done(vandal, [x])
        assert agent.done(print, ["still here"]).printed() == {0: (b"still here\n", b"")}


# ------------------------------------------------------------------------------------------------------- deaths


def segfault() -> None:
    ctypes.string_at(0)


def exit_three() -> None:
    os._exit(3)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def close_all() -> None:
    os.closerange(0, 100)
    os.abort()


@pytest.mark.parametrize(
    ("crash", "cause", "exitcode"),
    [
        (segfault, "killed by SIGSEGV (segmentation fault)", -signal.SIGSEGV),
        (os.abort, "killed by SIGABRT (abort)", -signal.SIGABRT),
        (exit_three, "exit code 3", 3),
        (kill_self, "killed by SIGKILL", -signal.SIGKILL),
        (close_all, "killed by SIGABRT (abort)", -signal.SIGABRT),
    ],
)
def test_death_names_the_culprit(agent: Agent, crash: Callable[[], None], cause: str, exitcode: int) -> None:
    """A slot that dies is replaced, and it is known in which job, which process it was and of what it died."""

    def die_at_two(x: int) -> None:
        if x == 2:
            print("last words")
            sys.stdout.flush()
            crash()

    pid = agent.slot_pid()
    death = agent.died(die_at_two, list(range(5)))
    assert (death.index, death.state, death.cause) == (2, JobState.DEAD, f"{cause}, pid {pid}")
    assert death.note is not None
    assert (death.note.pid, death.note.exitcode) == (pid, exitcode)
    assert death.note is not None
    assert death.note.stdout == b"last words\n"
    assert agent.done(abs, [-1]).values() == [1]


@pytest.mark.parametrize(("block", "culprit"), [(3, 1), (SAVED_AS_ONE + 1, None)])
def test_a_death_in_a_block_is_its_jobs_where_jobs_are_told_apart(
    agent: Agent, block: int, culprit: int | None
) -> None:
    """In a block of more of them the index is not known, so none is said."""
    assert agent.died(lambda x: os._exit(1) if x else x, [0, 1, 2], block).index == culprit


class Tally:
    """A file in which each of the jobs 0 to `jobs` - 1 counts how often it was started."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.path = folder / "tally"
        self.path.write_bytes(bytes(jobs))

    def started(self) -> list[int]:
        return list(self.path.read_bytes())


def counted(item: tuple[str, int, int, str]) -> Any:
    """Count one more start of the job; the job `last` then does what the last word says, the others return values of
    all kinds, or fail."""
    path, index, last, how = item
    file = os.open(path, os.O_RDWR)
    count = os.pread(file, 1, index)[0]
    os.pwrite(file, bytes([count + 1]), index)
    os.close(file)
    if index == last:
        if how == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    if index % 17 == 5:
        raise ValueError(index)
    if index % 17 == 6 and how == "crash":
        print("job", index)
    kinds = (index, float(index), str(index), (index, (None, True)), [index], {index}, 1j * index, 2**80 + index, None)
    return kinds[index % len(kinds)]


def came_of(agent: Agent, piece: int) -> dict[int, tuple[JobState, Any]]:
    """State and value of each job of the piece."""
    found: dict[int, tuple[JobState, Any]] = {}
    for event in agent.inputs:
        if isinstance(event, PieceDone) and event.piece == piece:
            done = Done(event, "pickle")
            for ran, body in zip(done.ran, done.bodies, strict=True):
                failed = ran.state is JobState.FAILED
                values = [None] if failed else payload.decode_values(body, "pickle")[ran.offset :]
                for index, value in zip(range(ran.start, ran.stop), values, strict=True):
                    assert index not in found
                    found[index] = ran.state, value
    return found


@pytest.mark.parametrize("block", [1, 20])
@pytest.mark.parametrize("how", ["crash", "kill", "cancel", "fork server"])
def test_what_has_ended_outlives_its_slot(agent: Agent, folder: Path, how: str, block: int) -> None:
    """Whatever ends the slot in the middle of a piece: each job that had ended comes back as what it came to, and who
    is in it when it ends is known; no other job was begun."""
    tally = Tally(folder, 300)
    last = 211
    items = [(str(tally.path), index, last, how) for index in range(300)]
    piece = agent.run(agent.work(counted, items), 0, 300, block)
    if how != "crash":
        agent.until(lambda: agent.running(0) == (piece, last) and tally.started()[last])
    if how == "kill":
        os.kill(agent.host._lives.handles[0].pid, signal.SIGKILL)
    elif how == "fork server":
        os.kill(agent.server, signal.SIGKILL)
    elif how == "cancel":
        agent.host.end(0, piece, 0.2, JobState.CANCELLED, "cancelled", [(last, last + 1)])
    death = agent.answer(SlotDied, piece)
    assert death.index == last
    found = came_of(agent, piece)
    assert sorted(found) == list(range(last))
    assert tally.started() == [1] * (last + 1) + [0] * (299 - last)
    for index, (state, value) in found.items():
        assert (state is JobState.FAILED) == (index % 17 == 5)
        if state is JobState.SUCCEEDED:
            assert value == counted((str(tally.path), index, -1, how))


def test_without_the_journal_it_is_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr(SlotHost, "_take_saved", lambda *_: [])
    for agent in _agent(1):
        items = [(str(Tally(folder, 300).path), index, 211, "crash") for index in range(300)]
        piece = agent.run(agent.work(counted, items), 0, 300)
        agent.answer(SlotDied, piece)
        assert came_of(agent, piece) == {}


def patch_everything(module: str, name: str) -> None:
    """Leave a function patched, as a test with a mock may that fails halfway."""
    setattr(importlib.import_module(module), name, lambda *_, **__: -5)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *[("time", name) for name in ("time", "monotonic", "monotonic_ns", "time_ns", "clock_gettime_ns", "sleep")],
        *[
            ("os", name)
            for name in ("fstat", "getcwd", "read", "write", "dup2", "chdir", "fchdir", "getpid", "listdir")
        ],
        *[("os", name) for name in ("open", "close", "waitpid", "waitid", "posix_spawnp", "pipe", "_exit")],
        *[("fcntl", name) for name in ("fcntl", "lockf")],
        *[("signal", name) for name in ("signal", "getsignal", "setitimer", "pthread_sigmask")],
        *[("select", "poll"), ("pickle", "dumps"), ("pickle", "loads"), ("traceback", "format_exception")],
    ],
)
def test_what_a_job_leaves_patched_is_no_matter_of_the_slots(agent: Agent, module: str, name: str) -> None:
    """It succeeds, and so do its neighbours: values, errors, output and times are what they are."""

    def neighbour(x: int) -> list[int]:
        if x == 3:
            raise ValueError(x)
        sys.stdout.write(f"job {x}\n")
        return [x]

    pid = agent.slot_pid()
    begun = time.time()
    (ran,) = agent.done(patch_everything, [(module, name)], form="star").ran
    assert ran.state is JobState.SUCCEEDED
    assert begun - 1 < ran.started_time < time.time() + 1
    assert 0 <= ran.elapsed < LIMIT
    done = agent.done(neighbour, list(range(5)))
    assert done.spans() == [(i, i + 1, "failed" if i == 3 else "succeeded") for i in range(5)]
    assert done.printed()[4] == (b"job 4\n", b"")
    assert isinstance(done.error(3), ValueError)
    assert all(begun - 1 < ran.started_time < time.time() + 1 and 0 <= ran.elapsed < LIMIT for ran in done.ran)
    assert agent.done(command("echo", "hi"), [[]]).printed()[0] == (b"hi\n", b"")
    assert agent.host._lives.handles[0].pid == pid
    assert agent.count(SlotDied) == 0


NUMBERS = (0, 1, 2, 7, -1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))


def anything(dice: random.Random, depth: int = 0) -> Any:
    """Some value of msgpack."""
    if dice.random() < 0.5:
        return dice.choice(NUMBERS)
    if depth < 4 and dice.random() < 0.5:
        return [anything(dice, depth + 1) for _ in range(dice.randrange(4))]
    return dice.choice([None, True, 0.5, -5.0, float("nan"), "succeeded", "failed", "x" * 70_000, b"y"])


def forge(seed: int) -> int:
    """Write what comes to mind to the page, the journal and the socket of this slot."""
    dice = random.Random(seed)
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    page = next(int(name) for name, target in found.items() if "penstock-slot" in target)
    piece = int.from_bytes(os.pread(page, 8, 0), "little")
    for _ in range(dice.choice([0, 0, 3, 12])):
        os.pwrite(page, dice.choice(NUMBERS).to_bytes(8, "little", signed=True), 8 * dice.randrange(82))
    os.pwrite(page, dice.randbytes(64), 4096)
    for name in [name for name, target in found.items() if target.startswith("socket:")]:
        ran = [0, 1, "succeeded", 1.0, 0.5, 4, None, [[[0, dice.choice(NUMBERS)]], []], [0, 0], 0]
        if dice.random() < 0.6:
            ran[dice.randrange(len(ran))] = anything(dice)
        head = msgspec.msgpack.encode(["Done", dice.choice([piece, piece, piece + 1]), [ran], dice.random() < 0.5])
        with contextlib.suppress(OSError):
            os.write(int(name), b"\xf3pst" + len(head).to_bytes(4, "little") + (4).to_bytes(8, "little") + head)
            os.write(int(name), b"abcd")
    return seed


def test_whatever_a_job_forges_its_agent_goes_on(agent: Agent) -> None:
    """It has an outcome, and the next ones run: at the latest in the slot that takes the place of this one, for who
    forges its own outcome has its slot ended under whoever comes next."""

    def ends(work: Work, stop: int) -> Input:
        piece, seen = agent.run(work, 0, stop), len(agent.inputs)

        def end() -> Input | None:
            return next(
                (e for e in agent.inputs[seen:] if isinstance(e, PieceDone | SlotDied) and e.piece == piece), None
            )

        found: Input = agent.until(end)
        return found

    for seed in range(40):
        ends(agent.work(forge, [seed, seed]), 2)
        assert any(isinstance(ends(agent.work(abs, [-1]), 1), PieceDone) for _ in range(3))
    assert agent.count(SlotDied) > 5


def test_results_that_the_journal_cannot_take_are_sent(agent: Agent) -> None:
    """What is larger than it, and what is more together than it has room for."""
    sizes = [10, 2 * JOURNAL_BYTES, 10, *[JOURNAL_BYTES // 3] * 7]

    def make(size: int) -> bytes:
        return bytes(size) if size >= 0 else os._exit(1)

    death = agent.died(make, [*sizes, -1, 1])
    assert death.index == len(sizes)
    found = came_of(agent, death.piece or 0)
    assert [len(found[index][1]) for index in range(len(found))] == sizes


def test_a_block_that_is_run_as_one_is_all_that_a_crash_can_repeat(agent: Agent) -> None:
    """The jobs of the blocks before it have their results."""
    block = 2 * SAVED_AS_ONE
    death = agent.died(lambda x: os._exit(1) if x == 3 * block + 7 else x, list(range(5 * block)), block)
    assert death.index is None
    found = came_of(agent, death.piece or 0)
    assert [found[index][1] for index in range(len(found))] == list(range(3 * block))


def test_the_end_of_a_job_spares_a_piece_that_does_not_run_it(agent: Agent, folder: Path) -> None:
    """Who has ended, or has not begun, is not ended at another one's expense."""
    names = [str(folder / str(i)) for i in range(3)]
    Path(names[0]).touch()
    piece = agent.run(agent.work(wait_for, names), 0, 3)
    agent.until(lambda: agent.running(0) == (piece, 1))
    agent.host.end(0, piece, 0.2, JobState.CANCELLED, "cancelled", [(0, 1), (2, 3)])
    looked_at = time.monotonic() + 10 * CUT_DELAY
    agent.until(lambda: time.monotonic() > looked_at)
    for name in names[1:]:
        Path(name).touch()
    assert agent.answer(PieceDone, piece).ran[-1].stop == 3
    assert agent.count(SlotDied) == 0


def test_death_while_loading_blames_the_first_job(agent: Agent) -> None:
    """Arguments whose unpickling kills are known by the piece's first job."""

    class Deadly:
        def __reduce__(self) -> tuple[Any, ...]:
            return os._exit, (9,)

    pid = agent.slot_pid()
    death = agent.died(lambda x: x, [Deadly()])
    assert (death.index, death.cause) == (0, f"exit code 9, pid {pid}")


def test_pieces_queued_on_a_dead_slot_come_back_unrun(agent: Agent) -> None:
    """SlotDied names the running piece; the queued ones are done with nothing."""
    work = agent.work(lambda x: os._exit(0) if x == 0 else x, [0, 1, 2])
    pieces = [agent.run(work, i, i + 1) for i in range(3)]
    death = agent.answer(SlotDied, pieces[0])
    assert death.cause.startswith("exit code 0, pid ")
    assert [agent.answer(PieceDone, piece).ran for piece in pieces[1:]] == [(), ()]


def test_idle_slot_that_is_killed_is_replaced(agent: Agent) -> None:
    """A kill from outside between pieces costs no job."""
    os.kill(agent.slot_pid(), signal.SIGKILL)
    death = agent.answer(SlotDied, None)
    assert (death.index, death.note) == (None, None)
    agent.until(lambda: agent.count(SlotReady) == 2)


def test_nonsense_on_the_stream_ends_the_slot_only(agent: Agent) -> None:
    """A job that writes into its slot's socket loses its slot; the agent reads on."""

    def scribble(_: int) -> None:
        for fd in range(3, 1024):
            with contextlib.suppress(OSError):
                os.write(fd, b"\xff" * 100)

    death = agent.died(scribble, [0])
    assert death.cause == f"{MEDDLING}: no frame begins there"
    assert agent.done(abs, [-1]).values() == [1]


def test_lost_fork_server_is_replaced_with_its_slots(pair: Agent) -> None:
    """kill -9 of the fork server ends the slots, whatever they run, and all start anew."""
    token = pair.token
    piece = pair.run(pair.work(lambda _: subprocess.run(["sleep", "1000"], check=False), [0]), 0, 1)
    pair.until(lambda: [p for p in with_token(token) if p.name() == "sleep"])
    os.kill(pair.server, signal.SIGKILL)
    assert pair.answer(SlotDied, piece).cause.startswith("its fork server was killed, pid ")
    pair.until(lambda: pair.count(SlotReady) == 4)
    assert not [p for p in with_token(token) if p.name() == "sleep"]
    assert pair.done(abs, [-1]).values() == [1]


def memory_group() -> Path | None:
    """Where a control group with a memory limit can be made."""
    root = Path("/sys/fs/cgroup/memory")
    return root if os.access(root / "cgroup.procs", os.W_OK) and os.geteuid() == 0 else None


@pytest.mark.skipif(memory_group() is None, reason="needs root and the memory controller of cgroup v1")
def test_out_of_memory_is_told_from_other_kills(agent: Agent) -> None:
    """A slot that the kernel kills for want of memory says so."""
    root = memory_group()
    assert root is not None
    group = root / f"penstock-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
        with contextlib.suppress(OSError):
            (group / "memory.memsw.limit_in_bytes").write_text(str(64 << 20))
        pid = agent.slot_pid()
        (group / "cgroup.procs").write_text(str(pid))
        death = agent.died(lambda n: len(b"x" * n), [1 << 30])
        assert death.cause == f"killed by SIGKILL, out of memory, pid {pid}"
    finally:
        agent.until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


# ------------------------------------------------------------------------------------------------- process trees


def leave_behind(path: str) -> None:
    """Start a process that has left session and group and lost its parent."""
    script = "import os,time\nif os.fork() == 0:\n os.setsid()\n"
    script += f" open({path!r},'w').write(str(os.getpid()))\n time.sleep(1000)"
    subprocess.run([sys.executable, "-c", script], check=True)
    while not (os.path.exists(path) and Path(path).read_text()):
        time.sleep(0.01)


@pytest.mark.parametrize("ending", ["crashes", "exits", "is ended"])
def test_nothing_a_job_started_outlives_its_slot(agent: Agent, folder: Path, ending: str) -> None:
    """A grandchild in a session of its own is killed, however the slot's process ends."""
    path = str(folder / "pid")

    def job(_: int) -> None:
        leave_behind(path)
        if ending == "crashes":
            ctypes.string_at(0)
        elif ending == "exits":
            os._exit(0)
        elif ending == "is ended":
            signal.pause()

    piece = agent.run(agent.work(job, [0]), 0, 1)
    if ending == "is ended":
        agent.until(lambda: os.path.exists(path) and Path(path).read_text())
        agent.host.end(0, piece, 0.2, JobState.CANCELLED, "cancelled")
    agent.answer(SlotDied, piece)
    assert not is_running(int(Path(path).read_text()))


def test_what_a_call_left_running_lives_as_long_as_its_slot(agent: Agent, folder: Path) -> None:
    """A grandchild that lost its parent is there for the jobs that follow, commands too, and gone with the process."""
    path = str(folder / "pid")
    agent.done(leave_behind, [path])
    pid = int(Path(path).read_text())
    assert agent.done(command("true"), [[]]).spans() == [(0, 1, "succeeded")]
    assert agent.done(os.kill, [(pid, 0)], form="star").values() == [None]
    agent.run(agent.work(os._exit, [0]), 0, 1)
    agent.until(lambda: agent.count(SlotDied))
    assert not is_running(pid)


AGENT = """
import os, sys, time
sys.path[:0] = {here!r}
import test_slots as t
agent = t.Agent(2)
work = agent.work(t.leave_and_wait, [{folder!r} + "/0", {folder!r} + "/1"])
for slot in (0, 1):
    agent.run(work, slot, slot + 1, slot=slot)
print(agent.token, flush=True)
time.sleep(1000)
"""


def leave_and_wait(path: str) -> None:
    leave_behind(path)
    signal.pause()


def test_killed_agent_leaves_nothing(folder: Path) -> None:
    """kill -9 of the agent ends fork server, slots and all that their jobs started."""
    script = AGENT.format(here=[str(path) for path in Path(__file__).parents[:2]], folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    token = process.stdout.readline().strip()
    deadline = time.monotonic() + LIMIT
    while sum(folder.joinpath(name).exists() and folder.joinpath(name).stat().st_size > 0 for name in "01") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(with_token(token)) >= 5
    process.kill()
    process.wait()
    process.stdout.close()
    while left := with_token(token):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_slots_hold_no_file_of_each_other(pair: Agent) -> None:
    """Each slot has its own socket, page and pipes only; the fork server none of them."""

    def files(_: int) -> set[str]:
        found = {
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        }
        return {name for name in found if name.startswith(("socket:", "pipe:"))}

    first, second = (pair.values(files, [0], slot=slot)[0] for slot in (0, 1))
    assert len(first) == len(second) == 3
    assert not first & second
    server = {os.readlink(f"/proc/{pair.server}/fd/{fd}") for fd in os.listdir(f"/proc/{pair.server}/fd")}
    assert not server & (first | second)


def test_fork_server_has_no_zeromq(agent: Agent) -> None:
    """Slots are not forks of anything that ever loaded ZeroMQ."""
    assert "zmq" not in Path(f"/proc/{agent.server}/maps").read_text()


# -------------------------------------------------------------------------------------------- cuts and endings


def wait_for(path: str) -> str:
    """A job that lasts until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.002)
    return path


def mark_and_wait_for(path: str) -> str:
    """The same, which tells that it has begun: a piece is seen a little before its first job is."""
    Path(path + ".begun").touch()
    return wait_for(path)


@pytest.mark.parametrize(("block", "index", "stop"), [(1, 1, 2), (2, 1, 2), (SAVED_AS_ONE + 1, 0, 6)])
def test_cut_leaves_what_has_not_begun(agent: Agent, folder: Path, block: int, index: int, stop: int) -> None:
    """PieceCut comes while the job still runs and says where the slot will stop; it stops there: after the job, or
    after the block where that is run as one."""
    names = [str(folder / str(i)) for i in range(6)]
    Path(names[0]).touch()
    piece = agent.run(agent.work(mark_and_wait_for, names), 0, 6, block)
    agent.until(Path(names[1] + ".begun").exists)
    assert agent.running(0) == (piece, index)
    agent.host.cut(0, piece)
    cut = agent.answer(PieceCut, piece)
    assert cut.stop == stop
    if stop < len(names):  # what has ended need not wait for what runs
        agent.until(lambda: list(came_of(agent, piece)) == [0])
    for name in names:
        Path(name).touch()
    agent.until(lambda: any(isinstance(e, PieceDone) and not e.goes_on for e in agent.inputs))
    assert [value for _, value in came_of(agent, piece).values()] == names[:stop]


def test_cut_of_a_queued_piece_leaves_all_of_it(agent: Agent, folder: Path) -> None:
    """A piece that has not begun is cut at its start."""
    names = [str(folder / str(i)) for i in range(4)]
    work = agent.work(wait_for, names)
    first, second = agent.run(work, 0, 1), agent.run(work, 1, 4)
    agent.until(lambda: agent.running(0) == (first, 0))
    agent.host.cut(0, second)
    assert agent.answer(PieceCut, second).stop == 1
    Path(names[0]).touch()
    assert agent.answer(PieceDone, second).ran == ()


def test_cut_and_rest_run_every_job_once(agent: Agent) -> None:
    """Cuts at any moment: what ran and what was left over are all jobs, each once."""
    for round_ in range(60):
        piece = agent.run(agent.work(lambda x: sum(range(x)), [500] * 400), 0, 400, 1 + round_ % 2 * 7)
        deadline = time.monotonic() + 0.0002 * (round_ % 10)
        while time.monotonic() < deadline:
            pass
        agent.host.cut(0, piece)
        ran: tuple[Ran, ...] = agent.answer(PieceDone, piece).ran
        cuts = [event.stop for event in agent.inputs if isinstance(event, PieceCut) and event.piece == piece]
        stop = ran[-1].stop if ran else 0
        assert sum(r.stop - r.start for r in ran) == stop
        assert all(stop <= cut for cut in cuts)


def test_running_index_is_seen_while_the_gil_is_held(agent: Agent) -> None:
    """The page needs nothing from the slot."""

    def hold(x: int) -> None:
        if x == 3:
            ctypes.PyDLL(None).usleep(400_000)

    piece = agent.run(agent.work(hold, list(range(5))), 0, 5)
    agent.until(lambda: agent.running(0) == (piece, 3))
    agent.answer(PieceDone, piece)
    agent.until(lambda: agent.running(0) is None)


@pytest.mark.parametrize("how", ["sleeps", "ignores SIGTERM", "holds the GIL", "is stopped"])
def test_ended_slot_comes_back_with_state_and_cause(agent: Agent, how: str) -> None:
    """SIGTERM, a grace, SIGKILL: whatever the job does, SlotDied says what the end was for."""

    def job(_: int) -> None:
        if how == "ignores SIGTERM":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif how == "holds the GIL":
            ctypes.PyDLL(None).sleep(1000)
        elif how == "is stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            signal.pause()

    piece = agent.run(agent.work(job, [0, 1]), 0, 2)
    agent.until(lambda: agent.running(0) == (piece, 0))
    agent.host.end(0, piece, 0.3, JobState.CANCELLED, "cancelled by test")
    death = agent.answer(SlotDied, piece)
    assert (death.index, death.state, death.cause) == (0, JobState.CANCELLED, "cancelled by test")
    agent.until(lambda: agent.count(SlotReady) == 2)


def test_end_of_a_piece_that_has_not_begun_spares_the_running_one(agent: Agent, folder: Path) -> None:
    """Only the slot that runs the piece is ended; a queued piece comes back with nothing."""
    names = [str(folder / str(i)) for i in range(2)]
    work = agent.work(wait_for, names)
    first, second = agent.run(work, 0, 1), agent.run(work, 1, 2)
    agent.until(lambda: agent.running(0) == (first, 0))
    agent.host.end(0, second, 0.2, JobState.CANCELLED, "cancelled")
    looked_at = time.monotonic() + 10 * CUT_DELAY
    agent.until(lambda: time.monotonic() > looked_at)
    Path(names[0]).touch()
    assert len(agent.answer(PieceDone, first).ran) == 1
    assert agent.answer(PieceDone, second).ran == ()
    assert agent.count(SlotDied) == 0


def test_time_limit_is_each_jobs_own(agent: Agent) -> None:
    """Jobs that together are longer than the limit are not touched; the one that is over it is ended, by index."""

    def nap(x: int) -> None:
        time.sleep(60 if x == 12 else 0.1)

    death = agent.died(nap, list(range(14)), time_limit=1)
    assert (death.index, death.state) == (12, JobState.TIMED_OUT)
    assert death.cause == "ran longer than its time limit of 1 s"
    assert 1 <= death.elapsed < 60


def test_terminated_job_may_clean_up(agent: Agent, folder: Path) -> None:
    """A SIGTERM handler of the job runs within the grace, and an early end does not wait it out."""
    mark = folder / "mark"

    def job(path: str) -> None:
        def clean_up(*_: object) -> None:
            Path(path).write_text("clean")
            raise SystemExit

        signal.signal(signal.SIGTERM, clean_up)
        while True:
            signal.pause()

    piece = agent.run(agent.work(job, [str(mark)]), 0, 1)
    agent.until(lambda: agent.running(0) is not None and agent.running(0))
    pid = next(iter(descendants(agent.server)))
    agent.until(lambda: has_signal(pid, "SigCgt", signal.SIGTERM))
    begun = time.monotonic()
    agent.host.end(0, piece, 20, JobState.CANCELLED, "cancelled")
    agent.answer(SlotDied, piece)
    assert time.monotonic() - begun < 20
    assert mark.read_text() == "clean"


def test_working_folder_is_restored(agent: Agent) -> None:
    """A job that changes the folder changes it for itself."""
    here = os.getcwd()
    assert agent.done(lambda x: os.chdir("/") if x == 0 else os.getcwd(), [0, 1]).values() == [None, here]


def misbehave(x: int) -> int:
    """A job of many kinds, by its number."""
    match x % 97:
        case 13:
            os._exit(3)
        case 29:
            time.sleep(0.02)
        case 31:
            print("hello")
        case 41:
            raise ValueError(x)
        case 53:
            os.kill(os.getpid(), signal.SIGKILL)
        case 59:
            time.sleep(5)
    return x


class Books:
    """Checks, of all pieces, that each comes back exactly once and says the truth."""

    def __init__(self) -> None:
        self.out: dict[int, tuple[int, int, int]] = {}
        self.cuts: dict[int, int] = {}

    def take(self, event: Input) -> None:
        match event:
            case PieceDone(_, piece, ran, _, goes_on):
                slot, at, stop = self.out.pop(piece)
                for part in ran:
                    assert part.start == at
                    at = part.stop
                assert at <= min(stop, self.cuts.get(piece, stop))
                if goes_on:
                    self.out[piece] = slot, at, stop
                else:
                    self.cuts.pop(piece, stop)
            case PieceCut(_, piece, stop):
                assert self.out[piece][1] <= stop <= self.out[piece][2]
                self.cuts[piece] = stop
            case SlotDied(_, piece, index) if piece is not None:
                _, start, stop = self.out.pop(piece)
                assert index is None or start <= index < self.cuts.pop(piece, stop)


@pytest.mark.parametrize("seed", range(3))
def test_every_piece_comes_back_once_in_a_storm(pair: Agent, seed: int) -> None:
    """Cuts, endings, crashes and kills of the fork server at random: each piece is answered once, no job of it runs
    behind its cut, and in the end all slots are there."""
    dice, books, seen = random.Random(seed), Books(), 0
    works = [pair.work(misbehave, range(n * 1000, n * 1000 + 300), first=n * 1000) for n in range(5)]
    until = time.monotonic() + 2
    while time.monotonic() < until or books.out:
        for slot in (0, 1):
            if time.monotonic() < until and sum(place[0] == slot for place in books.out.values()) < 3:
                work = dice.choice(works)
                start = work.lease.first + dice.randrange(299)
                stop = min(work.lease.first + 300, start + dice.choice([1, 5, 50]))
                books.out[pair.run(work, start, stop, dice.choice([1, 1, 10]), slot)] = (slot, start, stop)
        strike(pair, books, dice, hard=time.monotonic() >= until)
        pair.turn(dice.choice([0, 0.001, 0.01]))
        for event in pair.inputs[seen:]:
            books.take(event)
        seen = len(pair.inputs)
    for slot in (0, 1):
        pair.answer(PieceDone, pair.run(pair.work(abs, [-1]), 0, 1, slot=slot))


def strike(agent: Agent, books: Books, dice: random.Random, *, hard: bool) -> None:
    """Do something to a piece, or to all of them; `hard`: nothing runs on."""
    if not books.out:
        return
    piece, (slot, _, _) = dice.choice(list(books.out.items()))
    chance = dice.random()
    if hard or chance < 0.02:
        agent.host.end(slot, None if hard else piece, 0, JobState.CANCELLED, "cancelled")
    elif chance < 0.05:
        agent.host.end(slot, piece, dice.choice([0.05, 0.3]), JobState.CANCELLED, "cancelled")
    elif chance < 0.25:
        agent.host.cut(slot, piece)
    elif chance < 0.27:
        agent.host.free(dice.randrange(5))
    elif chance < 0.272:
        os.kill(agent.server, signal.SIGKILL)


@pytest.mark.parametrize("block", [1, 4])
def test_a_slot_starts_nothing_when_its_time_is_over(agent: Agent, block: int) -> None:
    """It looks at the clock itself, before each job; what it did not start comes back, and may be given again."""
    work = agent.work(time.sleep, [0.02] * 1000)
    agent.host.allow(now() + LIMIT)
    piece = agent.run(work, 0, 1000, block)
    agent.until(lambda: agent.running(0) not in {None, (piece, 0)})
    agent.host.allow(now())
    begun = agent.answer(PieceDone, piece).ran[-1].stop
    assert 0 < begun < 1000
    assert agent.answer(PieceDone, agent.run(work, begun, 1000, block)).ran == ()
    agent.host.allow(now() + LIMIT)
    (ran,) = agent.answer(PieceDone, agent.run(work, begun, begun + 4, block)).ran
    assert (ran.start, ran.stop) == (begun, begun + 4)


# ----------------------------------------------------------------------------------------------------- commands


def command(*words: str | bytes, **options: Any) -> CommandTemplate:
    return CommandTemplate(tuple(os.fsencode(word) for word in words), **options)


def test_command_has_argv_output_and_code(agent: Agent) -> None:
    """Each command is a record: its argv as value, what it wrote and its code in the note."""
    done = agent.done(command("sh", "-c", 'echo "$0"; echo bad >&2; exit $0'), [[b"0"], [b"3"]])
    assert done.spans() == [(0, 1, "succeeded"), (1, 2, "failed")]
    notes = [ran.note for ran in done.ran]
    assert [(n.stdout, n.stderr, n.returncode, n.cause) for n in notes if n] == [
        (b"0\n", b"bad\n", 0, ""), (b"3\n", b"bad\n", 3, "exit code 3")
    ]  # fmt: skip
    assert msgspec.msgpack.decode(done.bodies[1])[0][-1] == b"3"


def test_what_a_command_leaves_behind_does_not_print_into_the_next(agent: Agent) -> None:
    """Several short ones are one piece; each is over, with all that it started, before the next begins."""
    template = command("sh", "-c", 'trap "" TERM; (sleep 0.02; echo late) & echo $0', "{}")
    done = agent.done(template, [[b"%d" % number] for number in range(30)])
    assert [ran.note.stdout for ran in done.ran if ran.note] == [b"%d\n" % number for number in range(30)]


def test_unchecked_command_succeeds_with_its_code(agent: Agent) -> None:
    """check=False makes any exit a success."""
    done = agent.done(command("false"), [[]], check=False)
    assert done.spans() == [(0, 1, "succeeded")]
    assert done.ran[0].note is not None
    assert done.ran[0].note.returncode == 1


def test_command_arguments_are_bytes(agent: Agent) -> None:
    """Non-UTF-8, newlines, quotes and shell characters arrive as they are, with a shell too."""
    nasty = b"a b\n'\"$HOME`x`;*\xff\\"
    for template in (command("printf", "%s", "{}"), command("printf", "%s", "{}", shell=True)):
        assert agent.done(template, [[nasty]]).printed()[0][0] == nasty


def test_command_environment(pair: Agent) -> None:
    """A command sees its id, index, attempt and slot, and what the template adds."""
    words = "$PENSTOCK_JOB_ID $PENSTOCK_INDEX $PENSTOCK_ATTEMPT $PENSTOCK_SLOT $WORD {#} {%} {}"
    template = command("echo", words, shell=True, env={b"WORD": b"w"}, literal=False)
    piece = pair.run(pair.work(template, [[b"x"]], first=5), 5, 6, slot=1)
    note = pair.answer(PieceDone, piece).ran[0].note
    assert note.stdout == f"{BATCH.hex()}:5 5 2 1 w 6 2 x\n".encode()


def test_command_runs_in_its_folder(agent: Agent, folder: Path) -> None:
    """The folder is the command's alone; a missing one is the cause of a failure."""
    assert agent.done(command("pwd", cwd=bytes(folder)), [[]]).printed()[0][0] == bytes(folder) + b"\n"
    assert agent.done(command("pwd"), [[]]).printed()[0][0] == os.getcwdb() + b"\n"
    note = agent.done(command("pwd", cwd=b"/nowhere"), [[]]).ran[0].note
    assert note is not None
    assert note.cause == "cannot run in the folder '/nowhere': No such file or directory"


@pytest.mark.parametrize(
    ("words", "arguments", "cause"),
    [
        (["no-such-program"], [], "cannot start 'no-such-program': No such file or directory"),
        (["/etc/passwd"], [], "cannot start '/etc/passwd': Permission denied"),
        (["/"], [], "cannot start '/': Permission denied"),
        (["echo"], [b"x" * 3_000_000], "cannot start 'echo': Argument list too long"),
        (["echo"], [b"a\0b"], "cannot start the command: embedded null byte"),
        ([], [], "cannot start the command: the command is empty"),
        (["sh", "-c", "kill -TERM $$"], [], "killed by SIGTERM"),
    ],
)
def test_command_that_cannot_run_says_why(agent: Agent, words: list[str], arguments: list[bytes], cause: str) -> None:
    """What the system says is the cause."""
    done = agent.done(command(*words), [arguments])
    assert done.spans() == [(0, 1, "failed")]
    assert done.ran[0].note is not None
    assert done.ran[0].note.cause == cause


def test_command_over_its_limit_is_ended_with_its_children(agent: Agent, folder: Path) -> None:
    """SIGTERM reaches the command, which may clean up, and nothing of it is left."""
    mark = folder / "mark"
    script = f"trap 'echo caught; echo done > {mark}; exit' TERM; sleep 1000 & wait"
    death = agent.died(command("sh", "-c", script, literal=True), [[]], time_limit=0.2)
    assert (death.index, death.state) == (0, JobState.TIMED_OUT)
    assert death.note is not None
    assert death.note.stdout == b"caught\n"
    assert mark.read_text() == "done\n"


# -------------------------------------------------------------------------------------------------------- speed


def test_speed_is_printed(pair: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks cost about what a list comprehension does, single pieces a round trip, commands what xargs pays."""
    lines = []
    work = pair.work(lambda x: x * x, list(range(5000)))
    for block in (1, 500):
        begun = time.perf_counter()
        for _ in range(10):
            pair.answer(PieceDone, pair.run(work, 0, 5000, block))
        lines.append(f"squares, block={block}: {(time.perf_counter() - begun) / 50_000 * 1e6:.2f} us a job")
    begun = time.perf_counter()
    for _ in range(1000):
        pair.inputs.clear()
        pair.answer(PieceDone, pair.run(work, 0, 1))
    lines.append(f"single-job piece, there and back: {(time.perf_counter() - begun) * 1e3:.0f} us")
    begun = time.perf_counter()
    works = [pair.work(command("/bin/true"), [[]] * 500) for _ in range(2)]
    pieces = [pair.run(works[slot], 0, 500, slot=slot) for slot in (0, 1)]
    for piece in pieces:
        pair.answer(PieceDone, piece)
    lines.append(f"1,000 x /bin/true on 2 slots: {time.perf_counter() - begun:.2f} s")
    begun = time.perf_counter()
    subprocess.run(["sh", "-c", "seq 1000 | xargs -P2 -n1 /bin/true"], check=True)
    lines.append(f"the same by xargs -P2: {time.perf_counter() - begun:.2f} s")
    with capsys.disabled():
        print("", *lines, sep="\n  ")
