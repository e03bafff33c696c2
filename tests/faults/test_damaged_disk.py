"""Bytes change on the disks of the stations: what is lost is said, job by job, and everything else goes on."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import apsw
import pytest

from penstock.client import Batch
from support.fault_pipeline import World
from support.stations import until

LARGE = 400_000
"""Characters of an argument that fills a chunk of its own."""


def flip(path: Path, mark: bytes) -> None:
    """Change one bit of what begins with `mark`, in the one place where it is."""
    content = bytearray(path.read_bytes())
    assert content.count(mark) == 1
    content[content.index(mark) + len(mark) - 1] ^= 1
    path.write_bytes(content)


def ends(batch: Batch) -> Counter[str]:
    """How its jobs ended, with the causes of those that did not succeed."""
    return Counter(f"{outcome.state} {outcome.cause}".strip() for outcome in batch.outcomes())


def change(path: Path, statement: str, count: int = 1) -> None:
    """Change rows as a disk does: their checksums are those of before."""
    db = apsw.Connection(str(path))
    db.execute(statement)
    assert db.changes() == count
    db.close()


def text(index: int) -> str:
    return f"argument {index} ".ljust(LARGE, ".")


def test_one_flipped_bit_in_arguments_costs_the_jobs_of_their_chunk(world: World) -> None:
    """They are dead, with that cause; all others succeed; the ventilator goes on, and says so to whoever asks."""
    client = world.up()
    batch = client.batch(len, [text(index) for index in range(8)])
    until(lambda: client.status().queued == 8, what="all are accepted")
    world.end("ventilator")
    flip(world.folder / "data" / "queue.db", b"argument 5 ")
    world.start("ventilator", "w1")
    batch.wait(60)
    assert ends(batch) == {"succeeded": 7, "dead damaged on disk: its arguments": 1}
    assert "1 in queue.db" in client.status().damage
    assert "damaged" in world.stations.log("ventilator").read_text()
    assert batch.retry() == 1
    batch.wait(60)
    assert ends(batch)["dead damaged on disk: its arguments"] == 1
    assert list(client.map(abs, [-1, -2])) == [1, 2]


def test_one_flipped_bit_in_a_value_runs_its_jobs_again(world: World) -> None:
    """The sink goes on without that line; its jobs are run again, and readers find all values."""
    client = world.up("w1")
    batch = client.batch(str.upper, [text(index) for index in range(8)])
    assert batch.wait(60).succeeded == 8
    world.end("sink")
    flip(world.folder / "data" / "results.db", b"ARGUMENT 5 ")
    world.start("sink")
    until(lambda: client.status().sink_present, what="the sink is back")
    values = list(client.attach(batch.id).values())
    assert values == [text(index).upper() for index in range(8)]
    assert "1 in results.db" in client.status().damage
    assert client.status().reopened >= 1
    assert world.end("sink", signal.SIGTERM) == 0


def test_what_must_not_run_twice_is_dead_when_its_value_is_damaged(world: World) -> None:
    """At most once means that."""
    client = world.up("w1")
    batch = client.options(max_crashes=1).batch(str.upper, [text(index) for index in range(4)])
    assert batch.wait(60).succeeded == 4
    world.end("sink")
    flip(world.folder / "data" / "results.db", b"ARGUMENT 2 ")
    world.start("sink")
    again = client.attach(batch.id)
    until(lambda: ends(again).total() == 4 and client.status().lost == 1, what="what was lost is dead")
    dead = "dead its outcome was lost with the end of the results file, and it must not be started twice"
    assert ends(again) == {"succeeded": 3, dead: 1}


@pytest.mark.parametrize(
    ("statement", "dead"),
    [
        ("UPDATE chunk SET ended = x'90' WHERE first = 5", 0),
        ("UPDATE chunk SET parts = x'91' WHERE first = 5", 0),
        ("UPDATE chunk SET finished = 1, finished_time = 4e9 WHERE first = 5", 0),
        ("UPDATE chunk SET payload = 1 WHERE first = 5", 1),
        ("UPDATE chunk SET count = 2 WHERE first = 5", 1),
        ("UPDATE batch SET spec = x'80'", 8),
        ("UPDATE function SET code = x'80'", 8),
        ("UPDATE function SET digest = zeroblob(16)", 8),
    ],
)
def test_a_row_that_has_changed_costs_no_more_than_its_jobs(world: World, statement: str, dead: int) -> None:
    """Which of its jobs are open can be found out, by the sink's log; what cannot be trusted is dead, and says why."""
    client = world.up()
    batch = client.batch(len, [text(index) for index in range(8)])
    until(lambda: client.status().queued == 8, what="all are accepted")
    world.end("ventilator")
    change(world.folder / "data" / "queue.db", statement)
    world.start("ventilator", "w1")
    batch.wait(60)
    found = ends(batch)
    assert found["succeeded"] == 8 - dead
    assert all("damaged on disk" in end for end in found if end != "succeeded")
    assert "in queue.db" in client.status().damage
    assert list(client.map(abs, [-1, -2])) == [1, 2]
    assert world.end("ventilator") == 0
