"""Giving out: rounds over the jobs socket, the rest by name, and work taken back for slots that idle.

Promises:

1. Nothing is given to a worker without credit.
2. A round is dealt only while every present worker has credit and every job connection belongs to a present worker;
   then each gets exactly one message. Everything else goes by name, and so does a round of large ones.
3. A worker with an idle slot is served before one that only looks ahead.
4. While nothing is queued for slots that idle, the fullest worker is asked for half of what it has not started and
   those may run; where that lasts, so are as many more as there are workers that idle.
5. Where workers have enough to do, a batch that is more urgent than what they have, or of which they have nothing, is
   given to them beyond that: they start what is urgent first, and share their slots among batches.
6. What has terms (a worker's name, tags, a limit) goes by name, to those who fulfil them; of a batch with a limit no
   more leases are out than that, and a worker runs each of them one job at a time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import NamedTuple

from penstock.station.lease_tokens import Grant
from penstock.ventilator.contract import Deal
from penstock.ventilator.jobs_model import ANY, Batch, Part, Terms, is_any
from penstock.ventilator.known_worker import LOOK_AHEAD_SECONDS, Worker, look_interval
from penstock.ventilator.leases import UNKNOWN_SECONDS, Charge, LeaseRecord, Round
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.start_failures import StartFailures
from penstock.ventilator.worker_demand import WorkerDemand
from penstock.wire.bundles import bundles
from penstock.wire.messages import Jobs
from penstock.wire.records import INLINE_FUNCTION_BYTES, BatchHead, Lease

LEASES_PER_MESSAGE = 64
"""Bounds one Jobs message, so that a round of it stays small beside a worker's window."""
BYTES_PER_MESSAGE = 4 << 20
"""Payload of one Jobs message beyond which the next lease waits for the next message."""
ROUND_BYTES = 16 << 10
"""Payload of one message of a round: what is larger goes by name, in parts that all reach the same worker."""
BATCHES_AT_ONCE = 16
"""Batches that are looked at in a turn for what workers that have enough to do have nothing of; then it is others'."""
LEASES_TO_COME = 16
"""Per slot that the rest of a batch makes at least, if its jobs are not short: who gets the last ones is not late by
much. So leases become shorter only towards the end, however long the batch is."""
SHORT_LEASE = 0.02
"""Seconds of work that a lease is not made shorter than: fifty times what it costs."""
PAYLOAD_SPEED = 5e6
"""Bytes for a second of work: a lease is not made so short that its chunk's payload takes longer on its way, even over
a slow network."""
MESSAGE_SECONDS = 0.002
"""Of work per slot in one message, where there are workers enough: less is not worth sending to one more of them."""
STEAL_SECONDS = 0.005
"""Work worth taking back: less is finished before the request arrives."""
SEVERAL_SECONDS = 0.1
"""Work per slot worth taking back from several workers at once: a hundred times what asking one costs."""
STEAL_AGE = 0.01
"""Seconds after which a worker of which nothing is known yet is asked to hand back."""
BARREN = 0.05
"""Seconds for which a worker that had nothing to hand back is left alone."""


class Surplus(NamedTuple):
    """What could be taken back from a worker: jobs of these leases, `some` or all of those it has."""

    worker: Worker
    leases: list[LeaseRecord]
    jobs: int
    some: bool


