"""A line on stderr that says how far a batch is, when stderr is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from penstock.cli.output import write

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

REDRAW_INTERVAL = 0.1
"""Seconds: faster is not read, and costs more than the jobs."""
ERASE_LINE = "\r\x1b[2K"


class Progress:
    """Done, failed, rate and time to go. Output passes through it, so that the line never stands between."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._failed = 0
        self._started_at = time.monotonic()
        self._drawn_at = 0.0
        self._at_line_start = True
        self._bar: RichProgress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("", total=self._total, failed=0, rate=0.0)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def add(self, *, failed: bool) -> None:
        """One more job has an outcome."""
        if not self._bar:
            return
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if self._at_line_start and now - self._drawn_at > REDRAW_INTERVAL:
            rate = self._done / (now - self._started_at)
            self._bar.update(self._task, completed=self._done, failed=self._failed, rate=rate, refresh=True)
            self._drawn_at = now

    def write(self, stdout: bytes, stderr: bytes = b"") -> None:
        """What a job printed, to where it belongs."""
        if self._bar and (stdout or stderr):
            sys.stderr.write(ERASE_LINE if self._at_line_start else "")
            sys.stderr.flush()
            self._at_line_start = (stderr or stdout).endswith(b"\n")
        if stdout:
            write(stdout)
        if stderr:
            sys.stderr.buffer.write(stderr)
            sys.stderr.buffer.flush()


def _bar() -> RichProgress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[failed]} failed"),
        progress.TextColumn("{task.fields[rate]:.3g}/s"),
        progress.TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
