"""The sink's file: what is kept of large outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from penstock.errors import StoreError
from penstock.job.spec import Stamp
from penstock.sink import store as results
from penstock.sink.contract import SaveOutput, SaveTrimmed
from penstock.sink.hash_chain import completion
from penstock.sink.store import ResultStore
from penstock.station.checked_rows import checksum
from penstock.station.contract import DeleteBatch
from penstock.station.store_file import APPLICATION_ID
from penstock.wire.records import Print
from support.sink_models import head_of
from support.store_samples import BATCH, OTHER, lines


@pytest.fixture
def store(folder: Path) -> Iterator[ResultStore]:
    """An empty results store."""
    found = ResultStore(folder / "data", durable=False)
    yield found
    found.close()


def part(position: int, data: bytes, lease: int = 1, batch: bytes = BATCH, *, is_error: bool = False) -> SaveOutput:
    return SaveOutput(Print(batch, 0, lease, Stamp(), is_error, position, len(data)), data)


def whole(store: ResultStore, stream: int = 0, batch: bytes = BATCH) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    position = 0
    while data := (answer := store.output_at(batch, 0, stream, position))[1]:
        found.append(answer)
        position = answer[0] + len(data)
    return found


def finished(store: ResultStore, lease: int, batch: bytes = BATCH) -> None:
    store.save(lines(store, replace(head_of(batch, 0, 1), lease=lease)))


def test_an_output_is_read_from_any_place(store: ResultStore) -> None:
    """Whatever order its parts came in, and however often; where some is not kept, from the next byte that is."""
    store.save([part(4, b"ef"), part(0, b"abcd"), part(9, b"xyz"), part(0, b"abcd"), part(0, b"err", is_error=True)])
    finished(store, 1)
    assert whole(store) == [(0, b"abcd"), (4, b"ef"), (9, b"xyz")]
    assert whole(store, 1) == [(0, b"err")]
    assert store.output_at(BATCH, 0, 0, 2) == (2, b"cd")
    assert store.output_at(BATCH, 0, 0, 6) == (9, b"xyz")
    assert store.output_at(BATCH, 0, 0, 12) == (12, b"")
    assert store.output_at(OTHER, 0, 0, 0) == (0, b"")


def test_it_is_that_of_the_run_that_was_recorded(store: ResultStore) -> None:
    """A worker that died while it sent its own leaves some behind."""
    store.save([part(0, b"lost", lease=1), part(0, b"good", lease=2)])
    finished(store, 2)
    assert whole(store) == [(0, b"good")]


def test_with_its_batch_it_goes_a_few_parts_at_a_time(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if nothing else of the batch was recorded; other batches keep theirs."""
    monkeypatch.setattr("penstock.sink.output_store.DELETE_ROWS", 2)
    store.save([*(part(at, b"x") for at in range(5)), part(0, b"other", batch=OTHER)])
    finished(store, 1, OTHER)
    store.save([DeleteBatch(BATCH)])
    store.reopen()
    slices = 0
    while store.untidy:
        store.save([])
        slices += 1
    assert slices == 2
    assert store.value("SELECT count(*) FROM output") == 1
    assert whole(store, batch=OTHER) == [(0, b"other")]


def test_what_was_shown_is_trimmed_to_head_and_tail(store: ResultStore) -> None:
    """Of each output, whatever its size."""
    store.save([part(at, b"0123456789") for at in range(0, 100, 10)])
    finished(store, 1)
    store.save([SaveTrimmed(BATCH, 40)])
    while store.untidy:
        store.save([])
    assert [at for at, _ in whole(store)] == [0, 10, 70, 80, 90]


def test_a_changed_byte_is_noticed(store: ResultStore) -> None:
    """It is never shown as output."""
    store.save([part(0, b"abc")])
    finished(store, 1)
    store.db.execute("UPDATE output SET data = x'616264'")
    with pytest.raises(StoreError, match="damaged"):
        whole(store)


def test_a_file_of_the_first_schema_is_taken_over(folder: Path) -> None:
    """What it has stays, and outputs are kept beside it from now on."""
    (folder / "data").mkdir(mode=0o700)
    old = apsw.Connection(str(folder / "data" / "results.db"))
    old.execute(results.SCRIPTS[0])
    old.pragma("application_id", APPLICATION_ID + results.KIND)
    old.pragma("user_version", 1)
    head = replace(head_of(BATCH, 0, 1), lease=1)
    line, packed = completion(1, head, b"w" * 16, b""), msgspec.msgpack.encode(head)
    old.execute("INSERT INTO batch VALUES (1, ?, 1, 0, x'90', x'90', x'90')", (BATCH,))
    values = (1, 1, 0, 1, 1, b"w" * 16, line.chain, checksum(packed, b""), packed, b"")
    old.execute("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    old.execute("UPDATE meta SET seq = 1, chain = ?", (line.chain,))
    old.close()
    new = ResultStore(folder / "data", durable=False)
    assert [head.lease for head in new.rows_after(BATCH, 0, 1 << 20)[0]] == [1]
    new.save([part(0, b"abc")])
    assert whole(new) == [(0, b"abc")]
    new.close()
