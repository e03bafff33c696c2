"""A handle on a batch."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.client.batch import ALL_JOBS, Batch, status_of
from penstock.errors import NoSuchBatch, RemoteError
from penstock.job.spec import BatchSpec
from penstock.wire.desk_messages import AskBatches, BatchesInfo, BatchLine, Cancel, Cancelled
from penstock.wire.messages import Fetched, Unfollow
from penstock.wire.records import Message
from support.recording_client import BATCH, World, failure, head, rows, values

SPEC = BatchSpec(name="squares")


def line(total: int | None = 3, **counts: int) -> BatchLine:
    """As the ventilator has it."""
    return BatchLine(BATCH, SPEC, 3, total, counts, 1, 100.0)


class Reading:
    """A batch of three jobs on a recording wire; rows come when something is waited for."""

    def __init__(self, total: int | None = 3) -> None:
        self.world = World()
        self.batch = Batch(self.world, BATCH, SPEC, total)
        self.lines = [line(total)]

    def answering(self) -> None:
        """The ventilator answers each question about the batch with the next line."""
        send = self.world.wire.send

        def answer(name: str, message: Message, *parts: bytes | memoryview, peer: bytes = b"") -> bool:
            send(name, message, *parts, peer=peer)
            if isinstance(message, AskBatches):
                some = tuple(self.lines[:1])
                self.lines = self.lines[1:] or self.lines
                info = BatchesInfo(message.number, some)
                self.world.later.append(lambda: self.world.arrive("desk", info))
            return True

        self.world.wire.send = answer  # type: ignore[method-assign]

    def record(self, iterator: Any, *outcomes: Any) -> Any:
        """Begin to read, with these rows in the log."""
        self.world.later.append(lambda: None)
        original = self.world.follow

        def follow(follower: Any) -> None:
            original(follower)
            self.world.arrive("results", *rows(0, *outcomes))

        self.world.follow = follow  # type: ignore[method-assign]
        return iterator


@pytest.fixture
def reading() -> Reading:
    """Of a closed batch."""
    return Reading()


def test_values_come_in_order_and_raise_at_the_first_job_without_one(reading: Reading) -> None:
    """What came before it was handed out."""
    found = reading.record(reading.batch.values(), values(2, "c"), failure(1, "no"), values(0, "a"))
    assert next(found) == "a"
    with pytest.raises(RemoteError, match=":1: no"):
        next(found)
    assert isinstance(reading.world.wire.sent[-1][1], Unfollow)


def test_outcomes_come_in_order(reading: Reading) -> None:
    """Failed ones among them."""
    found = reading.record(reading.batch.outcomes(), values(2, "c"), failure(1, "no"), values(0, "a"))
    assert [(one.index, one.state, one.value) for one in found] == [
        (0, "succeeded", "a"),
        (1, "failed", None),
        (2, "succeeded", "c"),
    ]


def test_followers_go_on_behind_a_position(reading: Reading) -> None:
    """Also in the middle of a row."""
    found = reading.record(reading.batch.follow(after=2), values(1, "b", "c"), values(0, "a"))
    assert [(one.index, one.position) for one in found] == [(0, 3)]
    reading = Reading()
    found = reading.record(reading.batch.follow(after=1), values(1, "b", "c"), values(0, "a"))
    assert [(one.index, one.position) for one in found] == [(2, 2), (0, 3)]


def test_failures_are_the_jobs_that_did_not_succeed(reading: Reading) -> None:
    """And nothing else."""
    found = reading.record(reading.batch.failures(), values(1, "b", "c"), failure(0, "no"))
    assert [(one.index, one.cause) for one in found] == [(0, "no")]


def test_an_open_batch_is_read_until_it_is_closed() -> None:
    """The ventilator is asked for the total while the reader waits."""
    reading = Reading(total=None)
    reading.lines = [line(None), line(None), line(3)]
    reading.answering()
    found = reading.record(reading.batch.values(), values(0, "a", "b", "c"))
    assert list(found) == ["a", "b", "c"]


def test_status_counts_the_jobs_by_state(reading: Reading) -> None:
    """What is not finished and not given out waits."""
    reading.lines = [line(3, succeeded=1)]
    reading.answering()
    status = reading.batch.status()
    assert (status.id, status.name, status.kind, status.created) == (BATCH.hex(), "squares", "call", 100.0)
    assert (status.total, status.accepted, status.leased, status.finished, status.waiting) == (3, 3, 1, 1, 1)
    assert not status.done


def test_waiting_ends_when_every_job_has_an_outcome(reading: Reading) -> None:
    """An open batch is never done."""
    reading.lines = [line(3, succeeded=2), line(3, succeeded=2, dead=1)]
    reading.answering()
    assert reading.batch.wait(5).done
    assert not status_of(line(None, succeeded=3)).done


def test_waiting_too_long_is_a_timeout_error(reading: Reading) -> None:
    """It says how far the batch is."""
    reading.answering()
    with pytest.raises(TimeoutError, match="0 of 3 jobs ended"):
        reading.batch.wait(0)


def test_a_deleted_batch_is_no_such_batch(reading: Reading) -> None:
    """Asked for its status."""
    reading.lines = []
    reading.answering()
    with pytest.raises(NoSuchBatch, match="was deleted"):
        reading.batch.status()


@pytest.mark.parametrize("running", [True, False])
def test_cancelling_ends_running_jobs_unless_told_otherwise(reading: Reading, running: bool) -> None:
    """It returns how many had not been given out."""
    reading.world.later.append(lambda: reading.world.arrive("desk", Cancelled(1, 2)))
    assert reading.batch.cancel(running=running) == 2
    assert reading.world.wire.taken("desk") == [Cancel(1, BATCH, 0, ALL_JOBS, unstarted_only=not running)]


def test_attempts_are_all_that_is_recorded_of_a_job(reading: Reading) -> None:
    """Also those that were not its last, and a job in the middle of a row."""
    some, body = values(0, "a", "b", "c")
    answer = Fetched(1, (head(1, 2, final=False), some))
    reading.world.later.append(lambda: reading.world.arrive("results", answer, body))
    attempts = reading.batch.attempts(1)
    assert [one.index for one in attempts] == [1, 1]
    assert attempts[1].value == "b"
