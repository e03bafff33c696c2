"""Open jobs, for the ventilator: where they are, which try of theirs is meant, and who asks about them."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from penstock.job import JobState, Stamp
from penstock.messages import Note, OutcomeHead

if TYPE_CHECKING:
    from penstock.core.backlog import Chunk

FOREVER = math.inf
"""Until its batch may begin: what a delayed part of a held batch waits for."""

FIRST = Stamp()


class Place(enum.Enum):
    """Where an open job is, for the ventilator."""

    QUEUED = "queued"
    DELAYED = "delayed"
    LIMBO = "limbo"
    """Was given out before a restart or to a worker now lost: waits until all that the sink has is known."""
    LEASED = "leased"
    ALONE = "alone"
    """Waits for a worker that runs nothing else (quarantine.py)."""
    VERDICT = "verdict"
    """The ventilator's own verdict is on its way through the sink."""
    OPENING = "opening"
    """Opened again by a user's retry, which is on its way through the sink."""


class Recalling:
    """A client's request to cancel what has not started, until it is known of each job."""

    __slots__ = ("client", "jobs", "number", "open", "until")

    def __init__(self, client: bytes, number: int, until: float) -> None:
        self.client = client
        self.number = number
        self.until = until
        self.open = 0
        """Jobs of which it is not known whether they have started."""
        self.jobs = 0
        """Jobs that were cancelled."""


class Part:
    """Jobs [start, stop) of a chunk: in one place, with one stamp, under at most one lease."""

    __slots__ = (
        "chunk",
        "crashed",
        "exposed",
        "given",
        "lease",
        "lost",
        "place",
        "recalled",
        "recalls",
        "stamp",
        "start",
        "stop",
        "suspect",
        "verdict",
        "wait",
    )

    def __init__(self, chunk: Chunk, start: int, stop: int, stamp: Stamp, place: Place, *, given: bool = False) -> None:
        self.chunk = chunk
        self.start = start
        self.stop = stop
        self.stamp = stamp
        self.place = place
        self.lease = 0
        self.given = given
        self.crashed = False
        """Ran when its worker was lost: counts as a crash once it is given out again."""
        self.exposed = False
        """Was with a worker that is lost, which may have started it and bring it to its end."""
        self.suspect = False
        """May have taken a worker along."""
        self.lost = ""
        """The worker that was lost with it last."""
        self.wait = 0.0
        """DELAYED: until this instant, or FOREVER. LIMBO: until the sink has echoed the beat of this number."""
        self.verdict: tuple[JobState, str] | None = None
        """VERDICT: the final state and its cause."""
        self.recalled = False
        """Not to be started any more: cancelled as soon as nobody runs it."""
        self.recalls: tuple[Recalling, ...] = ()
        """Requests that wait to know whether it has started."""

    @property
    def jobs(self) -> int:
        """How many jobs."""
        return self.stop - self.start

    @property
    def is_to_be_alone(self) -> bool:
        """Whether it is a suspect that would be dead with the next worker."""
        stamp = self.stamp.after_crash() if self.crashed else self.stamp
        return self.suspect and self.chunk.batch.spec.is_last_crash(stamp)

    @property
    def fresh(self) -> bool:
        """Whether its jobs have never started, as far as is known."""
        return self.stamp == FIRST and not self.crashed

    @property
    def is_untouched(self) -> bool:
        """Whether nobody can have started its jobs, also not in an earlier try."""
        return self.fresh and not self.exposed

    def answer_recalls(self, *, cancelled: bool) -> None:
        """It is known by now whether its jobs are cancelled; that counts of those that never started."""
        for recalling in self.recalls:
            recalling.open -= self.jobs
            recalling.jobs += self.jobs if cancelled and self.is_untouched else 0
        self.recalls = ()

    def verdict_head(self) -> OutcomeHead:
        """The outcome that the ventilator hands in for what awaits its verdict, or is opened again."""
        state, cause = self.verdict or (JobState.QUEUED, "opened again")
        return OutcomeHead(
            batch=self.chunk.batch.id,
            start=self.start,
            stop=self.stop,
            state=state,
            final=self.place is Place.VERDICT,
            stamp=self.stamp,
            lease=0,
            slot=0,
            started_time=0.0,
            elapsed=0.0,
            size=0,
            note=Note(cause=cause),
        )

    def cut(self, at: int) -> Part:
        """Keep what is before `at`; returns the rest, which is alike in everything."""
        rest = Part(self.chunk, at, self.stop, self.stamp, self.place, given=self.given)
        rest.lease, rest.wait, rest.verdict, rest.crashed = self.lease, self.wait, self.verdict, self.crashed
        rest.recalled, rest.recalls = self.recalled, self.recalls
        rest.suspect, rest.lost, rest.exposed = self.suspect, self.lost, self.exposed
        self.stop = at
        return rest

    def __lt__(self, other: Part) -> bool:
        return self.start < other.start
