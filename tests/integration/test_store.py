"""The two stores: what is committed stays, what is damaged is noticed, what is deleted goes, whatever dies."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from msgspec.structs import replace

from penstock.core.actions import (
    DeleteBatch,
    OpenPart,
    SaveApplied,
    SaveBatch,
    SaveCancelled,
    SaveChunk,
    SaveCounts,
    SaveOpen,
    SaveRecorded,
    SaveRow,
    SaveTotal,
)
from penstock.core.chain import completion
from penstock.core.inputs import StoredChunk
from penstock.errors import SchemaMismatch, StoreError, StoreInUse
from penstock.job import BatchSpec, Stamp, new_batch_id
from penstock.store import QueueStore, ResultStore, file, queue
from sink_world import StoredSinkMachine, head_of, values_of
from support import LIMIT, until

TestSinkOverItsFile = StoredSinkMachine.TestCase
TestSinkOverItsFile.settings = settings(max_examples=20, stateful_step_count=50, deadline=None)

BATCH, OTHER = b"b" * 16, b"c" * 16
CODE, DIGEST = b"def f", b"d" * 16
SECOND = Stamp(0, 2, 1)


def a_batch(batch: bytes = BATCH, **options: object) -> SaveBatch:
    """A batch with a small function."""
    return SaveBatch(batch, BatchSpec(**options), DIGEST, CODE, 1.0)  # type: ignore[arg-type]


def lines(store: ResultStore, *heads: object, body: bytes = b"\x91\x01") -> list[SaveRow]:
    """Saves for these outcomes, at the end of the log."""
    seq, chain = store.head()
    rows: list[SaveRow] = []
    for head in heads:
        line = completion(seq + 1, head, b"w" * 16, chain)  # type: ignore[arg-type]
        seq, chain = line.seq, line.chain
        rows.append(SaveRow(seq, replace(head, size=len(body)), b"w" * 16, chain, body))  # type: ignore[type-var]
    return rows


@pytest.fixture
def queued(folder: Path) -> Iterator[QueueStore]:
    """A queue store with a batch of two chunks."""
    store = QueueStore(folder / "data", durable=False)
    store.save([a_batch(name="x"), SaveChunk(BATCH, 0, 10, b"first"), SaveChunk(BATCH, 10, 5, memoryview(b"second"))])
    yield store
    store.close()


@pytest.fixture
def results(folder: Path) -> Iterator[ResultStore]:
    """An empty results store."""
    store = ResultStore(folder / "data", durable=False)
    yield store
    store.close()


# -------------------------------------------------------------------------------------------------- the queue file


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


def test_the_same_saves_again_change_nothing(queued: QueueStore) -> None:
    """That is what happens after a commit whose outcome was unknown, and when a client repeats itself."""
    saves = [a_batch(OTHER), SaveChunk(OTHER, 0, 3, b"other"), SaveOpen(BATCH, 0, ()), SaveApplied(1, b"c")]
    queued.save(saves)
    before = (queued.batches(), queued._kept_bytes)
    queued.reopen()
    queued.save(saves)
    queued.save([a_batch(), SaveChunk(BATCH, 0, 10, b"something else")])
    assert (queued.batches(), queued._kept_bytes) == before
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
    with pytest.raises(StoreError, match="chunk 6262.*:0 is not here"):
        queued.chunk(BATCH, 0)
    assert queued._kept_bytes == 0
    monkeypatch.setattr(queue, "KEEP_TIME", 3600.0)
    monkeypatch.setattr(queue, "KEEP_BYTES", 10 * (100 + queue.PRUNE_COST))
    queued.save([SaveChunk(BATCH, at, 1, bytes(100)) for at in range(15, 75)])
    for at in range(15, 75, 20):
        queued.save([SaveOpen(BATCH, one, ()) for one in range(at, at + 20)])
        assert queued._kept_bytes <= queue.KEEP_BYTES
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
    while queued.tidy():
        assert queued.chunk(BATCH, 0) == b"again"
    assert queued.value("SELECT count(*) FROM chunk") == queued.value("SELECT count(*) FROM payload") == 1
    assert queued._kept_bytes == 0
    queued.save([DeleteBatch(BATCH)])
    with pytest.raises(StoreError, match="function 6464"):
        queued.function(DIGEST)


def test_large_chunks_are_deleted_by_bytes(queued: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends where it has deleted enough."""
    monkeypatch.setattr(queue, "DELETE_BYTES", 6)
    queued.save([DeleteBatch(BATCH)])
    assert queued.value("SELECT count(*) FROM chunk") == 0
    queued.save([a_batch(), SaveChunk(BATCH, 0, 1, bytes(10)), SaveChunk(BATCH, 1, 1, bytes(10))])
    assert queued.tidy() is False
    queued.save([DeleteBatch(BATCH)])
    assert queued.value("SELECT count(*) FROM chunk") == 1


