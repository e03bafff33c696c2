"""The stores on a disk whose power is cut and whose operations fail, at every moment there is.

Both stores do the same turns again and again; what a store shows after turn k is known from a run without faults, so a
store that is opened after a fault shows exactly what was acknowledged, and at most the turn that was under way.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from penstock.errors import StoreError, StoreFull
from penstock.job.spec import Stamp
from penstock.sink.contract import SaveRecorded
from penstock.sink.store import ResultStore
from penstock.station import data_folder, store_file
from penstock.station.contract import DeleteBatch, Save
from penstock.ventilator.contract import OpenPart, SaveApplied, SaveChunk, SaveCounts, SaveOpen, SaveTotal
from penstock.ventilator.store import QueueStore
from support.faulty_disk import Disk
from support.sink_models import head_of
from support.store_samples import BATCH, OTHER, a_batch, lines

TURNS = 10
Store = QueueStore | ResultStore


def queue_turn(_: QueueStore, turn: int) -> list[Save]:
    """Accept, apply, finish, delete."""
    saves: list[Save] = [a_batch(), SaveChunk(BATCH, turn * 10, 10, random.Random(turn).randbytes(300 * turn))]
    if turn % 3 == 1:
        saves += [SaveOpen(BATCH, turn * 10 - 10, ()), SaveApplied(turn, b"%d" % turn), SaveCounts(BATCH, {"x": turn})]
    elif turn % 3 == 2:
        saves += [SaveOpen(BATCH, 0, (OpenPart(1, 3, Stamp(0, 2, 1)),)), a_batch(OTHER), SaveTotal(OTHER, 5)]
    elif turn == 6:
        saves.append(DeleteBatch(OTHER))
    return saves


def queue_state(store: QueueStore) -> Any:
    """All that a ventilator would read."""
    chunks = store.open_chunks(BATCH, 0, 1000)
    return store.batches(), store.applied(), chunks, [store.chunk(BATCH, chunk.first) for chunk in chunks]


def results_turn(store: ResultStore, turn: int) -> list[Save]:
    """Record, checkpoint, delete."""
    heads = [head_of(BATCH, turn * 10 + at, turn * 10 + at + 1, final=at != 2) for at in range(turn % 4 + 1)]
    if turn != 7:
        heads.append(head_of(OTHER, turn, turn + 1))
    saves: list[Save] = [*lines(store, *heads, body=random.Random(turn).randbytes(300 * turn))]
    if turn % 4 == 2:
        saves.append(SaveRecorded(BATCH, ((0, turn),), (), ()))
    return [*saves, DeleteBatch(OTHER)] if turn == 7 else saves


def results_state(store: ResultStore) -> Any:
    """All that a sink would read."""
    rows = [store.rows_after(batch, 0, 1 << 30) for batch in (BATCH, OTHER)]
    return store.head(), list(store.recorded()), [(heads, bytes(body), at) for heads, body, at, _ in rows]


@dataclass
class Bench:
    """One kind of store on the disk."""

    disk: Disk
    folder: Path
    kind: type[Store]
    turn: Callable[[Any, int], list[Save]]
    state: Callable[[Any], Any]
    durable: bool = True
    states: list[Any] = field(default_factory=list)
    """What the store shows after so many turns, without faults."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def open(self, folder: Path) -> Any:
        return self.kind(folder, self.durable, scratch=False)

    def place(self) -> Path:
        """Of a folder that is not there yet."""
        return self.folder / str(next(self.numbers))

    def run_without_faults(self) -> None:
        store = self.open(self.place())
        self.states = [self.state(store)]
        for turn in range(TURNS):
            store.save(self.turn(store, turn))
            self.states.append(self.state(store))
        store.close()

    def shown(self, folder: Path) -> int:
        """Open the store as the next process would: how many turns it has; every one of them is whole."""
        store = self.open(folder)
        try:
            state = self.state(store)
            assert store.db.pragma("integrity_check") == "ok"
        finally:
            store.close()
        shutil.rmtree(folder)
        assert state in self.states, "a turn is all or nothing"
        return self.states.index(state)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The default one; a checkpoint every few turns."""
    monkeypatch.setattr(store_file, "CHECKPOINT_PAGES", 12)
    monkeypatch.setattr(data_folder, "filesystem", lambda _: "ext4")  # some hundred stores are opened here
    made = Disk()
    monkeypatch.setattr(store_file, "sync_folder", made.sync_folder)
    yield made
    made.unregister()
    assert "disk" not in apsw.vfs_names()


@pytest.fixture(params=["queue", "results"])
def bench(request: pytest.FixtureRequest, disk: Disk, folder: Path) -> Bench:
    """Either store."""
    if request.param == "queue":
        made = Bench(disk, folder, QueueStore, queue_turn, queue_state)
    else:
        made = Bench(disk, folder, ResultStore, results_turn, results_state)
    made.run_without_faults()
    return made


# ------------------------------------------------------------------------------------------------ power


def cuts(bench: Bench, again: int) -> list[tuple[int, int]]:
    """Cut the power after every write and sync, several times: (turns acknowledged, turns that are there)."""
    chance = random.Random(1)
    found: list[tuple[int, int]] = []
    home, acknowledged = bench.place(), 0

    def look() -> None:
        for _ in range(again):
            place = bench.place()
            with bench.disk.at_rest():
                bench.disk.cut(home, place, chance)
                found.append((acknowledged, bench.shown(place)))

    store = bench.open(home)
    bench.disk.look = look
    for turn in range(TURNS):
        store.save(bench.turn(store, turn))
        acknowledged += 1
        look()
    store.close()
    bench.disk.look = lambda: None
    return found


def test_a_power_cut_loses_nothing_that_was_acknowledged(bench: Bench) -> None:
    """After any write and any sync, whatever sectors reach the disk: what was acknowledged is there, the turn under
    way is whole or not there, and nothing else is."""
    found = cuts(bench, 2)
    print(f"{len(found)} power cuts, {sum(there > known for known, there in found)} found the turn under way")
    assert len(found) > 150
    assert all(there - known in {0, 1} for known, there in found)


def test_without_syncs_a_power_cut_loses_acknowledged_turns(bench: Bench) -> None:
    """The control: `durable=False` says what it means. What is there is whole all the same."""
    bench.durable = False
    found = cuts(bench, 1)
    assert any(there < known for known, there in found)
    assert all(there - known <= 1 for known, there in found)


def kills_then_cuts(bench: Bench) -> list[tuple[int, int]]:
    """Kill the process after a write or sync, open what it left, cut the power: (turns shown, turns left of them)."""
    chance = random.Random(2)
    home = bench.place()
    found: list[tuple[int, int]] = []
    store = bench.open(home)
    numbers = itertools.count()

    def look() -> None:
        if next(numbers) % 2:
            return
        place, left = bench.place(), bench.place()
        with bench.disk.at_rest():
            bench.disk.kill(home, place)
            next_one = bench.open(place)
            told = bench.states.index(bench.state(next_one))
            bench.disk.cut(place, left, chance)
            next_one.close()
            found.append((told, bench.shown(left)))

    bench.disk.look = look
    for turn in range(TURNS):
        store.save(bench.turn(store, turn))
    bench.disk.look = lambda: None
    store.close()
    return found


def test_what_a_start_has_read_survives_a_power_cut(bench: Bench) -> None:
    """A process is killed between write and sync: the next one finds its last turn, and says so to others. Then a power
    cut must not take it any more."""
    found = kills_then_cuts(bench)
    print(f"{len(found)} kills")
    assert len(found) > 50
    assert all(told == left for told, left in found)


def test_a_start_that_only_reads_may_tell_what_is_not_on_the_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a store that does not settle what it found, as SQLite alone does not."""
    monkeypatch.setattr(store_file.StoreFile, "_settle", lambda *_: None)
    assert any(told > left for told, left in kills_then_cuts(bench))


