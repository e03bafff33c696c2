"""The fork server: a small process that makes slots and buries them.

The agent executes it before anything else, so a slot is never the fork of a process with sockets, threads or a ZeroMQ
context. Between the two is a watcher (watcher.py). It runs no user code. What it promises:

1. Each life of a slot is reported once: how it ended, after everything that came of it is gone.
2. Orphans of dead slots come to it (it is their subreaper) and are killed, unless they were given a grace. Who may not
   be, because a setuid program made it another user's, is told with the slot's report, and left alone.
3. A slot with more than PROCESS_LIMIT processes below it is ended with all of them, and the report says so; where
   there are control groups it cannot have many more. Dead ones that nobody has asked for count only where they fill
   the system's table.
4. When the agent's end of the control socket closes, however, it kills all its descendants and ends.
   Where it is killed itself, at one moment with the agent or not, the watcher does that.
5. It keeps no file of a slot, so no slot inherits another one's.

Control messages have a fixed size. An Order to SPAWN carries six files: the slot's socket, its page, the writing and
the reading ends of its pipes.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.job import private_folder, shipped_modules
from penstock.slot.own_files import OwnFiles, move_up, open_standard_files
from penstock.slot.process_limit import enter_process_limit, make_process_limit, remove_abandoned, remove_process_limit
from penstock.slot.process_tree import (
    become_subreaper,
    children,
    descendants,
    die_with_parent,
    is_alive,
    kill_all,
    kill_descendants,
    reset_signals,
)
from penstock.slot.protocol import Page, Unfit, frame
from penstock.slot.run_as_user import NAME_BYTES, become

SPAWN, END, BOMB, DISMISS = range(4)
ORDER = struct.Struct(f"<IIIId{NAME_BYTES}s")
EXIT = struct.Struct("<IIiI")
FILES = 6
NOT_STARTED, TOO_MANY = -1, -2
"""Instead of a wait status; CAUSES says why."""
PROCESS_LIMIT = 1000
"""Processes below one slot. A `make -j` has hundreds; the system's table of 32,768 is full within seconds."""
ZOMBIE_LIMIT = 8 * PROCESS_LIMIT
"""Processes below one slot, dead ones included: a quarter of the system's table."""
CAUSES = {
    NOT_STARTED: "the system has no room for another process",
    TOO_MANY: f"killed: it had more than {PROCESS_LIMIT:,} processes",
}
WATCH_INTERVAL = 0.25
"""Seconds between two counts: 2,500 forks on a fast machine."""
BURIAL_TIME = 2.0
"""Seconds that a slot's report waits for killed processes; one that hangs in the kernel must not hold it up."""
POLL_INTERVAL = 0.01
"""Seconds between looks at processes that are being ended; their exits are noticed at once."""
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The agent decides when this process ends, also where a service manager signals every process of the worker."""


class Order(NamedTuple):
    """SPAWN or END of a slot's life; BOMB is the fork server's own END. END: SIGTERM, `grace` seconds, SIGKILL; with
    `spare` the slot itself gets no SIGTERM, it waits for its command to go. DISMISS: it goes by itself, within `grace`
    seconds. SPAWN: as `user`, if one is named."""

    operation: int
    slot: int
    life: int
    spare: int = 0
    grace: float = 0.0
    user: bytes = b""


class Exit(NamedTuple):
    """The life of a slot is over, with this wait status. `left`: a process of it that may not be ended from here (0:
    none): it has become another user."""

    slot: int
    life: int
    status: int
    left: int = 0


class Setup(msgspec.Struct):
    """What a fork server is told: its control socket, the worker's name, the agent's sys.path, and how many jobs one
    process of a slot may run (0: any number)."""

    control: int
    worker: str
    path: list[str]
    jobs: int = 0


class Ending:
    """A slot being ended with a grace: who has had a SIGTERM, and when the SIGKILL is due."""

    def __init__(self, pid: int, order: Order, now: float) -> None:
        self.pid = pid
        self.spare: bool = bool(order.spare)
        self.deadline: float = now + order.grace
        self.told: set[int] = set()
        self.is_bomb: bool = order.operation == BOMB
        self.goes: bool = order.operation == DISMISS

    def press(self, now: float, ours: set[int]) -> None:
        """SIGTERM for all that run, once, unless it goes by itself: what they start then is their way to clear up. Past
        the deadline, SIGKILL for all. `ours` are the descendants of the fork server: a number outside of it may be a
        stranger's by now."""
        family = {*descendants(self.pid), self.pid} & ours
        if now >= self.deadline:
            kill_all(sorted(family | self.told & ours))
            return
        if self.told:
            self.told |= family  # they have their grace also when the slot is gone
        elif not self.goes:
            self.told = family - {self.pid} if self.spare else family
            terminate(self.told, self.pid)


