"""The agent's side of its slots: one SlotHost, used from one poll loop, that never blocks.

It starts a fork server (slot/fork_server.py), asks it for slots, feeds them pieces and turns what happens to them into
inputs of the core. What it promises:

1. Each piece comes back exactly once: as PieceDone, or within the SlotDied of the slot that ran it; what had ended of
   it by then comes before, as a PieceDone that goes on. Of a slot that died, SlotDied comes first, then a PieceDone
   with nothing for each piece that was only queued on it.
2. A slot that died is replaced; SlotReady says so. So is one that a job has used up; SlotRetires says it before.
   Where none can be started, again and again, SlotUnfit says why.
   One that speaks nonsense, or whose descriptors a job has closed, is ended: the job that ran is dead of it. One that
   does not take its orders is ended, and nobody is dead of it.
3. A function or a chunk is sent to a slot only if the slot does not have it.
4. After PieceCut the slot starts none of the piece's jobs from `stop` on; it may stop one earlier.
5. From the time told to `allow` on slots start nothing; what they were given comes back as far as it was run.
6. When the agent dies, however, no slot and nothing that jobs started stays.
7. A slot that is not needed any more, and runs nothing, has EXIT_TIME for its exit handlers.
"""

from __future__ import annotations

import heapq
import select
import selectors
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from penstock.job.spans import Span
from penstock.job.spec import JobState
from penstock.job.spooled_output import Segments, Spooled
from penstock.slot.output_spool import free_all, read_at
from penstock.slot.process_tree import is_leaving
from penstock.slot.protocol import CUT_DELAY, ENDED, MEDDLING, NO_LIMIT, UNTIL, Done, Ready, Retires, Running, Unfit
from penstock.slot.run_as_user import check_users, refusal
from penstock.station import clock
from penstock.station.config import TERM_GRACE
from penstock.station.contract import Bytes, Input
from penstock.worker.contract import PieceCut, PieceDone, Run, SlotReady, SlotRetires, StackSeen
from penstock.worker.output_notes import noted_all
from penstock.worker.output_pump import OutputPump
from penstock.worker.slot_checks import nonsense
from penstock.worker.slot_handle import NANOSECONDS, Ended, SlotHandle, refused
from penstock.worker.slot_lives import EXIT_TIME, Hooks, Lives
from penstock.worker.slot_stacks import StackReader

FREE_BYTES = 1 << 16
"""Arguments of that size are freed at once; others with the next piece: a slot is not woken for them."""
DEAF_TIME = 15.0
"""Seconds after which a slot that idles although it has orders is replaced: a job has read them."""
LAST_TIME = 3.0
"""Seconds beyond their grace in which killed processes are gone: what the fork server waits for them, and a margin."""

LASTING = 0.05
"""Seconds after which a piece that was cut is not left to its slot: most are over by then."""

Inputs = list[Input]


class Ending(NamedTuple):
    """What is to end, and why: a slot that runs this piece (None: whatever), in it one of these jobs (None: any)."""

    piece: int | None
    spans: Sequence[Span] | None
    grace: float
    state: JobState
    cause: str

    def is_meant(self, running: Running) -> bool:
        """Whether that is what the slot does."""
        if running.piece != self.piece:
            return False
        stop = running.index + running.unit
        return self.spans is None or any(low < stop and running.index < high for low, high in self.spans)


