"""Clients that follow a batch; what a follower is given is also watched by the machine in test_sink_machine."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from penstock.sink import followers as module
from penstock.sink.contract import ReadRows, RowsRead, SaveRow
from penstock.sink.followers import FOLLOWER_TIME, Followers
from penstock.station.contract import Answer, Log
from penstock.wire.messages import Credit, Follow, Rows, SinkUp, credit_cost
from support.sink_models import head_of

BATCH = b"b" * 16
BODY = b"x" * 100
COST = credit_cost((head_of(BATCH, 0, 1, size=100),), BODY)


def rows(first: int, stop: int, *, final: bool = True) -> list[SaveRow]:
    """The lines [first, stop) of the log, all of one batch."""
    heads = [head_of(BATCH, seq, seq + 1, final=final, size=len(BODY)) for seq in range(first, stop)]
    return [SaveRow(seq, head, b"w" * 16, b"", BODY) for seq, head in zip(range(first, stop), heads, strict=True)]


def sent(answer: object) -> tuple[int, list[int], int]:
    """A Rows: from which position, the first jobs of its records, to which position."""
    assert isinstance(answer, Answer)
    assert isinstance(answer.message, Rows)
    assert len(answer.payload) == sum(record.size for record in answer.message.records)
    return answer.message.after, [record.start for record in answer.message.records], answer.message.position


def read(first: int, stop: int, *, client: bytes = b"ada") -> RowsRead:
    """What the store has of the lines [first, stop)."""
    lines = rows(first, stop)
    payload = b"".join(bytes(row.body) for row in lines)
    return RowsRead(client, BATCH, tuple(row.head for row in lines), payload, stop - 1, more=False)


def following(after: int, credit: int, last: int) -> Followers:
    """One client that follows, and whose first read is under way if it is behind."""
    followers = Followers(7)
    followers.follow(b"ada", Follow(BATCH, after, credit, 1), last, 0.0)
    return followers


def test_the_first_follow_of_a_client_is_told_the_boot() -> None:
    """And only the first: a client that sees another boot starts again."""
    followers = Followers(7)
    assert followers.follow(b"ada", Follow(BATCH, 0, 10), 0, 0.0) == [Answer(b"ada", SinkUp(7))]
    assert followers.follow(b"ada", Follow(b"c" * 16, 0, 10), 0, 0.0) == []
    assert followers.follow(b"bob", Follow(BATCH, 0, 10), 0, 0.0) == [Answer(b"bob", SinkUp(7))]
    followers.check()


def test_who_is_at_the_end_is_given_new_rows_without_a_read() -> None:
    """As far as the credit goes; what is left comes by reading."""
    followers = following(5, 2 * COST, 5)
    (answer,) = followers.recorded(BATCH, rows(6, 8), 5)
    assert sent(answer) == (5, [6, 7], 7)
    assert followers.recorded(BATCH, rows(8, 9), 7) == []
    assert followers.credit(b"ada", Credit(BATCH, 1), 8, 1.0) == [ReadRows(b"ada", BATCH, 7, 1)]


def test_without_credit_left_the_rest_is_read_later() -> None:
    """The last row may exceed the credit, nothing after it."""
    followers = following(0, COST + 1, 0)
    (answer,) = followers.recorded(BATCH, rows(1, 9), 0)
    assert sent(answer) == (0, [1, 2], 2)
    assert followers.credit(b"ada", Credit(BATCH, COST), 8, 1.0) == [ReadRows(b"ada", BATCH, 2, 1)]


def test_one_answer_is_bounded_whatever_the_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one follower with much credit holds nobody up."""
    monkeypatch.setattr(module, "ROWS_RECORDS", 3)
    followers = following(0, 1 << 40, 0)
    answer, more = followers.recorded(BATCH, rows(1, 9), 0)
    assert sent(answer) == (0, [1, 2, 3], 3)
    assert more == ReadRows(b"ada", BATCH, 3, module.READ_BYTES)


def test_who_is_behind_has_one_read_under_way() -> None:
    """What is recorded meanwhile comes with the next one."""
    followers = Followers(7)
    _, reads = followers.follow(b"ada", Follow(BATCH, 0, 1000, 1), 4, 0.0)
    assert reads == ReadRows(b"ada", BATCH, 0, 1000)
    assert followers.credit(b"ada", Credit(BATCH, 9), 4, 0.0) == []
    assert followers.recorded(BATCH, rows(5, 7), 4) == []
    answer, again = followers.rows_read(read(1, 5), 6)
    assert sent(answer) == (0, [1, 2, 3, 4], 4)
    assert again == ReadRows(b"ada", BATCH, 4, 1009 - 4 * COST)


def test_a_read_from_before_a_new_follow_is_dropped() -> None:
    """It was from another position; the rows of the new Follow carry its number."""
    followers = following(0, 1 << 20, 4)
    assert followers.follow(b"ada", Follow(BATCH, 2, 1 << 20, 2), 4, 0.0) == []
    assert followers.recorded(BATCH, rows(5, 6), 4) == []
    assert followers.rows_read(read(1, 5), 5) == [ReadRows(b"ada", BATCH, 2, 1 << 20)]
    (answer,) = followers.rows_read(read(3, 6), 5)
    assert sent(answer) == (2, [3, 4, 5], 5)
    assert isinstance(answer, Answer)
    assert isinstance(answer.message, Rows)
    assert answer.message.number == 2


