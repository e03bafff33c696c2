"""The sink's file loses its end, or all, or is an old one: every job comes to an outcome again, or says why not."""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.sink_log import LOST_RETRY, SinkLog
from penstock.ventilator.sink_log_repair import SinkLogRepair
from penstock.ventilator.store import QueueStore
from penstock.wire.desk_messages import Forget
from support.sim.world import World

HEAL = 60.0
ONCE = b"o" * 16


def fates(_batch: bytes, index: int, stamp: Any) -> tuple[str, float]:
    """Some fail until they are retried, some crash once."""
    if index % 7 == 3:
        return ("fail" if stamp.generation == 0 else "ok", 0.01)
    if index % 11 == 5:
        return ("crash" if stamp.crashes == 0 else "ok", 0.01)
    return ("ok", 0.02)


def is_settled(world: World) -> bool:
    """Every job has its outcome, and ledger and log are of one mind."""
    ledger, store = world.ventilator.core.ledger, world.sink.store
    return world.settled and (ledger.applied, ledger.chain) == store.head()


def lose(folder: Path, seed: int, *, everything: bool = False) -> World:
    """A run in which the sink comes back with what its file was a while ago, or with none; between the copy and the
    loss jobs end, fail, are retried and cancelled."""
    chance = random.Random(seed)
    world = World(folder / "world", seed)
    world.accepts_older = True
    world.fates = fates
    batches = [chance.randbytes(16) for _ in range(2)]
    for batch in batches:
        world.client.submit(batch, BatchSpec(retries=chance.randrange(2), retry_delay=0.1), [10] * 6)
    world.run(world.now + chance.uniform(0.1, 1.5))
    world.crash(world.sink)
    if not everything:
        shutil.copytree(folder / "world" / "results", folder / "copy")
    world.start(world.sink)
    world.run(world.now + chance.uniform(0.1, 1.0))
    world.client.retry(batches[0], 0, 1 << 60)
    world.client.cancel(batches[1], 50, 60)
    world.run(world.now + chance.uniform(0.1, 2.0))
    world.crash(world.sink)
    world.lose_end(folder / "copy")
    if chance.random() < 0.5:
        world.crash(world.ventilator)
        world.start(world.ventilator)
    world.start(world.sink)
    world.run(world.now + 1.0)
    if chance.random() < 0.3:
        world.crash(world.ventilator)
        world.start(world.ventilator)
    world.run_until(partial(is_settled, world), HEAL)
    return world


@pytest.mark.parametrize("seed", range(12))
def test_an_older_file_costs_only_what_it_lost(tmp_path: Path, seed: int) -> None:
    """Each job has one outcome again, counted right, and the operator was told."""
    world = lose(tmp_path, seed)
    world.judge()
    world.close()


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_file_costs_all(tmp_path: Path, seed: int) -> None:
    """All that is kept runs again."""
    world = lose(tmp_path, seed, everything=True)
    world.judge()
    assert "sink_agreed" in [log.event for log in world.logged]
    world.close()


def test_what_is_not_kept_or_must_not_run_twice_is_dead_and_says_so(tmp_path: Path) -> None:
    """Nothing vanishes: the job counts, and its cause names the loss."""
    world = World(tmp_path, 1)
    world.accepts_older = True
    once, gone = b"o" * 16, b"g" * 16
    world.client.submit(once, BatchSpec(max_crashes=1), [4])
    world.client.submit(gone, BatchSpec(), [4, 4])
    world.run_until(partial(is_settled, world), HEAL)
    world.ventilator.store.db.execute("DELETE FROM chunk WHERE first = 4")
    world.crash(world.sink)
    world.lose_end(tmp_path / "none")
    world.start(world.sink)
    world.run(world.now + 3.0)
    world.run_until(partial(is_settled, world), HEAL)
    world.judge()
    dead = {job for job, head in world.client.outcomes.items() if head.state is JobState.DEAD}
    assert dead == {(once, index) for index in range(4)} | {(gone, index) for index in range(4, 8)}
    (agreed,) = [log.fields for log in world.logged if log.event == "sink_agreed"]
    assert agreed == " sink_seq=0 reopened=4 dead=8"
    world.close()


def test_an_old_file_and_a_new_queue_harm_nobody(tmp_path: Path) -> None:
    """What the sink has of batches that nobody knows stays."""
    world = World(tmp_path, 1)
    world.accepts_older = True
    world.client.submit(b"o" * 16, BatchSpec(), [4])
    world.run_until(partial(is_settled, world), HEAL)
    world.crash(world.ventilator)
    shutil.rmtree(tmp_path / "queue")
    world.start(world.ventilator)
    world.client.submit(b"n" * 16, BatchSpec(), [4])
    world.run_until(partial(is_settled, world), HEAL)
    world.judge()
    assert len(world.sink.store.rows_after(b"o" * 16, 0, 1 << 20)[0]) > 0
    world.close()