class SlotHost:
    """The slots 0 ... `slots` - 1 of the worker called `worker_name`; jobs may run as one of `users`.

    Poll `filenos()`, call `receive` when one is readable, and `tick` at `next_wakeup()`; times are those of the loop's
    clock (CLOCK_BOOTTIME).
    """

    def __init__(
        self,
        slots: int,
        worker_name: str,
        users: Sequence[str] = (),
        *,
        grace: float = TERM_GRACE,
        jobs_per_slot: int = 0,
    ) -> None:
        """`grace`: between SIGTERM and SIGKILL for what is ended here. `jobs_per_slot`: how many a slot's process runs
        at most (0: any number). ConfigError: this process cannot become those users."""
        check_users(users)
        self._grace = grace
        self._worker = worker_name
        self._users = users
        self._until = NO_LIMIT
        self._order = count()
        self._timers: list[tuple[float, int, Callable[[], Inputs]]] = []
        self._selector = selectors.DefaultSelector()
        self._stacks = StackReader(self._later)
        self._pump = OutputPump(self._selector, self._is_alive, self._later)
        self._lives = Lives(
            slots,
            worker_name,
            jobs_per_slot,
            self._selector,
            self._later,
            Hooks(self._read, self._on_socket, self._watch, self._take_saved),
        )
        failed = self._lives.start()
        self._later(0, lambda: failed)

    def _watch(self, handle: SlotHandle) -> None:
        handle.page.cells[UNTIL] = self._until
        self._pump.watch(handle)

    # ------------------------------------------------------------------------------------------- the agent's loop

    def filenos(self) -> list[int]:
        """What to poll for reading; it never changes."""
        return [self._selector.fileno()]

    def receive(self, fd: int) -> Inputs:  # noqa: ARG002 - there is but one
        """Handle whatever is ready."""
        inputs: Inputs = []
        for key, _ in self._selector.select(0):
            inputs += key.data()
        return inputs

    def tick(self, now: float) -> Inputs:
        """Handle what is due."""
        inputs: Inputs = []
        while self._timers and self._timers[0][0] <= now:
            inputs += heapq.heappop(self._timers)[2]()
        for handle in self._lives.handles.values():
            if (left := handle.time_left()) is not None and left <= 0:
                inputs += self._read(handle)  # what it has said is no longer what it runs
                if (over := handle.overdue()) is not None:
                    self._end(handle, over.running, self._grace, over.state, over.cause)
            if (idle := handle.idle_with_orders()) is not None and idle >= DEAF_TIME:
                # nobody's fault as far as is known: what it was to run is run elsewhere
                self._end(handle, None, 0, JobState.DEAD, "it did not take its orders")
        return inputs

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do."""
        now = clock.now()
        times = [now + left for handle in self._lives.handles.values() if (left := handle.time_left()) is not None]
        handles = self._lives.handles.values()
        times += [now + DEAF_TIME - idle for handle in handles if (idle := handle.idle_with_orders()) is not None]
        times += [due for due, _, _ in self._timers[:1]]
        return min(times, default=None)

    def _later(self, delay: float, callback: Callable[[], Inputs]) -> None:
        heapq.heappush(self._timers, (clock.now() + delay, next(self._order), callback))

    # ------------------------------------------------------------------------------------------------- pieces

    def run(self, order: Run, code: Bytes, arguments: Bytes) -> None:
        """Queue a piece on its slot, with the batch's function and the arguments of the lease's chunk. While the slot
        has pieces, its tenant must admit further ones."""
        tenant = order.head.spec.tenant
        if cause := refusal(tenant.user, self._users, self._worker):
            self._later(0, lambda: [refused(order, cause)])
            return
        handle = self._lives.handles.get(order.slot)
        if handle is not None and not handle.tenant.admits(tenant):
            handle = self._lives.replace(handle, tenant.user)
        if handle is None:
            self._later(0, lambda: [PieceDone(order.slot, order.piece, (), b"")])
        else:
            handle.run(order, code, arguments)
            self._flush(handle)

    def allow(self, until: float) -> None:
        """Let slots start jobs until then, also if this process stands still meanwhile."""
        self._until = int(until * NANOSECONDS)
        for handle in self._lives.handles.values():
            handle.page.cells[UNTIL] = self._until

    def free(self, lease: int) -> None:
        """The slots need the lease's arguments no longer."""
        for handle in self._lives.handles.values():
            if handle.free(lease) >= FREE_BYTES:
                self._flush(handle)

    def cut(self, slot: int, piece: int) -> None:
        """Let the slot stop the piece after what runs of it; comes back as PieceCut, unless the piece does first.

        Said again it changes nothing.
        """
        handle = self._lives.handles.get(slot)
        if handle is None or piece not in handle.pieces or piece in handle.cuts or handle.ended:
            return
        handle.cuts[piece] = NO_LIMIT
        limit = handle.hold_back(piece, handle.running())
        self._later(CUT_DELAY, lambda: self._settle_cut(handle, piece, limit))

    def _settle_cut(self, handle: SlotHandle, piece: int, limit: int) -> Inputs:
        if not self._is_alive(handle):
            return []
        running = handle.running()
        inputs = self._read(handle)
        if piece not in handle.pieces or handle.ended:
            return inputs
        if running is not None and running.piece == piece:
            limit = min(max(limit, running.index + running.unit), handle.pieces[piece].stop)
        handle.settle_cut(piece, limit)
        self._later(LASTING, lambda: self._take_from(handle, piece))
        return [*inputs, PieceCut(handle.number, piece, limit)]

    def _take_from(self, handle: SlotHandle, piece: int) -> Inputs:
        """What has ended of a piece that was cut need not wait for the job that runs."""
        if not self._is_alive(handle) or piece != next(iter(handle.pieces), 0):
            return []
        return [*self._read(handle), *self._take_saved(handle)]

    def end(
        self,
        slot: int,
        piece: int | None,
        grace: float,
        state: JobState,
        cause: str,
        spans: Sequence[Span] | None = None,
    ) -> None:
        """End a slot's process tree: SIGTERM, `grace` seconds, SIGKILL; comes back as SlotDied with state and cause.

        With a piece: only if the slot runs that piece, and in it one of the jobs of `spans` (None: any); if it has not
        begun it, it never will, and the piece comes back as PieceDone with nothing.
        """
        handle = self._lives.handles.get(slot)
        if handle is None or handle.ended or (piece is not None and piece not in handle.pieces):
            return
        ended = Ending(piece, spans, grace, state, cause)
        running = handle.running()
        if piece is not None and (running is None or running.piece != piece):
            handle.hold_back(piece, running)
            self._later(CUT_DELAY, lambda: self._end_if_begun(handle, ended))
        else:
            self._later(0, lambda: self._end_if_begun(handle, ended))

    def _end_if_begun(self, handle: SlotHandle, ending: Ending) -> Inputs:
        if not self._is_alive(handle) or handle.ended:
            return []
        inputs = self._read(handle)  # what it has said is no longer what it runs
        running = handle.running()
        if not handle.ended and (ending.piece is None or (running is not None and ending.is_meant(running))):
            self._end(handle, running, ending.grace, ending.state, ending.cause)
        return inputs

    def _end(self, handle: SlotHandle, running: Running | None, grace: float, state: JobState, cause: str) -> None:
        for piece in handle.pieces:
            handle.hold_back(piece, running)
        handle.ended = Ended(state, cause, running)
        handle.page.cells[ENDED] = 1
        # a command's slot waits for the command, which may need its grace
        spare = running is not None and handle.pieces[running.piece].head.spec.kind == "command"
        self._lives.end(handle, grace, spare=spare)

    def _flush(self, handle: SlotHandle) -> None:
        if handle.stream.is_gone:
            return
        handle.stream.flush()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if handle.stream.wants_write else 0)
        if self._selector.get_key(handle.stream.socket).events != events:
            self._selector.modify(handle.stream.socket, events, lambda: self._on_socket(handle))

    def look_at_stack(self, number: int, batch: bytes, index: int) -> None:
        """See where this job is; comes back as StackSeen with this number."""
        for handle in self._lives.handles.values():
            if (running := handle.running()) is not None and running.index <= index < running.index + running.unit:
                head = handle.pieces[running.piece].head
                if head.batch == batch:
                    self._stacks.read(number, handle.pid, is_command=head.spec.kind == "command")
                    return
        self._later(0, lambda: [StackSeen(number, "")])

    # --------------------------------------------------------------------------------------- what jobs printed

    def read_output(self, slot: int, stream: int, output: Segments, position: int, size: int) -> bytes:
        """So many bytes of what a job of this slot wrote, from `position` on."""
        return read_at(self._lives.spools[slot][stream], output, position, size)

    def free_output(self, slot: int, output: Spooled) -> None:
        """It is wanted no more."""
        for spool, segments in zip(self._lives.spools[slot], output, strict=True):
            free_all(spool, segments)

    # ------------------------------------------------------------------------------------------- what slots say

    def _on_socket(self, handle: SlotHandle) -> Inputs:
        if not self._is_alive(handle):
            return []
        if handle.stream.wants_write:
            self._flush(handle)
        return self._read(handle)

    def _read(self, handle: SlotHandle) -> Inputs:
        inputs: Inputs = []
        for message, payload in handle.stream.receive():
            if why := nonsense(message, len(payload), handle):
                handle.stream.nonsense = why
                break
            match message:
                case Done():
                    inputs += self._on_done(handle, message, payload)
                case Ready(pid):
                    handle.ready(pid)
                    self._lives.is_well(handle)
                    inputs.append(SlotReady(handle.number))
                case Unfit(reason):
                    handle.unfit = reason
                case Retires(reason):
                    handle.retires = reason or "it was used up"
                    inputs.append(SlotRetires(handle.number, reason))
        if handle.stream.nonsense:
            self._leave_socket(handle)
            self._on_meddling(handle, handle.stream.nonsense)
        elif handle.stream.is_gone:
            self._leave_socket(handle)
            self._on_hang_up(handle)
        return inputs

    def _leave_socket(self, handle: SlotHandle) -> None:
        """The fork server will report the exit; until then the socket would be readable for ever."""
        handle.stream.is_gone = True
        self._lives.unregister(handle.stream.socket)

    def _on_hang_up(self, handle: SlotHandle) -> None:
        if handle.ended:
            return
        if handle.running() is None or is_leaving(handle.pid):
            self._lives.dismiss(handle)
        else:
            self._on_meddling(handle, "its socket is closed")

    def _on_meddling(self, handle: SlotHandle, what: str) -> None:
        """The slot is no use any more, and what it runs is the culprit; if nothing does as far as is known, what would
        be next: whoever wrote to the socket may have written to the page as well."""
        if not handle.ended:
            self._end(handle, handle.running() or handle.next_running(), 0, JobState.DEAD, f"{MEDDLING}: {what}")

    def _on_done(self, handle: SlotHandle, message: Done, payload: Bytes) -> Inputs:
        running = handle.ended.running if handle.ended else None
        if running is not None and running.piece == message.piece and not message.goes_on:
            # what it was ended for is over, within the grace: nothing is left to wait for
            self._lives.end(handle, 0, spare=False)
            last = message.ran[-1:]
            if [ran.start for ran in last] == [handle.culprit(message.piece)]:
                # that has its outcome already, but what it wrote then was its last; what came before is as it is said
                handle.last_words = last[0].output()
                message = Done(message.piece, message.ran[:-1], goes_on=True)
                payload = memoryview(payload)[: len(payload) - last[0].size]
        message, payload = handle.news(message, payload)
        return [self._came_back(handle, message, payload)] if message.ran or not message.goes_on else []

    def _came_back(self, handle: SlotHandle, message: Done, payload: Bytes) -> PieceDone:
        bound = handle.pieces[message.piece].head.spec.keep_output
        if not message.goes_on:
            handle.done(message.piece)
        ran = noted_all(message.ran, handle.spools, bound)
        return PieceDone(handle.number, message.piece, ran, payload, message.goes_on)

    def _take_saved(self, handle: SlotHandle) -> Inputs:
        """What has ended in a slot that has not said so: it is gone, or what runs lasts."""
        found = handle.saved()
        return [self._came_back(handle, *found)] if found is not None else []

    def _is_alive(self, handle: SlotHandle) -> bool:
        return self._lives.handles.get(handle.number) is handle

    def close(self, grace: float = 0.0, hurry: Sequence[int] = ()) -> Inputs:
        """End every slot and what it started; nothing is left, no process and no file. What runs has the grace, until
        one of the files `hurry` can be read; slots that run nothing have their exit handlers run. Returns what was said
        meanwhile."""
        for handle in self._lives.begin_to_close():
            if not handle.ended:
                self._end(handle, handle.running(), grace, JobState.CANCELLED, "its worker was left")
        inputs: Inputs = []
        deadline = clock.now() + max(EXIT_TIME, grace) + LAST_TIME
        while self._lives.handles and (left := deadline - clock.now()) > 0:
            due = self.next_wakeup()
            timeout = left if due is None else min(left, max(0.0, due - clock.now()))
            ready = select.select([*self.filenos(), *hurry], (), (), timeout)[0]
            inputs += [event for fd in ready if fd not in hurry for event in self.receive(fd)]
            inputs += self.tick(clock.now())
            if any(fd in hurry for fd in ready):
                hurry = ()
                for handle in self._lives.handles.values():
                    self._lives.end(handle, 0, spare=False)
        self._lives.close()
        self._selector.close()
        return inputs
