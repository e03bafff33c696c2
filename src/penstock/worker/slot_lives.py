"""The lives of a host's slots: how they begin, are replaced, end, and what is said of those that end by themselves.

Promises:

1. A slot that died is replaced at once; one that cannot be started is tried again, ever more rarely, and that is said.
2. The same of the fork server, of which they come.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from penstock.errors import ConfigError
from penstock.slot.fork_server import CAUSES, DISMISS, END, SPAWN, Order
from penstock.slot.output_spool import Spool
from penstock.slot.process_tree import Coroner
from penstock.station.contract import Input
from penstock.worker.contract import PieceDone
from penstock.worker.fork_server_handle import ServerProcess
from penstock.worker.slot_handle import Seat
from penstock.worker.slot_starts import Starts

EXIT_TIME = 2.0
"""Seconds that exit handlers of user code have at the end of a slot."""

Inputs = list[Input]


class Hooks(NamedTuple):
    """What the host does with a seat: take in all that its slot has said, the same when its socket says so, and keep
    what its jobs print."""

    read: Callable[[Seat], Inputs]
    on_socket: Callable[[Seat], Inputs]
    watch: Callable[[Seat], None]


class Lives:
    """Of the slots 0 ... `slots` - 1; `later` calls back after so many seconds."""

    def __init__(
        self,
        slots: int,
        worker: str,
        selector: selectors.BaseSelector,
        later: Callable[[float, Callable[[], Inputs]], None],
        hooks: Hooks,
    ) -> None:
        self._slots = slots
        self._worker = worker
        self._selector = selector
        self._later = later
        self._hooks = hooks
        self.spools = [(Spool(), Spool()) for _ in range(slots)]
        """Of each slot: what its jobs print and is not yet delivered outlives its process."""
        self._numbers = count(1)
        self._starts = Starts()
        self._coroner = Coroner()
        self.server: ServerProcess | None = None
        """None: it cannot be started just now."""
        self.seats: dict[int, Seat] = {}
        self._closing = False

    def is_well(self, seat: Seat) -> None:
        """Its process waits for pieces."""
        self._starts.went_well(seat.number)

    def end(self, seat: Seat, grace: float, *, spare: bool) -> None:
        """SIGTERM for it and all that it started, SIGKILL after the grace; `spare`: none for the slot itself."""
        self._order(Order(END, seat.number, seat.life, int(spare), grace))

    def unregister(self, file: int | socket.socket) -> None:
        """Do not poll it any more, if it was."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(file)

    def start(self) -> Inputs:
        """Start the fork server and all slots; what is to be said of it."""
        if self._closing:
            return []
        try:
            self.server = ServerProcess(self._slots, self._worker)
        except (OSError, ConfigError) as error:
            return self._start_later(f"its fork server cannot be started: {error}")
        self._selector.register(self.server.control, selectors.EVENT_READ, self._on_control)
        return [event for slot in range(self._slots) for event in self._spawn(slot)]

    def _start_later(self, cause: str) -> Inputs:
        slots = range(self._slots)
        inputs: Inputs = [event for slot in slots for event in self._starts.failed(slot, cause)]
        self._later(self._starts.delay(*slots), self.start)
        return inputs

    def replace(self, seat: Seat, user: str) -> Seat | None:
        """An idle slot's process makes room for one of another tenant."""
        self._remove(seat)
        self.dismiss(seat)
        seat.close()
        self._spawn(seat.number, user)
        return self.seats.get(seat.number)

    def dismiss(self, seat: Seat) -> None:
        """It may go: it sees that nothing comes any more."""
        seat.stream.hang_up()
        self._order(Order(DISMISS, seat.number, seat.life, grace=EXIT_TIME))

    def _spawn(self, slot: int, user: str = "") -> Inputs:
        if slot in self.seats or self.server is None or self._closing:
            return []
        try:
            seat = Seat(slot, next(self._numbers), self.spools[slot], user)
        except OSError as error:  # no file descriptors left
            return self._spawn_later(slot, str(error))
        self._order(Order(SPAWN, slot, seat.life, user=user.encode()), seat.files())
        seat.close_files()
        self.seats[slot] = seat
        self._selector.register(seat.stream.socket, selectors.EVENT_READ, lambda: self._hooks.on_socket(seat))
        self._hooks.watch(seat)
        return []

    def _spawn_later(self, slot: int, cause: str) -> Inputs:
        inputs: Inputs = [*self._starts.failed(slot, cause)]
        self._later(self._starts.delay(slot), lambda: self._spawn(slot))
        return inputs

    def _order(self, order: Order, files: Sequence[int] = ()) -> None:
        if self.server is not None:
            self.server.order(order, files)

    def _on_control(self) -> Inputs:
        exit_ = self.server.next_exit() if self.server is not None else None
        if exit_ is None:
            return self._on_server_lost()
        seat = self.seats.get(exit_.slot)
        if seat is None or seat.life != exit_.life:
            return []
        if (cause := CAUSES.get(exit_.status)) is not None:
            return self._bury(seat, cause)
        return self._bury(seat, self._coroner.cause(exit_.status), os.waitstatus_to_exitcode(exit_.status))

    def _on_server_lost(self) -> Inputs:
        """The fork server is gone; the kernel ends its slots, the rest is found by the token."""
        code = self._close_server()
        cause = "its fork server was killed" if code <= 0 else f"its fork server ended with exit code {code}"
        seats = list(self.seats.values())
        inputs: Inputs = [event for seat in seats for event in self._bury(seat, cause, replace=False)]
        return inputs + (self.start() if any(seat.is_ready for seat in seats) else self._start_later(cause))

    def _bury(self, seat: Seat, cause: str, exitcode: int | None = None, *, replace: bool = True) -> Inputs:
        """Say what became of the pieces of a dead slot and replace it."""
        inputs = self._hooks.read(seat)
        cause = seat.unfit or cause
        if seat.tenant.user and not seat.is_ready:
            # it would not come up the next time either
            inputs += seat.refuse_all(f"no slot can be started as user {seat.tenant.user}: {cause}")
        running = seat.ended.running if seat.ended else seat.running()
        self._remove(seat)
        if seat.is_ready or seat.pieces:
            inputs.append(seat.death(running, cause, exitcode))
        left = [piece for piece in seat.pieces if running is None or piece != running.piece]
        inputs += [PieceDone(seat.number, piece, (), b"") for piece in left]
        seat.close()
        if replace and (seat.is_ready or seat.tenant.user):
            self._later(0, lambda: self._spawn(seat.number))
        elif replace:
            inputs += self._spawn_later(seat.number, cause)
        return inputs

    def _remove(self, seat: Seat) -> None:
        for file in (seat.stream.socket, *seat.readers):
            self.unregister(file)
        del self.seats[seat.number]

    def begin_to_close(self) -> list[Seat]:
        """No slot is replaced from now on, and those that run nothing may go; returns the others."""
        self._closing = True
        if self.server is None:
            self.close()
        busy = []
        for seat in list(self.seats.values()):
            if seat.ended or seat.pieces:
                busy.append(seat)
            elif seat.is_ready:
                self.dismiss(seat)
            else:
                self.end(seat, 0, spare=False)
        return busy

    def close(self) -> None:
        """End what is left of them; nothing stays, no process and no file."""
        self._close_server()
        for seat in list(self.seats.values()):
            self._remove(seat)
            seat.close()
        for spool in (spool for pair in self.spools for spool in pair):
            spool.close()

    def _close_server(self) -> int:
        """Returns its exit code."""
        server, self.server = self.server, None
        if server is None:
            return 0
        self.unregister(server.control)
        return server.close()
