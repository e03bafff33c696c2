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
from penstock.worker.slot_handle import SlotHandle
from penstock.worker.slot_starts import Starts

EXIT_TIME = 2.0
"""Seconds that exit handlers of user code have at the end of a slot."""

Inputs = list[Input]


class Hooks(NamedTuple):
    """What the host does with a slot: take in all that it has said, the same when its socket says so, keep what its
    jobs print, and, once it is gone, take what it had not sent."""

    read: Callable[[SlotHandle], Inputs]
    on_socket: Callable[[SlotHandle], Inputs]
    watch: Callable[[SlotHandle], None]
    take_saved: Callable[[SlotHandle], Inputs]


class Lives:
    """Of the slots 0 ... `slots` - 1, a process of which runs `jobs` at most (0: any number); `later` calls back after
    so many seconds."""

    def __init__(
        self,
        slots: int,
        worker: str,
        jobs: int,
        selector: selectors.BaseSelector,
        later: Callable[[float, Callable[[], Inputs]], None],
        hooks: Hooks,
    ) -> None:
        self._slots = slots
        self._worker, self._jobs = worker, jobs
        self._selector = selector
        self._later = later
        self._hooks = hooks
        self.spools: list[tuple[Spool, Spool]] = [(Spool(), Spool()) for _ in range(slots)]
        """Of each slot: what its jobs print and is not yet delivered outlives its process."""
        self._numbers = count(1)
        self._starts = Starts()
        self._coroner = Coroner()
        self.server: ServerProcess | None = None
        """None: it cannot be started just now."""
        self.handles: dict[int, SlotHandle] = {}
        self._closing = False

    def is_well(self, handle: SlotHandle) -> None:
        """Its process waits for pieces."""
        self._starts.went_well(handle.number)

    def end(self, handle: SlotHandle, grace: float, *, spare: bool) -> None:
        """SIGTERM for it and all that it started, SIGKILL after the grace; `spare`: none for the slot itself."""
        self._order(Order(END, handle.number, handle.life, int(spare), grace))

    def unregister(self, file: int | socket.socket) -> None:
        """Do not poll it any more, if it was."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(file)

    def start(self) -> Inputs:
        """Start the fork server and all slots; what is to be said of it."""
        if self._closing:
            return []
        try:
            self.server = ServerProcess(self._slots, self._worker, self._jobs)
        except (OSError, ConfigError) as error:
            return self._start_later(f"its fork server cannot be started: {error}")
        self._selector.register(self.server.control, selectors.EVENT_READ, self._on_control)
        return [event for slot in range(self._slots) for event in self._spawn(slot)]

    def _start_later(self, cause: str) -> Inputs:
        slots = range(self._slots)
        inputs: Inputs = [event for slot in slots for event in self._starts.failed(slot, cause)]
        self._later(self._starts.delay(*slots), self.start)
        return inputs

    def replace(self, handle: SlotHandle, user: str) -> SlotHandle | None:
        """An idle slot's process makes room for one of another tenant."""
        self._remove(handle)
        self.dismiss(handle)
        handle.close()
        self._spawn(handle.number, user)
        return self.handles.get(handle.number)

    def dismiss(self, handle: SlotHandle) -> None:
        """It may go: it sees that nothing comes any more."""
        handle.stream.hang_up()
        self._order(Order(DISMISS, handle.number, handle.life, grace=EXIT_TIME))

    def _spawn(self, slot: int, user: str = "") -> Inputs:
        if slot in self.handles or self.server is None or self._closing:
            return []
        try:
            handle = SlotHandle(slot, next(self._numbers), self.spools[slot], user)
        except OSError as error:  # no file descriptors left
            return self._spawn_later(slot, str(error))
        self._order(Order(SPAWN, slot, handle.life, user=user.encode()), handle.files())
        handle.close_files()
        self.handles[slot] = handle
        self._selector.register(handle.stream.socket, selectors.EVENT_READ, lambda: self._hooks.on_socket(handle))
        self._hooks.watch(handle)
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
        handle = self.handles.get(exit_.slot)
        if handle is None or handle.life != exit_.life:
            return []
        if (cause := CAUSES.get(exit_.status)) is not None:
            return self._bury(handle, cause, survivor=exit_.left)
        code = os.waitstatus_to_exitcode(exit_.status)
        return self._bury(handle, self._coroner.cause(exit_.status), code, survivor=exit_.left)

    def _on_server_lost(self) -> Inputs:
        """The fork server is gone; the kernel ends its slots, the rest is found by the token."""
        code = self._close_server()
        cause = "its fork server was killed" if code <= 0 else f"its fork server ended with exit code {code}"
        handles = list(self.handles.values())
        inputs: Inputs = [event for handle in handles for event in self._bury(handle, cause, replace=False)]
        return inputs + (self.start() if any(handle.is_ready for handle in handles) else self._start_later(cause))

    def _bury(
        self, handle: SlotHandle, cause: str, exitcode: int | None = None, *, replace: bool = True, survivor: int = 0
    ) -> Inputs:
        """Say what became of the pieces of a dead slot and replace it; `survivor`: a process that it leaves behind."""
        inputs = [*self._hooks.read(handle), *self._hooks.take_saved(handle)]
        cause = handle.unfit or cause
        if handle.tenant.user and not handle.is_ready:
            # it would not come up the next time either
            inputs += handle.refuse_all(f"no slot can be started as user {handle.tenant.user}: {cause}")
        running = handle.ended.running if handle.ended else handle.running()
        if running is not None and running.piece not in handle.pieces:
            running = None  # it came to its end, too
        self._remove(handle)
        if handle.is_ready or handle.pieces:
            inputs.append(handle.death(running, cause, exitcode, survivor))
        left = [piece for piece in handle.pieces if running is None or piece != running.piece]
        inputs += [PieceDone(handle.number, piece, (), b"") for piece in left]
        handle.close()
        if replace and (handle.is_ready or handle.tenant.user):
            self._later(0, lambda: self._spawn(handle.number))
        elif replace:
            inputs += self._spawn_later(handle.number, cause)
        return inputs

    def _remove(self, handle: SlotHandle) -> None:
        for file in (handle.stream.socket, *handle.readers):
            self.unregister(file)
        del self.handles[handle.number]

    def begin_to_close(self) -> list[SlotHandle]:
        """No slot is replaced from now on, and those that run nothing may go; returns the others."""
        self._closing = True
        if self.server is None:
            self.close()
        busy = []
        for handle in list(self.handles.values()):
            if handle.ended or handle.pieces:
                busy.append(handle)
            elif handle.is_ready:
                self.dismiss(handle)
            else:
                self.end(handle, 0, spare=False)
        return busy

    def close(self) -> None:
        """End what is left of them; nothing stays, no process and no file."""
        self._close_server()
        for handle in list(self.handles.values()):
            self._remove(handle)
            handle.close()
        for spool in (spool for pair in self.spools for spool in pair):
            spool.close()

    def _close_server(self) -> int:
        """Returns its exit code."""
        server, self.server = self.server, None
        if server is None:
            return 0
        self.unregister(server.control)
        return server.close()
