"""Questions of clients that wait for their turn."""

from __future__ import annotations

from penstock.keys.roles import Peer, Role
from penstock.station.contract import FromClient
from penstock.station.waiting_questions import AT_ONCE, ROOM_INTERVAL, WaitingQuestions
from penstock.wire.bounds import LIMITS, Limits
from penstock.wire.desk_messages import AskPipeline

KEY = Peer("watch", Role.OBSERVE, "public")


def ask(questions: WaitingQuestions, client: bytes, number: int) -> bool:
    return questions.add(FromClient(client, AskPipeline(number), sender=KEY), number)


def taken(questions: WaitingQuestions, *, full: bytes = b"") -> list[tuple[bytes, int]]:
    found = questions.take(lambda client: client != full)
    return [(event.client, event.message.number) for event in found if isinstance(event.message, AskPipeline)]


def test_one_of_each_connection_is_answered_in_a_turn() -> None:
    """In the order asked, the connections in turn, and AT_ONCE of all."""
    questions = WaitingQuestions(LIMITS)
    for number in range(3):
        ask(questions, b"many", number)
    ask(questions, b"one", 7)
    assert taken(questions) == [(b"many", 0), (b"one", 7)]
    assert taken(questions) == [(b"many", 1)]
    for client in range(2 * AT_ONCE):
        ask(questions, bytes([client]), 1)
    first, then = taken(questions), taken(questions)
    assert [len(first), len(then)] == [AT_ONCE, AT_ONCE]
    assert len({client for client, _ in first + then}) == 2 * AT_ONCE


def test_who_does_not_read_waits_and_holds_up_nobody() -> None:
    """It is looked at again after a while; when nothing else waits, there is nothing to do until then."""
    questions = WaitingQuestions(LIMITS)
    ask(questions, b"deaf", 1)
    ask(questions, b"one", 1)
    assert taken(questions, full=b"deaf") == [(b"one", 1)]
    assert questions.due_at(5.0, lambda _: False) == 5.0 + ROOM_INTERVAL
    assert questions.due_at(5.0, lambda _: True) == 5.0
    assert taken(questions) == [(b"deaf", 1)]
    assert (bool(questions), questions.due_at(5.0, lambda _: True)) == (False, None)


def test_what_waits_is_bounded_for_each_connection_and_key() -> None:
    """What is asked again under its number waits once."""
    questions = WaitingQuestions(Limits(questions=2, key_questions=3))
    assert [ask(questions, b"a", number) for number in (1, 2, 2, 3)] == [True, True, True, False]
    assert [ask(questions, b"b", number) for number in (1, 2)] == [True, False]
    assert questions.dropped["watch"] == 2
    assert taken(questions) == [(b"a", 1), (b"b", 1)]
    assert [ask(questions, b"b", number) for number in (3, 4)] == [True, True]
