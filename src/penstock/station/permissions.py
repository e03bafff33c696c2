"""What the holder of a key may say: the roles, message by message.

Promises:

1. A worker's id belongs to the key that used it first; what another key says under it is dropped. A key has so many
   new ones in a second and no more, so that its holder fills no memory and pushes nobody out.
2. A worker's name begins with the name of its key.
3. Only the sink's key speaks for the sink.
4. A client that may only look changes nothing; one that may submit ends, deletes and shares out among its readers
   what it submitted itself; the rest is an admin's.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from penstock.keys.roles import Peer, Role
from penstock.station.lease_tokens import LeaseTokens
from penstock.wire.bounds import IDS_PER_SECOND, count_one
from penstock.wire.desk_messages import (
    Alive,
    AskArguments,
    AskBatches,
    AskDigests,
    AskEvents,
    AskFiltered,
    AskGone,
    AskJobs,
    AskMetrics,
    AskPipeline,
    AskStack,
    AskWhy,
    BackUp,
    DrainWorker,
    Pause,
    Submit,
)
from penstock.wire.messages import Claim, Hello, Outcomes, Output, Prints
from penstock.wire.records import BySink

IDS_MAX = 100_000
"""Worker ids whose key is remembered: ten lives of each of ten thousand workers."""

BURST_SECONDS = 100
"""Ids of so many seconds can come at once: workers of an array job start together."""

READS = (
    *(AskPipeline, AskBatches, AskDigests, AskWhy, AskStack, AskEvents, AskGone, AskJobs, AskArguments, AskFiltered),
    AskMetrics,
)
"""Questions: every client may ask them. What jobs were given is shown to those who may read what they came to."""


class Bindings:
    """Which key each id belongs to. `rate`: how many new ones a key can have in a second, in the long run."""

    def __init__(self, rate: float = IDS_PER_SECOND) -> None:
        self._rate = rate
        self._keys: OrderedDict[bytes, str] = OrderedDict()
        self._spare: dict[str, tuple[float, float]] = {}
        """How many ids each key could have at once, at which time; of the others, as many as any can."""
        self._now = 0.0
        self.refused: Counter[str] = Counter()
        """By the name of the key: ids that it could not have."""

    def tick(self, now: float) -> None:
        """It is so late now."""
        self._now = now

    def _takes(self, sender: Peer) -> bool:
        most = self._rate * BURST_SECONDS
        if sender.public not in self._spare:
            self._spare = {key: kept for key, kept in self._spare.items() if self._spare_now(*kept) < most}
        spare = self._spare_now(*self._spare.get(sender.public, (most, self._now)))
        self._spare[sender.public] = (spare - 1 if spare >= 1 else spare, self._now)
        if spare < 1:
            count_one(self.refused, sender.name)
        return spare >= 1

    def _spare_now(self, spare: float, at: float) -> float:
        return min(self._rate * BURST_SECONDS, spare + (self._now - at) * self._rate)

    def admits(self, sender: Peer, owner: bytes) -> bool:
        """Whether this id is the sender's; an unused one becomes so, unless the key had many of late."""
        if not sender.public:
            return True
        if owner not in self._keys and not self._takes(sender):
            return False
        bound = self._keys.setdefault(owner, sender.public)
        self._keys.move_to_end(owner)
        if len(self._keys) > IDS_MAX:
            self._keys.popitem(last=False)
        return bound == sender.public

    def may_report(self, sender: Peer, message: Any) -> bool:
        """Whether the sender may say this to the ventilator."""
        if not sender.public:
            return True
        if isinstance(message, BySink):
            return sender.role is Role.SINK and self.admits(sender, message.sink)
        if isinstance(message, Hello) and not is_name_of(sender, message.name):
            return False
        return sender.role is Role.WORK and self.admits(sender, message.worker)

    def may_hand_in(self, sender: Peer, message: Outcomes | Prints | Output) -> bool:
        """Whether the sender may say this to the sink."""
        if not sender.public:
            return True
        return is_name_of(sender, message.name) and self.admits(sender, message.worker)


def may_not_ask(sender: Peer, message: Any, lease_tokens: LeaseTokens) -> str:
    """Why a client may not say this to the sink; empty if it may. To claim outcomes takes them from others, a backup
    writes on the sink's host; all else is reading."""
    if isinstance(message, BackUp):
        return "" if sender.role is Role.ADMIN else no_admin(sender, "backups")
    if not isinstance(message, Claim):
        return ""
    if sender.role is Role.OBSERVE:
        return f"the key {sender.name} has the role {sender.role}: it may look, and outcomes are given to others"
    if not lease_tokens.may_claim(message.token, message.batch, sender.name):
        return f"batch {message.batch.hex()} is not of the key {sender.name}: its outcomes are given to others"
    return ""


def may_claim(sender: Peer, owner: str) -> bool:
    """Whether a client may take outcomes of a batch that this key submitted from its other readers."""
    return sender.role is Role.ADMIN or (sender.role is Role.SUBMIT and sender.name == owner)


def is_name_of(sender: Peer, name: str) -> bool:
    """Whether a worker of this key can have that name."""
    return name.startswith(f"{sender.name}/")


def refusal(sender: Peer, message: Any, owner: Callable[[bytes], str | None]) -> str:
    """Why a client may not say this; empty if it may. `owner`: who submitted a batch, None if it is not known."""
    if sender.role is Role.ADMIN or isinstance(message, READS):
        return ""
    if sender.role is not Role.SUBMIT:
        return f"the key {sender.name} has the role {sender.role}: it may look and change nothing"
    if isinstance(message, DrainWorker):
        return no_admin(sender, "workers")
    if isinstance(message, BackUp):
        return no_admin(sender, "backups")
    if isinstance(message, Pause) and not message.batch:
        return no_admin(sender, "pauses of the whole pipeline")
    for batch in _touched(message):
        if owner(batch) not in {None, sender.name}:
            return f"batch {batch.hex()} is not of the key {sender.name}: its own submitter or an admin can do that"
    return ""


def no_admin(sender: Peer, what: str) -> str:
    """Why a client may not do that."""
    return f"the key {sender.name} has the role {sender.role}: {what} are an admin's business"


def _touched(message: Any) -> set[bytes]:
    match message:
        case Submit():
            known = {one.batch for one in message.opens} | {one.batch for one in message.chunks}
            return known | {one.batch for one in message.closes}
        case Alive():
            return set(message.batches)
        case _:
            batch = getattr(message, "batch", None)
            return set() if batch is None else {batch}
