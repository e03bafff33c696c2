"""Requests to hand back: numbered, one at a time, asked again."""

from __future__ import annotations

from penstock.ventilator.contract import Tell
from penstock.ventilator.hand_back_requests import HandBackRequests
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.turn import Turn
from penstock.wire.bounds import RESEND
from penstock.wire.messages import HandBack, Recall
from penstock.wire.records import LeaseSpan


def test_a_request_is_open_until_its_own_answer_or_for_a_while() -> None:
    """What is handed back unasked, or in answer to an earlier request, does not close it."""
    turn = Turn()
    requests, worker = HandBackRequests(turn), Worker(b"w" * 16, {})
    assert not requests.is_open(worker, 0.0)
    requests.ask(worker, 5, 0.0)
    assert requests.is_open(worker, RESEND / 2)
    assert not requests.is_answered(worker, 0)
    assert not requests.is_open(worker, RESEND)
    requests.ask(worker, 5, RESEND, leases=(7,))
    assert not requests.is_answered(worker, 1)
    assert requests.is_answered(worker, 2)
    assert not requests.is_open(worker, RESEND)
    assert turn.take() == [Tell(b"w" * 16, HandBack(1, 5, ())), Tell(b"w" * 16, HandBack(2, 5, (7,)))]


def test_a_recall_is_answered_by_the_worker_that_was_asked() -> None:
    """Once; by nobody else, and not after it is forgotten."""
    turn = Turn()
    requests, spans = HandBackRequests(turn), (LeaseSpan(1, 0, 3),)
    requests.recall(b"a", spans)
    requests.recall(b"b", spans)
    requests.recall(b"c", spans)
    assert [action.message for action in turn.take() if isinstance(action, Tell)] == [
        Recall(number, spans) for number in (1, 2, 3)
    ]
    assert requests.recalled(b"a", 1) == spans
    assert requests.recalled(b"a", 1) == ()
    assert requests.recalled(b"a", 2) == ()
    requests.forget_recalls()
    assert requests.recalled(b"c", 3) == ()
