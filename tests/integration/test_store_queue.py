"""The ventilator's file: accepted jobs stay until they are done, and a while longer."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import apsw
import pytest

from penstock.errors import StoreError
from penstock.job.spec import BatchSpec, Stamp
from penstock.station.contract import DeleteBatch
from penstock.ventilator import store as queue
from penstock.ventilator.contract import (
    OpenPart,
    SaveApplied,
    SaveCancelled,
    SaveChunk,
    SaveCounts,
    SaveOpen,
    SaveTotal,
    StoredChunk,
    VentilatorSave,
)
from penstock.ventilator.store import QueueStore
from penstock.ventilator.store_statements import CHUNK
from support.store_samples import BATCH, CODE, DIGEST, OTHER, a_batch, queue_of_two_chunks

SECOND = Stamp(0, 2, 1)


@pytest.fixture
def queued(folder: Path) -> Iterator[QueueStore]:
    """A queue store with a batch of two chunks."""
    store = queue_of_two_chunks(folder)
    yield store
    store.close()


def test_what_was_saved_is_there_after_a_restart(queued: QueueStore, folder: Path) -> None:
    """Batches, chunks, functions, and how far the sink's log is applied."""
    queued.save([SaveTotal(BATCH, 15), SaveCounts(BATCH, {"failed": 2}), SaveApplied(7, b"chain")])
    queued.save([SaveCancelled(BATCH, ((3, 4),)), SaveOpen(BATCH, 0, (OpenPart(2, 5, SECOND, True),))])
    queued.close()
    again = QueueStore(folder / "data", durable=False)
    (batch,) = again.batches()
    assert (batch.batch, batch.spec, batch.function) == (BATCH, BatchSpec(name="x"), DIGEST)
    assert (batch.accepted, batch.total, batch.counts, batch.open_from) == (15, 15, {"failed": 2}, 0)
    assert (batch.function_size, batch.cancelled, batch.created_time) == (5, ((3, 4),), 1.0)
    assert again.applied() == (7, b"chain")
    assert again.chunk(BATCH, 10) == b"second"
    assert again.function(DIGEST) == CODE
    assert again.open_chunks(BATCH, 0, 9) == (
        StoredChunk(0, 10, 5, (OpenPart(2, 5, SECOND, True),)),
        StoredChunk(10, 5, 6, (OpenPart(10, 15),)),
    )
    again.close()


def test_each_start_is_counted(queued: QueueStore) -> None:
    """So that no lease number is used twice."""
    assert [queued.begin_life(), queued.begin_life()] == [1, 2]
    queued.reopen()
    assert queued.begin_life() == 3


def kept_bytes(store: QueueStore) -> int:
    """Of finished chunks, as the file counts them."""
    return int(store.value("SELECT kept_bytes FROM meta"))


def test_the_same_saves_again_change_nothing(queued: QueueStore) -> None:
    """That is what happens after a commit whose outcome was unknown, and when a client repeats itself."""
    saves: list[VentilatorSave] = [
        a_batch(OTHER),
        SaveChunk(OTHER, 0, 3, b"other"),
        SaveOpen(BATCH, 0, ()),
        SaveApplied(1, b"c"),
    ]
    queued.save(saves)
    before = (queued.batches(), kept_bytes(queued))
    queued.reopen()
    queued.save(saves)
    queued.save([a_batch(), SaveChunk(BATCH, 0, 10, b"something else")])
    assert (queued.batches(), kept_bytes(queued)) == before
    assert queued.chunk(BATCH, 0) == b"first"
    queued.save([DeleteBatch(OTHER), DeleteBatch(OTHER)])
    assert queued.function(DIGEST) == CODE, "the other batch still needs it"


def test_open_chunks_are_those_with_open_jobs(queued: QueueStore) -> None:
    """From an index on, so many; one of them by any index in it."""
    queued.save([SaveOpen(BATCH, 0, ())])
    assert [chunk.first for chunk in queued.open_chunks(BATCH, 0, 9)] == [10]
    assert queued.open_chunks(BATCH, 11, 9) == ()
    assert queued.open_chunks(OTHER, 0, 9) == ()
    assert queued.batches()[0].open_from == 10
    assert queued.open_chunk_at(BATCH, 14) == StoredChunk(10, 5, 6, (OpenPart(10, 15),))
    assert [queued.open_chunk_at(BATCH, index) for index in (3, 15)] == [None, None]
    queued.save([SaveOpen(BATCH, 0, (OpenPart(3, 4),))])
    assert [chunk.first for chunk in queued.open_chunks(BATCH, 0, 1)] == [0]


