"""Followed batches: what a reader is given, and what is said to the sink."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.client.follow import FOLLOW_INTERVAL, Channel, Follower, Row
from penstock.job.spec import Stamp
from penstock.wire.messages import Credit, Follow, Rows, SinkUp, Unfollow, credit_cost
from penstock.wire.records import Message
from support.recording_client import BATCH, head, rows, values

OTHER = bytes(15) + b"\x02"
NONE: Iterator[int] = iter(())


class Reader:
    """Holds what it is given until the test frees it."""

    def __init__(self, window: int = 1000) -> None:
        self.window = window
        self.rows: list[Row] = []

    def take(self, rows: list[Row], cost: int) -> int:  # noqa: ARG002 - none is free again
        """Keep it all."""
        self.rows += rows
        return 0

    def fail(self, error: BaseException) -> None:
        """No more will come."""

    @property
    def spans(self) -> list[tuple[int, int]]:
        """What it was given."""
        return [(row.start, row.stop) for row in self.rows]


@pytest.fixture
def reader() -> Reader:
    """With a window of 1,000 bytes."""
    return Reader()


@pytest.fixture
def follower(reader: Reader) -> Follower:
    """Of one batch, that has said Follow."""
    follower = Follower(BATCH, reader)
    assert follower.next_message(0.0, iter([1])) == Follow(BATCH, 0, 1000, 1, parts=True)
    return follower


def cost(*outcomes: tuple[object, bytes]) -> int:
    """Of the window."""
    message, payload = rows(0, *outcomes)  # type: ignore[arg-type]  # outcomes are pairs of head and body
    return credit_cost(message.records, payload)


def test_rows_come_in_the_order_of_recording(follower: Follower, reader: Reader) -> None:
    """Numbered by the outcomes recorded so far."""
    follower.on_rows(*rows(0, values(5, "a", "b")))
    follower.on_rows(*rows(1, values(0, "c"), values(9, "d")))
    assert reader.spans == [(5, 7), (0, 1), (9, 10)]
    assert [row.position for row in reader.rows] == [1, 3, 4]


def test_repeated_rows_are_dropped(follower: Follower, reader: Reader) -> None:
    """Also when they repeat only in part."""
    follower.on_rows(*rows(0, values(0, 1), values(1, 2)))
    follower.on_rows(*rows(0, values(0, 1), values(1, 2), values(2, 3)))
    assert reader.spans == [(0, 1), (1, 2)]
    assert follower.next_message(0.0, NONE) is None


def test_rows_of_an_earlier_follow_are_dropped(follower: Follower, reader: Reader) -> None:
    """They come again under the new one."""
    follower.ask_again()
    follower.next_message(0.0, iter([2]))
    follower.on_rows(*rows(0, values(0, 1)))
    follower.on_rows(*rows(0, values(0, 1), number=2))
    assert reader.spans == [(0, 1)]


def test_a_gap_is_asked_for_again(follower: Follower, reader: Reader) -> None:
    """From where the reader is."""
    follower.on_rows(*rows(0, values(0, 1)))
    follower.on_rows(*rows(4, values(9, 1)))
    assert reader.spans == [(0, 1)]
    assert follower.next_message(0.0, iter([2])) == Follow(BATCH, 1, 1000 - cost(values(0, 1)), 2, parts=True)


def test_what_a_retry_superseded_keeps_its_number(follower: Follower, reader: Reader) -> None:
    """And what opened the jobs again has none: so a later reading, which sees them so, numbers the others alike."""
    again = head(0, 2, final=False, stamp=Stamp(1, 0))
    records = (head(0, 2, final=False), head(5, 6), again, head(0, 2, stamp=Stamp(1, 1)))
    follower.on_rows(Rows(BATCH, 4, records, 0, 1), b"")
    assert [(row.position, row.opens) for row in reader.rows] == [(1, False), (3, False), (4, True), (4, False)]


def test_credit_is_given_back_in_shares_of_the_window(follower: Follower, reader: Reader) -> None:
    """Not for every row."""
    follower.on_rows(*rows(0, values(0, 1), values(1, b"x" * 300)))
    first, second = (row.cost for row in reader.rows)
    follower.give_back(first)
    assert follower.next_message(1.0, NONE) is None
    follower.give_back(second)
    assert follower.next_message(1.0, NONE) == Credit(BATCH, first + second)
    assert follower.next_message(1.0, NONE) is None


def test_a_full_reader_gives_no_credit(follower: Follower) -> None:
    """Said again, Follow grants nothing then."""
    follower.on_rows(*rows(0, values(0, b"x" * 2000)))
    follower.ask_again()
    assert follower.next_message(0.0, iter([2])) == Follow(BATCH, 1, 0, 2, parts=True)


def test_follow_is_said_again_when_all_is_quiet(follower: Follower) -> None:
    """The sink forgets whom it does not hear of; and if something could not be sent, this brings it."""
    assert follower.next_message(FOLLOW_INTERVAL - 1, NONE) is None
    assert follower.next_message(FOLLOW_INTERVAL, iter([2])) == Follow(BATCH, 0, 1000, 2, parts=True)
    assert follower.next_message(FOLLOW_INTERVAL + 1, NONE) is None


# ------------------------------------------------------------------------------------------------- channels


class Sent(list[Message]):
    """A socket."""

    open = True

    def send(self, message: Message) -> bool:
        """Takes all, or nothing."""
        if self.open:
            self.append(message)
        return self.open


def test_a_reconnect_follows_everything_again(reader: Reader) -> None:
    """From where each reader is."""
    channel, sent = Channel(), Sent()
    for batch in (BATCH, OTHER):
        channel.add(Follower(batch, reader))
    channel.transmit(sent.send, 0.0)
    channel.on_message(*rows(0, values(0, 1)))
    channel.reconnected()
    channel.transmit(sent.send, 0.0)
    left = 1000 - cost(values(0, 1))
    assert sent[2:] == [Follow(BATCH, 1, left, 3, parts=True), Follow(OTHER, 0, 1000, 4, parts=True)]


def test_a_new_boot_of_the_sink_follows_everything_again(reader: Reader) -> None:
    """The first SinkUp tells which boot it is."""
    channel, sent = Channel(), Sent()
    channel.add(Follower(BATCH, reader))
    channel.transmit(sent.send, 0.0)
    channel.on_message(SinkUp(7), b"")
    channel.on_message(SinkUp(7), b"")
    channel.transmit(sent.send, 0.0)
    assert len(sent) == 1
    channel.on_message(SinkUp(8), b"")
    channel.transmit(sent.send, 0.0)
    assert sent == [Follow(BATCH, 0, 1000, 1, parts=True), Follow(BATCH, 0, 1000, 2, parts=True)]


def test_a_follow_that_could_not_be_sent_is_sent_later(reader: Reader) -> None:
    """As soon as the socket takes it."""
    channel, sent = Channel(), Sent()
    channel.add(Follower(BATCH, reader))
    sent.open = False
    assert not channel.transmit(sent.send, 0.0)
    sent.open = True
    assert channel.transmit(sent.send, 0.0)
    assert sent == [Follow(BATCH, 0, 1000, 2, parts=True)]


def test_who_wants_no_more_says_so_once(reader: Reader) -> None:
    """Unless the batch is followed again meanwhile."""
    channel, sent = Channel(), Sent()
    first = Follower(BATCH, reader)
    channel.add(first)
    channel.transmit(sent.send, 0.0)
    channel.remove(first)
    channel.transmit(sent.send, 0.0)
    assert sent[1:] == [Unfollow(BATCH)]
    again = Follower(BATCH, reader)
    channel.add(again)
    channel.transmit(sent.send, 0.0)
    channel.remove(again)
    channel.add(Follower(BATCH, reader))
    channel.transmit(sent.send, 0.0)
    assert sent[2:] == [Follow(BATCH, 0, 1000, 2, parts=True), Follow(BATCH, 0, 1000, 3, parts=True)]


def test_rows_of_an_unknown_batch_change_nothing(reader: Reader) -> None:
    """They were under way when it was left."""
    Channel().on_message(*rows(0, values(0, 1)))
    assert reader.rows == []
