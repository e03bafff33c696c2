"""What peers have not read: how much they may have, and who is cut off."""

from __future__ import annotations

from penstock.wire.bounds import Limits
from penstock.wire.guard import News
from penstock.wire.unread import LOOK_INTERVAL, Connection, Unread

ONE, TWO, OTHER = b"one", b"two", b"other"
PATIENCE = 60.0


class Message:
    """One that is on its way until a test says that it is written."""

    def __init__(self) -> None:
        self.done = False


class Bench:
    """Two connections of one key and one of another."""

    def __init__(self) -> None:
        self.cut: list[int] = []
        self.news = News()
        limits = Limits(answer_bytes=100, key_answer_bytes=150, answer_time=PATIENCE)
        self.unread = Unread("results", limits, self.cut.append, self.news)
        for peer, fd, key in ((ONE, 1, "k"), (TWO, 2, "k"), (OTHER, 3, "o")):
            self.unread.meet(peer, Connection(fd, key, key))

    def send(self, peer: bytes, size: int, now: float = 0.0) -> Message:
        message = Message()
        self.unread.sent(peer, size, message, now)
        return message


def test_who_has_not_read_has_no_room() -> None:
    """Up to the bound and one message more; what is written makes room, and nobody else is held up."""
    bench = Bench()
    first = bench.send(ONE, 99)
    assert bench.unread.has_room(ONE, 0.0)
    bench.send(ONE, 40)
    assert [bench.unread.has_room(peer, 0.0) for peer in (ONE, OTHER)] == [False, True]
    assert bench.unread.full(0.0) == {ONE}
    first.done = True
    assert (bench.unread.has_room(ONE, 0.0), bench.unread.full(0.0)) == (True, frozenset())


def test_connections_of_one_key_count_together() -> None:
    """Neither has more room than the other leaves; a connection that is gone leaves all that it had."""
    bench = Bench()
    bench.send(ONE, 80)
    last = bench.send(TWO, 80)
    assert [bench.unread.has_room(peer, 0.0) for peer in (ONE, TWO, OTHER)] == [False, False, True]
    last.done = True
    assert bench.unread.has_room(ONE, 0.0)
    bench.send(TWO, 80)
    bench.unread.lose(1)
    assert (bench.unread.has_room(TWO, 0.0), bench.unread.knows(ONE)) == (True, False)


def test_who_reads_nothing_is_cut_off() -> None:
    """Not who is slow: it has taken something since. Once, and once more if it is still there."""
    bench = Bench()
    slow = [bench.send(ONE, 80), bench.send(ONE, 80)]
    bench.send(OTHER, 100)
    slow[0].done = True
    bench.unread.look(PATIENCE)
    bench.send(ONE, 80, PATIENCE)
    bench.unread.look(PATIENCE + LOOK_INTERVAL)
    assert (bench.cut, [event for event, _ in bench.news.take()]) == ([3], ["reads_nothing"])
    bench.unread.look(PATIENCE + 2 * LOOK_INTERVAL)
    assert bench.cut == [3]


def test_a_descriptor_that_comes_again_is_another_connection() -> None:
    """What the one before it had not read is not charged to it."""
    bench = Bench()
    bench.send(ONE, 100)
    bench.unread.meet(b"new", Connection(1, "k", "k"))
    assert (bench.unread.knows(ONE), bench.unread.has_room(b"new", 0.0)) == (False, True)
