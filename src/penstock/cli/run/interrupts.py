"""Ctrl-C, SIGTERM and SIGHUP while outcomes are shown: one that has begun to be shown is shown whole, and once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from penstock.cli.signals import TOLD_BY, Told, told


class Interrupts:
    """As a context manager it holds them back while `busy`, once; a second one comes through. Who ignores one, or has a
    handler of his own, keeps it."""

    def __init__(self) -> None:
        self._busy = False
        self._held: KeyboardInterrupt | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number, ours in ((signal.SIGINT, signal.default_int_handler), *((number, told) for number in TOLD_BY)):
            if signal.getsignal(number) is ours:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as the system calls it
        end = KeyboardInterrupt() if number == signal.SIGINT else Told(number)
        if not self._busy or self._held is not None:
            self._busy, self._held = False, None
            raise end
        self._held = end

    def hold(self) -> None:
        """From now on it waits."""
        self._busy = True

    def release(self) -> None:
        """No longer. Raises KeyboardInterrupt: it has come meanwhile."""
        self._busy = False
        if self._held is not None:
            end, self._held = self._held, None
            raise end
