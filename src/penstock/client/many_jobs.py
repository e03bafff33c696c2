"""Acting on all that fits a filter: it is counted first, and then told to the ventilator, page by page.

Promises:

1. One call acts on no job twice, whatever becomes of it meanwhile: pages begin behind each other, never in front.
2. Batches that are submitted after the count has begun are left alone.
3. What was not meant is not touched: of jobs that are to be waiting, none is ended that has started meanwhile.
4. Memory holds one page. Whoever is interrupted asks for the same again: what was done does not fit any more.
5. A key that may not do it is refused before anything is asked.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from penstock.client.filtered_jobs import NEWEST, FilteredJobs
from penstock.client.outage import CONNECT_TIMEOUT
from penstock.errors import ConfigError, NoLongerKept, NoSuchBatch, Refused
from penstock.job.filters import ENDED_STATES, FIELDS, OPEN_STATES, WITH_CAUSE, Filter, Term
from penstock.job.spec import ID_BYTES
from penstock.keys.roles import Role
from penstock.wire.desk_messages import BatchLine, Cancel, Cancelled, Delete, Done, Retried, Retry

if TYPE_CHECKING:
    from penstock.client.session import Session
    from penstock.keys.files import KeyFile
    from penstock.wire.records import Message

PAGE = 10_000
"""Jobs that are looked for at once; what those that have ended left behind is read, too."""
AT_ONCE = 16
"""Spans that are told before any is answered: of so many retries a batch knows again those that are asked twice."""
Place = tuple[bytes, int]


class Target(NamedTuple):
    """Neighbouring jobs of a batch."""

    batch: BatchLine
    start: int
    stop: int


class Many(ABC):
    """What is done to all that fits `where`. Raises Refused: a key that may only look; ConfigError: such a filter does
    not go with it."""

    states: ClassVar[Iterable[str]]
    """Those of jobs that it is for."""
    timeout: ClassVar[float | None] = None
    """Seconds until an answer must have come."""

    def __init__(self, session: Session, key: KeyFile | None, where: Filter) -> None:
        if key is not None and key.role is Role.OBSERVE:
            raise Refused(f"the key {key.name} has the role {key.role}: it may look and change nothing")
        self._session = session
        self._key = key
        self._wanted = Filter((*where.terms, Term("state", "=", tuple(self.states))))
        self._found = FilteredJobs(session, self._wanted)
        self._first: Place | None = None
        self.jobs = 0
        """How many were counted, in so many `batches`."""
        self.batches = 0
        self.done = 0
        """How many jobs, or batches, it has been done to."""
        self.lost = 0
        """How many jobs cannot run again, and of the first ones `why`."""
        self.why = ""

    def count(self) -> Iterator[None]:
        """Count what fits, a page at a time. Raises NoPipeline; Refused: some of it is of another key."""
        last = b""
        for page in self._pages(NEWEST) if self._wanted.states else ():
            for batch, start, stop in page:
                self._ensure_own(batch)
                self._first = self._first or (batch.batch, start)
                self.jobs += stop - start
                self.batches += batch.batch != last
                last = batch.batch
            yield

    def act(self) -> Iterator[None]:
        """Do it to what was counted and still fits, a step at a time. Raises NoPipeline, Refused."""
        for page in self._pages(self._first) if self._first else ():
            for at in range(0, len(page), AT_ONCE):
                step = page[at : at + AT_ONCE]
                asked = [self._session.request(self._message(target), patient=False) for target in step]
                for target, answer in zip(step, asked, strict=True):
                    try:
                        self.done += _done(target, self._session.wait_for(answer, self.timeout)[0])
                    except NoSuchBatch:  # somebody has deleted it meanwhile
                        pass
                    except NoLongerKept as error:
                        self.lost += target.stop - target.start
                        self.why = self.why or str(error)
                yield

    def _ensure_own(self, batch: BatchLine) -> None:
        key = self._key
        if key is not None and key.role is not Role.ADMIN and batch.spec.owner != key.name:
            who = f"batch {batch.batch.hex()} is not of the key {key.name}: its own submitter or an admin can do that"
            raise Refused(f"{who}; the term owner={key.name} leaves out what is of others")

    def _pages(self, at: Place) -> Iterator[list[Target]]:
        while page := self._found.spans(at, PAGE):
            yield _joined(page)
            batch, (_, stop) = page[-1]
            at = batch.batch, stop

    @abstractmethod
    def _message(self, target: Target) -> Callable[[int], Message]:
        """What does it, under a number."""


class Retries(Many):
    """Run jobs again that did not succeed."""

    states = sorted(WITH_CAUSE)

    def _message(self, target: Target) -> Callable[[int], Message]:
        asked = os.urandom(ID_BYTES)
        return lambda number: Retry(number, asked, target.batch.batch, target.start, target.stop)


class Cancellations(Many):
    """End jobs that have not ended."""

    states = OPEN_STATES
    timeout = CONNECT_TIMEOUT

    def _message(self, target: Target) -> Callable[[int], Message]:
        unstarted = "running" not in self._wanted.states
        return lambda number: Cancel(number, target.batch.batch, target.start, target.stop, unstarted)


class Deletions(Many):
    """Delete batches that have ended."""

    states = sorted(ENDED_STATES)

    def __init__(self, session: Session, key: KeyFile | None, where: Filter) -> None:
        of_batches = [name for name, field in FIELDS.items() if field.of_batch]
        for term in where.terms:
            if term.field not in of_batches:
                raise ConfigError(
                    f"delete takes whole batches: the filter can have {', '.join(of_batches)}, not {term.field}"
                )
        super().__init__(session, key, where)

    def _pages(self, at: Place) -> Iterator[list[Target]]:
        for lines in self._found.batches(at):
            ended = [line for line in lines if line.total is not None and sum(line.counts.values()) >= line.total]
            yield [Target(line, 0, line.accepted) for line in ended]

    def _message(self, target: Target) -> Callable[[int], Message]:
        return lambda number: Delete(number, target.batch.batch)


def _done(target: Target, answer: Retried | Cancelled | Done) -> int:
    """To how many it was done, by the answer; of cancelled ones some may still be about to end."""
    match answer:
        case Retried():
            return answer.jobs
        case Cancelled():
            return target.stop - target.start
        case Done():
            return 1


def _joined(spans: list[tuple[BatchLine, tuple[int, int]]]) -> list[Target]:
    """Spans that touch are one."""
    targets: list[Target] = []
    for batch, (start, stop) in spans:
        if targets and (targets[-1].batch.batch, targets[-1].stop) == (batch.batch, start):
            targets[-1] = targets[-1]._replace(stop=stop)
        else:
            targets.append(Target(batch, start, stop))
    return targets