@pytest.mark.parametrize("table", ["payload SET bytes", "function SET code"])
def test_a_changed_byte_in_the_queue_is_noticed(queued: QueueStore, table: str) -> None:
    """SQLite does not see it; the row's checksum does, and the error names the row."""
    queued.db.execute(f"UPDATE {table} = x'00'")
    with pytest.raises(StoreError, match="(chunk 6262.*:0|function 6464.*) is damaged on disk"):
        queued.chunk(BATCH, 0) if "payload" in table else queued.function(DIGEST)


def test_a_million_chunks_do_not_slow_the_start(folder: Path) -> None:
    """A start asks the indexes: with a tenth of the promised ten million, well within a tenth of the promised 5 s."""
    store = QueueStore(folder / "data", durable=False)
    store.save([a_batch(), SaveOpen(BATCH, 0, ())])
    store.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)"
        " INSERT INTO chunk (batch, first, count, size, payload, finished, finished_time)"
        " SELECT 1, i * 10, 10, 5, i, iif(i < 900000, 1, NULL), iif(i < 900000, 4e9, NULL) FROM n"
    )
    store.close()
    began = time.perf_counter()
    store = QueueStore(folder / "data", durable=False)
    assert store.batches()[0].open_from == 9_000_000
    assert len(store.open_chunks(BATCH, 9_000_000, 1000)) == 1000
    store.save([SaveApplied(1, b"c")])
    took = time.perf_counter() - began
    store.close()
    print(f"start over a million chunks: {took * 1000:.1f} ms")
    assert took < 0.5


# ------------------------------------------------------------------------------------------------ the results file


def test_rows_come_back_in_order_and_bounded(results: ResultStore) -> None:
    """From a position on, as long as the credit lasts, but at least one; attempts that were not final are not among
    them."""
    heads = [head_of(BATCH, at, at + 1, final=at != 1) for at in range(4)]
    results.save(lines(results, *heads, head_of(OTHER, 0, 1)))
    records, payload, position, more = results.rows_after(BATCH, 0, 1 << 20)
    assert ([record.start for record in records], bytes(payload), position, more) == (
        [0, 2, 3],
        b"\x91\x01" * 3,
        4,
        False,
    )
    records, _, position, more = results.rows_after(BATCH, 0, 1)
    assert ([record.start for record in records], position, more) == ([0], 1, True)
    records, _, position, more = results.rows_after(BATCH, 1, 200)
    assert ([record.start for record in records], position, more) == ([2, 3], 4, False)
    assert results.rows_after(BATCH, 4, 100) == ((), b"", 4, False)
    assert results.rows_after(b"x" * 16, 0, 100) == ((), b"", 0, False)


def test_a_span_is_fetched_whatever_lines_it_is_in(results: ResultStore) -> None:
    """Long lines that begin before it included, and attempts that were not final."""
    heads = [
        head_of(BATCH, 0, 100),
        head_of(BATCH, 100, 101, final=False),
        head_of(BATCH, 100, 105),
        head_of(BATCH, 105, 106),
    ]
    results.save(lines(results, *heads, head_of(OTHER, 0, 1000)))
    spans = {
        (start, stop): [(record.start, record.final) for record in results.rows_in(BATCH, start, stop)[0]]
        for start, stop in ((99, 100), (50, 101), (104, 200), (106, 200))
    }
    assert spans == {
        (99, 100): [(0, True)],
        (50, 101): [(0, True), (100, False), (100, True)],
        (104, 200): [(100, True), (105, True)],
        (106, 200): [],
    }


def test_the_log_goes_on_from_any_line(results: ResultStore) -> None:
    """With the chain of the line it goes on from, which tells whether it is the same log."""
    rows = lines(results, *[head_of(BATCH, at, at + 1) for at in range(5)])
    results.save(rows)
    assert results.head() == (5, rows[-1].chain)
    chain, told, more = results.log_after(0, 3)
    assert (chain, [line.seq for line in told], more) == (b"", [1, 2, 3], True)
    chain, told, more = results.log_after(3, 3)
    assert (chain, [line.chain for line in told], more) == (rows[2].chain, [rows[3].chain, rows[4].chain], False)
    assert results.log_after(5, 3) == (rows[4].chain, (), False)
    assert results.log_after(6, 3) == (None, (), False)


