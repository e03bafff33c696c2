"""Workers that are here have names of their own.

Promises:

1. Of the workers that are connected no two have one name: whose name another one has gets a piece of its id behind it.
2. A worker that was given such a name keeps it, also when the ventilator is started again.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from penstock.job.spec import name_apart
from penstock.ventilator.known_worker import Worker
from penstock.wire.messages import Hello

PRUNE_MIN = 100
"""Names, beyond twice as many as there are workers, from which on those that are free are forgotten."""


class WorkerNames:
    """Which of the `workers` has which name."""

    def __init__(self, workers: Mapping[bytes, Worker]) -> None:
        self._workers = workers
        self._holders: dict[str, Worker] = {}

    def named(self, worker: Worker, hello: Hello) -> Hello:
        """What this worker says, under the name that it has here."""
        holder = self._holders.get(hello.name)
        if hello.is_apart or (holder is not None and holder is not worker and self._is_here(holder)):
            return replace(hello, name=name_apart(hello.name, worker.id.hex()))
        self._holders[hello.name] = worker
        if len(self._holders) > 2 * len(self._workers) + PRUNE_MIN:
            self._holders = {name: one for name, one in self._holders.items() if self._is_here(one)}
        return hello

    def _is_here(self, worker: Worker) -> bool:
        return worker.present and self._workers.get(worker.id) is worker
