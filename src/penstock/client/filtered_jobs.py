"""The jobs of a pipeline that fit a filter, the newest batch first: put together of what ventilator and sink say.

The stations look for them (ventilator/filtered_jobs.py, sink/filtered_lines.py), a bounded look at a time, and are
asked on until there are enough. Of each stretch the ventilator is asked first: what it takes for ended, the sink has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from penstock.client.batch_jobs import PAGE, Jobs, Wanted, info_of
from penstock.client.follow import Row
from penstock.client.outage import CONNECT_TIMEOUT
from penstock.client.results import FINAL_STATES
from penstock.errors import NoSuchBatch, ProtocolError
from penstock.job.filters import ENDED_STATES, JOB, Filter
from penstock.job.spans import Span, SpanSet
from penstock.job.spec import ID_BYTES
from penstock.wire.desk_messages import AskFiltered, BatchLine, Filtered, FilteredBatch, JobLine
from penstock.wire.filter_messages import FetchEnded, FetchFiltered, FilteredSpan
from penstock.wire.job_facts import open_state
from penstock.wire.records import OutcomeHead

if TYPE_CHECKING:
    from penstock.client.records import JobInfo
    from penstock.client.session import Session

NEWEST = b"\xff" * ID_BYTES, 0
"""In front of all jobs."""
APART = 100
"""Jobs that are so far from each other have their arguments read by themselves."""


def behind(job: str | None) -> tuple[bytes, int]:
    """The place behind the job with this id; None: in front of all. ValueError: it is no id of a job."""
    if job is None:
        return NEWEST
    found = JOB.fullmatch(job)
    if found is None:
        raise ValueError(f"after={job!r} names no job: give the id of one that was listed, BATCH:INDEX")
    return bytes.fromhex(found[1]), int(found[2]) + 1


class Found(NamedTuple):
    """A job that fits, and how it stands."""

    batch: BatchLine
    job: int
    """Its index."""
    one: Wanted


class FilteredJobs:
    """Looks for the jobs of a pipeline that are `wanted`. `full`: their texts are not shortened."""

    def __init__(self, session: Session, wanted: Filter, *, full: bool = False) -> None:
        self._session = session
        self._wanted = wanted
        self._full = full
        self._read: tuple[bytes, Jobs] | None = None
        """Of the batch that was read last, what it knows of its function and of the chunk that it was in."""

    def page(self, at: tuple[bytes, int], limit: int) -> list[JobInfo]:
        """The first ones, at most `limit`, from the job at that index of that batch on. Raises NoPipeline, and
        ProtocolError: a station is of an earlier release."""
        found = (
            Found(batch, index, one)
            for batch, (start, stop), one in self._found(at, limit)
            for index in range(start, stop)
        )
        return [info for run in _runs(islice(found, limit)) for info in self._infos(run)]

    def spans(self, at: tuple[bytes, int], limit: int) -> list[tuple[BatchLine, Span]]:
        """As `page`, but only where they are."""
        spans: list[tuple[BatchLine, Span]] = []
        left = limit
        for batch, (start, stop), _ in self._found(at, limit):
            spans.append((batch, (start, min(stop, start + left))))
            left -= stop - start
            if left <= 0:
                break
        return spans

    def batches(self, at: tuple[bytes, int]) -> Iterator[tuple[BatchLine, ...]]:
        """Those that may have some, from that place on, a look at a time. Raises what `page` raises."""
        for batches in self._looks(at, 1):
            yield tuple(one.line for one in batches)

    def _looks(self, at: tuple[bytes, int], limit: int) -> Iterator[tuple[FilteredBatch, ...]]:
        place: tuple[bytes, int] | None = at
        while place is not None:
            batch, index = place
            make = partial(AskFiltered, where=str(self._wanted), batch=batch, index=index, limit=limit)
            answer: Filtered = self._asked(self._session.ask, make)
            yield answer.batches
            place = answer.next

    def _found(self, at: tuple[bytes, int], limit: int) -> Iterator[tuple[BatchLine, Span, Wanted]]:
        for batches in self._looks(at, limit):
            ended = self._ended(batches, limit)
            for one in batches:
                yield from self._of_batch(one, ended.get(one.line.batch, []), limit)

    def _asked(self, ask: Callable[..., Any], make: Callable[..., Any]) -> Any:
        try:
            return ask(make, CONNECT_TIMEOUT)
        except ProtocolError:
            raise ProtocolError(
                f"{self._session.url}: a station there is of an earlier release and knows no filters: upgrade it"
            ) from None

    def _ended(self, batches: Iterable[FilteredBatch], limit: int) -> dict[bytes, list[OutcomeHead]]:
        """What has ended and fits: all of it or, from the first one on, at least `limit` jobs."""
        states = self._wanted.states & ENDED_STATES
        spans = tuple(
            FilteredSpan(one.line.batch, start, stop, one.line.created_time)
            for one in batches
            if any(map(one.line.counts.get, states))
            for start, stop in self._wanted.within(one.line.batch.hex(), one.start, one.stop)
        )
        found: dict[bytes, list[OutcomeHead]] = {}
        cursor: tuple[int, int, int] | None = (0, 0, 0) if spans else None
        where = str(self._wanted.of_jobs())
        while cursor is not None and _jobs_before(found, spans[cursor[0]].batch, cursor[1]) < limit:
            make = partial(FetchFiltered, where=where, spans=spans, limit=limit, cursor=cursor, parts=True)
            answer, _ = self._asked(self._session.fetch, make)
            for head in answer.records:
                found.setdefault(head.batch, []).append(head)
            cursor = answer.cursor
        return found

    def _of_batch(
        self, batch: FilteredBatch, heads: list[OutcomeHead], limit: int
    ) -> Iterator[tuple[BatchLine, Span, Wanted]]:
        """Its jobs that fit, in order, each once: an outcome counts more than what the ventilator said before, and the
        one that was read last the most."""
        taken = SpanSet()
        spans: list[tuple[Span, Wanted]] = []
        for head in reversed(heads):
            row = Row(head, head.start, head.stop, head.offset, b"", 0, is_charged=False)
            ended = Wanted(FINAL_STATES[head.state], None, row)
            spans += [(span, ended) for span in taken.gaps(head.start, head.stop)]
            taken.add(head.start, head.stop)
        for line in batch.open:
            waits = Wanted(open_state(line), line, None)
            for span in self._still_open(line, limit):
                spans += [(part, waits) for part in taken.gaps(*span)]
        for span, one in sorted(spans, key=lambda pair: pair[0]):
            yield batch.line, span, one

    def _still_open(self, line: JobLine, limit: int) -> Iterator[Span]:
        """What of it has not ended: all of it or, from the first one on, at least `limit` jobs."""
        if not line.unsure:
            yield line.start, line.stop
            return
        at, found = line.start, 0
        while at < line.stop and found < limit:
            make = partial(FetchEnded, batch=line.batch, start=at, stop=line.stop)
            answer, _ = self._asked(self._session.fetch, make)
            end = line.stop if answer.next is None else answer.next
            for start, stop in SpanSet(answer.spans).gaps(at, end):
                found += stop - start
                yield start, stop
            at = end

    def _infos(self, run: list[Found]) -> Iterator[JobInfo]:
        """Neighbours in one batch, with what they are."""
        batch = run[0].batch
        if self._read is None or self._read[0] != batch.batch:
            self._read = batch.batch, Jobs(self._session, batch.batch, batch.spec, full=self._full)
        _, jobs = self._read
        try:
            texts = jobs.texts({found.job: found.one.slot for found in run})
        except NoSuchBatch:  # it has just been deleted
            texts = {}
        for _, index, one in run:
            info = info_of(batch.batch, index, one, texts.get(index, ""), batch.spec.name)
            yield msgspec.structs.replace(info, submitted=batch.created_time, owner=batch.spec.owner)


def _jobs_before(found: dict[bytes, list[OutcomeHead]], batch: bytes, index: int) -> int:
    """How many jobs there are in front of this one, where its batch is the last of them."""
    jobs = 0
    for one, heads in found.items():
        spans = SpanSet((head.start, head.stop) for head in heads)
        jobs += sum(stop - start for start, stop in spans.overlap(0, index)) if one == batch else spans.count
    return jobs


def _runs(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Neighbours together, in the order in which they come."""
    run: list[Found] = []
    for one in found:
        is_near = run and run[-1].batch is one.batch and one.job - run[-1].job < APART
        if run and not (is_near and len(run) < PAGE):
            yield run
            run = []
        run.append(one)
    if run:
        yield run
