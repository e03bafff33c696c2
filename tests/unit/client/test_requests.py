"""Messages are said again until they are answered."""

from __future__ import annotations

import pytest

from penstock.client.requests import RESEND_MAX, Requests, check
from penstock.errors import ConfigError
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import AskBatches, AskPipeline, Cancel, Done, Forget, Refused
from penstock.wire.records import Message


class Peer:
    """What a socket was given; it takes so many messages."""

    def __init__(self, takes: int = 1000) -> None:
        self.takes = takes
        self.sent: list[Message] = []

    def send(self, message: Message, payload: bytes | memoryview) -> bool:  # noqa: ARG002 - it keeps none
        """As a socket does."""
        if len(self.sent) >= self.takes:
            return False
        self.sent.append(message)
        return True


@pytest.fixture
def requests() -> Requests:
    """None asked yet."""
    return Requests()


def ask(requests: Requests, answers: list[Message]) -> int:
    """One more request, whose answer goes to the list."""
    number = requests.next_number()
    requests.add(number, AskPipeline(number), lambda message, _: answers.append(message))
    return number


def test_requests_leave_in_order_and_once(requests: Requests) -> None:
    """A second transmit has nothing to send."""
    peer = Peer()
    numbers = [ask(requests, []) for _ in range(3)]
    assert requests.transmit(peer.send, 0.0)
    assert requests.transmit(peer.send, 0.0)
    assert peer.sent == [AskPipeline(number) for number in numbers]


def test_what_a_full_socket_did_not_take_leaves_later(requests: Requests) -> None:
    """In order, nothing lost."""
    peer = Peer(takes=1)
    numbers = [ask(requests, []) for _ in range(3)]
    assert not requests.transmit(peer.send, 0.0)
    peer.takes = 3
    assert requests.transmit(peer.send, 0.0)
    assert peer.sent == [AskPipeline(number) for number in numbers]


def test_who_is_patient_asks_again_while_a_disk_is_full(requests: Requests) -> None:
    """Nobody would be told; whoever waits for it is, at once."""
    full, peer = Refused(1, "StoreFull", "the disk is full"), Peer()
    for patient in (True, False):
        answers: list[Message] = []
        number = requests.next_number()
        order = Cancel(number, b"b" * 16, 0, 1, unstarted_only=True)
        requests.add(number, order, lambda message, _, to=answers: to.append(message), patient=patient)  # type: ignore[misc]
        requests.transmit(peer.send, 0.0)
        requests.on_answer(number, full)
        assert answers == ([] if patient else [full])
        requests.tick(RESEND)
        requests.transmit(peer.send, RESEND)
        assert [message for message in peer.sent if message is order] == [order] * (2 if patient else 1)
        requests.on_answer(number, Done(number))
        assert answers == [Done(number) if patient else full]


def test_an_answer_comes_once(requests: Requests) -> None:
    """A repeated or unknown one changes nothing."""
    answers: list[Message] = []
    number = ask(requests, answers)
    assert requests.on_answer(number, Done(number)) is not None
    assert requests.on_answer(number, Done(number)) is None
    assert requests.on_answer(77, Done(77)) is None
    assert answers == [Done(number)]


def test_a_reconnect_says_everything_unanswered_again(requests: Requests) -> None:
    """What was answered is not."""
    peer = Peer()
    first, second, third = (ask(requests, []) for _ in range(3))
    requests.transmit(peer.send, 0.0)
    requests.on_answer(second, Done(second))
    requests.reconnected()
    requests.transmit(peer.send, 1.0)
    assert peer.sent[3:] == [AskPipeline(first), AskPipeline(third)]


def test_what_is_not_answered_in_time_is_said_again_ever_more_rarely(requests: Requests) -> None:
    """After 2, 4, 8, 16 and then every 16 seconds."""
    peer, times = Peer(), []
    ask(requests, [])
    for tick in range(100):
        requests.tick(float(tick))
        before = len(peer.sent)
        requests.transmit(peer.send, float(tick))
        times += [tick] if len(peer.sent) > before else []
    assert times[:6] == [0, 2, 6, 14, 30, 46]
    assert RESEND == 2
    assert RESEND_MAX == 16


def test_a_message_without_an_answer_is_sent_once(requests: Requests) -> None:
    """And waited for until then only."""
    peer, number = Peer(takes=0), requests.next_number()
    requests.add(number, Forget(bytes(16)), None)
    requests.transmit(peer.send, 0.0)
    assert requests.oldest((Forget,)) == number
    peer.takes = 9
    requests.transmit(peer.send, 0.0)
    requests.reconnected()
    requests.transmit(peer.send, 0.0)
    assert peer.sent == [Forget(bytes(16))]
    assert requests.oldest((Forget,)) is None


@pytest.mark.parametrize(
    "message",
    [
        AskBatches(1, "x" * 300, 1),
        AskBatches(1, b"x", 1),  # type: ignore[arg-type]  # that is the point
        AskBatches(1, "\udcff", 1),
        Cancel(1, bytes(16), -1, 0, unstarted_only=False),
        Cancel(1, bytes(16), 0, 10**30, unstarted_only=False),
    ],
)
def test_what_nobody_could_read_is_not_asked(message: Message) -> None:
    """It would be dropped there, and whoever asked would wait for ever."""
    with pytest.raises(ConfigError, match="cannot be asked so"):
        check(message)
    check(Cancel(1, bytes(16), 0, 2**63 - 1, unstarted_only=True))
