"""The oracle: the history of a virtual pipeline, seen from outside, and what must hold of it in the end."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from penstock.job.spec import BatchSpec, JobState
from penstock.sink.store import ResultStore
from penstock.wire.desk_messages import Cancel
from penstock.wire.records import Completion, Lease, OutcomeHead
from support.sim.client import ClientNode
from support.sim.network import Network, Node
from support.sim.nodes import SinkNode, VentilatorNode, WorkerNode
from support.surroundings import Logged

LATE = 5.0
"""Seconds: a lease time. A worker that was out of reach starts nothing after it."""


def line_head(line: Completion) -> OutcomeHead:
    """As much of an outcome as the log has."""
    return OutcomeHead(
        line.batch, line.start, line.stop, line.state, line.final, line.stamp, line.lease, 0, 0.0, line.elapsed, 0
    )


class Oracle(Network):
    """A network that keeps the history of the pipeline on it."""

    ventilator: VentilatorNode
    sink: SinkNode
    workers: list[WorkerNode]
    client: ClientNode
    nodes: list[Node]

    def __init__(self, folder: Path, seed: int, begins: float = 1000.0) -> None:
        super().__init__(seed, begins)
        self.folder = folder
        """Of the stations' stores."""
        self.logged: list[Logged] = []
        """What the stations logged."""
        self.attempted: set[tuple[bytes, int]] = set()
        self.acked: set[tuple[bytes, int]] = set()
        self.cancelled: set[tuple[bytes, int]] = set()
        """Those that the client asked to cancel."""
        self.specs: dict[bytes, BatchSpec] = {}
        self.recorded: set[tuple[bytes, int]] = set()
        """Those whose final outcome is in the sink's store."""
        self.finals: Counter[tuple[bytes, int, int]] = Counter()
        """How often each was recorded as ended, by (batch, index, generation)."""
        self.damaged = False
        """Whether the results file has lost something."""
        self.opened: dict[tuple[bytes, int], list[int]] = defaultdict(list)
        """The generations in which each was opened again."""
        self.needless: list[tuple[float, str, int]] = []
        """Starts (when, where, index) of jobs that were recorded already."""
        self.starts: dict[tuple[bytes, int], list[tuple[float, str, Any]]] = defaultdict(list)
        self.running: dict[bytes, set[tuple[str, bytes, int]]] = defaultdict(set)
        """What runs now: (where, batch, index), by batch or by the group that shares its limit."""
        self.exceeded: list[tuple[float, set[tuple[str, bytes, int]]]] = []
        """When more jobs of these ran than their limit, and which."""

    def running_with(self, batch: bytes) -> set[tuple[str, bytes, int]]:
        """What runs now of a batch and of those that share its limit."""
        return self.running[self.specs[batch].limit_group or batch]

    def ran(self, worker: WorkerNode, lease: Lease, index: int) -> None:
        """A job started."""
        self.starts[lease.batch, index].append((self.now, worker.name, lease.stamp))
        running, limit = self.running_with(lease.batch), self.specs[lease.batch].limit
        running.add((worker.name, lease.batch, index))
        if limit is not None and len(running) > limit:
            self.exceeded.append((self.now, set(running)))
        if (lease.batch, index) in self.recorded:
            self.needless.append((self.now, worker.name, index))

    def lose_end(self, copy: Path) -> None:
        """The sink comes back with an older copy of its results file, and the client reads anew."""
        assert not self.sink.alive
        folder = self.folder / "results"
        shutil.rmtree(folder, ignore_errors=True)
        if copy.exists():
            shutil.copytree(copy, folder)
        store = ResultStore(folder, durable=False)
        self.read_anew(store.lines_after(0, 1 << 30)[3])
        store.close()

    def forget_lines_but(self, folder: Path) -> None:
        """What was recorded in another file than this one does not count."""
        for kept in (self.recorded, self.finals, self.opened):
            kept.clear()
        store = ResultStore(folder, durable=False)
        for line in store.lines_after(0, 1 << 30)[3]:
            self.on_line(line_head(line))
        store.close()

    def read_anew(self, lines: Iterable[Completion]) -> None:
        """The sink's file has less than it had: what is in it counts, and the client reads from its beginning."""
        self.damaged = True
        self.recorded.clear()
        self.finals.clear()
        self.opened.clear()
        for line in lines:
            self.on_line(line_head(line))
        client = self.client
        client.position = dict.fromkeys(client.position, 0)
        client.outcomes.clear()
        client.values.clear()

    def on_line(self, head: OutcomeHead) -> None:
        """The sink recorded a line."""
        jobs = [(head.batch, index) for index in range(head.start, head.stop)]
        if head.final:
            self.recorded.update(jobs)
            self.finals.update((*job, head.stamp.generation) for job in jobs)
        elif head.stamp.opens:
            self.recorded.difference_update(jobs)
            for job in jobs:
                self.opened[job].append(head.stamp.generation)

    @property
    def settled(self) -> bool:
        """Every submitted job is acknowledged and has an outcome, and the ventilator knows."""
        return (
            not self.client.unacked
            and not self.client.asked
            and set(self.client.outcomes) >= self.attempted
            and self.ventilator.alive
            and all(batch.ended for batch in self.ventilator.core.ledger.backlog.batches.values())
        )

    def story(self) -> str:
        """What to print when a promise is broken."""
        lost = sorted(self.attempted - set(self.client.outcomes))[:5]
        return (
            f"now={self.now:.2f} unacked={len(self.client.unacked)} missing={[(b[:1], i) for b, i in lost]}"
            f" of {len(self.attempted)} faults={dict(self.faults)}"
            f" alive={[node.name for node in self.nodes if node.alive]}"
            f" places={self.places(lost)}"
            f" log={self.logged[-6:]}"
        )

    def places(self, jobs: list[tuple[bytes, int]]) -> list[str]:
        """Where the ventilator, the sink and the workers believe some jobs to be."""
        found = []
        for batch_id, index in jobs:
            batch = self.ventilator.core.ledger.backlog.batches.get(batch_id)
            chunk = batch.chunk_at(index) if batch else None
            parts = [p for p in chunk.parts if p.start <= index < p.stop] if chunk else []
            line = f"{index}: " + ", ".join(f"{p.place.value} lease={p.lease} {p.stamp}" for p in parts)
            for worker in self.workers:
                for held in worker.core.holdings.of_batch(batch_id, index, index + 1):
                    line += f"; {worker.name}: {held.line()}"
            found.append(line)
        return found

    def judge(self) -> None:
        """lost = unexpected = doubled = wrong = 0; nobody was cancelled unasked; what may be started once was; each
        retry opened once, and what came of it counts."""
        outcomes = self.client.outcomes
        assert set(outcomes) == self.attempted, self.story()
        assert self.damaged or "damaged" not in {log.event for log in self.logged}, "nothing is said to be damaged"
        assert not self.client.doubled
        cancelled = {job for job, head in outcomes.items() if head.state is JobState.CANCELLED}
        unasked = {job for job in cancelled - self.cancelled if self.specs[job[0]].expires_time is None}
        assert not unasked, f"cancelled unasked: {sorted(unasked)[:3]}"
        for job, starts in self.starts.items():
            stamps = [stamp for _, _, stamp in starts]
            once = self.specs[job[0]].max_crashes == 1
            assert not once or len(set(stamps)) == len(stamps), f"job {job[1]} must not start twice: {starts}"
        for when, recall, jobs in self.client.recalled:
            self.judge_recall(when, recall, jobs)
        for (_, index), value in self.client.values.items():
            assert value == index * index
        self.judge_terms()
        self._judge_retries()
        if self.sink.alive:
            self._judge_groups()

    def judge_terms(self) -> None:
        """Nothing started before its time, or where it may not."""
        tags = {worker.name: set(worker.tags) for worker in self.workers}
        for job, starts in self.starts.items():
            spec = self.specs[job[0]]
            wrong = [start for start in starts if not set(spec.needs) <= tags[start[1]]]
            wrong += [start for start in starts if spec.worker not in {"", "host", start[1]}]
            assert not wrong, f"job {job[1]} started where it may not: {wrong[:3]}"
            early = [start for start in starts if start[0] < spec.not_before_time]
            assert not early, f"job {job[1]} started before {spec.not_before_time}: {early[:3]}"

    def judge_recall(self, when: float, recall: Cancel, jobs: int) -> None:
        """What was said to be cancelled is, and was never started, before or after; where the answer said nothing of a
        job, it starts no more after the lease time of the worker that held it."""
        for index in range(recall.start, recall.stop):
            late = [start for start in self.starts[recall.batch, index] if start[0] > when + LATE]
            assert not late, f"job {index} started at {late} although recalled at {when}"
        if jobs == recall.stop - recall.start:
            for index in range(recall.start, recall.stop):
                state = self.client.outcomes[recall.batch, index].state
                assert state is JobState.CANCELLED, f"job {index} is {state}, answered as cancelled at {when}"
                starts = self.starts[recall.batch, index]
                assert not starts, f"job {index} started at {starts}, answered as cancelled before at {when}"

    def _judge_retries(self) -> None:
        outcomes = self.client.outcomes
        assert set(self.finals.values()) <= {1}, "one outcome of each job in each generation"
        for job, generations in self.opened.items():
            assert generations == sorted(set(generations)), (
                f"job {job[1]} is opened once in a generation: {generations}"
            )
            assert outcomes[job].stamp.generation == generations[-1], f"the newest outcome of {job[1]} counts"
        opened = sum(map(len, self.opened.values()))
        assert self.damaged or sum(self.client.retried.values()) == opened, "what was said is what was opened"
        for batch in self.ventilator.store.batches():
            states = Counter(str(head.state) for (of, _), head in outcomes.items() if of == batch.batch)
            counts = {str(state): jobs for state, jobs in batch.counts.items() if jobs}
            assert counts == states, f"{counts} counted, {states} recorded"

    def _judge_groups(self) -> None:
        """What failed is counted once, by its error, and what was opened again no more."""
        store = self.sink.store
        while store.untidy:
            store.save([])
        groups, cursor, incomplete = store.failures(b"", (0, b""))
        assert (cursor, incomplete) == (None, False)
        failed = Counter(batch for (batch, _), head in self.client.outcomes.items() if head.is_failure)
        counted: Counter[bytes] = Counter()
        for group in groups:
            counted[group.batch] += group.jobs
            wrong = [at for at in group.examples if not self.client.outcomes[group.batch, at].is_failure]
            assert not wrong, f"jobs {wrong} have not failed of {group.pattern}"
        assert counted == failed, f"{counted} counted, {failed} failed"
