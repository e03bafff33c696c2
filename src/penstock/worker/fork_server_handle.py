"""The fork server as its agent has it: started, told, asked and ended."""

from __future__ import annotations

import array
import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Sequence

import msgspec

from penstock.slot import watcher
from penstock.slot.fork_server import EXIT, ORDER, Exit, Order, Setup
from penstock.slot.own_files import open_standard_files
from penstock.slot.process_tree import is_alive, kill_all, started_at, with_variable
from penstock.station.capacity import default_slots
from penstock.station.interpreter import command, import_path

CLOSE_TIME = 10.0
"""Seconds that the fork server has to kill everything."""
OWNER_VARIABLE = "PENSTOCK_SLOT_HOST"
"""Environment variable of all that descends from a fork server: its agent's pid, when that was started, and a word."""
OWNER = re.compile(r"(\d+)-(\d+)-[0-9a-f]+")
"""What it says."""


class ServerProcess:
    """The agent's side: a fork server for so many slots of a worker, each process of which runs so many `jobs` at most.
    `process` is its watcher, a child process in a session of its own."""

    control: socket.socket

    def __init__(self, slots: int, worker: str, jobs: int = 0) -> None:
        open_standard_files()
        kill_abandoned()
        self.owner: str = f"{os.getpid()}-{started_at(os.getpid())}-{os.urandom(8).hex()}"
        self.control, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as failed:
            failed.callback(self.control.close)
            setup = Setup(theirs.fileno(), worker, import_path(), jobs)
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                command(watcher.__file__, msgspec.json.encode(setup).decode(), str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_environment(slots) | {OWNER_VARIABLE: self.owner},
            )
            failed.pop_all()

    def order(self, order: Order, files: Sequence[int] = ()) -> None:
        """Send an order and its files. If the fork server is gone, `control` tells in a moment."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        with contextlib.suppress(OSError):
            self.control.sendmsg([ORDER.pack(*order)], ancillary)

    def next_exit(self) -> Exit | None:
        """The next report, when `control` is readable; None: the fork server is gone."""
        try:
            data = self.control.recv(EXIT.size, socket.MSG_WAITALL)
        except ConnectionError:
            return None
        return Exit(*EXIT.unpack(data)) if len(data) == EXIT.size else None

    def close(self) -> int:
        """End it and all that descends from it; returns its exit code."""
        self.control.close()
        try:
            self.process.wait(CLOSE_TIME)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode:
            # it was killed before it could clear up: the kernel ends its slots, the rest is known by the variable
            kill_all([pid for pid, owner in with_variable(OWNER_VARIABLE) if owner == self.owner])
        return self.process.returncode


def kill_abandoned() -> None:
    """Kill what an agent has left here that was killed at one moment with its watcher and its fork server: its jobs may
    be about to run again."""
    for pid, owner in with_variable(OWNER_VARIABLE):
        agent = OWNER.fullmatch(owner)
        if agent is None or owner == os.environ.get(OWNER_VARIABLE):
            continue  # of another release, or what this process descends from itself
        number, started = int(agent[1]), agent[2]
        if not is_alive(number) or started_at(number) != started:
            kill_all([pid])


def _environment(slots: int) -> dict[str, str]:
    """Of the slots: numerical libraries get their share of the cores, and no key of the worker's travels to a job."""
    environment = {name: value for name, value in os.environ.items() if name != "PENSTOCK_KEY"}
    share = str(max(1, default_slots() // slots))
    return {f"{library}_NUM_THREADS": share for library in ("OMP", "MKL", "OPENBLAS")} | environment