class Burial(NamedTuple):
    """A slot whose process is gone, until all that it left behind is gone too."""

    pid: int
    exit: Exit
    deadline: float


class ForkServer:
    """One per agent; single-threaded."""

    def __init__(self, setup: Setup) -> None:
        self._worker, self._jobs = setup.worker, setup.jobs
        self._control = socket.socket(fileno=setup.control)
        self._lives: dict[int, tuple[int, int]] = {}
        self._endings: dict[int, Ending] = {}
        self._burials: list[Burial] = []
        self._left: set[int] = set()
        """Those below this process that it may not end."""
        self._process_limits: dict[tuple[int, int], Path] = {}
        remove_abandoned()
        self._watched_at = 0.0
        self._wake_out, self._wake_in = os.pipe()
        for end in (self._wake_in, self._wake_out):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> None:
        """Until the agent is gone; then nothing that came from here is left."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_out, select.POLLIN)
        try:
            while True:
                busy = self._endings or self._burials
                ready = dict(poll.poll(1000 * (POLL_INTERVAL if busy else WATCH_INTERVAL)))
                if self._control.fileno() in ready:
                    self._obey()
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_out, 4096)
                self._reap()
                self._watch(time.monotonic())
                self._press(time.monotonic())
        except (EOFError, ConnectionError):
            self._kill_everything()

    def _obey(self) -> None:
        data, files, _, _ = socket.recv_fds(self._control, ORDER.size, FILES, socket.MSG_WAITALL)
        for file in files:
            os.set_inheritable(file, False)  # files that come through a socket are: every command would have them
        if not data:
            raise EOFError
        order = Order(*ORDER.unpack(data))
        if order.operation == SPAWN:
            self._spawn(order, files)
            return
        for pid, life in self._lives.items():
            if life == (order.slot, order.life):
                self._end(pid, order, time.monotonic())

    def _end(self, pid: int, order: Order, now: float) -> None:
        if pid in self._endings:
            self._endings[pid].deadline = min(self._endings[pid].deadline, now + order.grace)
        else:
            self._endings[pid] = Ending(pid, order, now)

    def _spawn(self, order: Order, files: list[int]) -> None:
        server = os.getpid()
        process_limit = make_process_limit(order.slot, order.life, PROCESS_LIMIT)
        try:
            pid = os.fork()
        except OSError:
            self._report(Exit(order.slot, order.life, NOT_STARTED))
        else:
            if pid == 0:
                self._become_slot(order, files, server, process_limit)
            self._lives[pid] = (order.slot, order.life)
        if process_limit is not None:
            self._process_limits[order.slot, order.life] = process_limit
        for file in files:
            os.close(file)

    def _become_slot(self, order: Order, files: list[int], server: int, process_limit: Path | None) -> None:
        # loaded by main; the agent, which is here too, needs none of it
        from penstock.slot.process import run_slot  # noqa: PLC0415

        code, own = 1, None
        try:
            os.setsid()
            if process_limit is not None:
                enter_process_limit(process_limit)
            become_subreaper()
            files = [move_up(file) for file in files]
            connection, page, *pipes = files
            own = OwnFiles(connection)
            if user := order.user.rstrip(b"\0"):
                become(user.decode(), pipes)
            die_with_parent(server)  # a change of user would undo it
            signal.set_wakeup_fd(-1)
            reset_signals()
            self._control.close()
            shipped_modules.lay_out_here()
            os.close(self._wake_in)
            os.close(self._wake_out)
            agent = socket.socket(fileno=connection)
            run_slot(order.slot, self._worker, self._jobs, agent, Page(page), (*pipes,))  # type: ignore[arg-type]
            code = 0
        except ConnectionError:
            code = 0
        except BaseException as error:  # noqa: BLE001 - nothing of a slot may run on as a second fork server
            sys.excepthook(*sys.exc_info())
            with contextlib.suppress(OSError):
                if own is None or own.has_first():
                    os.write(files[0], frame(Unfit(f"{type(error).__name__}: {error}")))
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._left.discard(pid)
            if pid in self._lives:
                self._bury(pid, status, time.monotonic())

    def _watch(self, now: float) -> None:
        """End slots whose jobs start processes without end."""
        if now >= self._watched_at + WATCH_INTERVAL:
            self._watched_at = now
            for pid, life in self._lives.items():
                if is_bomb(descendants(pid)):
                    self._end(pid, Order(BOMB, *life), now)

    def _bury(self, pid: int, status: int, now: float) -> None:
        ending = self._endings.get(pid)
        status = TOO_MANY if ending and ending.is_bomb else status
        since = max(now, ending.deadline) if ending else now
        self._burials.append(Burial(pid, Exit(*self._lives.pop(pid), status), since + BURIAL_TIME))

    def _press(self, now: float) -> None:
        """Go on with what is being ended, kill orphans, and report the lives that are over."""
        if not self._endings and not self._burials:
            return
        ours = set(descendants(os.getpid()))
        for pid, ending in list(self._endings.items()):
            ending.press(now, ours)
            if pid not in self._lives and not ending.told & ours - self._left:
                del self._endings[pid]
        told = {pid for ending in self._endings.values() for pid in ending.told}
        tolerated = self._lives.keys() | told | self._left
        orphans = [pid for pid in children(os.getpid()) if pid not in tolerated]
        for orphan in orphans:
            kill_all([*descendants(orphan), orphan])
        waiting = [b for b in self._burials if now < b.deadline and (orphans or b.pid in self._endings)]
        for burial in self._burials:
            if burial not in waiting:
                family = self._endings[burial.pid].told & ours if burial.pid in self._endings else orphans
                its = sorted(filter(is_anothers, family))
                self._left.update(its)
                self._report(burial.exit._replace(left=its[0] if its else 0))
        self._burials = waiting

    def _report(self, exit_: Exit) -> None:
        if (process_limit := self._process_limits.pop((exit_.slot, exit_.life), None)) is not None:
            remove_process_limit(process_limit)
        private_folder.remove_abandoned(Path(tempfile.gettempdir()))  # what it has laid out
        self._control.sendall(EXIT.pack(*exit_))

    def _kill_everything(self) -> None:
        kill_descendants(lambda: all(map(remove_process_limit, self._process_limits.values())))
        private_folder.remove_abandoned(Path(tempfile.gettempdir()))


def terminate(family: set[int], slot: int) -> None:
    """SIGTERM, once, to these processes: by their groups, which reaches also whom they fork just now, except for the
    slot's own group if the slot is to be spared."""
    groups: dict[int, list[int]] = {}
    for pid in sorted(family):
        with contextlib.suppress(ProcessLookupError):
            groups.setdefault(os.getpgid(pid), []).append(pid)
    for group, members in groups.items():
        if group == slot not in family:
            kill_all(members, signal.SIGTERM)
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM)


def is_anothers(pid: int) -> bool:
    """Whether this process may not send it a signal."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        pass
    return False


def is_bomb(family: list[int]) -> bool:
    """Whether these are too many processes for a slot."""
    if len(family) <= PROCESS_LIMIT:
        return False
    return len(family) > ZOMBIE_LIMIT or sum(map(is_alive, family)) > PROCESS_LIMIT


def main(setup: bytes) -> None:
    """Entry of the process; `setup` is a Setup in JSON."""
    open_standard_files()  # the agent's own do not come through exec
    become_subreaper()
    import cloudpickle  # noqa: F401, PLC0415 - shared by all slots instead of loaded by each

    import penstock.slot.process  # noqa: F401, PLC0415 - likewise

    gc.collect()
    gc.freeze()
    ForkServer(msgspec.json.decode(setup, type=Setup)).run()
