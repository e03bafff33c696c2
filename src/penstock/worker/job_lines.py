"""A line for each job as it ends, for who watches a worker (``--show-jobs``).

The agent opens nothing of a user's, so a call is named by its batch's title and a command by the words that ran. Where
nobody asked for lines, none of this is made.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import Any, NamedTuple

import msgspec

from penstock.job.command import CommandTemplate
from penstock.job.display import printable
from penstock.job.spec import JobState, job_id
from penstock.slot.protocol import Ran
from penstock.station.contract import Bytes
from penstock.wire.records import Note
from penstock.worker.contract import PieceDone, Run, SlotDied
from penstock.worker.terminal_output import TerminalOutput

WHAT_CHARS = 200
"""Of a command or a cause: a line is to be one on most screens."""

_chunk_decoder = msgspec.msgpack.Decoder(list[list[bytes]])


class JobLines:
    """Knows what each slot was given, and shows on this screen what it came to."""

    def __init__(self, screen: TerminalOutput) -> None:
        self.screen = screen
        self._given: dict[tuple[int, int], tuple[Run, Bytes, Bytes]] = {}
        """By slot and piece: with the function and the arguments."""
        self._lease = 0
        self._template: CommandTemplate | None = None
        self._arguments: list[list[bytes]] = []
        """Of the lease whose commands were told last."""

    def given(self, order: Run, code: Bytes, arguments: Bytes) -> None:
        """A slot was given this piece."""
        self._given[order.slot, order.piece] = order, code, arguments

    def ended(self, event: Any, wall_time: float) -> None:
        """Something came back from a slot."""
        if isinstance(event, PieceDone):
            self._piece_done(event, wall_time)
        elif isinstance(event, SlotDied):
            self._slot_died(event, wall_time)

    def _piece_done(self, event: PieceDone, wall_time: float) -> None:
        given = self._given.get((event.slot, event.piece))
        if not event.goes_on:
            self._given.pop((event.slot, event.piece), None)
        if given is not None:
            for ran in event.ran:
                self._show(*given, ran, wall_time)

    def _slot_died(self, event: SlotDied, wall_time: float) -> None:
        """The job it was in has ended; its other pieces are given out again."""
        given = None if event.piece is None else self._given.get((event.slot, event.piece))
        self._given = {key: other for key, other in self._given.items() if key[0] != event.slot}
        if given is not None and event.index is not None:
            note = event.note or Note(cause=event.cause)
            ran = Ran(event.index, event.index + 1, event.state, event.started_time, event.elapsed, 0, note)
            self._show(*given, ran, wall_time)

    def _show(self, order: Run, code: Bytes, arguments: Bytes, ran: Ran, wall_time: float) -> None:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_time))
        each = ran.elapsed / max(1, ran.stop - ran.start)
        cause = f" ({_plain(ran.note.cause)})" if ran.note and ran.state is not JobState.SUCCEEDED else ""
        lines = (
            f"{at}  slot {order.slot}  {job_id(order.lease.batch, index)}  {ran.state}{cause}  {each:.3f} s  "
            f"{_plain(self._what(order, code, arguments, index))}\n"
            for index in range(ran.start, ran.stop)
        )
        self.screen.show("".join(lines).encode("utf-8", "backslashreplace"))

    def _what(self, order: Run, code: Bytes, arguments: Bytes, index: int) -> str:
        spec, lease = order.head.spec, order.lease
        if spec.kind == "call":
            return spec.title or spec.name or "call"
        if self._template is None or self._lease != lease.number:
            self._lease, self._template = lease.number, CommandTemplate.decode(code)
            self._arguments = _chunk_decoder.decode(arguments)
        argv = self._template.argv(self._arguments[index - lease.first], index + 1, order.slot + 1)
        words = [os.fsdecode(word) for word in argv]
        return words[-1] if self._template.shell else shlex.join(words)


class Screens(NamedTuple):
    """Where a worker shows what its jobs do, if it was told to."""

    echoes: tuple[TerminalOutput, ...] = ()
    """For what jobs print to stdout, and to stderr."""
    job_lines: JobLines | None = None

    @property
    def waits(self) -> bool:
        """Whether something is still to be shown."""
        return any(echo.waits for echo in self._all)

    def given(self, order: Run, code: Bytes, arguments: Bytes) -> None:
        """A slot was given this piece."""
        if self.job_lines is not None:
            self.job_lines.given(order, code, arguments)

    def show(self, event: Any, wall_time: float) -> None:
        """Something came back from a slot."""
        if self.job_lines is not None:
            self.job_lines.ended(event, wall_time)
        if self.echoes and isinstance(event, PieceDone | SlotDied):
            for note in [event.note] if isinstance(event, SlotDied) else [ran.note for ran in event.ran]:
                for echo, text in zip(self.echoes, (note.stdout, note.stderr), strict=True) if note else ():
                    echo.show(text)

    def flush(self, timeout: float = 0.0) -> None:
        """Show as much as there is room for; wait for room at most `timeout` seconds at a time."""
        for echo in self._all:
            echo.flush(timeout)

    @property
    def _all(self) -> tuple[TerminalOutput, ...]:
        return self.echoes if self.job_lines is None else (*self.echoes, self.job_lines.screen)


def _plain(text: str) -> str:
    """On one line, of bounded length, and nothing in it that moves a cursor."""
    text = text[:WHAT_CHARS] + ("..." if len(text) > WHAT_CHARS else "")
    return printable(text)