class Dispatcher:
    """Decides who gets what."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.start_failures: StartFailures = StartFailures(ledger)
        self.needs: WorkerDemand = WorkerDemand(ledger.workers, ledger.changed)
        self._over_at = 0.0
        """Not before this instant are workers that want no more given something beyond that."""
        self._steal_at = 0.0
        """Not before this instant is it looked for work to be taken back."""
        self.look_again_at: float | None = None
        """When the workers may be worth another look."""

    def run(self, now: float) -> None:
        """Give out all there is credit for."""
        self.look_again_at = None
        backlog, ready = self._ledger.backlog, self.needs.ready
        self.needs.look()
        while ready and backlog.free_parts >= len(ready) and self._in_step() and self._fills():
            if not self._deal(list(ready), now):
                break
            self.needs.look()
        if backlog.queued_parts:
            self._give_by_name(now)
        if backlog.queued_parts:
            if now < self._over_at:
                self._look_again(self._over_at)
            else:
                self._over_at = now + look_interval(len(ready))
                self._give_over(now)
        if not backlog.free_parts:
            if now < self._steal_at:
                self._look_again(self._steal_at)
            else:
                self._steal_at = now + look_interval(len(ready))
                self._steal(list(ready), now)

    def _look_again(self, at: float) -> None:
        self.look_again_at = at if self.look_again_at is None else min(self.look_again_at, at)

    def _in_step(self) -> bool:
        """Whether a round is right: it reaches exactly those that are ready, each has credit, none needs it more than
        others, and nothing waits that only some of them may have."""
        ready = self.needs.ready
        if len(ready) != self._ledger.connections or not self.needs.all_want:
            return False
        particular = list(self._ledger.backlog.fair_queue.particular())
        if any(not one.fits(ANY) or any(map(one.fits, particular)) for one in ready):
            return False
        return sum(worker.idle_slots > 0 for worker in ready) in (0, len(ready))

    def _fills(self) -> bool:
        """Whether what is queued is worth a message to each of those that are ready."""
        for batch in self._ledger.backlog.fair_queue.waiting(1):
            if len(self.needs.ready) > 1 and batch.mean is not None and batch.queue:
                seconds = batch.queue[0][2].jobs * batch.mean
                return seconds * self._ledger.backlog.free_parts >= MESSAGE_SECONDS * self.needs.slots
        return True

    # ------------------------------------------------------------------------------------------ giving

    def _next(self, now: float, fits: Callable[[Terms], bool], open_leases: int = 1) -> tuple[Part, LeaseRecord] | None:
        part = self._ledger.backlog.next(fits, open_leases)
        if part is None:
            return None
        self._shorten(part)
        return self._lease(part, now)

    def _shorten(self, part: Part) -> None:
        """What is left of its batch is to be enough leases for every slot."""
        chunk, batch = part.chunk, part.chunk.batch
        if part.jobs == 1 or batch.mean is None:
            return
        left = batch.accepted - batch.done - batch.leased
        least = max(SHORT_LEASE, chunk.size / PAYLOAD_SPEED) / max(batch.mean, 1e-9)
        jobs = max(1, int(least), left // (LEASES_TO_COME * self.needs.slots))
        if jobs < part.jobs:
            self._ledger.backlog.carve(chunk, part.start, part.start + jobs)

    def _lease(self, part: Part, now: float) -> tuple[Part, LeaseRecord]:
        lease = self._ledger.leases.give(part.chunk, part.jobs, now)
        self._ledger.lease(part, lease.number)
        self._ledger.metrics.given(part, now)
        self._ledger.start_again(part)
        return part, lease

    def give_alone(self, worker: Worker, part: Part, now: float) -> None:
        """A suspect, to a worker that holds nothing else."""
        pair = self._lease(part, now)
        self._ledger.leases.attribute(pair[1], worker)
        self._ledger.turn.tell(worker.id, self._message([pair]))

    def _give_by_name(self, now: float) -> None:
        """One lease after the other to whoever needs it most and may have it: most idle slots, then most credit."""
        given: dict[bytes, list[tuple[Part, LeaseRecord]]] = {}
        passed: list[Worker] = []
        while self._ledger.backlog.queued_parts and (worker := self.needs.first()) is not None:
            pairs = self._fill(worker, now)
            if pairs:
                given.setdefault(worker.id, []).extend(pairs)
            else:
                self.needs.pass_over(worker)
                passed.append(worker)
            self.needs.look()
        for worker in passed:
            worker.change()
        self._tell(given)

    def _fill(self, worker: Worker, now: float) -> list[tuple[Part, LeaseRecord]]:
        """What is worth a message, or one lease that is more."""
        pairs: list[tuple[Part, LeaseRecord]] = []
        seconds = 0.0
        while not pairs or (worker.wants and len(pairs) < LEASES_PER_MESSAGE):
            pair = self._next(now, worker.fits, self.needs.slots)
            if pair is None:
                break
            self._ledger.leases.attribute(pair[1], worker)
            pairs.append(pair)
            seconds += pair[1].jobs * pair[1].mean
            if seconds >= MESSAGE_SECONDS * worker.slots:
                break
        return pairs

    def _give_over(self, now: float) -> None:
        """To workers that want no more: what is more urgent than what they have, and some of each batch, unless they
        may run what is more urgent than that and waits."""
        given: dict[bytes, list[tuple[Part, LeaseRecord]]] = {}
        waiting: list[Batch] = []
        for batch in self._ledger.backlog.fair_queue.waiting(BATCHES_AT_ONCE):
            first = [one.terms for one in waiting if one.spec.priority > batch.spec.priority]
            changes, some = self.needs.changes, self.needs.since(batch.offered)
            wanting = [worker for worker in some if worker.owes(batch) and worker.fits(batch.terms)]
            owing = [worker for worker in wanting if not any(map(worker.fits, first))]
            are_all = len(owing) == len(wanting)
            while batch.in_turn and owing:
                owing.sort(key=lambda worker: -len(worker.leases))
                for left in range(len(owing), 0, -1):
                    part = self._ledger.backlog.take(batch, self.needs.slots) if batch.in_turn else None
                    if part is not None:
                        self._spread(part, left)
                        pair = self._lease(part, now)
                        self._ledger.leases.attribute(pair[1], owing[left - 1])
                        given.setdefault(owing[left - 1].id, []).append(pair)
                owing = [worker for worker in owing if worker.owes(batch)]
            if batch.in_turn:
                waiting.append(batch)
                batch.offered = changes if are_all else batch.offered
        self._tell(given)

    def _spread(self, part: Part, workers: int) -> None:
        """Cut it so that each of so many workers has some of it, if it is the last of its batch and worth that."""
        batch = part.chunk.batch
        seconds = part.jobs * (UNKNOWN_SECONDS if batch.mean is None else batch.mean)
        pieces = min(workers, math.ceil(seconds / LOOK_AHEAD_SECONDS))
        if not batch.queue and batch.spec.limit is None and pieces > 1:
            self._ledger.backlog.carve(part.chunk, part.start, part.start - (-part.jobs // pieces))

    def _tell(self, given: dict[bytes, list[tuple[Part, LeaseRecord]]]) -> None:
        for worker_id, pairs in given.items():
            for bundle in bundles(pairs, LEASES_PER_MESSAGE, BYTES_PER_MESSAGE, lambda pair: pair[0].chunk.size):
                self._ledger.turn.tell(worker_id, self._message(bundle))

    def _deal(self, workers: list[Worker], now: float) -> bool:
        """A round: as many messages as workers, each with as many leases as the least credit and half of what is wanted
        ahead allow."""
        ledger = self._ledger
        depth = min(LEASES_PER_MESSAGE, ledger.backlog.free_parts // len(workers), *(w.credit for w in workers))
        rounds: list[list[tuple[Part, LeaseRecord]]] = [[] for _ in workers]
        size, seconds = 0, 0.0
        for _ in range(depth):
            for bundle in rounds:
                pair = self._next(now, is_any)
                if pair is None:
                    break
                bundle.append(pair)
                size = max(size, pair[0].chunk.size)
            seconds += max(lease.jobs * lease.mean for bundle in rounds for _, lease in bundle[-1:])
            if size * len(rounds[0]) > BYTES_PER_MESSAGE or seconds > LOOK_AHEAD_SECONDS / 2:
                break
        rounds = [bundle for bundle in rounds if bundle]
        if not rounds:
            return False
        is_large = size * len(rounds[0]) > ROUND_BYTES
        if is_large or len(workers) == 1:
            for worker, bundle in zip(workers, rounds, strict=False):
                for _, lease in bundle:
                    ledger.leases.attribute(lease, worker)
        else:
            self._charge(workers, rounds)
        if is_large:
            for worker, bundle in zip(workers, rounds, strict=False):
                ledger.turn.tell(worker.id, self._message(bundle))
        else:
            ledger.turn.say(Deal(tuple(self._message(bundle) for bundle in rounds)))
        return True

    def _charge(self, workers: list[Worker], bundles: list[list[tuple[Part, LeaseRecord]]]) -> None:
        leases = max(len(bundle) for bundle in bundles)
        jobs = max(sum(part.jobs for part, _ in bundle) for bundle in bundles)
        seconds = max(sum(lease.jobs * lease.mean for _, lease in bundle) for bundle in bundles)
        payload = max(sum(part.chunk.size for part, _ in bundle) for bundle in bundles)
        charge = Charge(leases, jobs, seconds, payload)
        dealt = Round(dict.fromkeys((worker.id for worker in workers), charge))
        for worker in workers:
            worker.charge(*charge)
        self._ledger.leases.deal(dealt, [lease for bundle in bundles for _, lease in bundle])

    def _message(self, pairs: list[tuple[Part, LeaseRecord]]) -> Jobs:
        heads: dict[bytes, BatchHead] = {}
        leases: list[Lease] = []
        elsewhere: dict[Batch, bool] = {}
        for part, lease in pairs:
            chunk, batch = part.chunk, part.chunk.batch
            if batch.id not in heads:
                inline = batch.function_size if batch.function_size <= INLINE_FUNCTION_BYTES else 0
                heads[batch.id] = BatchHead(batch.id, batch.spec, batch.function, batch.function_size, inline)
                elsewhere[batch] = self.start_failures.may_go_elsewhere(batch)
            token = self._ledger.lease_tokens.token(Grant(lease.number, batch.id, part.start, part.stop, part.stamp))
            span = (chunk.first, chunk.count, part.start, part.stop)
            leases.append(Lease(lease.number, batch.id, *span, part.stamp, chunk.size, token, elsewhere[batch]))
        return Jobs(tuple(heads.values()), tuple(leases))

    # ---------------------------------------------------------------------------------------- taking back

    def _steal(self, workers: list[Worker], now: float) -> None:
        idle = [w for w in workers if w.idle_slots and not w.draining and w.window > 0]
        if not idle:
            return
        requests = self._ledger.hand_backs
        # every worker is looked at: a request that is too old is forgotten thereby
        asked_workers = [worker for worker in workers if requests.is_open(worker, now)]
        if asked_workers:
            return
        spares = [spare for w in workers if w.surplus > 0 and (spare := self._surplus(w, idle)).jobs > 0]
        asked = [spare for spare in spares if now >= spare.worker.barren_until and self._worth(spare, now)]
        fullest = heapq.nlargest(len(idle), asked, key=lambda spare: spare.jobs / spare.worker.slots)
        for full in fullest[:1] + [spare for spare in fullest[1:] if not 0 < self._seconds(spare) <= SEVERAL_SECONDS]:
            named = tuple(lease.number for lease in full.leases) if full.some else ()
            requests.ask(full.worker, (full.jobs + 1) // 2, now, named)
        if spares and not asked:
            self._look_again(now + STEAL_AGE)

    def _surplus(self, worker: Worker, idle: list[Worker]) -> Surplus:
        """What of a worker's leases one of those that idle may run."""
        held = [self._ledger.leases.records[number] for number in worker.leases]
        leases = [lease for lease in held if self._is_movable(lease, idle)]
        if len(leases) == len(held):
            return Surplus(worker, held, worker.surplus, some=False)
        batches = {lease.chunk.batch.id for lease in leases}
        running = sum(stop - start for batch, (start, stop) in worker.running if batch in batches)
        jobs = min(worker.surplus, sum(lease.jobs for lease in leases) - running)
        return Surplus(worker, leases, jobs, some=True)

    @staticmethod
    def _is_movable(lease: LeaseRecord, idle: list[Worker]) -> bool:
        batch = lease.chunk.batch
        return not batch.is_full and any(worker.fits(batch.terms) for worker in idle)

    @classmethod
    def _worth(cls, spare: Surplus, now: float) -> bool:
        """Whether what it has not started lasts longer than the request is on its way, or than it was expected to."""
        is_late = any(now - lease.given_at > STEAL_AGE + 2 * lease.expected for lease in spare.leases)
        return is_late or cls._seconds(spare) > STEAL_SECONDS

    @staticmethod
    def _seconds(spare: Surplus) -> float:
        """Of work per slot; 0: nobody knows."""
        return sum(lease.expected for lease in spare.leases) / spare.worker.slots

    def handed_back(self, worker: Worker, number: int, jobs: int, now: float) -> None:
        """A request was answered, or what waited behind jobs that last was given back unasked."""
        if number == 0 and jobs:
            worker.stuck = True
        if self._ledger.hand_backs.is_answered(worker, number) and not jobs:
            worker.barren_until = now + BARREN