def test_a_start_learns_what_is_recorded(results: ResultStore) -> None:
    """From the last checkpoint and the lines after it; the number of the last line with it."""
    results.save(lines(results, head_of(BATCH, 0, 4), head_of(BATCH, 9, 10, final=False)))
    results.save([SaveRecorded(BATCH, ((0, 4),), ((9, 10, Stamp()),))])
    results.save(
        lines(results, head_of(BATCH, 6, 7), head_of(BATCH, 9, 10, final=False, stamp=SECOND), head_of(OTHER, 0, 1))
    )
    first, second = results.recorded()
    assert (first.batch, first.spans, first.last) == (BATCH, ((0, 4), (6, 7)), 4)
    assert first.attempts == ((9, 10, Stamp()), (9, 10, SECOND))
    assert (second.batch, second.spans, second.attempts, second.last) == (OTHER, ((0, 1),), (), 5)


def test_the_same_lines_again_change_nothing_and_others_are_refused(results: ResultStore) -> None:
    """The chain tells a repeated commit from a second sink."""
    rows = lines(results, head_of(BATCH, 0, 1), head_of(BATCH, 1, 2))
    results.save(rows)
    results.reopen()
    results.save(rows)
    assert results.head() == (2, rows[-1].chain)
    with pytest.raises(StoreError, match="another line 2 is here already"):
        results.save([replace(rows[1], chain=b"another")])


