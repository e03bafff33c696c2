"""The jobs of an inline batch: each is run in the caller, still through the serializer, and to its last attempt."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from functools import partial
from tempfile import TemporaryFile
from typing import Any

from msgspec.structs import replace

from penstock.client.argument_pickling import ItemDumper
from penstock.client.follow import Row
from penstock.client.functions import Function, Functions
from penstock.client.serialization_errors import chunk_blob
from penstock.client.submit_packing import opened
from penstock.job import payload
from penstock.job.argument_text import Work
from penstock.job.bundle import LoadedFunction
from penstock.job.command import CommandTemplate, run_command, wait_status
from penstock.job.spec import BatchId, BatchSpec, JobState, Stamp, new_batch_id
from penstock.slot.command_job import at_niceness, job_variables
from penstock.slot.job_report import CommandEnd, CommandReport, Report
from penstock.slot.output_capture import Taken
from penstock.wire.records import OutcomeHead


class Jobs:
    """The jobs of one batch, run one after the other."""

    def __init__(self, spec: BatchSpec, function: Function, functions: Functions) -> None:
        self.batch: BatchId = new_batch_id()
        self.spec = opened(spec, function)
        self._function = function
        self._dumper = ItemDumper(functions.shipper)
        self._given: dict[int, tuple[int, Any]] = {}
        """Of those that did not succeed: the generation, and what they were given."""

    @property
    def work(self) -> Work:
        """What people are shown of them."""
        return Work(self.spec, b"")

    def chunk(self, index: int, form: str, item: Any) -> Any:
        """What a job is given. Raises PicklingError: its arguments cannot be serialized."""
        if self.spec.kind == "command":
            return item
        return chunk_blob(form, [item], self.spec.serializer, index, self._dumper)

    def run(self, index: int, given: Any) -> Row:
        """Run one to its last attempt: `given` is its chunk, or the words of its command."""
        return self._to_the_end(index, Stamp(), given)

    def run_again(self, index: int, position: int) -> Row | None:
        """Run one again that did not succeed, for it to be recorded at this position; None: it did, or there is
        none."""
        if index not in self._given:
            return None
        generation, given = self._given.pop(index)
        return self._to_the_end(index, Stamp(generation + 1), given)._replace(position=position)

    def _to_the_end(self, index: int, stamp: Stamp, given: Any) -> Row:
        while True:
            report = self._attempt(index, stamp, given)
            ran = report.ran[0]
            if self.spec.is_final(ran.state, stamp):
                break
            stamp = stamp.after_failure()
        if ran.state is not JobState.SUCCEEDED:
            self._given[index] = (stamp.generation, given)
        head = OutcomeHead(
            batch=self.batch,
            start=index,
            stop=index + 1,
            state=ran.state,
            final=True,
            stamp=stamp,
            lease=0,
            slot=0,
            started_time=ran.started_time,
            elapsed=ran.elapsed,
            size=ran.size,
            note=ran.note,
            worker="inline",
        )
        return Row(head, index, index + 1, 0, report.bodies[0], index + 1)

    def _attempt(self, index: int, stamp: Stamp, given: Any) -> Report:
        if self.spec.kind == "command":
            return self._run_command(index, stamp, given)
        report = Report(index, self.spec.serializer)
        try:
            function = LoadedFunction(self._function.code, self.spec.serializer)
            form, (argument,) = payload.load_chunk(given, self.spec.serializer)
            value = report.frozen(function.runner(form)(argument))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - Ctrl-C is the caller's own here
            report.fail(index, index + 1, error, time.monotonic_ns(), None)
        else:
            report.add(index, value, time.monotonic_ns(), None)
        return report

    def _run_command(self, index: int, stamp: Stamp, words: list[bytes]) -> Report:
        template = CommandTemplate.decode(self._function.code)
        number, arguments, block = template.given(words, index + 1)
        argv = template.argv(arguments, number)
        variables = job_variables(self.batch, index, stamp.attempt, 0)
        report = CommandReport(index, self.spec.serializer)
        limit = Limit(self.spec.time_limit)
        with TemporaryFile() as standard_input, TemporaryFile() as out, TemporaryFile() as err:
            standard_input.write(block or b"")
            standard_input.seek(0)
            files = standard_input.fileno(), out.fileno(), err.fileno()
            run = partial(run_command, files=files, wait=limit.wait)
            check = self.spec.check
            end = at_niceness(template.nice, lambda: CommandEnd.of(template, argv, variables, check=check, run=run))
            out.seek(0)
            err.seek(0)
            output = Taken(((out.read(),), (err.read(),)), (0, 0))
        if limit.is_over:
            end = CommandEnd(argv, None, f"ran longer than its time limit of {limit.seconds:g} s")
        report.add(index, end, time.monotonic_ns(), output)
        if limit.is_over:
            report.ran[0] = replace(report.ran[0], state=JobState.TIMED_OUT)
        return report


class Limit:
    """Waits for a command, and kills it with what it has started when its time is over, or when the wait is ended by an
    exception: its process group is its own, so that Ctrl-C does not reach it."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.is_over: bool = False

    def wait(self, pid: int) -> int:
        """Returns the wait status of the process."""
        timer = None if self.seconds is None else threading.Timer(self.seconds, self._end, (pid,))
        try:
            if timer is not None:
                timer.start()
            return wait_status(pid)
        except BaseException:
            _kill(pid)
            wait_status(pid)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _end(self, pid: int) -> None:
        self.is_over = True
        _kill(pid)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
