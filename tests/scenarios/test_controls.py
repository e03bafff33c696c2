"""Controls: with any one rule switched off, some schedules go wrong; so the virtual network would see its absence.

Wrong is: an outcome lost or doubled, a broken invariant, no settlement in time, or a job that ran again although its
outcome was recorded or although nothing happened to the worker that had it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.errors import StoreError
from penstock.job.spec import BatchSpec
from penstock.sink.process import Sink
from penstock.station import loop
from penstock.station.control_silence import ControlSilence
from penstock.station.recorded_jobs import Recorded
from penstock.ventilator.cancel_unstarted import UnstartedCancels
from penstock.ventilator.jobs_model import Part
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.process import Ventilator
from penstock.ventilator.sink_log import SinkLog
from penstock.ventilator.worker_loss import WorkerLoss
from penstock.ventilator.worker_reports import WorkerReports
from penstock.wire.messages import Completions, HandedBack
from penstock.wire.records import OutcomeHead
from penstock.worker.core import WorkerCore
from penstock.worker.held_lease import HeldLease
from penstock.worker.membership import Membership
from penstock.worker.outbox import Outbox
from scenarios.test_schedules import cancel_request, innocents, is_settled, poisoned
from support.sim.network import Node
from support.sim.world import World

SEEDS = range(200)
"""Schedules that are tried until one goes wrong."""
HEAL = 40.0
Control = Callable[[pytest.MonkeyPatch], None]
Schedule = Callable[[World, random.Random], None]


# ---------------------------------------------------------------------------------------------- schedules


def lossy(world: World, chance: random.Random) -> None:
    """Messages are lost on connections that stay up."""
    world.loss = world.duplication = 0.15
    world.client.submit(chance.randbytes(16), BatchSpec(), [3] * 12)
    world.run(world.now + 5.0)
    world.loss = world.duplication = 0.0


def cancelling(world: World, chance: random.Random) -> None:
    """Jobs are cancelled while messages are lost."""
    world.fates = lambda *_: ("ok", 0.5)
    batch = chance.randbytes(16)
    world.client.submit(batch, BatchSpec(), [3] * 20)
    world.run(world.now + 0.5)
    world.loss = 0.2
    for start in range(10, 60, 5):
        world.client.cancel(batch, start, start + 5)
        world.run(world.now + 0.1)
    world.loss = 0.0


def restarts(who: str, seconds: float = 0.1) -> Schedule:
    """A station is killed again and again, at a random point of a turn; a job takes so long."""

    def schedule(world: World, chance: random.Random) -> None:
        node: Node = getattr(world, who)
        world.fates = lambda *_: ("ok", seconds)
        world.client.submit(chance.randbytes(16), BatchSpec(), [3] * int(6 / seconds))
        for _ in range(4):
            where = chance.choice(["before commit", "after commit", "after send"])
            node.crash_at = (node.turns + chance.randrange(1, 25), where)
            world.run(world.now + chance.uniform(0.2, 1.0))
            world.crash(node)
            world.start(node)
        world.run(world.now + 10.0)

    return schedule


def lost_workers(world: World, chance: random.Random) -> None:
    """Workers die with jobs in flight while the sink is slow to tell what it has recorded."""
    world.client.submit(chance.randbytes(16), BatchSpec(), [5] * 40)
    for _ in range(4):
        world.run(world.now + chance.uniform(0.05, 0.3))
        world.cut(world.connections["report", "sink"], 1.5)
        worker = chance.choice(world.workers)
        world.run(world.now + 0.05)
        world.crash(worker)
        world.run(world.now + 3.0)
        world.start(worker)


def cut_off(world: World, chance: random.Random) -> None:
    """Workers stand still, or are cut off from the ventilator, for longer than a lease while all is busy."""
    world.fates = lambda *_: ("ok", 0.4)
    world.client.submit(chance.randbytes(16), BatchSpec(), [2] * 60)
    for _ in range(3):
        world.run(world.now + chance.uniform(0.5, 1.5))
        worker = chance.choice(world.workers)
        if chance.random() < 0.5:
            world.pause(worker, 8.0)
        else:
            for kind in ("control", "report", "jobs"):
                world.cut(world.connections[kind, worker.name], 8.0)
        world.run(world.now + 9.0)


def retrying(world: World, chance: random.Random) -> None:
    """Jobs that fail twice are retried while messages are lost, and while what is said to the sink arrives late."""
    world.fates = lambda _batch, index, stamp: ("fail" if index % 4 == 0 and stamp.generation < 2 else "ok", 0.01)
    batch = chance.randbytes(16)
    world.client.submit(batch, BatchSpec(), [8] * 5)
    world.run(world.now + 1.0)
    for _ in range(2):
        world.cut(world.connections["report", "sink"], 1.0)
        world.client.retry(batch, 0, 1 << 60)
        world.run(world.now + 0.01)
        world.cut(world.connections["control", "sink"], 1.7)
        world.run(world.now + chance.uniform(2.0, 3.0))
    world.client.submit(chance.randbytes(16), BatchSpec(), [8] * 5)
    world.run(world.now + 1.0)
    world.loss = 0.3
    world.client.retry(chance.choice(sorted(world.specs)), 0, 1 << 60)
    world.run(world.now + 3.0)
    world.loss = 0.0


def unheard(world: World, chance: random.Random) -> None:
    """Most control connections that come up are not let hear anything, of workers and of the sink."""
    world.deafness = 0.7
    world.client.submit(chance.randbytes(16), BatchSpec(), [3] * 12)
    for node in (world.sink, *world.workers):
        world.crash(node)
        world.start(node)
    world.run(world.now + 2.0)
    world.deafness = 0.0


# ---------------------------------------------------------------------------------------------- rules, off


def speak_before_saving(kind: type[Ventilator | Sink]) -> Control:
    """Everything is said before it is committed; a crash in between loses the commit only."""

    def off(patch: pytest.MonkeyPatch) -> None:
        turn, save = loop.turn, loop.save
        late: list[list[Any]] = []

        def save_later(station: loop.Station, saves: list[Any]) -> None:
            if isinstance(station, kind):
                late.append(saves)
            else:
                save(station, saves)

        def turn_then_save(station: loop.Station, inputs: list[Any]) -> Iterator[Any]:
            late.clear()
            yield from turn(station, inputs)
            for saves in late:
                save(station, saves)

        patch.setattr(loop, "save", save_later)
        patch.setattr(loop, "turn", turn_then_save)

    return off


def nothing_unreported_comes_back(patch: pytest.MonkeyPatch) -> None:
    """A dealt lease that nobody reports is waited for forever."""
    patch.setattr(WorkerLoss, "_queue_unreported", lambda *_: None)


def no_barrier(patch: pytest.MonkeyPatch) -> None:
    """A lost worker's jobs are queued again at once."""

    def hold(self: Ledger, part: Part, barrier: int) -> None:
        self.queue(part)

    patch.setattr(Ledger, "hold", hold)


