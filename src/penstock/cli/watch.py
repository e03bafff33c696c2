"""A batch's outcomes to stdout as they come, until it ends or the user has had enough."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.cli.output import json_line, outcome_record, printable, value_text
from penstock.cli.progress import Progress

if TYPE_CHECKING:
    from penstock import Batch, Outcome

INTERRUPTED = 130


class Watch:
    """Shows outcomes and remembers whether all jobs succeeded."""

    def __init__(
        self,
        batch: Batch,
        progress: Progress,
        *,
        as_json: bool = False,
        in_order: bool = False,
        tags: dict[int, bytes] | None = None,
    ) -> None:
        self._batch = batch
        self._progress = progress
        self._as_json = as_json
        self._in_order = in_order
        self._tags = tags
        self._seen = 0
        self._position = 0
        self._failed = 0
        self._stopping = False

    def to_the_end(self) -> int:
        """Show all; the exit code. Ctrl-C lets finish what runs and starts no more; a second one ends that too."""
        try:
            self._show_all()
        except KeyboardInterrupt:
            self._progress.write(b"", b"penstock: running jobs finish, no more are started; Ctrl-C again ends them\n")
            self._stop()
            return INTERRUPTED
        return 1 if self._failed else 0

    def _stop(self) -> None:
        self._stopping = True
        try:
            self._batch.cancel(running=False)
            self._show_all()
        except KeyboardInterrupt:
            self._batch.cancel()

    def _show_all(self) -> None:
        for outcome in self._outcomes():
            self._show(outcome)
            self._seen += 1
            self._position = outcome.position

    def _outcomes(self) -> Iterator[Outcome]:
        if self._in_order:
            return itertools.islice(self._batch.outcomes(), self._seen, None)
        return self._batch.follow(after=self._position)

    def _show(self, outcome: Outcome) -> None:
        failed = outcome.state != "succeeded"
        self._failed += failed
        if self._stopping and outcome.state == "cancelled":
            return  # the user asked for it, and there may be a million of them
        if self._as_json:
            json_line(outcome_record(outcome))
        else:
            tag = self._tags.pop(outcome.index, b"") if self._tags is not None else None
            self._progress.write(tagged(printed(outcome), tag), tagged(complaint(outcome), tag))
        self._progress.add(failed=failed)


def printed(outcome: Outcome) -> bytes:
    """What a job comes to on stdout: what it printed, then what a call returned unless that is None."""
    if outcome.returncode is not None or outcome.value is None:
        return outcome.stdout
    return outcome.stdout + value_text(outcome.value).encode("utf-8", "surrogateescape") + b"\n"


def complaint(outcome: Outcome) -> bytes:
    """What a job comes to on stderr: what it printed, then why it failed; a bare exit code is no news."""
    if outcome.state == "succeeded" or (outcome.state == "failed" and outcome.returncode is not None):
        return outcome.stderr
    return outcome.stderr + f"penstock: {outcome.job_id} {outcome.state}: {printable(outcome.cause)}\n".encode()


def tagged(data: bytes, tag: bytes | None) -> bytes:
    """Each line behind the job's arguments and a tab (``--tag``)."""
    if tag is None:
        return data
    return b"".join(tag + b"\t" + line for line in data.splitlines(keepends=True))
