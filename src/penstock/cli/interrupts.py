"""Ctrl-C while outcomes are shown: one that has begun to be shown is shown whole, and once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """As a context manager it holds Ctrl-C back while `busy`, once; a second one comes through. Who ignores Ctrl-C, or
    has a handler of his own, keeps it."""

    def __init__(self) -> None:
        self._busy = False
        self._held = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as the system calls it
        if not self._busy or self._held:
            self._busy = self._held = False
            raise KeyboardInterrupt
        self._held = True

    def hold(self) -> None:
        """From now on it waits."""
        self._busy = True

    def release(self) -> None:
        """No longer. Raises KeyboardInterrupt: it has come meanwhile."""
        self._busy = False
        if self._held:
            self._held = False
            raise KeyboardInterrupt
