"""Workers are lost: who died under what, and what is queued again.

Promises:

1. A job is queued again after the loss of its worker only when all that the sink had recorded by then is applied.
2. A dealt lease that nobody reported is queued again once every worker of its round has been heard since, or is lost;
   one that was given by name not while something is on its way to its worker.
3. What ran or may have run on a lost worker has crashed once and is a suspect. A job is dead only if the last worker
   that it may have taken along ran nothing else: before that it is run alone (quarantine.py).
4. The ventilator's own pause expires nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from penstock.job.spec import JobState
from penstock.ventilator.jobs_model import Batch, Part, Place
from penstock.ventilator.known_worker import Worker, look_interval
from penstock.ventilator.leases import LeaseRecord
from penstock.ventilator.ledger import Ledger
from penstock.wire.bounds import RECONNECT_GRACE, UNREPORTED_TIME


class WorkerLoss:
    """`greet` asks a worker for a hello."""

    def __init__(self, ledger: Ledger, greet: Callable[[Worker], None]) -> None:
        self._ledger = ledger
        self._greet = greet
        self._look_at = 0.0
        self._under_way_at: dict[bytes, float] = {}
        """Workers to which something was on its way, and when."""

    def tick(self, now: float) -> None:
        """Find who is lost, and which dealt leases are."""
        if now < self._look_at:
            return
        self._look_at = now + look_interval(len(self._ledger.workers))
        for worker in list(self._ledger.workers.values()):
            if worker.hello is None:
                continue
            gone = worker.gone_at is not None and now - worker.gone_at > RECONNECT_GRACE
            silent = now - worker.heard_at > self._ledger.lease_time * worker.pace
            if gone or silent:
                cause = "its connection dropped" if gone else "nothing was heard of it"
                self._ledger.turn.log("worker_lost", worker=worker.hello.name, host=worker.hello.host, cause=cause)
                self._ledger.metrics.lost("connection" if gone else "silence")
                self.lose(worker)
        self._queue_unreported(now)

    def lose(self, worker: Worker, *, left: bool = False) -> None:
        """Its leases are unconfirmed until it is known what the sink has of them; what ran has crashed, unless it has
        `left`, or was about to: whoever had told it to leave has ended it."""
        leases = [self._ledger.leases.records[number] for number in sorted(worker.leases)]
        if not (left or worker.draining):
            self._suspect_running(worker, leases)
            self._suspect_front(leases, worker.slots)
            self._accuse(leases, worker, alone=worker.jobs + worker.charged_jobs == 1)
            for dealt in self._ledger.leases.rounds:
                dealt.lost += [worker] if worker.id in dealt.waiting else []
        for lease in leases:
            for part in lease.parts:
                part.exposed = part.exposed or not left
                self._ledger.hold(part, self._ledger.beats.barrier())
        self._ledger.leases.uncharge(worker)
        if worker.connections:
            fresh = self._ledger.workers[worker.id] = Worker(worker.id, self._ledger.changed)
            fresh.connections = worker.connections
            self._greet(fresh)
        else:
            del self._ledger.workers[worker.id]
        worker.change()

    def _suspect_running(self, worker: Worker, leases: list[LeaseRecord]) -> None:
        for lease in leases:
            for start, stop in [span for batch, span in worker.running if batch == lease.chunk.batch.id]:
                for part in self._ledger.backlog.carve(lease.chunk, start, stop):
                    part.crashed = part.crashed or part.lease == lease.number

    def _suspect_front(self, leases: list[LeaseRecord], slots: int) -> None:
        """The slots of which no inventory told ran what comes first: a job may take its worker along at once."""
        parts = [(one, part) for one in leases for part in one.parts]
        running = Counter({one.chunk.batch: 0 for one in leases})
        for lease, part in parts:
            running[lease.chunk.batch] += part.jobs if part.crashed else 0
        begun = {lease.number for lease, part in parts if lease.serial and part.crashed}
        fronts: dict[Batch, list[tuple[Part, int]]] = {}
        for lease, part in parts:
            if not part.crashed and lease.number not in begun:
                begun |= {lease.number} if lease.serial else set()
                fronts.setdefault(lease.chunk.batch, []).append((part, 1 if lease.serial else part.jobs))
        for batch, jobs in _first(fronts, running, slots - running.total()).items():
            self._suspect(fronts[batch], jobs)

    def _suspect(self, front: list[tuple[Part, int]], jobs: int) -> None:
        for part, width in front:
            stop = part.start + min(jobs, width)
            jobs -= stop - part.start
            for first in self._ledger.backlog.carve(part.chunk, part.start, stop):
                first.crashed = True

    @staticmethod
    def _accuse(leases: list[LeaseRecord], worker: Worker, *, alone: bool) -> None:
        """Of several suspects nobody knows which it was: none of them is dead for it."""
        for lease in leases:
            for part in lease.parts:
                if part.crashed or part.given:
                    part.lost = f"worker {worker.hello.name} on {worker.hello.host}" if worker.hello else ""
                    part.suspect = True
                    if not alone and part.chunk.batch.spec.is_last_crash(part.stamp):
                        part.crashed = False

    def release_unconfirmed(self, echo: int) -> None:
        """All that the sink had by this beat is applied: what is still unconfirmed was not recorded."""
        chunks, self._ledger.unconfirmed = self._ledger.unconfirmed, {}
        for key, chunk in chunks.items():
            for part in list(chunk.parts):
                if part.place is Place.UNCONFIRMED and part.barrier <= echo:
                    self._requeue(part)
            if any(part.place is Place.UNCONFIRMED for part in chunk.parts):
                self._ledger.unconfirmed[key] = chunk

    def _requeue(self, part: Part) -> None:
        """Again, or never: what may have been started and must not be twice is dead."""
        if part.barrier == 0:  # from a former life: whoever had it then may be there, and cut off
            part.exposed = True
        spec = part.chunk.batch.spec
        if part.given or (part.crashed and spec.is_last_crash(part.stamp)):
            lost = part.lost or "its worker"
            times = f"{part.stamp.crashes + 1} of at most {spec.max_crashes} times"
            self._ledger.decide(part, JobState.DEAD, f"{lost} was lost while it ran or may have run, {times}")
        else:
            self._ledger.queue(part)

    def on_parts_under_way(self, workers: tuple[bytes, ...], now: float) -> None:
        """What was given to these may be on its way, however long that takes."""
        self._under_way_at = {one: at for one, at in self._under_way_at.items() if now - at <= UNREPORTED_TIME}
        self._under_way_at |= dict.fromkeys(workers, now)

    def _is_under_way(self, worker: Worker, now: float) -> bool:
        return now - self._under_way_at.get(worker.id, float("-inf")) <= UNREPORTED_TIME

    def _queue_unreported(self, now: float) -> None:
        ledger = self._ledger
        for lease in list(ledger.leases.untaken.values()):
            if now - lease.given_at <= UNREPORTED_TIME:
                break
            since = lease.given_at + ledger.heartbeat_interval
            lost: list[Worker] = []
            if lease.round is not None:
                if any(ledger.workers[w].heard_at <= since for w in lease.round.waiting if w in ledger.workers):
                    continue
                lost = lease.round.lost
                ledger.leases.discharge(lease.round, ledger.workers)
                lease.round = None
            elif lease.worker is not None and (lease.worker.heard_at <= since or self._is_under_way(lease.worker, now)):
                continue
            claimant = lease.claimant
            if claimant is not None and ledger.workers.get(claimant.id) is claimant:
                ledger.leases.reached(lease.number, claimant)
            else:
                self._release(lease, lost)

    def _release(self, lease: LeaseRecord, lost: list[Worker]) -> None:
        """Nobody has it: it never arrived, or it was with one of the workers of its round that are lost."""
        ledger = self._ledger
        if lost:
            self._suspect_front([lease], lost[0].slots)
            self._accuse([lease], lost[0], alone=False)
        for part in lease.parts:
            part.exposed = True  # what has not arrived may arrive yet
            if lost:
                ledger.hold(part, ledger.beats.barrier())
            else:
                ledger.queue(part)
        ledger.leases.shrink(lease.number, lease.jobs)
        ledger.leases.untaken.pop(lease.number, None)

    def forgive(self, pause: float, now: float) -> None:
        """This process stood still for so long: everybody's clocks start again."""
        for worker in self._ledger.workers.values():
            worker.heard_at = min(now, worker.heard_at + pause)
            if worker.gone_at is not None:
                worker.gone_at = min(now, worker.gone_at + pause)
        for lease in self._ledger.leases.untaken.values():
            lease.given_at = min(now, lease.given_at + pause)


def _first(fronts: dict[Batch, list[tuple[Part, int]]], running: Counter[Batch], idle: int) -> Counter[Batch]:
    """How many jobs of each batch so many idle slots begin, as a worker shares them (worker/fair_shares.py)."""
    first: Counter[Batch] = Counter()
    left = Counter({batch: sum(width for _, width in front) for batch, front in fronts.items()})
    for _ in range(min(idle, left.total())):
        batch = min((one for one in left if left[one]), key=lambda one: (-one.spec.priority, running[one] + first[one]))
        first[batch] += 1
        left[batch] -= 1
    return first