def no_floor(patch: pytest.MonkeyPatch) -> None:
    """Whatever arrives is taken, however old, and a greeting changes nothing."""

    def hold(self: Any, held: HeldLease, now: float) -> None:
        self._floor = 0
        keep(self, held, now)

    keep = WorkerCore._hold
    patch.setattr(WorkerCore, "_hold", hold)
    patch.setattr(WorkerCore, "_on_drop", lambda *_: None)


def arrival_is_life(patch: pytest.MonkeyPatch) -> None:
    """A worker never considers itself lost."""
    patch.setattr(Membership, "silence", lambda *_: 0.0)
    patch.setattr(Membership, "_touch_ends_at", math.inf)


def no_resend(patch: pytest.MonkeyPatch) -> None:
    """Outcomes are sent once."""
    patch.setattr(Outbox, "_find_unclosed", lambda *_: None)
    patch.setattr(Outbox, "send_all_again", lambda *_: None)


def no_replay(patch: pytest.MonkeyPatch) -> None:
    """A gap in the log is never asked for."""
    patch.setattr(SinkLog, "_ask", lambda *_: None)


def gaps_are_skipped(patch: pytest.MonkeyPatch) -> None:
    """Lines behind a gap are applied as if it were none."""

    def on_completions(self: Any, message: Completions, now: float) -> None:
        self._waiting.extend(line for line in message.records if line.seq > self._ledger.applied)
        self.advance(now)

    patch.setattr(SinkLog, "on_completions", on_completions)


def no_dedupe(patch: pytest.MonkeyPatch) -> None:
    """The sink records whatever comes."""

    def claim(self: Recorded, head: OutcomeHead) -> list[tuple[int, int]]:
        keep(self, head)
        return [(head.start, head.stop)]

    keep = Recorded.claim
    patch.setattr(Recorded, "claim", claim)


def no_claims(patch: pytest.MonkeyPatch) -> None:
    """After a restart what workers hold is not believed: all is queued again at once."""
    patch.setattr("penstock.ventilator.sink_beats.RECOVERY_GRACE", -1.0)
    patch.setattr(WorkerReports, "_claim", lambda *_, **__: [])


def no_closed_again(patch: pytest.MonkeyPatch) -> None:
    """Closed is said once; the applied position is forgotten by inventories."""
    patch.setattr(WorkerReports, "_finished", lambda *_: [])


def all_suspects_are_guilty(patch: pytest.MonkeyPatch) -> None:
    """Whoever ran on three workers that were lost is dead, whatever else ran there."""
    patch.setattr(WorkerLoss, "_accuse", lambda *_, **__: None)


def no_recall_again(patch: pytest.MonkeyPatch) -> None:
    """What comes back to the queue is given out, whatever was asked before."""

    def on_handed_back(self: Any, back: HandedBack) -> None:
        keep(self, back)
        for batch in self._ledger.backlog.batches.values():
            for chunk in batch.chunks.values():
                for part in chunk.parts:
                    part.recalled = False

    keep = UnstartedCancels.on_handed_back
    patch.setattr(UnstartedCancels, "on_handed_back", on_handed_back)


