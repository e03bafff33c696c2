"""Clients that follow a batch at the sink.

Promises:

1. A follower is given every final outcome behind its position once, in the order of recording, and every opening of
   jobs that had one; each Rows says from which position to which it leads.
2. It is never sent more than its credit, but for the last row; who gives no credit costs a few numbers.
3. Who is at the end is given what is new without a read of the store; who is behind has one read under way at most.
4. Who has not read what it was sent gets nothing from memory; the station reads for it when it has room.
5. Who is not heard of for FOLLOWER_TIME is forgotten.
6. Who asked for it is given what running jobs write, as it comes, as far as his credit for that goes; the rest is
   dropped.
"""

from __future__ import annotations

from collections import Counter

from penstock.sink.contract import ReadRows, RowsRead, SaveRow
from penstock.station.contract import Actions, Answer, Bytes, Log
from penstock.wire.frames import join
from penstock.wire.messages import Credit, Follow, Live, Rows, SinkUp, credit_cost, print_cost
from penstock.wire.records import Print

FOLLOWER_TIME = 60.0
"""Seconds; a client says Follow or Credit every 20."""
SCAN_INTERVAL = 10.0
"""Seconds between looking for those who are gone."""
GIVEN_BYTES = 32 << 20
"""Given straight from memory in a turn, all followers together; who is given nothing then reads from the store."""
MAX_FOLLOWERS = 100_000
"""Followed batches, all clients together: 30 MB of numbers."""
READ_BYTES = 4 << 20
"""One answer at most, so that reading for one follower holds nobody up for more than some milliseconds."""
ROWS_RECORDS = 10_000
"""Records in one Rows at most: a header of about 1 MB."""

Key = tuple[bytes, bytes]
"""Client and batch."""


class Follower:
    """One client's place in one batch."""

    __slots__ = ("credit", "live", "number", "owner", "position")

    def __init__(self, follow: Follow, owner: bytes) -> None:
        self.owner: bytes = owner
        self.position: int = follow.after
        self.credit: int = follow.credit
        self.live: int = follow.live
        self.number: int = follow.number


