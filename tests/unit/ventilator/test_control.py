"""What the ventilator tells workers, over a recording wire."""

from __future__ import annotations

from typing import Any

from penstock.station.clock import Clock
from penstock.ventilator.control import Control
from penstock.wire.messages import Beat, FunctionPart, Greeting, Hello, Recall
from penstock.wire.records import Bytes, LeaseSpan, Message, Part, PartsTaken
from support.surroundings import QuietLinks

W, F = b"w" * 16, b"f" * 16
CODE = bytes(1 << 20)
FUNCTION = FunctionPart(F, 0, len(CODE), len(CODE))


class Links(QuietLinks):
    """Records the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Record it."""
        assert (name, peer) == ("control", W)
        assert not payload or getattr(message, "size", None) == sum(map(len, payload))
        self.sent.append(message)
        return True

    def kinds(self) -> list[str]:
        """Of what was sent since the last call."""
        sent, self.sent = self.sent, []
        return [type(one).__name__ for one in sent]


class Still(Clock):
    """Time stands still."""

    def now(self) -> float:
        """Always."""
        return 0.0


def hello(*, parts: bool) -> Hello:
    """Of a worker that takes parts, or not."""
    return Hello(W, 1, 1, 1, "w", "host", 1, 1, 1, (), "3", parts=parts)


def test_signs_of_life_overtake_what_is_large_and_what_is_said_of_jobs_does_not() -> None:
    """A beat leaves at once; a recall is for jobs that are on their way, and comes behind them."""
    links = Links()
    control = Control(links, Still())
    control.on_report(hello(parts=True))
    control.tell(W, FUNCTION, CODE)
    assert set(links.kinds()) == {"Part"}
    assert control.under_way() == (W,)
    control.tell(W, Recall(1, (LeaseSpan(1, 0, 1),)))
    assert links.kinds() == []
    control.tell(W, Beat(1))
    assert links.kinds() == ["Beat"]


def test_a_greeting_makes_void_what_is_on_its_way() -> None:
    """The worker says by its hello what it has; it is given what it lacks again, and not twice."""
    links = Links()
    control = Control(links, Still())
    control.on_report(hello(parts=True))
    control.tell(W, FUNCTION, CODE)
    first = [one for one in links.sent if isinstance(one, Part)]
    links.kinds()
    control.tell(W, Greeting(1, 2, 5.0, 1.0))
    assert control.under_way() == ()
    control.on_report(PartsTaken(first[0].stream, first[0].size, W))
    assert links.kinds() == ["Greeting"]


def test_a_worker_that_takes_no_parts_is_told_everything_whole() -> None:
    """One of an earlier release, or in another language."""
    links = Links()
    control = Control(links, Still())
    control.on_report(hello(parts=False))
    control.tell(W, FUNCTION, CODE)
    assert links.sent == [FUNCTION]
