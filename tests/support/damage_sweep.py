"""Bits of a store's file are flipped, one at a time, wherever they are, and what is read then is compared.

As a program: ``PYTHONPATH=tests python tests/support/damage_sweep.py COUNT SEED``.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from penstock.errors import StoreError
from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.sink import store_check as result_check
from penstock.sink.contract import SaveClaim, SaveOutput, SaveRecorded, SaveRow
from penstock.sink.hash_chain import completion
from penstock.sink.store import ResultStore
from penstock.sink.store_check import ResultCheck
from penstock.station.checked_rows import DamagedRow
from penstock.station.contract import DeleteBatch
from penstock.ventilator import store_check as queue_check
from penstock.ventilator.contract import (
    EndedPart,
    OpenPart,
    SaveApplied,
    SaveBatch,
    SaveCancelled,
    SaveChunk,
    SaveCounts,
    SaveOpen,
    SaveTotal,
)
from penstock.ventilator.store import QueueStore
from penstock.ventilator.store_check import QueueCheck
from penstock.wire.frames import split
from penstock.wire.records import Print
from support.sink_models import head_of

BATCHES = [bytes([number]) * 16 for number in range(1, 13)]
CHUNKS = 12
JOBS = 10
"""Of each chunk."""

REPAIRED = -1
"""For how many damages: the file does not remember them any more."""
Read = dict[Any, Any]
"""What a station is given of a store, by what it asks for; what it is told is lost is not in it."""


def payload(batch: bytes, first: int) -> bytes:
    return b"arguments of %d from %d. " % (batch[0], first) * 3


def fill_queue(folder: Path) -> None:
    """Batches with chunks that are open, in parts, and finished, with digests; one is deleted."""
    store = QueueStore(folder, durable=False)
    for batch in BATCHES:
        digest = bytes([batch[0] % 4]) * 16
        spec = BatchSpec(name=f"batch {batch[0]}", retries=batch[0] % 3, owner="somebody")
        saves: list[Any] = [SaveBatch(batch, spec, digest, b"function %d" % digest[0], 1.0)]
        saves += [
            SaveChunk(batch, at * JOBS, JOBS, payload(batch, at * JOBS), bytes([at]) * 16 * JOBS)
            for at in range(CHUNKS)
        ]
        store.save(saves)
        store.save(
            [
                SaveOpen(batch, 0, ()),
                SaveOpen(
                    batch,
                    JOBS,
                    (OpenPart(JOBS + 2, JOBS + 5, Stamp(0, 2, 1)),),
                    (EndedPart(JOBS, JOBS + 1, JobState.FAILED),),
                ),
                SaveOpen(batch, 2 * JOBS, (), (EndedPart(2 * JOBS, 3 * JOBS, JobState.FAILED),)),
                SaveCounts(batch, {"succeeded": JOBS, "failed": JOBS + 1}),
                SaveCancelled(batch, ((5 * JOBS, 6 * JOBS),)),
                SaveTotal(batch, CHUNKS * JOBS),
                SaveApplied(batch[0], b"c" * 16),
            ]
        )
    store.save([DeleteBatch(BATCHES[-1])])
    store.close()


def read_queue(folder: Path) -> Read:
    """As a ventilator reads it; a row that is damaged is said to be, when it is read."""
    store = QueueStore(folder, durable=False)
    try:
        found: Read = {"applied": store.applied(), "life": store.begin_life()}
        for forgotten in store.forgotten():
            found["forgotten", forgotten] = True
        for batch in store.batches():
            if batch.damaged:
                continue
            chunks = store.open_chunks(batch.batch, 0, 1000)
            kept = store.kept(batch.batch, 0, batch.accepted)
            found["batch", batch.batch] = replace(batch, open_from=None)
            asked: list[tuple[Any, Callable[[], Any]]] = [
                (("function", batch.batch), partial(store.function, batch.function)),
                (("digests", batch.batch), partial(store.digests, batch.batch, 0)),
            ]
            for chunk in kept:
                found["chunk", batch.batch, chunk.first] = chunk
                name = ("payload", batch.batch, chunk.first)
                asked.append((name, partial(store.chunk, batch.batch, chunk.first)))
            found["open", batch.batch] = tuple(chunk.first for chunk in chunks)
            for key, read in asked:
                try:
                    found[key] = read()
                except DamagedRow:
                    store.note(f"{key}")
        found["damages"] = len(store.damages())
        found["compare"] = store.must_compare
        return found
    finally:
        store.close()


def fill_results(folder: Path) -> None:
    """Batches with outcomes, attempts, openings, checkpoints, claims and outputs; one is deleted."""
    store = ResultStore(folder, durable=False)
    for turn in range(CHUNKS):
        saves: list[Any] = []
        seq, chain = store.head()
        for batch in BATCHES:
            first = turn * JOBS
            for head in (
                head_of(batch, first, first + 1, state=JobState.FAILED, final=False, stamp=Stamp(0, 1)),
                head_of(batch, first, first + JOBS, stamp=Stamp(0, 2)),
            ):
                body = b"values of %d from %d. " % (batch[0], first) * 2 if head.final else b""
                sized = replace(head, size=len(body))
                line = completion(seq + 1, sized, b"w" * 16, chain)
                seq, chain = line.seq, line.chain
                saves.append(SaveRow(seq, sized, b"w" * 16, chain, body))
            if turn % 4 == 3:
                saves.append(SaveRecorded(batch, ((0, first + JOBS),), (), ()))
        for batch in BATCHES:
            saves.append(SaveClaim(batch, b"r" * 16, turn + 1, turn, turn + 1))
            saves.append(SaveOutput(Print(batch, 3, 1, Stamp(), False, 8 * turn, 8), b"output%2d" % turn))
        store.save(saves)
    store.save([DeleteBatch(BATCHES[-1])])
    store.close()


def contained(store: ResultStore, read: Callable[[], Any]) -> Any:
    """As a sink reads: what is damaged is taken out, and it reads again."""
    while True:
        try:
            return read()
        except DamagedRow as damage:
            store.contain(damage)


def read_results(folder: Path) -> Read:
    """As a sink reads it."""
    store = ResultStore(folder, durable=False)
    try:
        found: Read = {}
        recorded = store.recorded()
        for record in recorded:
            heads, bodies, _, _ = contained(store, lambda: store.rows_after(record.batch, 0, 1 << 30))  # noqa: B023
            for head, body in zip(heads, split(bodies, [head.size for head in heads]), strict=True):
                found["row", record.batch, head.start, head.stamp] = (head, bytes(body))
            position = 0
            while True:
                start, data = contained(store, lambda: store.output_at(record.batch, 3, 0, position))  # noqa: B023
                if not data:
                    break
                found["output", record.batch, start] = data
                position = start + len(data)
        position = 0
        while True:
            position, _, _, lines = contained(store, lambda: store.lines_after(position, 100))  # noqa: B023
            for line in lines:
                found["line", line.seq] = replace(line, chain=b"")
            if len(lines) < 100:
                break
        _, claims = contained(store, lambda: store.records([record.batch for record in recorded]))
        for claim in claims:
            found["claim", claim.batch, claim.reader] = claim
        found["head"] = store.head()
        found["recorded"] = {record.batch: ended(record) for record in store.recorded()}
        found["damages"] = len(store.damages())
        return found
    finally:
        store.close()


def ended(record: Any) -> int:
    """How many jobs the sink believes to have an outcome."""
    from penstock.station.recorded_jobs import Recorded

    return Recorded.restore(record).ended.count


def judge_queue(whole: Read, found: Read) -> str:
    """What of it is other than it was, although nobody said so; empty: nothing."""
    if found["damages"] == 0:
        return "" if found == whole else "not said: " + ", ".join(str(k) for k in whole if found.get(k) != whole[k])
    for key, value in found.items():
        is_given_up = key[0] == "chunk" and found["compare"] and not value.parts and not value.ended
        is_less = key[0] == "open" and set(value) <= set(whole[key])
        if found["damages"] == REPAIRED and (key == "life" or value == (0, b"")):
            continue  # what the file said of itself was lost: the log is applied from its beginning
        if key not in {"damages", "compare"} and value != whole.get(key) and not is_given_up and not is_less:
            return f"{key}: {value} instead of {whole.get(key)}"
    return ""


def judge_results(whole: Read, found: Read) -> str:
    """Likewise, of the other store."""
    if found["damages"] == 0:
        return "" if found == whole else "not said: " + ", ".join(str(k) for k in whole if found.get(k) != whole[k])
    for key, value in found.items():
        if key not in {"damages", "recorded", "head"} and value != whole.get(key):
            return f"{key}: {value} instead of {whole.get(key)}"
    for batch, count in found["recorded"].items():
        lines = [line for line in found.values() if getattr(line, "batch", None) == batch and hasattr(line, "final")]
        if count != sum(line.stop - line.start for line in lines if line.final):
            return f"recorded of {batch.hex()}: {count}"
    return ""


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Read], Callable[[Read, Read], str]]] = {
    "queue.db": (fill_queue, read_queue, judge_queue),
    "results.db": (fill_results, read_results, judge_results),
}


def sweep(folder: Path, name: str, count: int, seed: int) -> Counter[str]:
    """Flip so many bits, one at a time; how often what came of it. Anything that begins with ``OTHER`` is a fault."""
    fill, read, _ = KINDS[name]
    fill(folder / "made")
    shutil.copytree(folder / "made", folder / "read")
    whole = read(folder / "read")
    content = (folder / "made" / name).read_bytes()
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(count):
        at, bit = chance.randrange(len(content)), chance.randrange(8)
        place = folder / "flipped"
        place.mkdir(mode=0o700)
        flipped = bytearray(content)
        flipped[at] ^= 1 << bit
        (place / name).write_bytes(flipped)
        seen[_seen(place, name, whole, f"{at}.{bit}")] += 1
        shutil.rmtree(place)
    return seen


def _seen(place: Path, name: str, whole: Read, at: str) -> str:
    _, read, judge = KINDS[name]
    try:
        found = read(place)
        said = "contained" if found["damages"] else "as it was"
    except StoreError as error:
        if "penstock check" not in str(error) and "not a penstock store" not in str(error):
            return f"OTHER {at}: {error}"
        try:
            repaired(place, name)
        except StoreError as lost:
            return f"OTHER {at}: {lost}"
        found = read(place) | {"damages": REPAIRED}
        said = "repaired"
    wrong = judge(whole, found)
    return f"OTHER {at}, {said}: {wrong[:200]}" if wrong else said


def repaired(folder: Path, name: str) -> None:
    """As `penstock check --repair` does it; then nothing is found any more."""
    queue = name == "queue.db"
    (queue_check if queue else result_check).rebuild(folder)
    said: list[str] = []
    for _ in range(2):
        store = QueueStore(folder, durable=False) if queue else ResultStore(folder, durable=False)
        check = QueueCheck(store) if isinstance(store, QueueStore) else ResultCheck(store)
        try:
            said = check.mend()
        finally:
            store.close()
    assert not said


def main() -> int:
    """The sweep of both files; what came of it."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    wrong = 0
    for name in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            seen = sweep(Path(folder), name, count, seed)
        print(f"{name}: {count} flips, seed {seed}: {dict(seen)}")
        wrong += sum(times for what, times in seen.items() if what.startswith("OTHER"))
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
