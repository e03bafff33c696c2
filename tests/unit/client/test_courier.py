"""The client's traffic over a recording wire."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from penstock.client.courier import ALIVE_INTERVAL, Courier
from penstock.client.follow import Follower, Row
from penstock.client.functions import Function
from penstock.client.submit_packing import Part, opening
from penstock.errors import JobCancelled
from penstock.job.spec import BatchSpec
from penstock.wire import records
from penstock.wire.desk_messages import (
    Accepted,
    Alive,
    AskBatches,
    AskGone,
    AskPipeline,
    BatchClose,
    BatchesInfo,
    Cancel,
    Cancelled,
    ChunkHead,
    Forget,
    Gone,
    GoneLine,
    Knock,
    Notice,
    Refused,
    Submit,
)
from penstock.wire.frames import encode
from penstock.wire.messages import Fetch, Fetched, Follow
from penstock.wire.records import Message
from support.recording_client import BATCH, World, rows, values


class Reader:
    """Takes everything in at once."""

    window = 1000

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.failure: BaseException | None = None

    def take(self, rows: list[Row], cost: int) -> int:
        """All of it is free again."""
        self.rows += rows
        return cost

    def fail(self, error: BaseException) -> None:
        """No more will come."""
        self.failure = error


class Client:
    """A courier, and what it told."""

    def __init__(self) -> None:
        self.world = World()
        self.wire = self.world.wire
        self.accepted: list[int] = []
        self.refused: list[str] = []
        self.answers: list[Message] = []
        self.noticed: list[str] = []
        self.lost: list[tuple[bytes, str]] = []
        self.courier = Courier(
            self.wire,
            self.accepted.append,
            lambda _, refusal: self.refused.append(getattr(refusal, "text", "known")),
            lambda batch, error: self.lost.append((batch, str(error))),
            self.noticed.append,
        )
        self.world._courier = self.courier

    def answered(self, message: Message, _: bytes | memoryview) -> None:
        """An answer came."""
        self.answers.append(message)


@pytest.fixture
def client() -> Client:
    """Connected to nobody yet."""
    return Client()


def chunk(first: int) -> Part:
    """One job."""
    return Part(ChunkHead(BATCH, first, 1, 1), b"x")


def test_what_the_ventilator_says_unasked_is_passed_on(client: Client) -> None:
    """It answers nothing, and has no number."""
    client.world.arrive("desk", Notice(BATCH, "nobody is here"))
    assert client.noticed == ["nobody is here"]


def test_what_piled_up_leaves_in_one_submit(client: Client) -> None:
    """A turn later, whatever its number."""
    client.courier.submit([chunk(0), chunk(1)])
    client.courier.submit([chunk(2), Part(BatchClose(BATCH, 3))])
    assert client.wire.taken() == []
    client.courier.turn(0.0)
    (submit,) = client.wire.taken("desk")
    assert isinstance(submit, Submit)
    assert [one.first for one in submit.chunks] == [0, 1, 2]
    assert client.wire.payloads == [b"xxx"]


def test_a_cancel_never_overtakes_its_submit(client: Client) -> None:
    """Nor does what has no answer."""
    client.courier.submit([chunk(0)])
    client.courier.ask(lambda number: Cancel(number, BATCH, 0, 1, unstarted_only=True), client.answered)
    client.courier.say(Forget(BATCH))
    client.courier.submit([chunk(1)])
    client.courier.turn(0.0)
    assert [type(message) for message in client.wire.taken()] == [Submit, Cancel, Forget, Submit]


def test_a_submit_is_said_again_until_it_is_accepted(client: Client) -> None:
    """After a reconnect with the same number; then never again."""
    client.courier.submit([chunk(0)])
    client.world.turn()
    (first,) = client.wire.taken()
    client.world.connect_again("desk")
    assert client.wire.taken("desk") == [first]
    client.world.arrive("desk", Accepted(first.number))  # type: ignore[attr-defined]  # it is a Submit
    client.world.connect_again("desk")
    assert client.wire.taken("desk") == []
    assert client.accepted == [1]


def test_a_refused_submit_is_told_and_frees_its_room(client: Client) -> None:
    """Whoever waits for room goes on."""
    client.courier.submit([chunk(0)])
    client.world.turn()
    client.world.arrive("desk", Refused(1, "StoreError", "the disk is full"))
    assert (client.refused, client.accepted) == (["the disk is full"], [1])


def test_what_follows_a_refused_submit_in_its_batch_is_refused_with_it(client: Client) -> None:
    """It would leave a gap; other batches go on."""
    other = Part(ChunkHead(bytes(16), 0, 1, 1), b"y")
    for part in (chunk(0), chunk(1), other):
        client.courier.submit([part])
        client.courier.turn(0.0)
    client.world.arrive("desk", Refused(1, "StoreError", "the disk is full"))
    assert (client.refused, client.accepted) == (["the disk is full"] * 2, [1, 1])
    client.wire.taken()
    client.world.connect_again("desk")
    assert [message.number for message in client.wire.taken("desk") if isinstance(message, Submit)] == [3]


def test_of_a_refused_batch_nothing_more_is_said(client: Client) -> None:
    """What was on its way here when the refusal came would leave a gap, and whoever waits would do so for ever."""
    client.courier.submit([chunk(0)])
    client.world.turn()
    client.world.arrive("desk", Refused(1, "StoreError", "the disk is full"))
    client.wire.taken()
    told: list[str] = []
    client.courier.submit([chunk(1)])
    client.courier.when_accepted(lambda: told.append("all"))
    client.world.turn()
    assert (client.wire.taken("desk"), client.accepted, told) == ([], [1, 1], ["all"])


def test_acceptance_of_all_before_is_told_in_its_turn(client: Client) -> None:
    """What is submitted later is not waited for."""
    told: list[str] = []
    client.courier.submit([chunk(0)])
    client.courier.when_accepted(lambda: told.append("first"))
    client.courier.submit([chunk(1)])
    client.courier.when_accepted(lambda: told.append("second"))
    client.world.turn()
    one, two = (message.number for message in client.wire.taken() if isinstance(message, Submit))
    client.world.arrive("desk", Accepted(two))
    assert told == []
    client.world.arrive("desk", Accepted(one))
    assert told == ["first", "second"]


def test_nothing_before_is_accepted_at_once(client: Client) -> None:
    """A flush of nothing does not wait."""
    told: list[str] = []
    client.courier.when_accepted(lambda: told.append("done"))
    assert told == ["done"]


def test_who_leaves_waits_for_no_question(client: Client) -> None:
    """Nor for a batch to be forgotten, which a ventilator does by itself: one that is gone would be waited for without
    end. A cancellation is waited for, and so is what was submitted."""
    told: list[str] = []
    client.courier.ask(AskPipeline, client.answered)
    client.courier.say(Forget(BATCH))
    client.courier.when_accepted(lambda: told.append("left"))
    assert told == ["left"]
    client.courier.ask(partial(Cancel, batch=BATCH, start=0, stop=1, unstarted_only=True), client.answered)
    client.courier.when_accepted(lambda: told.append("cancelled"))
    client.world.turn()
    assert told == ["left"]
    number = next(message.number for message in client.wire.taken() if isinstance(message, Cancel))
    client.world.arrive("desk", Cancelled(number, 1))
    assert told == ["left", "cancelled"]


def test_answers_find_their_questions(client: Client) -> None:
    """From the ventilator and from the sink, each by its number."""
    client.courier.ask(AskPipeline, client.answered)
    client.courier.fetch(lambda number: Fetch(number, BATCH, 0, 1), client.answered)
    client.world.turn()
    assert client.wire.taken("results") == [Fetch(1, BATCH, 0, 1)]
    client.world.arrive("results", Fetched(1, (values(0, 5)[0],)), values(0, 5)[1])
    client.world.arrive("desk", Refused(1, "NoSuchBatch", "gone"))
    assert [type(answer) for answer in client.answers] == [Fetched, Refused]


def test_a_second_reader_of_a_batch_has_a_connection_of_its_own(client: Client) -> None:
    """The sink knows one follower for each connection and batch."""
    first, second = Reader(), Reader()
    client.courier.follow(Follower(BATCH, first))
    client.courier.follow(Follower(BATCH, second))
    client.world.turn()
    assert client.wire.sent == [
        ("results", Follow(BATCH, 0, 1000, 1, parts=True)),
        ("results1", Follow(BATCH, 0, 1000, 1, parts=True)),
    ]
    client.world.arrive("results1", *rows(0, values(0, 1)))
    assert (len(first.rows), len(second.rows)) == (0, 1)


def test_what_is_no_message_is_counted_and_dropped(client: Client) -> None:
    """The next one is read."""
    client.wire.arrived.clear()
    client.world.arrive("desk", Forget(BATCH))
    client.world.arrive("results", Accepted(1))
    assert client.courier.malformed == 2
    client.courier.follow(Follower(BATCH, reader := Reader()))
    client.world.turn()
    client.world.arrive("results", rows(0, values(0, 1))[0], b"too short")
    assert client.courier.malformed == 3
    client.world.arrive("results", *rows(0, values(0, 1)))
    assert len(reader.rows) == 1


LATER = ALIVE_INTERVAL


def asked(client: Client, now: float) -> list[AskGone]:
    """What it asks at this time."""
    client.courier.turn(now)
    return [message for message in client.wire.taken("desk") if isinstance(message, AskGone)]


def test_what_is_waited_for_is_asked_after_at_a_steady_pace(client: Client) -> None:
    """And at each new connection; one question at a time."""
    client.courier.follow(Follower(BATCH, Reader(), accepted=True))
    (first,) = asked(client, LATER)
    assert first.batches == (BATCH,)
    client.world.arrive("desk", Gone(first.number, ()))
    assert asked(client, LATER * 1.5) == []
    (second,) = asked(client, LATER * 2)
    assert all(again.number == second.number for again in asked(client, LATER * 3))
    client.world.arrive("desk", Gone(second.number, ()))
    client.wire.taken("desk")
    client.world.now = LATER * 3.1
    client.world.connect_again("desk")
    assert [type(message) for message in client.wire.taken("desk")] == [AskGone]


def test_what_is_not_accepted_is_not_asked_after(client: Client) -> None:
    """The ventilator does not know it, and would say that it is gone."""
    client.courier.follow(Follower(BATCH, Reader()))
    assert asked(client, LATER) == []
    client.courier.submit([opening(BATCH, BatchSpec(), Function.of(b"f"))])
    client.courier.turn(LATER)
    client.world.arrive("desk", Accepted(1))
    assert [question.batches for question in asked(client, LATER * 2)] == [(BATCH,)]


def test_who_waits_for_what_is_gone_is_told(client: Client) -> None:
    """Every reader of it, once; nothing more is said of the batch, and others are left alone."""
    one, two, other = Reader(), Reader(), Reader()
    for batch, reader in ((BATCH, one), (BATCH, two), (bytes(16), other)):
        client.courier.follow(Follower(batch, reader, accepted=True))
    client.courier.keep_alive(BATCH, alive=True)
    (question,) = asked(client, LATER)
    line = GoneLine(BATCH, "JobCancelled", "its client was silent")
    client.world.arrive("desk", Gone(question.number, (line,)))
    assert [type(reader.failure) for reader in (one, two, other)] == [JobCancelled, JobCancelled, type(None)]
    assert client.lost == [(BATCH, "its client was silent")]
    client.wire.taken()
    client.courier.submit([chunk(0)])
    client.courier.turn(LATER * 2)
    (again,) = client.wire.taken("desk")
    assert isinstance(again, AskGone)
    assert again.batches == (bytes(16),)


def test_what_waits_for_acceptance_in_a_batch_that_is_gone_is_withdrawn(client: Client) -> None:
    """It would leave a gap and never be answered; what was in one message with it goes on."""
    mine = Part(ChunkHead(bytes(16), 0, 1, 1), b"y")
    told: list[str] = []
    client.courier.submit([chunk(5), mine])
    client.courier.when_accepted(lambda: told.append("all"))
    client.courier.follow(Follower(BATCH, Reader(), accepted=True))
    client.courier.turn(LATER)
    submit, question = client.wire.taken("desk")
    assert isinstance(question, AskGone)
    client.wire.payloads.clear()
    client.world.arrive("desk", Gone(question.number, (GoneLine(BATCH, "NoSuchBatch", "deleted"),)))
    (rest,) = client.wire.taken("desk")
    assert isinstance(submit, Submit)
    assert rest == Submit(submit.number, (), submit.chunks[1:], ())
    assert (client.wire.payloads, client.accepted) == ([b"y"], [1])
    client.world.arrive("desk", Accepted(submit.number))
    assert (client.accepted, told) == ([1, 1], ["all"])


def test_a_ventilator_of_an_earlier_release_does_not_know_the_question(client: Client) -> None:
    """It refuses it, and everything else goes on."""
    reader = Reader()
    client.courier.follow(Follower(BATCH, reader, accepted=True))
    (question,) = asked(client, LATER)
    client.world.arrive("desk", Refused(question.number, "ProtocolError", "no message"))
    assert (reader.failure, client.lost) == (None, [])


def test_a_knock_is_not_answered(client: Client) -> None:
    """That it could be sent was the answer."""
    client.world.arrive("desk", Knock())
    assert (client.wire.taken(), client.courier.malformed) == ([], 0)


def test_a_map_that_is_read_is_kept_alive(client: Client) -> None:
    """Every twenty seconds, until it is not read any more."""
    client.courier.keep_alive(BATCH, alive=True)
    client.courier.turn(100.0)
    client.courier.turn(100.0 + ALIVE_INTERVAL / 2)
    client.courier.turn(100.0 + ALIVE_INTERVAL)
    assert client.wire.taken("desk") == [Alive((BATCH,))] * 2
    client.courier.keep_alive(BATCH, alive=False)
    client.courier.turn(200.0)
    assert client.wire.taken("desk") == []


def test_a_ventilator_that_owes_an_answer_is_silent_until_it_says_anything(client: Client) -> None:
    """What it answers only when others have done something does not count, nor the time before it was asked."""
    client.courier.ask(lambda number: Cancel(number, BATCH, 0, 1, unstarted_only=True), client.answered)
    client.courier.turn(0.0)
    assert client.courier.silence(0.0) == client.courier.silence(5.0) == 0
    client.courier.ask(AskPipeline, client.answered)
    client.courier.turn(5.0)
    assert client.courier.silence(7.0) == 2
    client.world.arrive("desk", Notice(BATCH, "nobody is here"))
    assert client.courier.silence(8.0) == 0
    assert client.courier.silence(9.0) == 1


LARGE = Part(ChunkHead(BATCH, 0, 1, 1 << 20), bytes(1 << 20))


def test_a_large_submit_goes_in_parts_and_is_not_sent_again_while_it_flows(client: Client) -> None:
    """However long that takes; nor is what is behind it. When all has arrived it is asked for again, if it must be."""
    client.world.connect_again("desk")
    client.wire.taken()
    client.courier.submit([LARGE])
    now = 0.0
    parts: list[Any] = []
    client.courier.turn(now)
    while found := client.wire.taken("desk"):
        assert {type(one) for one in found} == {records.Part}
        parts += found
        now = client.world.now = now + 3.0
        last = parts[-1]
        client.world.arrive("desk", records.PartsTaken(last.stream, last.position + last.size))
    assert now > 10.0
    assert sum(one.size for one in parts) < 1.01 * len(LARGE.payload), "each byte once"
    client.courier.turn(now + 60.0)
    assert client.wire.taken("desk"), "nobody answered"


def test_a_large_answer_comes_in_parts_and_is_not_asked_for_again_while_it_flows(client: Client) -> None:
    """A question says that they are taken; what has come is acknowledged, and counts as heard of the ventilator."""
    client.world.connect_again("desk")
    client.courier.turn(0.0)
    client.wire.taken()
    client.courier.ask(partial(AskBatches, match="", limit=9), client.answered)
    client.courier.turn(0.0)
    (asked,) = client.wire.taken("desk")
    assert isinstance(asked, AskBatches)
    assert asked.parts
    frame = encode(BatchesInfo(asked.number, ()))
    for position in range(len(frame)):
        client.world.now = 2.0 * position
        part = records.Part(7, position, len(frame) - position - 1, 1)
        client.world.arrive("desk", part, frame[position : position + 1])
        client.courier.turn(client.world.now)
        assert client.courier.silence(client.world.now) == 0
        assert client.wire.taken("desk") == [records.PartsTaken(7, position + 1)]
    assert client.answers == [BatchesInfo(asked.number, ())]


def test_a_ventilator_of_an_earlier_release_is_sent_everything_whole(client: Client) -> None:
    """It refuses the parts by their number, each of them; that is no refusal of what is in them, which is sent once."""
    client.world.connect_again("desk")
    client.wire.taken()
    client.courier.submit([LARGE])
    client.courier.turn(0.0)
    parts = client.wire.taken("desk")
    assert len(parts) > 1
    for part in parts:
        client.world.arrive("desk", Refused(part.stream, "ProtocolError", "Invalid value 'Part'"))  # type: ignore[attr-defined]
    assert [type(one) for one in client.wire.taken("desk")] == [Submit]
    assert client.refused == []
