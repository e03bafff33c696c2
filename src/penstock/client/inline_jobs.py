"""The jobs of an inline batch: each is run in the caller, still through the serializer, and to its last attempt."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from penstock.client.argument_pickling import ItemDumper
from penstock.client.follow import Row
from penstock.client.functions import Function, Functions
from penstock.client.serialization_errors import chunk_blob
from penstock.client.submit_packing import opened
from penstock.job import payload
from penstock.job.argument_text import Work
from penstock.job.bundle import LoadedFunction
from penstock.job.command import Argv, CommandTemplate
from penstock.job.spawning import interpreted, is_unknown, reason
from penstock.job.spec import BatchSpec, JobState, Stamp, new_batch_id
from penstock.slot.job_report import CommandEnd, CommandReport, Report
from penstock.slot.output_capture import Output, Taken
from penstock.wire.messages import OutcomeHead


class Jobs:
    """The jobs of one batch, run one after the other."""

    def __init__(self, spec: BatchSpec, function: Function, functions: Functions) -> None:
        self.batch = new_batch_id()
        self.spec = spec
        self._function = function
        self._dumper = ItemDumper(functions)
        self._given: dict[int, tuple[int, Any]] = {}
        """Of those that did not succeed: the generation, and what they were given."""

    @property
    def work(self) -> Work:
        """What people are shown of them."""
        return Work(opened(self.spec, self._function), b"")

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
            report = self._attempt(index, given)
            ran = report.ran[0]
            if ran.state is JobState.SUCCEEDED or self.spec.is_last_attempt(stamp):
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

    def _attempt(self, index: int, given: Any) -> Report:
        if self.spec.kind == "command":
            return self._run_command(index, given)
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

    def _run_command(self, index: int, words: list[bytes]) -> Report:
        template = CommandTemplate.decode(self._function.code)
        number, arguments, block = template.given(words, index + 1)
        argv = template.argv(arguments, number)
        end, output = _run(template, argv, block or b"", check=self.spec.check, time_limit=self.spec.time_limit)
        report = CommandReport(index, self.spec.serializer)
        report.add(index, end, time.monotonic_ns(), Taken(output, (0, 0)))
        return report


def _run(
    template: CommandTemplate, argv: Argv, block: bytes, *, check: bool, time_limit: float | None
) -> tuple[CommandEnd, Output]:
    try:
        try:
            done = _finished(template, argv, block, time_limit)
        except OSError as error:
            if not is_unknown(error):
                raise
            done = _finished(template, interpreted(argv, template.env.get(b"PATH")), block, time_limit)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and argv and error.filename != template.cwd:
            error = OSError(error.errno, reason(error, argv[0]))
        return CommandEnd.unstarted(error, template, argv), ((), ())
    except subprocess.TimeoutExpired as error:
        cause = f"ran longer than its time limit of {time_limit:g} s"
        return CommandEnd(argv, None, cause), ((error.stdout or b"",), (error.stderr or b"",))
    cause = f"exit code {done.returncode}" if check and done.returncode else ""
    return CommandEnd(argv, done.returncode, cause), ((done.stdout,), (done.stderr,))


def _finished(
    template: CommandTemplate, argv: Argv, block: bytes, time_limit: float | None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv,
        cwd=template.cwd,
        env={**os.environb, **template.env},
        capture_output=True,
        input=block,
        timeout=time_limit,
        check=False,
    )
