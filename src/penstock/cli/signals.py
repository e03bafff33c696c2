"""SIGTERM and SIGHUP (a terminal that was closed) end a command as Ctrl-C does, with what it has to clear up.

Promises:

1. They raise an exception in the main thread, so that the terminal is restored and what was begun is ended; also as
   process 1 of a container, where a signal without a handler is nothing.
2. Who ignores one (`nohup`) goes on ignoring it.
"""

from __future__ import annotations

import signal
from types import FrameType

from penstock.exit_codes import SIGNALLED

TOLD_BY = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has one


class Told(KeyboardInterrupt):
    """A signal said that this command is to end: as Ctrl-C, by somebody who will not press it twice."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def told(number: int, _: FrameType | None) -> None:
    """Handle a signal: the main thread ends what it does."""
    raise Told(number)


def adopt() -> None:
    """Handle them from now on."""
    for number in TOLD_BY:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, told)


def give_back() -> None:
    """The system's ways again: a station has handlers of its own for those that it handles."""
    for number in TOLD_BY:
        if signal.getsignal(number) is told:
            signal.signal(number, signal.SIG_DFL)


def exit_code(end: KeyboardInterrupt) -> int:
    """What the shell is told: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return SIGNALLED + (end.number if isinstance(end, Told) else signal.SIGINT)
