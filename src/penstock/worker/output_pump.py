"""The agent's part in keeping what jobs print: no job is ever blocked by a full pipe for long (see
slot/output_capture.py)."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from penstock.slot.output_capture import HALF_FULL
from penstock.station.contract import Input
from penstock.worker.contract import JobPrinted
from penstock.worker.slot_handle import SlotHandle

PUMP_DELAY = 0.005
"""Seconds that output may wait in a pipe before it is moved away; most jobs end sooner and keep it to themselves."""
FAST_PUMP_DELAY = 0.001
"""The same for a job that fills its pipe: 64 MB/s, and little of the agent's time."""

Inputs = list[Input]


class OutputPump:
    """Of all slots of a host; `later` calls back after so many seconds."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        is_alive: Callable[[SlotHandle], bool],
        later: Callable[[float, Callable[[], Inputs]], None],
    ) -> None:
        self._selector = selector
        self._is_alive = is_alive
        self._later = later

    def watch(self, handle: SlotHandle) -> None:
        """Move away what its jobs print, as long as it lives."""
        for reader in handle.readers:
            self._watch(handle, reader)

    def _watch(self, handle: SlotHandle, reader: int) -> None:
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._on_output(handle, reader))

    def _on_output(self, handle: SlotHandle, reader: int) -> Inputs:
        if self._is_alive(handle):
            self._selector.unregister(reader)
            self._later(FAST_PUMP_DELAY if handle.prints_fast else PUMP_DELAY, lambda: self._move(handle, reader))
        return []

    def _move(self, handle: SlotHandle, reader: int) -> Inputs:
        if self._is_alive(handle):
            moved = handle.drain.move()
            handle.prints_fast = moved is None or moved.size >= HALF_FULL
            self._watch(handle, reader)
            piece = handle.pieces.get(moved.piece) if moved is not None else None
            if moved is not None and piece is not None and piece.head.spec.live:
                return [JobPrinted(handle.number, moved.piece, moved.streams)]
        return []