def test_a_finished_chunk_is_kept_a_while(queued: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is too old, or there is too much of it: then the oldest go, a few per transaction."""
    queued.save([SaveOpen(BATCH, 0, ())])
    queued.save([])
    assert queued.chunk(BATCH, 0) == b"first"
    monkeypatch.setattr(queue, "KEEP_TIME", -1.0)
    queued.save([])
    with pytest.raises(StoreError, match=r"chunk 6262.*:0 is not here"):
        queued.chunk(BATCH, 0)
    assert kept_bytes(queued) == 0
    monkeypatch.setattr(queue, "KEEP_TIME", 3600.0)
    monkeypatch.setattr(queue, "KEEP_BYTES", 10 * (100 + queue.PRUNE_COST))
    queued.save([SaveChunk(BATCH, at, 1, bytes(100)) for at in range(15, 75)])
    for at in range(15, 75, 20):
        queued.save([SaveOpen(BATCH, one, ()) for one in range(at, at + 20)])
        assert kept_bytes(queued) <= queue.KEEP_BYTES
    assert queued.value("SELECT count(*) FROM payload") == 11  # ten that are kept, one that is open


def test_a_deleted_batch_is_gone_at_once_and_leaves_the_file_bit_by_bit(
    queued: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction deletes more than so many rows or bytes; a batch of the same id may come again meanwhile."""
    monkeypatch.setattr(queue, "DELETE_ROWS", 10)
    queued.save([SaveChunk(BATCH, at, 1, b"x") for at in range(15, 100)])
    queued.save([SaveOpen(BATCH, 0, ())])
    queued.save([DeleteBatch(BATCH)])
    assert queued.batches() == []
    assert queued.open_chunks(BATCH, 0, 9) == ()
    assert queued.value("SELECT count(*) FROM chunk") == 77
    queued.save([a_batch(), SaveChunk(BATCH, 0, 1, b"again")])
    queued.reopen()
    while queued.untidy:
        queued.save([])
        assert queued.chunk(BATCH, 0) == b"again"
    assert queued.value("SELECT count(*) FROM chunk") == queued.value("SELECT count(*) FROM payload") == 1
    assert kept_bytes(queued) == 0
    queued.save([DeleteBatch(BATCH)])
    with pytest.raises(StoreError, match="function 6464"):
        queued.function(DIGEST)


def test_digests_stay_as_long_as_their_batch(queued: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from any job on, in stretches; a deleted batch takes them along."""
    digests = [bytes([number]) * 16 for number in range(6)]
    queued.save([a_batch(OTHER), SaveChunk(OTHER, 0, 4, b"x", b"".join(digests[:4]))])
    queued.save([SaveChunk(OTHER, 4, 2, b"y", b"".join(digests[4:]))])
    assert queued.digests(OTHER, 0) == b"".join(digests)
    assert queued.digests(OTHER, 5) == digests[5]
    assert queued.digests(OTHER, 6) == queued.digests(BATCH, 0) == b""
    monkeypatch.setattr(queue, "DIGESTS_BYTES", 16)
    assert queued.digests(OTHER, 1) == b"".join(digests[1:4])
    queued.save([DeleteBatch(OTHER)])
    while queued.untidy:
        queued.save([])
        assert queued.digests(OTHER, 0) == b""
    assert queued.value("SELECT count(*) FROM digest") == 0


def test_large_chunks_are_deleted_by_bytes(queued: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends where it has deleted enough."""
    monkeypatch.setattr(queue, "DELETE_BYTES", 6)
    queued.save([DeleteBatch(BATCH)])
    assert queued.value("SELECT count(*) FROM chunk") == 0
    queued.save([a_batch(), SaveChunk(BATCH, 0, 1, bytes(10)), SaveChunk(BATCH, 1, 1, bytes(10))])
    queued.save([])
    assert not queued.untidy
    queued.save([DeleteBatch(BATCH)])
    assert queued.value("SELECT count(*) FROM chunk") == 1


@pytest.mark.parametrize("table", ["payload SET bytes", "function SET code"])
def test_a_changed_byte_in_the_queue_is_noticed(queued: QueueStore, table: str) -> None:
    """SQLite does not see it; the row's checksum does, and the error names the row."""
    queued.db.execute(f"UPDATE {table} = x'00'")
    with pytest.raises(StoreError, match=r"(chunk 6262.*:0|function 6464.*) is damaged on disk"):
        queued.chunk(BATCH, 0) if "payload" in table else queued.function(DIGEST)


def test_a_million_chunks_do_not_slow_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start asks the indexes: what it costs SQLite does not grow with what is finished."""
    store = QueueStore(folder / "data", durable=False)
    store.save([a_batch(), SaveOpen(BATCH, 0, ())])
    store.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)"
        " INSERT INTO chunk (batch, first, count, size, payload, finished, finished_time)"
        " SELECT 1, i * 10, 10, 5, i, iif(i < 900000, 1, NULL), iif(i < 900000, 4e9, NULL) FROM n"
    )
    store.db.execute(CHUNK.write())
    store.close()
    turns = count()
    hook = functools.partial(apsw.Connection.set_progress_handler, callable=lambda: next(turns) < 0, nsteps=1000)
    monkeypatch.setattr(apsw, "connection_hooks", [*apsw.connection_hooks, hook])
    store = QueueStore(folder / "data", durable=False)
    assert store.batches()[0].open_from == 9_000_000
    assert len(store.open_chunks(BATCH, 9_000_000, 1000)) == 1000
    store.save([SaveApplied(1, b"c")])
    store.close()
    used = next(turns)
    print(f"{used},000 steps")
    assert 0 < used < 100  # thousands of steps; a look at each chunk would be as many thousands at least