def test_a_read_for_one_who_left_is_dropped() -> None:
    """Also if the client is back by then: the new Follow has a read of its own."""
    followers = following(0, 1 << 20, 4)
    followers.unfollow(b"ada", BATCH)
    followers.check()
    assert followers.follow(b"ada", Follow(BATCH, 0, 1 << 20, 2), 4, 0.0) == []
    followers.unfollow(b"ada", BATCH)
    assert followers.rows_read(read(1, 5), 4) == []
    assert followers.credit(b"ada", Credit(BATCH, 9), 4, 0.0) == []


def test_a_position_from_a_lost_future_waits() -> None:
    """A client that knows more of the log than there is gets what comes behind its position."""
    followers = following(6, 1 << 20, 4)
    assert followers.recorded(BATCH, rows(5, 7), 4) == []
    (answer,) = followers.recorded(BATCH, rows(7, 9), 6)
    assert sent(answer) == (6, [7, 8], 8)
    followers = following(6, 1 << 20, 4)
    (answer,) = followers.recorded(BATCH, rows(5, 9), 4)
    assert sent(answer) == (6, [7, 8], 8)


def test_attempts_that_were_not_final_only_move_the_position() -> None:
    """They are no outcomes."""
    followers = following(0, 1 << 20, 0)
    (answer,) = followers.recorded(BATCH, [*rows(1, 2, final=False), *rows(2, 3)], 0)
    assert sent(answer) == (0, [2], 2)


def test_a_read_that_brings_nothing_is_not_repeated() -> None:
    """The batch was deleted while it was under way; nothing is given across the gap."""
    followers = following(0, 1 << 20, 4)
    assert followers.rows_read(RowsRead(b"ada", BATCH, (), b"", 0, more=False), 4) == []
    assert followers.recorded(BATCH, rows(5, 6), 4) == []


def test_who_is_not_heard_of_is_forgotten() -> None:
    """A Credit of nothing is a sign of life."""
    followers = following(0, 1 << 20, 0)
    followers.follow(b"bob", Follow(BATCH, 0, 1 << 20), 0, 0.0)
    followers.credit(b"bob", Credit(BATCH, 0), 0, FOLLOWER_TIME)
    followers.expire(FOLLOWER_TIME + 1)
    followers.check()
    assert [answer.client for answer in followers.recorded(BATCH, rows(1, 2), 0) if isinstance(answer, Answer)] == [
        b"bob"
    ]
    followers.expire(FOLLOWER_TIME + 2)  # too soon to look again
    followers.expire(2 * FOLLOWER_TIME + 20)
    assert followers.recorded(BATCH, rows(2, 3), 1) == []
    followers.check()


def test_there_are_not_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is not followed, and the log says so; who is one already may begin again."""
    monkeypatch.setattr(module, "MAX_FOLLOWERS", 1)
    followers = following(0, 10, 0)
    _, log = followers.follow(b"bob", Follow(BATCH, 0, 10), 0, 0.0)
    assert log == Log("too_many_followers", {"client": b"bob", "limit": 1})
    assert followers.follow(b"ada", Follow(BATCH, 0, 10), 0, 0.0) == []
    followers.check()
    followers.drop_batch(BATCH)
    followers.check()
    assert followers.follow(b"bob", replace(Follow(BATCH, 0, 10), number=2), 0, 0.0) == []


def test_who_has_not_read_is_given_nothing_from_memory() -> None:
    """A read is asked for instead, which waits until there is room; the place in the batch stays."""
    followers = following(5, 9 * COST, 5)
    followers.full = frozenset({b"ada"})
    (asked,) = followers.recorded(BATCH, rows(6, 8), 5)
    assert isinstance(asked, ReadRows)
    assert asked.after == 5
    followers.full = frozenset()
    answer = followers.rows_read(read(6, 8), 7)[0]
    assert isinstance(answer, Answer)
    followers.check()


def test_what_is_given_from_memory_in_a_turn_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that follow, those who come last read from the store; the next turn begins anew."""
    monkeypatch.setattr(module, "GIVEN_BYTES", 1)
    followers = Followers(7)
    for client in (b"ada", b"bob"):
        followers.follow(client, Follow(BATCH, 5, 9 * COST, 1), 5, 0.0)
    given, asked = followers.recorded(BATCH, rows(6, 7), 5)
    assert (type(given), type(asked)) == (Answer, ReadRows)
    followers.expire(0.0)
    assert isinstance(followers.recorded(BATCH, rows(7, 8), 6)[0], Answer)


def test_a_key_follows_no_more_than_it_may() -> None:
    """All its connections together; what it leaves makes room, and another key has its own."""
    followers = Followers(7, 1)
    followers.follow(b"ada", Follow(BATCH, 0, 1, 1), 0, 0.0, "key")
    (_, log) = followers.follow(b"bob", Follow(BATCH, 0, 1, 1), 0, 0.0, "key")
    assert isinstance(log, Log)
    assert followers.follow(b"eve", Follow(BATCH, 0, 1, 1), 0, 0.0, "other") == [Answer(b"eve", SinkUp(7))]
    followers.unfollow(b"ada", BATCH)
    assert followers.follow(b"bob", Follow(BATCH, 0, 1, 1), 0, 0.0, "key") == []
    followers.check()
