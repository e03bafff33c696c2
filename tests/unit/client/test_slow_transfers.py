"""What a client says of a message that takes long."""

from __future__ import annotations

from penstock.client.slow_transfers import SAID_AFTER, SAID_AGAIN_AFTER, SlowTransfers
from penstock.wire.streams import Progress

MB = 1_000_000
SENDING = "sending {} to the ventilator"


def test_what_takes_long_is_said_with_how_far_it_is() -> None:
    """Once, and again after a while; when it is there nothing more is said."""
    said: list[str] = []
    slow = SlowTransfers("tcp://head:5555", said.append)
    for now in range(int(SAID_AFTER + SAID_AGAIN_AFTER) + 1):
        slow.watch({SENDING: Progress(now * MB // 8, 16 * MB)}, float(now))
    slow.watch({}, 100.0)
    assert said == [
        "sending 16.0 MB to the ventilator at tcp://head:5555: 1.2 MB have arrived in 10 s, the link is slow",
        "sending 16.0 MB to the ventilator at tcp://head:5555: 8.8 MB have arrived in 70 s, the link is slow",
    ]


def test_many_that_are_quick_are_not_slow() -> None:
    """One behind the other without a pause, of one size or of different ones."""
    said: list[str] = []
    slow = SlowTransfers("tcp://head:5555", said.append)
    for now in range(100):
        slow.watch(
            {SENDING: Progress(now % 5 * MB, 5 * MB), "receiving {} from the sink": Progress(9, now)}, float(now)
        )
    assert said == []
