"""Stores give the room of deleted batches back to the disk, and are what they were."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import Cli
from penstock.errors import StoreError
from penstock.station.contract import DeleteBatch
from penstock.station.store_compaction import compact
from penstock.ventilator.contract import SaveBatch, SaveChunk
from penstock.ventilator.store import QueueStore
from support.store_samples import BATCH, queue_of_two_chunks

OTHER = b"o" * 16


def grown(folder: Path) -> QueueStore:
    """A store with a batch of two chunks and room for one of 8 MB that is deleted."""
    store = queue_of_two_chunks(folder)
    store.save([SaveBatch(OTHER, store.batches()[0].spec, b"f" * 16, b"code", 0.0)])
    store.save([SaveChunk(OTHER, index, 1, bytes(1 << 20)) for index in range(8)])
    store.save([DeleteBatch(OTHER)])
    return store


def test_a_deleted_batch_gives_its_room_back_when_the_store_is_compacted(folder: Path, cli: Cli) -> None:
    """Nothing else changes, and what the file says of itself is right, so its station starts on it."""
    store = grown(folder)
    refused = cli("compact", "--data", "data")
    assert (refused.returncode, b"in use by process" in refused.stderr) == (2, True)
    store.close()
    before = (folder / "data/queue.db").stat().st_size
    done = cli("compact", "--data", "data")
    after = (folder / "data/queue.db").stat().st_size
    assert before > 8 << 20 > 1 << 20 > after
    assert done.stderr.decode() == f"penstock: {folder}/data/queue.db: {before:,} bytes before, {after:,} now\n"
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["queue.db", "queue.db.lock"]
    assert (folder / "data/queue.db").stat().st_mode & 0o777 == 0o600
    assert cli("check", "--data", "data").stdout.startswith(b"sound")
    again = QueueStore(folder / "data", durable=False)
    assert (again.chunk(BATCH, 10), again.free_bytes()) == (b"second", 0)
    again.save([SaveChunk(BATCH, 15, 1, b"third")])
    again.close()
    nothing = cli("compact", "--data", "nowhere")
    assert (nothing.returncode, b"no store in this folder" in nothing.stderr) == (2, True)


def test_a_store_that_cannot_be_compacted_stays_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for both files."""
    store = grown(folder)
    while store.untidy:
        store.save([])
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
        with pytest.raises(StoreError, match="its disk has 1,000 bytes left, and the new file takes "):
            compact(store)
    store.close()
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["queue.db", "queue.db.lock"]
    again = QueueStore(folder / "data", durable=False)
    assert again.chunk(BATCH, 10) == b"second"
    assert again.free_bytes() > 8 << 20
    again.close()
