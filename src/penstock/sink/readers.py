"""What clients ask the sink for: to follow batches, to read what is recorded, to have outcomes for themselves alone."""

from __future__ import annotations

from penstock.errors import ConfigError
from penstock.job.filters import Filter
from penstock.sink.claims import Claims
from penstock.sink.contract import ReadFailures, ReadFiltered, ReadOutput, ReadSpan
from penstock.sink.followers import Followers
from penstock.sink.recorded_batches import RecordedBatches
from penstock.station.contract import Actions, Answer, CopyStore, FromClient
from penstock.wire.desk_messages import BackUp, Refused
from penstock.wire.filter_messages import FetchedEnded, FetchEnded, FetchFiltered
from penstock.wire.messages import AskFailures, Claim, Credit, Fetch, FetchOutput, Follow, Unfollow
from penstock.wire.records import PartsTaken

ENDED_SPANS = 2_000
"""In one answer."""


class Readers:
    """Reads what is recorded of these batches."""

    def __init__(self, boot: int, batches: RecordedBatches, follows: int) -> None:
        self.followers: Followers = Followers(boot, follows)
        self.claims: Claims = Claims()
        self._batches = batches
        self._last = batches.last

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
            case FetchFiltered() as ask:
                return [self._filtered(client, ask)]
            case FetchEnded() as ask:
                return [Answer(client, self._ended(ask))]
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

    def _filtered(self, client: bytes, ask: FetchFiltered) -> ReadFiltered | Answer:
        try:
            return ReadFiltered(client, ask, Filter.parse(ask.where))
        except ConfigError as error:  # of a client of a later release
            return Answer(client, Refused(ask.number, "ConfigError", str(error)))

    def _ended(self, ask: FetchEnded) -> FetchedEnded:
        spans = self._batches.ended(ask.batch, ask.start, ask.stop)
        some = tuple(spans[:ENDED_SPANS])
        return FetchedEnded(ask.number, some, some[-1][1] if len(some) < len(spans) else None)

    def drop_batch(self, batch: bytes) -> None:
        """The batch is forgotten, and so are its readers."""
        self.followers.drop_batch(batch)
        self.claims.drop_batch(batch)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        self.followers.check()
        self.claims.check()
