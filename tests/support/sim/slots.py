"""The slots of a virtual worker: jobs take virtual time, and what becomes of each is the world's to say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from penstock.job.spans import Span, SpanSet
from penstock.job.spec import JobState
from penstock.job.spooled_output import Segments, Spooled
from penstock.slot.protocol import Ran
from penstock.station.contract import Bytes, Input
from penstock.wire.records import Note
from penstock.worker.contract import PieceCut, PieceDone, Run, SlotDied, SlotReady, SlotUnfit, StackSeen

if TYPE_CHECKING:
    from support.sim.nodes import WorkerNode

RESTART = 0.05
"""Seconds until a slot that died is there again."""
SPAWN = 0.001
"""Seconds until it is known that a program is not there."""


class Slot:
    """One slot: pieces one after the other, one event for each job."""

    def __init__(self) -> None:
        self.queue: list[Run] = []
        self.limits: dict[int, int] = {}
        """Where pieces that were cut end."""
        self.life = 0
        self.index: int | None = None
        """The job that runs."""
        self.done: list[int] = []


class VirtualSlots:
    """All slots of a worker: penstock.worker.slots.Slots in virtual time. They stand still with their worker."""

    def __init__(self, node: WorkerNode, count: int) -> None:
        self.node = node
        self.slots: dict[int, Slot] = {number: self.slot() for number in range(count)}
        self._said: list[Input] = [SlotReady(number) for number in self.slots]

    def slot(self) -> Slot:
        """A new one."""
        return Slot()

    def say(self, event: Input) -> None:
        """The worker hears of it in its next turn."""
        self._said.append(event)
        self.node.network.wake(self.node)

    # ------------------------------------------------------------------------------------------ the worker's side

    def filenos(self) -> list[int]:
        """Their worker is woken without."""
        return []

    def receive(self, fd: int) -> list[Input]:
        """Never called: there are no files."""
        raise AssertionError(fd)

    def tick(self, now: float) -> list[Input]:  # noqa: ARG002 - what is due has come by itself
        """What has been said."""
        said, self._said = self._said, []
        return said

    def next_wakeup(self) -> float | None:
        """Their worker is woken when something is said."""
        return None

    def run(self, order: Run, code: Bytes, arguments: Bytes) -> None:  # noqa: ARG002
        """Queue jobs on a slot."""
        self.node.before_effect()
        self.slots[order.slot].queue.append(order)
        if len(self.slots[order.slot].queue) == 1:
            self.begin(order.slot)

    def allow(self, until: float) -> None:
        """They stand still with their worker, so they never run on without it."""

    def free(self, lease: int) -> None:
        """A piece has its work until it ends."""

    def cut(self, slot: int, piece: int) -> None:
        """End a piece after the job that runs."""
        self.node.before_effect()
        one = self.slots[slot]
        for place, queued in enumerate(one.queue):
            if queued.piece == piece:
                stop = one.index + 1 if place == 0 and one.index is not None else queued.start
                one.limits[piece] = stop
                self.say(PieceCut(slot, piece, stop))

    def end(
        self,
        slot: int,
        piece: int,
        grace: float,  # noqa: ARG002
        state: JobState,
        cause: str,
        spans: Sequence[Span],
    ) -> None:
        """End a slot, if it runs one of these jobs of the piece."""
        self.node.before_effect()
        one = self.slots[slot]
        if one.queue and one.queue[0].piece == piece and self.index(one) in SpanSet(spans):
            self.die(slot, state, cause)

    def index(self, slot: Slot) -> int:
        """The job that it runs."""
        return -1 if slot.index is None else slot.index

    def look_at_stack(self, number: int, batch: bytes, index: int) -> None:
        """Jobs have no stacks here; whether this one runs is told."""
        runs = [slot.queue[0].head.batch == batch and slot.index == index for slot in self.slots.values() if slot.queue]
        self.say(StackSeen(number, "it runs" if any(runs) else ""))

    def read_output(self, slot: int, stream: int, output: Segments, position: int, size: int) -> bytes:
        """Jobs print nothing here."""
        raise AssertionError(slot, stream, output, position, size)

    def free_output(self, slot: int, output: Spooled) -> None:
        """Jobs print nothing here."""
        raise AssertionError(slot, output)

    def close(self, grace: float = 0.0, hurry: Sequence[int] = ()) -> list[Input]:
        """Never called: a node that leaves is stopped."""
        raise AssertionError(grace, hurry)

    # ------------------------------------------------------------------------------------------ jobs

    def kill(self) -> None:
        """Their worker was killed."""
        for slot in self.slots.values():
            slot.life += 1
        for jobs in self.node.world.running.values():
            jobs -= {job for job in jobs if job[0] == self.node.name}

    def begin(self, number: int) -> None:
        """Run the first piece of the queue."""
        self.slots[number].done = []
        self._step(number, self.slots[number].queue[0].start)

    def _step(self, number: int, index: int) -> None:
        slot, world = self.slots[number], self.node.world
        piece = slot.queue[0]
        if index >= min(piece.stop, slot.limits.get(piece.piece, piece.stop)):
            self.finish(number)
            return
        slot.index = index
        if world.lacks(self.node.name, piece.lease.batch):
            world.at(world.now + SPAWN, partial(self._job_over, number, slot.life, index, "lacks"), self.node)
            return
        world.ran(self.node, piece.lease, index)
        fate, seconds = world.fates(piece.lease.batch, index, piece.lease.stamp)
        world.at(world.now + seconds, partial(self._job_over, number, slot.life, index, fate), self.node)

    def _job_over(self, number: int, life: int, index: int, fate: str) -> None:
        slot, world, node = self.slots[number], self.node.world, self.node
        if slot.life != life or not node.alive:
            return
        batch = slot.queue[0].lease.batch
        world.running_with(batch).discard((node.name, batch, index))
        if fate == "kill":
            world.crash(node)
            world.at(world.now + 0.5, partial(world.start, node))
        elif fate == "crash":
            self.die(number, JobState.DEAD, "killed by SIGKILL")
        else:
            slot.done.append(index)
            self._step(number, index + 1)

    def finish(self, number: int) -> None:
        """The first piece of the queue is over."""
        slot = self.slots[number]
        piece = slot.queue.pop(0)
        slot.index = None
        self._say_done(number, piece)
        if slot.queue:
            self.begin(number)

    def _say_done(self, number: int, piece: Run, *, goes_on: bool = False) -> None:
        slot, world = self.slots[number], self.node.world
        ran, bodies = [], []
        for index in slot.done:
            fate, seconds = world.fates(piece.lease.batch, index, piece.lease.stamp)
            unstarted = world.lacks(self.node.name, piece.lease.batch)
            fate = "fail" if unstarted else fate
            body = msgspec.msgpack.encode([index * index])
            state = JobState.FAILED if fate == "fail" else JobState.SUCCEEDED
            note = Note("cannot start 'tool'") if unstarted else None
            ran.append(Ran(index, index + 1, state, 1.0, seconds, len(body), note, unstarted=unstarted))
            bodies.append(body)
        self.say(PieceDone(number, piece.piece, tuple(ran), b"".join(bodies), goes_on))

    def die(self, number: int, state: JobState, cause: str) -> None:
        """The process of a slot ends, and there is another one soon."""
        slot = self.slots[number]
        piece = slot.queue[0]
        if slot.index is not None:
            batch = piece.lease.batch
            self.node.world.running_with(batch).discard((self.node.name, batch, slot.index))
        if slot.done:
            self._say_done(number, piece, goes_on=True)
        slot.queue.clear()
        slot.life += 1
        self.say(SlotDied(number, piece.piece, slot.index, state, cause, 1.0, 0.1))
        slot.index = None
        self.restart(number)

    def restart(self, number: int) -> None:
        """There is another process for it soon, unless something happens to the slot before."""
        slot, world = self.slots[number], self.node.world
        life = slot.life
        again = lambda: self.say(SlotReady(number)) if slot.life == life else None  # noqa: E731
        world.at(world.now + RESTART, again, self.node)

    def fail(self, cause: str) -> None:
        """The processes of all slots end, and no others can be started."""
        for number, slot in self.slots.items():
            if slot.queue:
                self.die(number, JobState.DEAD, cause)
            else:
                self.say(SlotDied(number, None, None, JobState.DEAD, cause, 1.0, 0.0))
            slot.life += 1
            self.say(SlotUnfit(number, cause))

    def mend(self) -> None:
        """They can be again."""
        for number in self.slots:
            self.say(SlotReady(number))
