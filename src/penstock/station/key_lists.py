"""The ventilator's list of keys, as the sink is told it: in messages that hold up no heartbeat on a slow link."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.keys.files import Peers
from penstock.keys.roles import Peer
from penstock.wire.messages import KeyLine, Keys

KEYS_PER_MESSAGE = 300
"""Of those that are let in, and of those that were revoked: 50 kB at most, half a second at 1 Mbit/s."""
NONE_YET = Peers({}, frozenset())


def told(peers: Peers, *, whole: bool) -> Iterator[Keys]:
    """The messages that tell this list; `whole`: one, for a sink of an earlier release."""
    allowed = [KeyLine(one.public, one.name, one.role) for one in peers.allowed.values()]
    revoked = list(peers.revoked)
    count = max(len(allowed), len(revoked), 1)
    step = count if whole else KEYS_PER_MESSAGE
    for at in range(0, count, step):
        end = at + step
        yield Keys(tuple(allowed[at:end]), tuple(revoked[at:end]), begins=at == 0, more=end < count)


class Listener:
    """The sink's side."""

    def __init__(self) -> None:
        self._heard = NONE_YET

    def hear(self, keys: Keys) -> Peers | None:
        """The list that this message completes, if it does."""
        before = NONE_YET if keys.begins else self._heard
        allowed = {line.public: Peer(line.name, line.role, line.public) for line in keys.allowed}
        self._heard = Peers(before.allowed | allowed, before.revoked | frozenset(keys.revoked))
        return None if keys.more else self._heard