class Followers:
    """All of them. `last` is always the number of the batch's last line in the log."""

    def __init__(self, boot: int, most_of_owner: int = MAX_FOLLOWERS) -> None:
        self._boot = boot
        self._most_of_owner = most_of_owner
        self._of_owner: Counter[bytes] = Counter()
        self.full: frozenset[bytes] = frozenset()
        """Clients that have not read what they were sent."""
        self._given_bytes = 0
        """From memory, in this turn."""
        self._of_batch: dict[bytes, dict[bytes, Follower]] = {}
        self._count = 0
        self._heard_at: dict[bytes, float] = {}
        self._reading: dict[Key, bool] = {}
        """Reads under way, and whether what they bring is still wanted."""
        self._scan_at = 0.0

    def follow(self, client: bytes, message: Follow, last: int, now: float, key: str = "") -> Actions:
        """Begin, or begin again. With a `key` it counts for that, else for the client."""
        actions: Actions = []
        if client not in self._heard_at:
            actions.append(Answer(client, SinkUp(self._boot)))
        self._heard_at[client] = now
        followers, owner = self._of_batch.setdefault(message.batch, {}), key.encode() or client
        if client not in followers:
            limit = min(MAX_FOLLOWERS, self._most_of_owner)
            if self._count >= MAX_FOLLOWERS or self._of_owner[owner] >= limit:
                if not followers:
                    del self._of_batch[message.batch]
                return [*actions, Log("too_many_followers", {"client": client, "limit": limit})]
            self._count += 1
            self._of_owner[owner] += 1
        followers[client] = Follower(message, owner)
        place = (client, message.batch)
        if place in self._reading:
            self._reading[place] = False
        return actions + self._read(place, followers[client], last)

    def credit(self, client: bytes, message: Credit, last: int, now: float) -> Actions:
        """A client has taken something in. One that was forgotten says Follow by itself again."""
        follower = self._of_batch.get(message.batch, {}).get(client)
        if follower is None:
            return []
        self._heard_at[client] = now
        follower.credit += message.bytes
        follower.live += message.live
        return self._read((client, message.batch), follower, last)

    def heard(self, client: bytes, now: float) -> None:
        """A client takes in what it was sent, which may last."""
        if client in self._heard_at:
            self._heard_at[client] = now

    def unfollow(self, client: bytes, batch: bytes) -> None:
        """No more of this batch for this client."""
        followers = self._of_batch.get(batch, {})
        follower = followers.pop(client, None)
        if follower is not None:
            self._count -= 1
            self._of_owner[follower.owner] -= 1
            if not self._of_owner[follower.owner]:
                del self._of_owner[follower.owner]
        if not followers:
            self._of_batch.pop(batch, None)
        if (client, batch) in self._reading:
            self._reading[client, batch] = False

    def drop_batch(self, batch: bytes) -> None:
        """Nobody follows this batch any more."""
        for client in list(self._of_batch.get(batch, {})):
            self.unfollow(client, batch)

    def rows_read(self, event: RowsRead, last: int) -> Actions:
        """What a read brought."""
        key = (event.client, event.batch)
        wanted = self._reading.pop(key, False)
        follower = self._of_batch.get(event.batch, {}).get(event.client)
        if follower is None:
            return []
        if not wanted:
            return self._read(key, follower, last)
        if event.position == follower.position:  # the store has less than was said: it was deleted meanwhile
            return []
        message = Rows(event.batch, event.position, event.records, follower.position, follower.number)
        follower.position = event.position
        follower.credit -= credit_cost(event.records, event.payload)
        return [Answer(event.client, message, event.payload), *self._read(key, follower, last)]

    def recorded(self, batch: bytes, rows: list[SaveRow], before: int) -> Actions:
        """These lines are new, those up to `before` were there already."""
        actions: Actions = []
        for client, follower in self._of_batch.get(batch, {}).items():
            if before <= follower.position < rows[-1].seq and (client, batch) not in self._reading:
                actions += self._give(client, batch, follower, rows)
        return actions

    def printed(self, batch: bytes, prints: list[tuple[Print, Bytes]]) -> Actions:
        """Running jobs of the batch wrote this."""
        actions: Actions = []
        cost = sum(print_cost(record) for record, _ in prints)
        for client, follower in self._of_batch.get(batch, {}).items():
            if follower.live >= cost and client not in self.full:
                follower.live -= cost
                message = Live(batch, tuple(record for record, _ in prints))
                actions.append(Answer(client, message, join([body for _, body in prints])))
        return actions

    def expire(self, now: float) -> None:
        """Close the turn, and forget who is gone."""
        self._given_bytes = 0
        if now < self._scan_at:
            return
        self._scan_at = now + SCAN_INTERVAL
        gone = {client for client, heard_at in self._heard_at.items() if now > heard_at + FOLLOWER_TIME}
        for batch, followers in list(self._of_batch.items()):
            for client in gone.intersection(followers):
                self.unfollow(client, batch)
        for client in gone:
            del self._heard_at[client]

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        assert self._count == sum(map(len, self._of_batch.values())), "followers are counted"
        owners = Counter(one.owner for followers in self._of_batch.values() for one in followers.values())
        assert owners == self._of_owner, "and so are those of each owner"
        for batch, followers in self._of_batch.items():
            assert followers, "a batch nobody follows is forgotten"
            for client in followers:
                assert client in self._heard_at, f"whoever follows {batch.hex()} was heard"

    def _give(self, client: bytes, batch: bytes, follower: Follower, rows: list[SaveRow]) -> Actions:
        """Straight from memory, as far as the credit goes."""
        if follower.credit <= 0:
            return []
        if client in self.full or self._given_bytes >= GIVEN_BYTES:
            return self._read((client, batch), follower, rows[-1].seq)
        given: list[SaveRow] = []
        after, cost = follower.position, 0
        for row in rows:
            if row.seq <= after:
                continue
            if cost >= min(follower.credit, READ_BYTES) or len(given) == ROWS_RECORDS:
                break
            follower.position = row.seq
            if row.head.final or row.head.stamp.opens:
                given.append(row)
                cost += credit_cost((row.head,), row.body)
        follower.credit -= cost
        self._given_bytes += cost
        message = Rows(batch, follower.position, tuple(row.head for row in given), after, follower.number)
        answer = Answer(client, message, join([row.body for row in given]))
        return [answer, *self._read((client, batch), follower, rows[-1].seq)]

    def _read(self, key: Key, follower: Follower, last: int) -> Actions:
        """Ask for more, if there is more and it may be sent."""
        if follower.position >= last or follower.credit <= 0 or key in self._reading:
            return []
        self._reading[key] = True
        return [ReadRows(*key, follower.position, min(follower.credit, READ_BYTES))]
