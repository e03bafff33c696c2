"""What the tests of the two stores share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from penstock.job.spec import BatchSpec
from penstock.sink.contract import SaveRow
from penstock.sink.hash_chain import completion
from penstock.sink.store import ResultStore
from penstock.ventilator.contract import SaveBatch, SaveChunk
from penstock.ventilator.store import QueueStore
from penstock.wire.records import OutcomeHead
from support.sink_models import WORKERS

BATCH, OTHER = b"b" * 16, b"c" * 16
CODE, DIGEST = b"def f", b"d" * 16


def a_batch(batch: bytes = BATCH, **options: Any) -> SaveBatch:
    """A batch with a small function."""
    return SaveBatch(batch, BatchSpec(**options), DIGEST, CODE, 1.0)


def queue_of_two_chunks(folder: Path) -> QueueStore:
    """A queue store with a batch of fifteen jobs."""
    store = QueueStore(folder / "data", durable=False)
    store.save([a_batch(name="x"), SaveChunk(BATCH, 0, 10, b"first"), SaveChunk(BATCH, 10, 5, memoryview(b"second"))])
    return store


def lines(store: ResultStore, *heads: OutcomeHead, body: bytes = b"\x91\x01") -> list[SaveRow]:
    """Saves for these outcomes, at the end of the log."""
    seq, chain = store.head()
    rows: list[SaveRow] = []
    for head in heads:
        line = completion(seq + 1, head, WORKERS[0], chain)
        seq, chain = line.seq, line.chain
        rows.append(SaveRow(seq, replace(head, size=len(body)), WORKERS[0], chain, body))
    return rows
