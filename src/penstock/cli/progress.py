"""A line on stderr that says how far a batch is, when stderr is a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from penstock.cli.output import write

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

REDRAW_INTERVAL = 0.05
"""Seconds: faster is not seen."""
ERASE_LINE = b"\r\x1b[2K"


class Progress:
    """Done, failed, rate and time to go. What jobs print passes through it, so that the line never stands between."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._failed = 0
        self._started_at = time.monotonic()
        self._drawn_at = 0.0
        self._at_line_start = True
        self._bar: RichProgress | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._redrawing = threading.Thread(target=self._redraw_again_and_again, name="penstock-progress", daemon=True)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("", total=self._total, failed=0, rate=0.0)
            self._bar.start()
            self._redrawing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._over.set()
            self._redrawing.join()
            self._bar.stop()

    def expect(self, total: int) -> None:
        """So many jobs there are."""
        with self._lock:
            self._total = total
            if self._bar:
                self._bar.update(self._task, total=total)

    def add(self, *, failed: bool) -> None:
        """One more job has an outcome."""
        self._done += 1
        self._failed += failed

    def write(self, stdout: bytes, stderr: bytes = b"") -> None:
        """What a job printed, to where it belongs."""
        if not stdout and not stderr:
            return
        with self._lock:
            if self._bar and self._at_line_start:
                stderr = ERASE_LINE + stderr
            if stderr:
                sys.stderr.buffer.write(stderr)
                sys.stderr.buffer.flush()
            if stdout:
                write(stdout)
            if self._bar:
                self._at_line_start = (stdout or stderr).endswith((b"\n", ERASE_LINE))
                if time.monotonic() - self._drawn_at > REDRAW_INTERVAL:
                    self._draw()

    def _draw(self) -> None:
        if self._bar and self._at_line_start:
            self._drawn_at = time.monotonic()
            rate = self._done / (self._drawn_at - self._started_at)
            self._bar.update(self._task, completed=self._done, failed=self._failed, rate=rate, refresh=True)

    def _redraw_again_and_again(self) -> None:
        while not self._over.wait(REDRAW_INTERVAL):
            with self._lock:
                self._draw()


def _bar() -> RichProgress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[failed]} failed"),
        progress.TextColumn("{task.fields[rate]:,.1f}/s"),
        progress.TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,  # what jobs print are bytes, and none of rich's business
        redirect_stderr=False,
    )
