"""The sink's file: the log of outcomes, in order, whole, and told from a damaged one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from msgspec.structs import replace

from penstock.errors import StoreError
from penstock.job.filters import Filter
from penstock.job.spec import JobState, Stamp, new_batch_id
from penstock.sink import filtered_lines
from penstock.sink.contract import SaveClaim, SaveRecorded
from penstock.sink.filtered_lines import filtered
from penstock.sink.store import ResultStore
from penstock.station.contract import DeleteBatch
from penstock.station.recorded_jobs import RecordedLine, StoredRecord
from penstock.wire.filter_messages import FetchedFiltered, FetchFiltered, FilteredSpan
from penstock.wire.records import Note
from support.sink_machine import StoredSinkMachine
from support.sink_models import head_of
from support.store_samples import BATCH, OTHER, lines

TestSinkOverItsFile = StoredSinkMachine.TestCase
TestSinkOverItsFile.settings = settings(max_examples=20, stateful_step_count=50, deadline=None)

SECOND = Stamp(0, 2, 1)


@pytest.fixture
def results(folder: Path) -> Iterator[ResultStore]:
    """An empty results store."""
    store = ResultStore(folder / "data", durable=False)
    yield store
    store.close()


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
    results.save(lines(results, head_of(BATCH, 4, 5, final=False)))
    assert results.rows_after(BATCH, 4, 100) == ((), b"", 6, False)


def answers(results: ResultStore, where: str, *spans: FilteredSpan, limit: int = 1_000) -> list[FetchedFiltered]:
    """All that is answered, asked on until there is no more."""
    found: list[FetchedFiltered] = []
    cursor: tuple[int, int, int] | None = (0, 0, 0)
    while cursor is not None:
        found.append(filtered(results, FetchFiltered(1, where, spans, limit, cursor), Filter.parse(where)))
        cursor = found[-1].cursor
    return found


def test_what_has_ended_is_found_by_a_filter(results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the spans that are asked for and nothing beside them; attempts that were not final do not count, nor does
    what was opened again; with a line or a look to an answer the same jobs are found, and values are never read."""
    failed = Note(cause="TimeoutError: no answer", traceback="fetch.py", stdout=b"x")
    heads = [
        replace(head_of(BATCH, 0, 10), worker="gpu7", started_time=100.0, elapsed=20.0),
        replace(head_of(BATCH, 10, 12, final=False), state=JobState.FAILED, note=failed),
        replace(head_of(BATCH, 10, 12), state=JobState.FAILED, note=failed, started_time=500.0, elapsed=1.0),
        replace(head_of(BATCH, 12, 14), state=JobState.FAILED, note=failed),
        replace(head_of(BATCH, 12, 13, final=False), state=JobState.QUEUED, stamp=Stamp(1, 0, 0)),
        replace(head_of(OTHER, 0, 3), started_time=100.0),
    ]
    results.save(lines(results, *heads))
    all_of_it = FilteredSpan(BATCH, 5, 99, 90.0), FilteredSpan(OTHER, 0, 1, 0.0)

    def found(where: str, limit: int = 1_000) -> list[tuple[bytes, int, int]]:
        records = [one for answer in answers(results, where, *all_of_it, limit=limit) for one in answer.records]
        return [(one.batch, one.start, one.stop) for one in records]

    whole = [(BATCH, 5, 10), (BATCH, 10, 12), (BATCH, 13, 14), (OTHER, 0, 1)]
    assert found("") == whole
    assert found("state=failed error~FETCH.PY") == [(BATCH, 10, 12), (BATCH, 13, 14)]
    assert found("worker=gpu7 ran>1s ran<3s") == [(BATCH, 5, 10)]
    assert found("wait>1m") == [(BATCH, 10, 12), (OTHER, 0, 1)]
    assert found("started>1970-01-01T00:08Z") == [(BATCH, 10, 12)]
    (answer,) = answers(results, "state=failed", *all_of_it)
    assert {(one.size, one.note) for one in answer.records} == {(0, Note(cause="TimeoutError: no answer"))}
    assert found("", limit=1) == whole
    (answer,) = answers(results, "error~x,y", *all_of_it)
    with monkeypatch.context() as patch:
        patch.setattr(filtered_lines, "BYTES_PER_LOOK", 1)  # long texts and many values: fewer lines to an answer
        assert len(answers(results, "error~x,y", *all_of_it)) > 1
    monkeypatch.setattr(filtered_lines, "LOOKS", 1)
    assert found("") == whole