def test_a_deleted_batch_leaves_a_hole_in_the_log(results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who applied all of it goes on; who would need what is gone is told that it is not there."""
    monkeypatch.setattr("penstock.store.results.DELETE_ROWS", 2)
    rows = lines(results, head_of(OTHER, 0, 1), *[head_of(BATCH, at, at + 1) for at in range(5)], head_of(OTHER, 1, 2))
    results.save(rows)
    results.save([DeleteBatch(BATCH)])
    assert results.rows_after(BATCH, 0, 1000)[0] == ()
    assert [record.batch for record in results.recorded()] == [OTHER]
    results.reopen()
    while results.tidy():
        pass
    assert results.value("SELECT count(*) FROM line") == 2
    chain, told, _ = results.log_after(6, 9)
    assert (chain, [line.seq for line in told]) == (rows[5].chain, [7])
    assert [results.log_after(seq, 9)[0] for seq in (0, 1, 5)] == [None, None, None]
    results.save([DeleteBatch(OTHER)])
    assert results.head() == (7, rows[-1].chain)
    assert results.log_after(7, 9) == (rows[-1].chain, (), False)


@pytest.mark.parametrize("column", ["head", "body"])
def test_a_changed_byte_in_a_line_is_noticed(results: ResultStore, column: str) -> None:
    """In the value as in what is said about it."""
    results.save(lines(results, head_of(BATCH, 0, 1), body=b"x" * 50))
    (value,) = results.db.execute(f"SELECT {column} FROM line").fetchone()  # type: ignore[misc]
    results.db.execute(f"UPDATE line SET {column} = ?", (value[:-1] + bytes([value[-1] ^ 1]),))
    for read in (lambda: results.rows_after(BATCH, 0, 9), lambda: results.rows_in(BATCH, 0, 1)):
        with pytest.raises(StoreError, match="line 1 is damaged on disk"):
            read()


def test_a_line_that_does_not_fit_the_chain_is_noticed(results: ResultStore) -> None:
    """A replay never tells what was not recorded."""
    results.save(lines(results, head_of(BATCH, 0, 1), head_of(BATCH, 1, 2)))
    results.db.execute("UPDATE line SET worker = zeroblob(16) WHERE seq = 2")
    with pytest.raises(StoreError, match="line 2 is damaged on disk"):
        results.log_after(0, 9)


# ------------------------------------------------------------------------------------------------------- any store


def test_the_folder_is_private_and_settings_are_as_promised(queued: QueueStore, folder: Path) -> None:
    """One process, one connection, a write-ahead log, and syncs at every commit where it shall be durable."""
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert queued.db.pragma("journal_mode") == "wal"
    assert queued.db.pragma("locking_mode") == "exclusive"
    assert queued.db.pragma("synchronous") == 1
    durable = ResultStore(folder / "safe")
    assert durable.db.pragma("synchronous") == 2
    durable.close()


def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    """And the error says what to do."""
    (folder / "data").mkdir()
    (folder / "data").chmod(0o777)
    with pytest.raises(StoreError, match="chmod 700"):
        QueueStore(folder / "data")


def test_a_path_that_cannot_be_a_folder_is_refused(folder: Path) -> None:
    """In one line."""
    (folder / "data").write_text("not a folder")
    with pytest.raises(StoreError, match="File exists|Not a directory"):
        QueueStore(folder / "data")


def test_a_second_process_on_the_folder_is_refused(queued: QueueStore, folder: Path) -> None:
    """It is told which process has it; and when that one is gone, however, it may."""
    code = f"from penstock.store import QueueStore; QueueStore({str(folder / 'data')!r}, durable=False)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert "StoreInUse" in other.stderr
    assert f"queue.db is in use by process {os.getpid()}" in other.stderr
    with pytest.raises(StoreInUse):
        QueueStore(folder / "data", durable=False)
    queued.close()
    QueueStore(folder / "data", durable=False).close()


def test_a_newer_schema_is_refused_and_left_alone(queued: QueueStore, folder: Path) -> None:
    """Both versions and the file are named."""
    queued.db.pragma("user_version", 9)
    queued.close()
    for _ in range(2):
        with pytest.raises(SchemaMismatch, match=r"queue\.db: has schema 9, this penstock knows up to 1"):
            QueueStore(folder / "data", durable=False)


@pytest.mark.parametrize("content", [b"random bytes " * 1000, b"x"])
def test_a_file_of_another_kind_is_refused_and_left_alone(folder: Path, content: bytes) -> None:
    """Never overwritten."""
    folder.joinpath("queue.db").write_bytes(content)
    with pytest.raises(StoreError, match="not a penstock store"):
        QueueStore(folder, durable=False)
    assert folder.joinpath("queue.db").read_bytes() == content


def test_another_programs_database_is_refused(results: ResultStore, folder: Path) -> None:
    """Nor is one store taken for the other."""
    results.close()
    (folder / "data/results.db").rename(folder / "data/queue.db")
    apsw.Connection(str(folder / "data/results.db")).execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="a database of another kind"):
        QueueStore(folder / "data", durable=False)
    with pytest.raises(StoreError, match="a database of another kind"):
        ResultStore(folder / "data", durable=False)


def test_a_symbolic_link_is_not_followed(queued: QueueStore, folder: Path) -> None:
    """A store is a file in its folder."""
    queued.close()
    folder.joinpath("queue.db").symlink_to(folder / "data/queue.db")
    with pytest.raises(StoreError, match="cannot be opened"):
        QueueStore(folder, durable=False)


def test_half_a_store_is_refused(queued: QueueStore, folder: Path) -> None:
    """An emptied file beside its log: SQLite would throw the log away."""
    log = (folder / "data/queue.db-wal").read_bytes()
    queued.close()
    (folder / "data/queue.db").write_bytes(b"")
    (folder / "data/queue.db-wal").write_bytes(log)
    with pytest.raises(StoreError, match="empty beside a write-ahead log"):
        QueueStore(folder / "data", durable=False)
    assert (folder / "data/queue.db-wal").read_bytes() == log


def test_a_backup_is_whole_and_never_over_another_file(queued: QueueStore, folder: Path) -> None:
    """Made while the store is in use; it opens as a store."""
    (folder / "backup").mkdir(mode=0o700)
    queued.backup(folder / "backup/queue.db")
    with pytest.raises(StoreError, match="exists already"):
        queued.backup(folder / "backup/queue.db")
    assert (folder / "backup/queue.db").stat().st_mode & 0o777 == 0o600
    copy = QueueStore(folder / "backup", durable=False)
    assert copy.chunk(BATCH, 10) == b"second"
    copy.close()


def test_a_failed_write_stops_the_store_until_it_is_opened_again(queued: QueueStore) -> None:
    """Its outcome is unknown; reads show only what was committed, and the same saves may be given again."""
    used = queued.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    saves = [SaveChunk(BATCH, 15, 1, bytes(8 << 20))]
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (used + (1 << 20), hard))
    try:
        with pytest.raises(StoreError, match=r"queue\.db: the disk"):
            queued.save(saves)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert queued.batches()[0].accepted == 15
    with pytest.raises(StoreError, match="must be opened again"):
        queued.save(saves)
    queued.reopen()
    queued.save(saves)
    assert queued.batches()[0].accepted == 16


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs to be root to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)  # lazy: also when a failed test left its store open


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """Filled and emptied again and again: whatever was saved is there, and the error says what to do."""
    store = ResultStore(small_disk / "data", durable=False)
    kept = lines(store, head_of(BATCH, 0, 1))
    store.save(kept)
    for turn in range(5):
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(4 << 20))
        saves = lines(store, head_of(OTHER, turn, turn + 1), body=bytes(100_000))
        with pytest.raises(StoreError, match="the disk is full; free some room"):
            while True:
                store.save(saves)
                kept += [replace(row, body=b"") for row in saves]
                saves = lines(store, head_of(OTHER, len(kept), len(kept) + 1), body=bytes(100_000))
        ballast.unlink()
        store.reopen()
        assert store.head()[0] == len(kept)
        store.save(saves)
        kept += saves
        store.save([DeleteBatch(OTHER)])
        while store.tidy():
            pass
    assert [record.start for record in store.rows_after(BATCH, 0, 1000)[0]] == [0]
    store.close()


def test_memory_is_no_place_for_what_must_last(small_disk: Path) -> None:
    """Unless nothing was promised."""
    with pytest.raises(StoreError, match=r"in memory \(tmpfs\), gone at the next boot; name a folder on a disk"):
        ResultStore(small_disk / "data")
    ResultStore(small_disk / "data", durable=False).close()


def test_a_network_file_system_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks and syncs are not to be relied on."""
    monkeypatch.setattr(file, "filesystem", lambda _: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).* name a local folder with --data"):
        QueueStore(folder / "data")


# ------------------------------------------------------------------------------------------------------- kill -9

WRITER = """
import sys
from penstock.core.actions import SaveRow
from penstock.core.chain import completion
from penstock.store import ResultStore
sys.path.insert(0, sys.argv[2])
from sink_world import head_of
import msgspec
store = ResultStore(sys.argv[1])
while True:
    rows, (seq, chain) = [], store.head()
    for _ in range(7):
        body = msgspec.msgpack.encode([seq])
        head = head_of(b"b" * 16, seq, seq + 1, size=len(body))
        line = completion(seq + 1, head, b"w" * 16, chain)
        seq, chain = line.seq, line.chain
        rows.append(SaveRow(seq, head, b"w" * 16, chain, body))
    store.save(rows)
    print(seq, chain.hex(), flush=True)
"""


def killed_writer(folder: Path, acknowledged: int) -> tuple[int, str]:
    """Let a process write until it has acknowledged so much more, kill it, return the last it acknowledged."""
    log = folder / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-c", WRITER, str(folder / "data"), str(Path(__file__).parents[1])]
        writer = subprocess.Popen(command, stdout=out)
    enough: Callable[[], bool] = lambda: log.read_bytes().count(b"\n") >= acknowledged  # noqa: E731
    until(enough, LIMIT, "the writer has acknowledged enough")
    writer.kill()
    writer.wait()
    seq, chain = re.findall(r"^(\d+) ([0-9a-f]+)\n", log.read_text(), re.MULTILINE)[-1]
    return int(seq), chain


def test_kill_9_of_the_writer_loses_nothing_it_acknowledged(folder: Path) -> None:
    """A real process, killed in the middle of its commits again and again: its log is there without a gap or a torn
    turn, and goes on."""
    for kill in range(6):
        seq, chain = killed_writer(folder, 20 + 13 * kill)
        store = ResultStore(folder / "data")
        assert store.head()[0] >= seq
        assert store.head()[0] % 7 == 0, "a turn is all or nothing"
        assert store.log_after(seq, 1)[0] == bytes.fromhex(chain)
        _, told, more = store.log_after(0, 1 << 20)
        assert ([line.seq for line in told], more) == (list(range(1, store.head()[0] + 1)), False)
        records, payload, _, _ = store.rows_after(b"b" * 16, 0, 1 << 40)
        assert {index: value for index, (_, value) in values_of(records, payload)} == {n: n for n in range(len(told))}
        store.close()


def test_rates(folder: Path) -> None:
    """Prints what a commit costs; with 128 rows a commit syncs cost less than twice."""
    for durable in (True, False):
        for count in (1, 16, 128):
            store = ResultStore(folder / f"{durable}{count}", durable)
            rounds, spent = max(20, 2000 // count), 0.0
            batch = new_batch_id()
            for at in range(rounds):
                saves = lines(
                    store, *[head_of(batch, at * count + i, at * count + i + 1) for i in range(count)], body=bytes(200)
                )
                began = time.perf_counter()
                store.save(saves)
                spent += time.perf_counter() - began
            store.close()
            print(f"{'FULL' if durable else 'NORMAL'} {count} rows a commit: {rounds * count / spent:,.0f} rows/s")
