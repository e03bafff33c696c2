"""The stores on disks that are full or not to be trusted, and under kill -9."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.errors import StoreError
from penstock.sink.contract import SaveRow
from penstock.sink.store import ResultStore
from penstock.station import data_folder
from penstock.station.contract import DeleteBatch
from penstock.ventilator.store import QueueStore
from support.sink_models import head_of, values_of
from support.stations import LIMIT, until
from support.store_samples import BATCH, OTHER, lines


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
        while store.untidy:
            store.save([])
    assert [record.start for record in store.rows_after(BATCH, 0, 1000)[0]] == [0]
    store.close()


def test_memory_is_no_place_for_what_must_last(small_disk: Path) -> None:
    """Unless nothing was promised."""
    with pytest.raises(StoreError, match=r"in memory \(tmpfs\), gone at the next boot; name a folder on a disk"):
        ResultStore(small_disk / "data")
    ResultStore(small_disk / "data", durable=False).close()


def test_a_network_file_system_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks and syncs are not to be relied on."""
    monkeypatch.setattr(data_folder, "filesystem", lambda _: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).* name a local folder with --data"):
        QueueStore(folder / "data")


WRITER = """
import sys
from penstock.sink.contract import SaveRow
from penstock.sink.hash_chain import completion
from penstock.sink.store import ResultStore
sys.path.insert(0, sys.argv[2])
from support.sink_models import head_of
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
    try:
        until(enough, LIMIT, "the writer has acknowledged enough")
    finally:
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


def recorded_lines(folder: Path, *, killed: bool) -> tuple[list[SaveRow], Path]:
    """What was saved, and the folder of a process that was killed (all is in the write-ahead log) or that ended well
    (all is in the file)."""
    store = ResultStore(folder / "data", durable=False)
    kept: list[SaveRow] = []
    for turn in range(20):
        rows = lines(store, head_of(BATCH, turn, turn + 1), body=b"value of job %d" % turn * 20)
        store.save(rows)
        kept += rows
    if killed:
        shutil.copytree(folder / "data", folder / "killed")
    store.close()
    return kept, folder / ("killed" if killed else "data")


@pytest.mark.parametrize(("name", "step"), [("results.db", 97), ("results.db-wal", 1237)])
def test_a_flipped_bit_is_noticed_or_changes_nothing(folder: Path, name: str, step: int) -> None:
    """Wherever it is: the store says so, or its log is not the one that the ventilator knows the end of, or all is as
    it was. SQLite alone drops the end of its log without a word, and gives out what it finds."""
    kept, left = recorded_lines(folder, killed=name.endswith("-wal"))
    size = (left / name).stat().st_size
    noticed: Counter[str] = Counter()
    for at in range(0, size, step):
        place = folder / f"flip{at}"
        shutil.copytree(left, place)
        with (place / name).open("r+b") as damaged:
            damaged.seek(at)
            (byte,) = damaged.read(1)
            damaged.seek(at)
            damaged.write(bytes([byte ^ 1 << at % 8]))
        noticed[what_is_noticed(place, kept)] += 1
        shutil.rmtree(place)
    print(f"{name}: {sum(noticed.values())} flips: {dict(noticed)}")
    assert noticed.keys() <= {"error", "another log", "nothing changed"}
    assert noticed["error"] + noticed["another log"] > 20


def what_is_noticed(folder: Path, kept: list[SaveRow]) -> str:
    """By a sink that starts on this folder, and a ventilator that knows the last line."""
    try:
        store = ResultStore(folder, durable=False)
    except StoreError:
        return "error"
    try:
        if store.head() != (kept[-1].seq, kept[-1].chain) or store.log_after(kept[-1].seq, 1)[0] != kept[-1].chain:
            return "another log"
        _, told, _ = store.log_after(0, 1 << 20)
        heads, bodies, _, _ = store.rows_after(BATCH, 0, 1 << 40)
        whole = [line.chain for line in told] == [row.chain for row in kept]
        whole = whole and list(heads) == [row.head for row in kept] and bytes(bodies) == b"".join(r.body for r in kept)
    except StoreError:
        return "error"
    finally:
        store.close()
    return "nothing changed" if whole else "WRONG"


LOCKER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("PRAGMA locking_mode = exclusive")
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_file_that_another_program_has_locked_is_refused(folder: Path) -> None:
    """In one line, at once, and it is as it was."""
    store = ResultStore(folder / "data", durable=False)
    store.save(lines(store, head_of(BATCH, 0, 1)))
    store.close()
    command = [sys.executable, "-c", LOCKER, str(folder / "data/results.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(StoreError, match="another process has it open"):
            ResultStore(folder / "data", durable=False)
        other.communicate(b"\n")
    store = ResultStore(folder / "data", durable=False)
    assert store.head()[0] == 1
    store.close()
