"""A line on stderr that says how far a batch is, when stderr is a terminal that can take a line back."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from penstock.cli.output import duration, saying, write

REDRAW_INTERVAL = 0.1
"""Seconds: faster is not read."""
ERASE_LINE = b"\r\x1b[2K"
BAR_CELLS = 24
"""Of the bar, on a terminal that is wide enough."""
COLUMNS = 80
"""Of a terminal that does not say how wide it is."""


class Progress:
    """Done, failed, rate and time to go. What jobs print passes through it, so that the line never stands between: it
    is taken back before anything else comes to the terminal, and never drawn behind a line that has not ended."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._failed = 0
        self._earlier = 0
        self._started_at = time.monotonic()
        self._drawn_at = 0.0
        self._drawn = b""
        """The line, as it stands on the terminal; empty: it does not."""
        self._at_line_start = True
        self._is_shared = False
        """Whether stdout comes to the terminal, too."""
        self._is_drawn = False
        self._saying = saying(lambda said: self.write(b"", said.encode("utf-8", "backslashreplace") + b"\n"))
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._redrawing = threading.Thread(target=self._redraw_again_and_again, name="penstock-progress", daemon=True)

    def __enter__(self) -> Self:
        self._saying.__enter__()
        if can_take_back(sys.stderr.isatty(), os.environ):
            self._is_shared = sys.stdout.isatty()
            self._is_drawn = True
            self._redrawing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._is_drawn:
            self._redrawing.join()
        with self._lock:
            self._take_back()
            if not self._at_line_start and self._is_shared:
                self._to_stderr(b"\n")  # what is said next is not a part of what the last job printed
        self._saying.__exit__(kind, error, at)

    def expect(self, total: int) -> None:
        """So many jobs there are."""
        with self._lock:
            self._total = total

    def add(self, *, failed: bool, earlier: bool = False) -> None:
        """One more job has an outcome; `earlier`: of an earlier run, which says nothing of the pace of this one."""
        self._done += 1
        self._failed += failed
        self._earlier += earlier

    def interrupted(self) -> None:
        """The terminal has shown ^C: what is said next begins a line."""
        with self._lock:
            if sys.stderr.isatty() and not (self._is_drawn and self._at_line_start):
                self._to_stderr(b"\n")
                self._at_line_start = True

    def write(self, stdout: bytes, stderr: bytes = b"") -> None:
        """What a job printed, to where it belongs."""
        if not stdout and not stderr:
            return
        with self._lock:
            if stderr or self._is_shared:
                self._take_back()
            if stderr:
                self._to_stderr(stderr)
            if stdout:
                write(stdout)
            if shown := (stdout if self._is_shared else b"") or stderr:
                self._at_line_start = shown.endswith(b"\n")
            if time.monotonic() - self._drawn_at > REDRAW_INTERVAL:
                self._draw()

    def _draw(self) -> None:
        if not self._is_drawn or not self._at_line_start or self._over.is_set():
            return
        self._drawn_at = time.monotonic()
        new = self._done - self._earlier
        rate = new / max(1e-6, self._drawn_at - self._started_at)
        text = line(self._done, self._total, self._failed, rate, _columns()).encode(sys.stderr.encoding, "replace")
        if text != self._drawn:
            self._to_stderr(ERASE_LINE + text)
            self._drawn = text

    def _take_back(self) -> None:
        if self._drawn:
            self._to_stderr(ERASE_LINE)
            self._drawn = b""

    @staticmethod
    def _to_stderr(data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()

    def _redraw_again_and_again(self) -> None:
        while not self._over.wait(REDRAW_INTERVAL):
            with self._lock:
                self._draw()


def line(done: int, total: int | None, failed: int, rate: float, columns: int) -> str:
    """What it says, as wide as the terminal allows: the bar gives way first. `rate`: jobs that end per second."""
    words = [f"{done}/{'?' if total is None else total}", f"{failed} failed", f"{rate:,.1f}/s"]
    if total is not None and done < total and rate:
        words.append(f"{duration(round((total - done) / rate))} left")
    text = "  ".join(words)
    cells = min(BAR_CELLS, columns - 3 - len(text))
    if total and cells > BAR_CELLS // 3:
        full = cells * done // total
        text = f"[{'#' * full}{'-' * (cells - full)}] {text}"
    return text[: columns - 1]


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS


def can_take_back(is_terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether a line can be drawn over: not where the terminal is a log (of a CI job) or a typewriter."""
    return is_terminal and environment.get("TERM", "dumb") not in {"", "dumb", "unknown"} and not environment.get("CI")