def no_renewal(patch: pytest.MonkeyPatch) -> None:
    """Who is connected and hears nothing waits."""
    patch.setattr(ControlSilence, "look", lambda *_: [])


def no_verdict_again(patch: pytest.MonkeyPatch) -> None:
    """A verdict is said once."""
    send = Ledger.send_verdicts
    patch.setattr(Ledger, "send_verdicts", lambda self, sink, **_: send(self, sink, again=False))


def retries_are_new(patch: pytest.MonkeyPatch) -> None:
    """Each Retry that arrives is one more."""
    patch.setattr(Ledger, "mark_retried", lambda *_: None)


def openings_are_new(patch: pytest.MonkeyPatch) -> None:
    """The sink opens again whatever has ended, in whichever generation."""
    patch.setattr(Recorded, "_of_older_generation", lambda self, head: self.ended.overlap(head.start, head.stop))


def late_outcomes_count(patch: pytest.MonkeyPatch) -> None:
    """An outcome of the time before a retry is taken for one of its jobs."""

    def claim(self: Recorded, head: OutcomeHead) -> list[tuple[int, int]]:
        if not head.stamp.opens:
            head = replace(head, stamp=replace(head.stamp, generation=99))
        return keep(self, head)

    keep = Recorded.claim
    patch.setattr(Recorded, "claim", claim)


# ---------------------------------------------------------------------------------------------- the trial


def needless(world: World) -> Iterable[str]:
    """What ran although its outcome was recorded, or twice although no worker died or was out of reach."""
    if world.needless and not world.cancelled:
        yield f"started although recorded: {world.needless[:3]}"
    if not any("Worker" in fault or fault in {"cut", "lost"} for fault in world.faults):
        twice = [job[1] for job, starts in world.starts.items() if len(starts) > 1]
        if twice:
            yield f"started twice although its worker was there: {twice[:3]}"


def trial(folder: Path, seed: int, schedule: Schedule) -> str:
    """What went wrong, or nothing."""
    world = World(folder, seed)
    try:
        schedule(world, random.Random(seed))
        for node in world.nodes:
            node.crash_at = None
            world.start(node)
        world.run_until(partial(is_settled, world), HEAL)
        world.judge()
        guiltless = innocents(world) if schedule is poisoned else []
        return f"dead for what others did: {guiltless}" if guiltless else "; ".join(needless(world))
    except (AssertionError, LookupError, ValueError, StoreError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        world.close()


CONTROLS: dict[str, tuple[Control, Schedule]] = {
    "persist before speaking, ventilator": (speak_before_saving(Ventilator), restarts("ventilator")),
    "persist before speaking, sink": (speak_before_saving(Sink), restarts("sink")),
    "unreported": (nothing_unreported_comes_back, lossy),
    "unconfirmed barrier": (no_barrier, lost_workers),
    "floor": (no_floor, cut_off),
    "echo liveness": (arrival_is_life, cut_off),
    "resend of outcomes": (no_resend, restarts("sink")),
    "replay on a gap": (no_replay, restarts("ventilator")),
    "no line is skipped": (gaps_are_skipped, lossy),
    "first outcome wins": (no_dedupe, lossy),
    "claims after a restart": (no_claims, restarts("ventilator", 1.5)),
    "recalled is recalled": (no_recall_again, cancel_request),
    "suspects run alone": (all_suspects_are_guilty, poisoned),
    "verdicts are repeated": (no_verdict_again, cancelling),
    "closed again": (no_closed_again, lossy),
    "a retry opens once": (retries_are_new, retrying),
    "an opening is recorded once": (openings_are_new, retrying),
    "an opening is repeated": (no_verdict_again, retrying),
    "who hears nothing connects anew": (no_renewal, unheard),
    "an earlier generation is late": (late_outcomes_count, retrying),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_without_the_rule_something_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A bounded number of schedules shows that the rule is missing."""
    off, schedule = CONTROLS[name]
    off(monkeypatch)
    found = ""
    for seed in SEEDS:
        found = trial(tmp_path / str(seed), seed, schedule)
        if found:
            break
    print(f"{name}: {found}")
    assert found


@pytest.mark.parametrize(
    "name",
    [
        "unreported",
        "unconfirmed barrier",
        "floor",
        "resend of outcomes",
        "claims after a restart",
        "recalled is recalled",
        "suspects run alone",
        "a retry opens once",
        "who hears nothing connects anew",
    ],
)
def test_with_all_rules_the_same_schedules_go_well(tmp_path: Path, name: str) -> None:
    """The trial finds nothing where nothing is wrong."""
    for seed in SEEDS[:2]:
        assert trial(tmp_path / str(seed), seed, CONTROLS[name][1]) == ""
