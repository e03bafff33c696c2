"""What clients ask the sink for: to follow batches, to read what is recorded, to have outcomes for themselves alone."""

from __future__ import annotations

from collections.abc import Callable

from penstock.sink.claims import Claims
from penstock.sink.contract import ReadFailures, ReadOutput, ReadSpan
from penstock.sink.followers import Followers
from penstock.station.contract import Actions, CopyStore, FromClient
from penstock.wire.desk_messages import BackUp
from penstock.wire.messages import AskFailures, Claim, Credit, Fetch, FetchOutput, Follow, Unfollow
from penstock.wire.records import PartsTaken


class Readers:
    """`last` gives the last line of a batch, 0 if nothing of it is recorded."""

    def __init__(self, boot: int, last: Callable[[bytes], int], follows: int) -> None:
        self.followers: Followers = Followers(boot, follows)
        self.claims: Claims = Claims()
        self._last = last

    def on_client(self, event: FromClient, now: float) -> Actions:
        """A message on the results socket."""
        client = event.client
        match event.message:
            case Follow() as follow:
                return self.followers.follow(client, follow, self._last(follow.batch), now, event.sender.public)
            case Credit() as credit:
                return self.followers.credit(client, credit, self._last(credit.batch), now)
            case Unfollow(batch):
                self.followers.unfollow(client, batch)
                return []
            case Fetch(number, batch, start, stop, cursor):
                return [ReadSpan(client, number, batch, start, stop, cursor)]
            case AskFailures(number, batch, after):
                return [ReadFailures(client, number, batch, after)]
            case FetchOutput(number, batch, index, is_error, position):
                return [ReadOutput(client, number, batch, index, is_error, position)]
            case PartsTaken():
                self.followers.heard(client, now)
                return []
            case Claim() as claim:
                return self.claims.claim(client, claim, known=self._last(claim.batch) > 0)
            case BackUp() as asked:
                return [CopyStore(client, asked, event.sender.name)]
            case _:
                raise AssertionError(f"no client says {event.message!r}")

    def drop_batch(self, batch: bytes) -> None:
        """The batch is forgotten, and so are its readers."""
        self.followers.drop_batch(batch)
        self.claims.drop_batch(batch)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        self.followers.check()
        self.claims.check()