# ------------------------------------------------------------------------------------------------ errors


def run_with_an_error(bench: Bench) -> int:
    """Turns on a disk that will fail once, until it has; what the station does about it is done. The turns done."""
    home = bench.place()
    store: Any = None
    for turn in range(TURNS):
        errors = 0
        state = bench.states[turn]
        saves: list[Save] = []
        while state != bench.states[turn + 1]:
            try:
                store = store or bench.open(home)
                saves = saves or bench.turn(store, turn)
                store.save(saves)
                state = bench.states[turn + 1]
            except StoreFull:
                errors += 1  # the loop waits for room, opens the store again, gives the same saves again
                if store is not None:
                    store.reopen()
            except StoreError:
                errors += 1  # the process ends, another one begins, and its peers repeat what was not acknowledged
                if store is not None:
                    home, store, state = another_process(bench, home, store)
                    assert state in bench.states[turn : turn + 2], "unknown is: there or not, and whole"
                    saves = []
        if errors:
            with bench.disk.at_rest():
                assert bench.state(store) == bench.states[turn + 1]
                left = bench.place()
                bench.disk.cut(home, left, random.Random(turn))
                assert bench.shown(left) == turn + 1, "what is acknowledged is on the disk"
                store.close()
            return turn + 1
    with bench.disk.at_rest():
        store.close()
    return TURNS


def another_process(bench: Bench, home: Path, store: Store) -> tuple[Path, Store, Any]:
    """The one that has `store` ends at once; another one opens what is there, and what that shows."""
    place = bench.place()
    bench.disk.kill(home, place)
    with bench.disk.at_rest():
        store.close()
        opened = bench.open(place)
        return place, opened, bench.state(opened)


@pytest.mark.parametrize(
    ("error", "kinds", "step"),
    [("EIO", "write truncate", 7), ("EIO", "sync", 1), ("EIO", "read", 3), ("ENOSPC", "write", 7)],
)
def test_any_operation_may_fail(bench: Bench, error: str, kinds: str, step: int) -> None:
    """The n-th write, sync or read fails, from the first one of the start on: nothing is acknowledged that is not on
    the disk, what a failed commit left is read anew, and the store goes on."""
    for at in itertools.count(1, step):
        bench.disk.fail(error, kinds, at)
        run_with_an_error(bench)
        if not bench.disk.heal():
            break
    print(f"{error} at {kinds}: {at // step} of {at} operations")
    assert at // step > 10
