"""The list of keys, from the ventilator to the sink."""

from __future__ import annotations

import pytest

from penstock.keys.files import Peers
from penstock.keys.roles import Peer, Role
from penstock.station.key_lists import Listener, told
from penstock.wire.frames import encode

FRAME_BYTES = 64 << 10
"""Half a second at 1 Mbit/s."""


def peers(allowed: int, revoked: int) -> Peers:
    """So many of each."""
    names = [f"{number:040}" for number in range(allowed)]
    return Peers(
        {name: Peer(f"key-{name}", Role.SUBMIT, name) for name in names},
        frozenset(f"{-number:040}" for number in range(1, revoked + 1)),
    )


@pytest.mark.parametrize(("allowed", "revoked"), [(0, 0), (3, 1), (1, 5_000), (5_000, 1), (500, 500), (10_000, 10_000)])
def test_a_long_list_is_told_in_short_frames(allowed: int, revoked: int) -> None:
    """It counts when all of it is there, and then as a whole; one that began and never ended does not count."""
    listener, whole = Listener(), peers(allowed, revoked)
    listener.hear(next(told(peers(2_000, 0), whole=False)))
    messages = list(told(whole, whole=False))
    assert max(len(encode(message)) for message in messages) <= FRAME_BYTES
    heard = [listener.hear(message) for message in messages]
    assert heard == [*[None] * (len(messages) - 1), whole]


def test_a_sink_of_an_earlier_release_is_told_all_at_once() -> None:
    """It takes each message for the whole list."""
    (message,) = told(peers(5_000, 5_000), whole=True)
    assert (len(message.allowed), len(message.revoked)) == (5_000, 5_000)