def retried_and_lost(folder: Path, seed: int, spec: BatchSpec) -> World:
    """A job fails, is retried by its user and succeeds; then the sink comes back without that."""
    world = World(folder, seed)
    world.accepts_older = True
    world.fates = lambda _batch, _index, stamp: ("fail" if stamp.generation == 0 else "ok", 0.01)
    world.client.submit(ONCE, spec, [4])
    world.run_until(partial(is_settled, world), HEAL)
    world.crash(world.sink)
    shutil.copytree(folder / "results", folder / "copy")
    world.start(world.sink)
    world.run(world.now + 1.0)
    world.client.retry(ONCE, 0, 4)
    world.run(world.now + 1.0)
    world.run_until(partial(is_settled, world), HEAL)
    assert {head.state for head in world.client.outcomes.values()} == {JobState.SUCCEEDED}
    world.crash(world.sink)
    world.lose_end(folder / "copy")
    world.start(world.sink)
    world.run(world.now + 1.0)
    world.run_until(partial(is_settled, world), HEAL)
    return world


@pytest.mark.parametrize("seed", range(3))
def test_what_ran_again_by_a_retry_that_is_lost_is_not_run_once_more(tmp_path: Path, seed: int) -> None:
    """At most once means that: it is dead, and says why; what may run again does."""
    world = retried_and_lost(tmp_path / "once", seed, BatchSpec(max_crashes=1))
    assert {len(starts) for starts in world.starts.values()} == {2}
    found = {(head.state, head.note.cause if head.note else "") for head in world.client.outcomes.values()}
    assert found == {(JobState.DEAD, LOST_RETRY)}
    world.close()
    world = retried_and_lost(tmp_path / "again", seed, BatchSpec())
    assert {len(starts) for starts in world.starts.values()} == {3}
    assert {head.state for head in world.client.outcomes.values()} == {JobState.SUCCEEDED}
    world.close()


def test_without_the_mark_it_is_run_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: whoever opens it does not say that it has run."""
    queue = partial(SinkLog._opened, has_run=False)
    monkeypatch.setattr(SinkLog, "_opened", lambda log, part, **_: queue(log, part))
    world = retried_and_lost(tmp_path, 1, BatchSpec(max_crashes=1))
    assert {len(starts) for starts in world.starts.values()} == {3}
    world.close()


def submitted_again_after_deletion(folder: Path) -> World:
    """A batch ends and is deleted, the ventilator is started again, and a client that missed the answer submits on."""
    world = World(folder, 1)
    world.client.submit(ONCE, BatchSpec(max_crashes=1), [4, 4])
    sent = dict(world.client.unacked)
    world.run_until(partial(is_settled, world), HEAL)
    world.client.links.send("desk", Forget(ONCE))
    world.run(world.now + 1.0)
    assert ONCE not in world.ventilator.core.ledger.backlog.batches
    world.crash(world.ventilator)
    world.start(world.ventilator)
    world.client.unacked = sent
    world.run(world.now + 5.0)
    return world


def test_what_is_forgotten_is_so_after_a_restart(tmp_path: Path) -> None:
    """A client that still submits a batch that was deleted is answered, and nothing of it runs."""
    world = submitted_again_after_deletion(tmp_path)
    assert not world.client.unacked
    assert ONCE not in world.ventilator.core.ledger.backlog.batches
    assert {len(starts) for starts in world.starts.values()} == {1}
    assert world.ventilator.core.intake.forgotten[ONCE] == ("NoSuchBatch", "it was deleted")
    world.close()


def test_what_is_not_kept_of_it_runs_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the file does not say what was deleted."""
    monkeypatch.setattr(QueueStore, "deleted", lambda _: [])
    world = submitted_again_after_deletion(tmp_path)
    assert {len(starts) for starts in world.starts.values()} == {2}
    world.close()


def test_without_the_comparison_jobs_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the ledger are taken for right, and the log goes on from where it is."""
    monkeypatch.setattr(SinkLogRepair, "_compare", lambda *_: None)
    world = World(tmp_path, 1)
    world.accepts_older = True
    world.client.submit(b"o" * 16, BatchSpec(), [4])
    world.run_until(partial(is_settled, world), HEAL)
    world.crash(world.sink)
    world.lose_end(tmp_path / "none")
    world.start(world.sink)
    world.run(world.now + 10.0)
    assert not is_settled(world)
    world.close()
