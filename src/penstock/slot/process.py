"""A slot: the process that runs user code, one job at a time, and the only module that does.

What it promises:

1. One last Done for each RunPiece, in order, whatever the jobs raise. What a job came to is sent, or in the journal,
   before the next one begins (journal.py); of the shortest jobs before the next SAVED_AS_ONE or more of them do.
2. The page tells which job runs before the job begins, and a job at or behind its piece's limit is never begun, nor
   any when the time that the page allows is over.
3. What a job prints is that job's: neighbours are told apart, whoever wrote it.
4. After a piece the working folder, 1, 2, sys.stdout, sys.stderr, the handlers of signals, their mask and the timer are
   what they were, and nothing that a command started is left running. What a call or an initializer left running,
   threads and processes, may live as long as this process, until that is used up (wear.py): pools, helpers, servers.
5. What a job forks is never the slot (forked_children.py).
6. When it is let go, exit handlers run (process_exit.py).

When it dies, its fork server reports how; when the agent or the fork server dies, the kernel kills it.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from operator import length_hint
from typing import Any, NoReturn

from penstock.errors import ProtocolError
from penstock.job.current_job import CurrentJob, here
from penstock.job.main_module import Stale
from penstock.job.manager_authkeys import Heir
from penstock.job.originals import end_process, os, signal, time
from penstock.job.run_limit import Limited
from penstock.job.spec import job_id
from penstock.job.stateless import ATOMS
from penstock.slot import stack_dump
from penstock.slot.command_job import command_job
from penstock.slot.forked_children import Forks
from penstock.slot.job_report import CommandReport, Report
from penstock.slot.job_spans import JobSpans
from penstock.slot.journal import Journal
from penstock.slot.loaded import Chunk, Function
from penstock.slot.output_capture import Capture, Stream
from penstock.slot.own_files import OwnFiles
from penstock.slot.process_exit import Farewell
from penstock.slot.process_identity import introduce
from penstock.slot.process_tree import SignalState, Undertaker
from penstock.slot.protocol import (
    ENDED,
    INDEX,
    MEDDLED,
    PIECE,
    STARTED,
    UNIT,
    UNTIL,
    AgentStream,
    Done,
    DropFunction,
    FreeChunk,
    LoadChunk,
    LoadFunction,
    Page,
    Ready,
    Retires,
    RunPiece,
)
from penstock.slot.wear import Wear
from penstock.slot.working_folder import Home

SAVED_AS_ONE = 100
"""Jobs of a block that are too many for one entry of the journal each: they take less than 5 us, an entry 0.3."""


class Slot:
    """Slot `number` of the worker called `worker`."""

    def __init__(
        self, number: int, worker: str, agent: AgentStream, page: Page, capture: Capture, files: OwnFiles, wear: Wear
    ) -> None:
        self._number = number
        self._worker = worker
        self._agent = agent
        self._page, self._begin = page.cells, page.begin
        self._journal = Journal(page)
        self._forks = Forks(page, agent, capture.readers, lambda: (self._coming, self._report))
        self._capture = capture
        self._files = files
        self._functions: dict[bytes, Function] = {}
        self._chunks: dict[int, Chunk] = {}
        self._home = Home()
        self._wear = wear
        self._inherited = wear.inherited
        self._signals = SignalState()
        self._undertaker = Undertaker()
        self._heir = Heir()
        self._head: LoadChunk | None = None
        self._report = Report(0, "")
        self._coming: Any = iter(())
        self._stop = 0
        self._printing = -1
        here.job = self._current_job

    def serve(self) -> None:
        """Handle frames until the agent is gone, or this process is used up."""
        self._agent.send(Ready(os.getpid()), [])
        while True:
            try:
                message = self._agent.receive()
            except (EOFError, OSError):
                self._forks.leave_if_child()
                return
            except ProtocolError:
                self._end_meddled()
            match message:
                case RunPiece():
                    self._run_intact(message)
                    if here.retiring:
                        self._agent.send(Retires(self._inherited.changes), [])
                        return
                case LoadFunction():
                    self._begin(message.piece, message.index)
                    function = Function(message, self._agent.payload(), self._inherited.accept)
                    self._functions[message.function] = function
                case LoadChunk():
                    self._begin(message.piece, message.index)
                    self._chunks[message.lease] = Chunk(message, self._agent.payload())
                    self._heir.look(message.client)
                case DropFunction():
                    self._functions.pop(message.function, None)
                case FreeChunk():
                    self._chunks.pop(message.lease, None)

    def _run_intact(self, order: RunPiece) -> None:
        try:
            self._run(order)
        except OSError:
            self._forks.leave_if_child()
            if not self._files.are_intact():
                self._end_meddled()
            raise

    def _end_meddled(self) -> NoReturn:
        """The job that runs has closed or replaced descriptors of this process, which must not write anywhere now."""
        self._page[MEDDLED] = 1
        end_process(1)

    def _end_if_meddled(self) -> None:
        """What the job that just ran came to is not in the journal yet: it is the culprit, and no neighbour."""
        if not self._files.has_first() and not self._forks.is_child:
            self._end_meddled()

    def _run(self, order: RunPiece) -> None:
        order = self._wear.cut(order)
        self._begin(order.piece, order.start)
        chunk = self._chunks[order.lease]
        function = self._functions[chunk.head.function]
        kind = CommandReport if function.is_command else Report
        report = kind(order.start, chunk.head.serializer)
        self._head, self._report = chunk.head, report
        self._journal.begin(order.start, chunk.head.serializer)
        if order.start < self._page[order.cell]:
            self._run_jobs(order, chunk, function, report)
        self._head = None
        self._finish(order, report)

    def _finish(self, order: RunPiece, report: Report) -> None:
        self._inherited.put_right()
        # from here on nobody is the culprit of a crash, unless there was but one job
        self._page[UNIT] = order.stop - order.start
        self._page[INDEX] = order.start
        self._page[STARTED] = 0
        report.flush(time.monotonic_ns())
        self._forks.leave_if_child()
        if not self._files.are_intact():
            self._end_meddled()
        self._undertaker.look()
        self._signals.restore()
        self._capture.restore()
        self._home.go()
        here.retiring |= self._wear.is_out(order.start, report)
        self._send(order, report, goes_on=False)
        self._journal.begin(order.stop, "")
        self._page[PIECE] = 0

    def _send_so_far(self, order: RunPiece, report: Report) -> None:
        """The journal does not have all of it, and another job is to begin."""
        report.flush(time.monotonic_ns())
        self._forks.leave_if_child()
        self._send(order, report, goes_on=True)
        self._journal.begin(report.start, report.serializer)

    def _send(self, order: RunPiece, report: Report, *, goes_on: bool) -> None:
        *others, last = report.take()
        for ran, bodies in others:
            self._agent.send(Done(order.piece, tuple(ran), goes_on=True), bodies)
        self._agent.send(Done(order.piece, tuple(last[0]), goes_on), last[1])

    def _run_jobs(self, order: RunPiece, chunk: Chunk, function: Function, report: Report) -> None:
        try:
            self._inherited.admit(chunk.head.function, is_command=function.is_command)
            if function.is_command:
                items = chunk.items(are_commands=True)
                job = command_job(chunk.head, function.template(), self._number, self._index, lambda: self._page[ENDED])
            else:
                loaded, items = function.load(), chunk.items(are_commands=False)
                job = loaded.runner(chunk.form)
            items = items[order.start - chunk.head.first : order.stop - chunk.head.first]
        except Stale:
            here.retiring = True  # another process takes its place, and runs the piece
            return
        except BaseException as error:  # noqa: BLE001 - the user's module may raise anything
            output, is_missing = self._capture.collect(), isinstance(error, ImportError)
            report.fail(order.start, order.stop, error, time.monotonic_ns(), output, unstarted=is_missing)
            return
        spans = JobSpans(chunk.head, self._index)
        report.begin(time.monotonic_ns())
        is_single = function.prints or function.is_command or isinstance(function.load().function, Limited)
        if order.block > 1 and not is_single:
            with spans.piece(len(items)):
                self._run_blocks(order, function, job, items, report)
        else:
            self._run_singly(order, spans.each(job), items, report)

    def _run_singly(self, order: RunPiece, job: Callable[[Any], Any], items: list[Any], report: Report) -> None:
        cells, limit, journal = self._page, order.cell, self._journal
        index, self._stop = order.start, order.stop
        self._coming = coming = iter(items)
        for item in coming:
            cells[STARTED] = started = time.monotonic_ns()
            cells[INDEX] = index
            if index >= cells[limit] or time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= cells[UNTIL]:
                return
            try:
                value = job(item)
                self._inherited.put_right()
                value = report.frozen(value)
            except BaseException as error:  # noqa: BLE001 - also SystemExit: the job failed, the slot lives
                self._inherited.put_right()
                self._end_if_meddled()
                report.flush(started)
                report.fail(index, index + 1, error, time.monotonic_ns(), self._capture.collect())
                is_incomplete = journal.add_record(report.ran[-1], report.bodies[-1])
            else:
                self._end_if_meddled()
                output = self._capture.collect()
                if output is None and not report.is_each_alone and not cells[ENDED]:
                    report.values.append(value)
                    is_incomplete = index + 1 < order.stop and journal.add_frozen(value)
                else:
                    report.flush(started)
                    report.add(index, value, time.monotonic_ns(), output)
                    is_incomplete = journal.add_record(report.ran[-1], report.bodies[-1])
            index += 1
            if is_incomplete and index < order.stop:
                self._send_so_far(order, report)
            self._home.go()
            if here.retiring:
                return

    def _run_blocks(
        self, order: RunPiece, function: Function, job: Callable[[Any], Any], items: list[Any], report: Report
    ) -> None:
        cells, limit = self._page, order.cell
        index = order.start
        is_saved_as_one = order.block > SAVED_AS_ONE
        Stream.before = self._tell_apart
        try:
            while index < order.stop:
                stop = min(index + order.block, order.stop)
                cells[STARTED] = time.monotonic_ns()
                cells[UNIT] = stop - index if is_saved_as_one else 1
                cells[INDEX] = index
                # a cut that came while nothing ran yet may end inside of the block
                stop = min(stop, cells[limit])
                if index >= stop or time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= cells[UNTIL]:
                    return
                self._printing, self._stop = -1, stop
                self._coming = iter(items[index - order.start : stop - order.start])
                if is_saved_as_one:
                    self._run_block(job, report)
                else:
                    stop = self._run_block_one_by_one(order, job, report)
                self._inherited.put_right()
                first = max(index, report.start)
                if first < stop and (output := self._capture.collect()) is not None:
                    report.printed(max(first, self._printing), output)
                if report.prints:
                    function.prints = True
                    report.flush(time.monotonic_ns())
                    self._journal.give_up()  # what was printed is not there
                if stop < order.stop:
                    if is_saved_as_one:
                        self._end_if_meddled()
                        report.save(index, self._journal)
                    if self._journal.is_incomplete:
                        self._send_so_far(order, report)
                index = stop
        finally:
            Stream.before = None

    def _run_block(self, job: Callable[[Any], Any], report: Report) -> None:
        """Run the coming items as fast as can be; the place in them tells which job it is. A value that can be changed
        is serialized before the next job begins."""
        coming, append, frozen = self._coming, report.values.append, report.frozen
        while True:
            try:
                for item in coming:
                    value = job(item)
                    append(value if type(value) in ATOMS else frozen(value))
                return
            except BaseException as error:  # noqa: BLE001
                self._fail_in_block(error, report)

    def _run_block_one_by_one(self, order: RunPiece, job: Callable[[Any], Any], report: Report) -> int:
        """The same for jobs that are worth an entry of the journal each; returns the job behind the last that ran."""
        cells, limit, journal = self._page, order.cell, self._journal
        coming, append, frozen = self._coming, report.values.append, report.frozen
        add, add_frozen, reach_agent = journal.add, journal.add_frozen, self._files.reach_first
        index = cells[INDEX]
        while True:
            try:
                for item in coming:
                    value = job(item)
                    reach_agent()
                    if type(value) in ATOMS:
                        append(value)
                        is_incomplete = add(value)
                    else:
                        value = frozen(value)
                        append(value)
                        is_incomplete = add(value) if type(value) is tuple else add_frozen(value)
                    cells[INDEX] = index = index + 1
                    if is_incomplete or index >= cells[limit]:
                        break
                return index
            except BaseException as error:  # noqa: BLE001
                self._fail_in_block(error, report)
                journal.add_record(report.ran[-1], report.bodies[-1])
                cells[INDEX] = index = index + 1
                if index >= cells[limit]:
                    return index

    def _fail_in_block(self, error: BaseException, report: Report) -> None:
        error = self._inherited.explained(error)
        self._end_if_meddled()
        index = self._index()
        output = self._capture.collect()
        if output is not None and self._printing not in {-1, index}:
            report.printed(self._printing, output)
            output = None
        self._printing = -1
        now = time.monotonic_ns()
        report.flush(now)
        report.fail(index, index + 1, error, now, output)

    def _tell_apart(self) -> None:
        """Called before anything is written inside a block: what was written before belongs to an earlier job."""
        index = self._index()
        if index == self._printing:
            return
        before, self._printing = self._printing, index
        Stream.before = None
        try:
            output = self._capture.collect()
        finally:
            Stream.before = self._tell_apart
        if output is not None:
            # unknown writers (C, a child) come before the first job that is seen to print
            self._report.printed(before if before >= 0 else index, output)

    def _index(self) -> int:
        """The job that runs: what has been drawn from the coming items tells, also in the middle of a block."""
        return self._stop - length_hint(self._coming) - 1

    def _current_job(self) -> CurrentJob | None:
        if (head := self._head) is None:
            return None
        return CurrentJob(job_id(head.batch, self._index()), head.attempt, self._worker, self._number)


def run_slot(
    number: int, worker: str, jobs: int, connection: socket.socket, page: Page, pipes: tuple[int, int, int, int]
) -> None:
    """Be a slot until the agent is gone or this process, a fresh child of the fork server, is used up, and let exit
    handlers run: `pipes` are the writing ends for 1 and 2, then their reading ends, `jobs` how many run here."""
    signal.signal(signal.SIGINT, lambda *_: None)  # ignored; whatever a call executes has the default all the same
    farewell = Farewell()
    capture = Capture(page, pipes[:2], pipes[2:])
    stack_dump.prepare()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:
        # the kernel shall take a slot, never the agent that knows whose job it was
        file.write(b"500")
    sys.argv = ["penstock-slot"]
    introduce(number)
    agent = AgentStream(connection)
    files = OwnFiles(connection.fileno(), page.fd, *pipes)
    Slot(number, worker, agent, page, capture, files, Wear(jobs)).serve()
    agent.close()
    farewell.say()