def test_a_page_costs_as_much_wherever_it_begins(results: ResultStore) -> None:
    """Steps of the database for the first lines and for the last ones: those in front of a place are not passed by."""
    results.save(lines(results, *[head_of(BATCH, at, at + 1) for at in range(4_000)]))
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    def cost(read: Callable[[int], object], at: int) -> int:
        nonlocal steps
        steps = 0
        results.db.set_progress_handler(count, 1)
        read(at)
        results.db.set_progress_handler(None)
        return steps

    span = (FilteredSpan(BATCH, 0, 4_000, 0.0),)
    reads: list[Callable[[int], object]] = [
        lambda at: results.rows_in(BATCH, at, at + 2, (at, at)),
        lambda at: results.rows_in(BATCH, 0, at + 2, (at, at)),
        lambda at: filtered(results, FetchFiltered(1, "", span, 1, (0, at, at)), Filter.parse("")),
    ]
    for read in reads:
        assert cost(read, 3_990) < 2 * cost(read, 10)


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
    results.save([SaveRecorded(BATCH, ((0, 4),), ((2, 3, 1),), ((9, 10, Stamp()),))])
    results.save(
        lines(results, head_of(BATCH, 6, 7), head_of(BATCH, 9, 10, final=False, stamp=SECOND), head_of(OTHER, 0, 1))
    )
    first, second = results.recorded()
    tail = (RecordedLine(6, 7, Stamp(), True), RecordedLine(9, 10, SECOND, False))
    assert first == StoredRecord(BATCH, ((0, 4),), ((2, 3, 1),), ((9, 10, Stamp()),), tail, 4)
    assert second == StoredRecord(OTHER, (), (), (), (RecordedLine(0, 1, Stamp(), True),), 5)


def test_readers_get_no_value_of_what_was_opened_again(results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that it was there, in the order of its jobs; a fetch gives all, in as many answers as it takes."""
    failed = head_of(BATCH, 0, 4, state=JobState.FAILED)
    again = head_of(BATCH, 1, 2, state=JobState.QUEUED, final=False, stamp=Stamp(1, 0))
    results.save(lines(results, failed, again, head_of(BATCH, 1, 2, stamp=Stamp(1, 1))))
    rows, _, position, more = results.rows_after(BATCH, 0, 1 << 20)
    assert [(row.start, row.stop, row.final, row.size > 0, row.offset) for row in rows] == [
        (0, 1, True, True, 0),
        (1, 2, False, False, 1),
        (2, 4, True, True, 2),
        (1, 2, False, True, 0),
        (1, 2, True, True, 0),
    ]
    assert (position, more) == (3, False)
    monkeypatch.setattr("penstock.sink.store.FETCH_ROWS", 2)
    some, _, place = results.rows_in(BATCH, 0, 4)
    assert place == (1, 2)
    rest, _, end = results.rows_in(BATCH, 0, 4, place)
    assert ([row.stamp for row in (*some, *rest)], end) == ([Stamp(), Stamp(1, 0), Stamp(1, 1)], None)


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
    monkeypatch.setattr("penstock.sink.store.DELETE_ROWS", 2)
    rows = lines(results, head_of(OTHER, 0, 1), *[head_of(BATCH, at, at + 1) for at in range(5)], head_of(OTHER, 1, 2))
    results.save(rows)
    results.save([DeleteBatch(BATCH)])
    assert results.rows_after(BATCH, 0, 1000)[0] == ()
    assert [record.batch for record in results.recorded()] == [OTHER]
    results.reopen()
    while results.untidy:
        results.save([])
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


def test_claims_are_kept_until_their_batch_is_deleted(results: ResultStore) -> None:
    """The newest of each reader, also after a restart of the sink."""
    one, two = b"1" * 16, b"2" * 16
    results.save(
        [*lines(results, head_of(BATCH, 0, 5)), SaveClaim(BATCH, one, 1, 0, 1), SaveClaim(BATCH, two, 1, 1, 2)]
    )
    results.save([SaveClaim(BATCH, one, 2, 2, 4)])
    results.reopen()
    assert set(results.records([BATCH])[1]) == {SaveClaim(BATCH, one, 2, 2, 4), SaveClaim(BATCH, two, 1, 1, 2)}
    results.save([DeleteBatch(BATCH)])
    assert results.records([BATCH])[1] == []
