"""The stores on disks that are full or not to be trusted, and under kill -9."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.core.actions import DeleteBatch, SaveRow
from penstock.errors import StoreError
from penstock.store import QueueStore, ResultStore, file
from sink_world import head_of, values_of
from store_support import BATCH, OTHER, lines
from support import LIMIT, until


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


def fill(store: ResultStore, kept: list[SaveRow]) -> tuple[list[SaveRow], str]:
    """Save outcomes of 100 kB, each noted in `kept`, until one does not fit; returns that one and the error."""
    while True:
        saves = lines(store, head_of(OTHER, len(kept), len(kept) + 1), body=bytes(100_000))
        try:
            store.save(saves)
        except StoreError as error:
            return saves, str(error)
        kept += [replace(row, body=b"") for row in saves]


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """Filled and emptied again and again: whatever was saved is there, and the error says what to do."""
    store = ResultStore(small_disk / "data", durable=False)
    kept = lines(store, head_of(BATCH, 0, 1))
    store.save(kept)
    for _ in range(5):
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(4 << 20))
        saves, error = fill(store, kept)
        assert "the disk is full; free some room" in error
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


WRITER = """
import sys
from penstock.core.actions import SaveRow
from penstock.core.chain import completion
from penstock.store import ResultStore
sys.path.insert(0, sys.argv[2])
from sink_world import head_of
import msgspec
scratch = sys.argv[3] == "scratch"
store = ResultStore(sys.argv[1], durable=not scratch, scratch=scratch)
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


def killed_writer(folder: Path, kind: str, acknowledged: int) -> tuple[int, str]:
    """Let a process write until it has acknowledged so much more, kill it, return the last it acknowledged."""
    log = folder / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-c", WRITER, str(folder / "data"), str(Path(__file__).parents[1]), kind]
        writer = subprocess.Popen(command, stdout=out)
    enough: Callable[[], bool] = lambda: log.read_bytes().count(b"\n") >= acknowledged  # noqa: E731
    until(enough, LIMIT, "the writer has acknowledged enough")
    writer.kill()
    writer.wait()
    seq, chain = re.findall(r"^(\d+) ([0-9a-f]+)\n", log.read_text(), re.MULTILINE)[-1]
    return int(seq), chain


@pytest.mark.parametrize("kind", ["durable", "scratch"])
def test_kill_9_of_the_writer_loses_nothing_it_acknowledged(folder: Path, kind: str) -> None:
    """A real process, killed in the middle of its commits again and again: its log is there without a gap or a torn
    turn, and goes on."""
    for kill in range(6):
        seq, chain = killed_writer(folder, kind, 20 + 13 * kill)
        store = ResultStore(folder / "data", durable=kind == "durable", scratch=kind == "scratch")
        assert store.head()[0] >= seq
        assert store.head()[0] % 7 == 0, "a turn is all or nothing"
        assert store.log_after(seq, 1)[0] == bytes.fromhex(chain)
        _, told, more = store.log_after(0, 1 << 20)
        assert ([line.seq for line in told], more) == (list(range(1, store.head()[0] + 1)), False)
        records, payload, _, _ = store.rows_after(b"b" * 16, 0, 1 << 40)
        assert {index: value for index, (_, value) in values_of(records, payload)} == {n: n for n in range(len(told))}
        store.close()
