"""Outcomes, and lines of running jobs, as they are written to stdout, to stderr and to the records of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.cli.job_output import Shown, Tagged, is_bare_exit, json_record
from penstock.cli.run.job_inputs import JobInputs
from penstock.cli.run.joblog import Ended
from penstock.cli.run.progress import Progress
from penstock.cli.run.wanted_jobs import Wanted
from penstock.job.display import text_of

if TYPE_CHECKING:
    from penstock import Outcome


class OutcomePrinter:
    """Writes what it is given, at once. A record is told of a job after its output was written: whoever resumes by a
    joblog misses nothing."""

    def __init__(
        self,
        wanted: Wanted,
        progress: Progress,
        *,
        as_json: bool = False,
        inputs: JobInputs | None = None,
        commands: tuple[bool, bool] = (False, False),
        records: Sequence[Callable[[Ended], None]] = (),
    ) -> None:
        """`inputs` are needed for tags, `commands` (on stdout, on stderr) and `records`."""
        self.is_heard = True
        """Whether anybody reads it; else nothing is written any more."""
        self._wanted = wanted
        self._progress = progress
        self._as_json = as_json
        self._inputs = inputs
        self._commands = commands
        self._records = records

    def say(self, text: str) -> None:
        """One line for people, on stderr."""
        if self.is_heard:
            self._progress.write(b"", f"penstock: {text}\n".encode())

    def interrupted(self) -> None:
        """The terminal has shown ^C, and the next line has to begin behind it."""
        self._progress.interrupted()

    def write_lines(self, number: int, stdout: bytes, stderr: bytes) -> None:
        """Lines that a running job has printed."""
        if not self.is_heard:
            return
        tag = None
        if self._inputs is not None:
            tag = self._inputs.tag(number)
            stdout, stderr = self._announced(number, stdout, stderr)
        self._progress.write(Tagged(tag)(stdout), Tagged(tag)(stderr))

    def write_outcome(self, number: int, outcome: Outcome) -> None:
        """A job that has ended, with all of its output that was not written before."""
        if not self.is_heard:
            return
        tag, ended = None, None
        before, what = (b"", b""), None
        if self._inputs is not None:
            if outcome.state != "succeeded" and not is_bare_exit(outcome):
                what = text_of(self._inputs.name(number))
            tag = self._inputs.tag(number)
            before = self._announced(number, b"", b"", outcome.slot)
            if self._records:
                ended = self._inputs.ended(number, self._wanted.whole(number, outcome))
            else:
                self._inputs.forget(number)
        shown = self._wanted.shown(number, outcome, what)
        if self._as_json:
            json_record(shown)
        else:
            self._progress.write(Tagged(tag)(before[0]), Tagged(tag)(before[1]))
            self._print(shown, tag)
        if ended is not None:
            for record in self._records:
                record(ended)
        is_failure = outcome.state not in {"succeeded", "cancelled"}
        self._progress.add(failed=is_failure, earlier=self._wanted.is_earlier(number))

    def _announced(self, number: int, stdout: bytes, stderr: bytes, slot: int = 0) -> tuple[bytes, bytes]:
        """The job's command before what it printed, where that is wanted (`-v`, `-t`)."""
        if self._inputs is None or not any(self._commands):
            return stdout, stderr
        command = self._inputs.command(number, slot)
        on_stdout, on_stderr = self._commands
        return (command if on_stdout else b"") + stdout, (command if on_stderr else b"") + stderr

    def _print(self, shown: Shown, tag: bytes | None) -> None:
        """All of its output, however much it is."""
        tagged = Tagged(tag)
        for part in shown.stderr():
            self._progress.write(b"", tagged(part))
        tagged = Tagged(tag)
        for part in shown.stdout():
            self._progress.write(tagged(part))
        self._progress.write(b"", shown.remarks())
