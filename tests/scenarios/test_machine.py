"""The whole pipeline on the virtual network, disturbed by a state machine: hypothesis chooses and shrinks."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.job.spec import BatchSpec
from support.sim.network import Node
from support.sim.world import World

HEAL = 60.0
"""Virtual seconds within which everything is over once the faults have stopped."""
JOBS_MAX = 400
"""Of one run, so that it ends in time."""
SPECS = [BatchSpec(), BatchSpec(retries=1, retry_delay=0.1), BatchSpec(max_crashes=1), BatchSpec(priority=5)]
SECONDS = st.sampled_from([0.01, 0.2, 1.0, 2.5, 6.0])
WHERE = st.sampled_from(["now", "before commit", "after commit", "after send"])


def fate(batch: bytes, index: int, stamp: Any) -> tuple[str, float]:
    """Most jobs are short; some are long, fail once, crash once, or crash always."""
    match index % 23:
        case 3:
            return ("ok", 1.2)
        case 7:
            return ("fail" if stamp.failures == 0 else "ok", 0.01)
        case 11:
            return ("crash" if stamp.crashes == 0 else "ok", 0.02)
        case 19:
            return ("crash", 0.02)
        case _:
            return ("ok", 0.003)


class PipelineMachine(RuleBasedStateMachine):
    """Faults of every kind, in any order; the end of each run is that all is healed and judged."""

    world: World

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="pm-")
        self.world = World(Path(self.folder.name), seed, workers=2)
        self.world.fates = fate
        self.sizes: list[int] = []
        self.world.run(self.world.now + 0.5)

    def node(self, name: str) -> Node:
        return next(node for node in self.world.nodes if node.name == name)

    def batch(self, at: int) -> bytes:
        return bytes([at + 1]) * 16

    # ------------------------------------------------------------------------------------------ the client

    @precondition(lambda self: sum(self.sizes) < JOBS_MAX)
    @rule(spec=st.sampled_from(SPECS), sizes=st.lists(st.sampled_from([1, 2, 25]), min_size=1, max_size=5))
    def submit(self, spec: BatchSpec, sizes: list[int]) -> None:
        self.world.client.submit(self.batch(len(self.sizes)), spec, sizes)
        self.sizes.append(sum(sizes))

    @precondition(lambda self: self.sizes)
    @rule(data=st.data(), unstarted_only=st.booleans())
    def cancel(self, data: st.DataObject, unstarted_only: bool) -> None:
        at = data.draw(st.integers(0, len(self.sizes) - 1))
        start = data.draw(st.integers(0, self.sizes[at] - 1))
        stop = data.draw(st.integers(start + 1, self.sizes[at]))
        self.world.client.cancel(self.batch(at), start, stop, unstarted_only=unstarted_only)

    @rule(seconds=SECONDS)
    def let_time_pass(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    # ------------------------------------------------------------------------------------------ processes

    @rule(name=st.sampled_from(["ventilator", "sink", "w0", "w1"]), where=WHERE, turns=st.integers(1, 12))
    def crash(self, name: str, where: str, turns: int) -> None:
        node = self.node(name)
        if not node.alive:
            return
        if where == "now":
            self.world.crash(node)
        else:
            node.crash_at = (node.turns + turns, where)

    @rule(name=st.sampled_from(["ventilator", "sink", "w0", "w1"]))
    def start(self, name: str) -> None:
        self.world.start(self.node(name))

    @rule(name=st.sampled_from(["ventilator", "sink", "w0", "w1", "client"]), seconds=SECONDS)
    def pause(self, name: str, seconds: float) -> None:
        self.world.pause(self.node(name), seconds)

    @rule(at=st.integers(0, 1))
    def drain(self, at: int) -> None:
        self.world.stop_worker(self.world.workers[at])

    # ------------------------------------------------------------------------------------------ the network

    @rule(at=st.integers(0, 11), seconds=SECONDS, way=st.sampled_from(["both", "out", "in"]))
    def cut(self, at: int, seconds: float, way: str) -> None:
        connection = list(self.world.connections.values())[at]
        one_way = {"both": None, "out": connection.outer, "in": connection.inner}[way]
        self.world.cut(connection, seconds, one_way)

    @rule(at=st.integers(0, 11))
    def reset(self, at: int) -> None:
        self.world.disconnect(list(self.world.connections.values())[at])

    @rule(share=st.sampled_from([0.0, 0.05]))
    def lose_and_repeat(self, share: float) -> None:
        self.world.loss = self.world.duplication = share

    # ------------------------------------------------------------------------------------------ the truth

    @invariant()
    def nothing_was_announced_twice(self) -> None:
        assert not self.world.client.doubled

    def teardown(self) -> None:
        """Everything is up again and stays so: nothing is lost, each job has one outcome."""
        try:
            self.heal_and_judge(self.world)
        finally:
            self.world.close()
            self.folder.cleanup()

    @staticmethod
    def heal_and_judge(world: World) -> None:
        world.loss = world.duplication = 0.0
        for seconds in (10.0, 0.0):
            for node in world.nodes:
                node.crash_at = None
                world.start(node)
            world.run(world.now + seconds)
        world.run_until(partial(getattr, world, "settled"), HEAL)
        world.judge()


TestPipelineMachine = PipelineMachine.TestCase
TestPipelineMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, database=None, print_blob=True, derandomize=False
)
