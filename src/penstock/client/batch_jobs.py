"""The jobs of a batch one by one, whatever has become of them, and what they are.

Where open ones are the ventilator says, what ended ones came to the sink does; what they were given lies at the
ventilator for as long as it is kept. Of one page the ventilator is asked first: what it takes for done, the sink has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from penstock.client.follow import Row
from penstock.client.outage import CONNECT_TIMEOUT
from penstock.client.records import AnyState, JobInfo
from penstock.client.results import FINAL_STATES, argv_of
from penstock.client.row_fetch import fetch_rows
from penstock.errors import NoSuchBatch, ProtocolError
from penstock.job.argument_text import NOT_KEPT, WHOLE, Text, Work
from penstock.job.display import text_of, typed
from penstock.job.spec import BatchSpec, Stamp, job_id
from penstock.wire.desk_messages import Arguments, AskArguments, AskBatches, AskJobs, BatchesInfo, JobLine, JobsInfo
from penstock.wire.frames import split
from penstock.wire.job_facts import open_state
from penstock.wire.records import SHOWN_BYTES, Note

if TYPE_CHECKING:
    from penstock.client.session import Session

PAGE = 1_000
"""Jobs that are looked at together."""
LINES = 10_000
"""Of open jobs, in one answer."""
ROOM = 400
"""Characters that are made of a job's arguments unless all are wanted."""
EACH = 64 << 10
"""Bytes of arguments of one job that are looked at for that."""
RUNNERS = 500
"""Of running jobs in all batches: among these are the ones that have run longest, in all but huge pipelines."""
ENDED = frozenset(FINAL_STATES.values())
LARGE = "<large arguments>"
"""In the place of those that are not looked at."""
SILENT = Note()


class Wanted(NamedTuple):
    """A job that is to be shown: its state, the ventilator's line about it, and its recorded row."""

    state: AnyState
    line: JobLine | None
    row: Row | None

    @property
    def in_slot(self) -> tuple[int, float] | None:
        """Where it runs, and for how long."""
        return None if self.line is None else self.line.in_slot

    @property
    def slot(self) -> int | None:
        """Counted from 1: that in which it runs, or ran last."""
        if self.line is not None:
            return None if self.in_slot is None else self.in_slot[0] + 1
        return None if self.row is None or not self.row.head.worker else self.row.head.slot + 1


class Jobs:
    """Reads the state of the jobs of one batch, and what they are, from ventilator and sink. It waits for no job."""

    def __init__(self, session: Session, batch: bytes, spec: BatchSpec, *, full: bool = False) -> None:
        """`full`: their texts are not shortened."""
        self._session = session
        self._batch = batch
        self._spec = spec
        self._room, self._each = (WHOLE, SHOWN_BYTES) if full else (ROOM, EACH)
        self.work: Work = Work(spec, b"")
        """What they have in common, as soon as it is known."""
        self._knows = False
        self._read: tuple[int, int, Text] | None = None
        """The chunk that was read last, and how: from one job to its neighbour."""

    def between(self, start: int, stop: int, states: Iterable[str] = (), limit: int | None = None) -> Iterator[JobInfo]:
        """Those of the jobs [start, stop) in one of these states (none: in any), in order, at most `limit`."""
        wanted, left = frozenset(states), stop - start if limit is None else limit
        for low, high in self._pages(start, stop, wanted):
            if left <= 0:
                return
            found = self._page(low, high, wanted)
            some = dict(list(found.items())[:left])
            left -= len(some)
            texts = self.texts({index: one.slot for index, one in some.items()})
            for index, one in some.items():
                yield self._info(index, one, texts.get(index, ""))

    def one(self, index: int, submitted: float, waits: str) -> JobInfo:
        """All that is known of one job."""
        (found,) = self.between(index, index + 1)
        spec, work = self._spec, self.work
        cwd, env = work.surroundings.folder or "", work.surroundings.variables
        if work.template is not None:
            cwd = text_of(work.template.cwd or b"")
            env = {text_of(name): text_of(value) for name, value in work.template.env.items()}
        return msgspec.structs.replace(
            found,
            waits=waits if found.state not in ENDED else "",
            submitted=submitted,
            owner=spec.owner,
            user=spec.user,
            cwd=cwd,
            env=env,
            options=options_of(spec),
        )

    def _pages(self, start: int, stop: int, wanted: frozenset[str]) -> Iterator[tuple[int, int]]:
        """Where to look: where only open jobs are wanted, not at the millions that have ended."""
        lines = self._open(start, stop) if wanted and not wanted & ENDED else None
        at = start
        for line in lines if lines is not None else ():
            low = max(at, line.start)
            while low < line.stop and open_state(line) in wanted:
                at = min(low + PAGE, stop)
                yield low, at
                low = at
        if lines is None:
            for low in range(start, stop, PAGE):
                yield low, min(low + PAGE, stop)

    def _page(self, start: int, stop: int, wanted: frozenset[str]) -> dict[int, Wanted]:
        lines = self._open(start, stop)
        open_ones = {index: line for line in lines or () for index in range(line.start, line.stop)}
        rows = self._last_rows(start, stop)
        found: dict[int, Wanted] = {}
        for index in range(start, stop):
            one = _standing(open_ones.get(index), rows.get(index), knows=lines is not None)
            if not wanted or one.state in wanted:
                found[index] = one
        return found

    def _open(self, start: int, stop: int) -> list[JobLine] | None:
        """What the ventilator says of those that have not ended; None: it does not know the question."""
        lines: list[JobLine] = []
        at: int | None = start
        while at is not None and at < stop:
            try:
                answer: JobsInfo = self._session.ask(
                    partial(AskJobs, batch=self._batch, start=at, stop=stop, limit=LINES)
                )
            except ProtocolError:  # it is of an earlier release
                return None
            lines += answer.lines
            at = answer.next
        return lines

    def _last_rows(self, start: int, stop: int) -> dict[int, Row]:
        """What is recorded last of each job."""
        last: dict[int, Row] = {}
        is_command = self._spec.kind == "command"
        for row in fetch_rows(self._session, self._batch, start, stop):
            kept = row if is_command and len(row.body) <= self._each else row._replace(body=b"")
            for index in range(row.start, row.stop):
                before = last.get(index)
                if before is None or before.head.stamp <= row.head.stamp:
                    last[index] = kept.part(index, index + 1)
        return last

    def _info(self, index: int, one: Wanted, text: str) -> JobInfo:
        if text.endswith((NOT_KEPT, f"{NOT_KEPT})")) and one.row is not None and (argv := argv_of(one.row)):
            text = text_of(typed(argv))
        return info_of(self._batch, index, one, text, self._spec.name)

    # ------------------------------------------------------------------------------------- what they are

    def text(self, index: int, slot: int | None = None) -> str:
        """One job as text; empty: the ventilator is of a release that does not say."""
        return self.texts({index: slot})[index]

    def texts(self, slots: Mapping[int, int | None]) -> dict[int, str]:
        """Jobs as text, by index; of each its slot, from 1, where it had one."""
        texts: dict[int, str] = {}
        for index in sorted(slots):
            if index in texts:
                continue
            if self._read is not None and self._read[0] <= index < self._read[1]:
                texts[index] = self._read[2](index, slots[index])
                continue
            answer = self._arguments(index, max(slots) + 1)
            if answer is None:
                return texts | {one: "" for one in slots if one not in texts}
            texts |= self._told(index, slots, *answer)
        return texts

    def _arguments(self, start: int, stop: int) -> tuple[Arguments, bytes | memoryview] | None:
        make = partial(AskArguments, batch=self._batch, start=start, stop=stop, each=self._each, code=not self._knows)
        try:
            return self._session.wait_for(self._session.request(make), CONNECT_TIMEOUT)
        except ProtocolError:  # it is of an earlier release
            return None

    def _told(
        self, start: int, slots: Mapping[int, int | None], answer: Arguments, payload: bytes | memoryview
    ) -> dict[int, str]:
        """What one answer says of these jobs."""
        code, *bodies = split(payload, [answer.function, *(one.size for one in answer.chunks)])
        if not self._knows:
            self.work, self._knows = Work(self._spec, bytes(code)), True
        end = max(slots) + 1 if answer.next is None else answer.next
        goes_on = len(slots) == 1 or len(slots) >= PAGE  # its neighbours are likely to be asked for next
        texts = {index: self.work.without_arguments() for index in slots if start <= index < end}
        for one, body in zip(answer.chunks, bodies, strict=True):
            inside = {index: slot for index, slot in slots.items() if one.first <= index < one.first + one.count}
            if one.whole and not one.size:
                texts |= dict.fromkeys(inside, self.work.without_arguments(LARGE))
            else:
                enough = None if goes_on else max(inside, default=one.first) + 1 - one.first
                text = self.work.reader(bytes(body), one.first, self._room, enough)
                texts |= {index: text(index, slot) for index, slot in inside.items()}
                if goes_on:
                    self._read = one.first, one.first + one.count, text
        return texts


SAME = (
    *("priority", "retries", "retry_delay", "max_crashes", "time_limit", "serializer", "check", "after", "once"),
    *("limit", "worker", "needs", "on_missing", "retain"),
)
OPTIONS = {"not_before_time": "not_before", "expires_time": "expires"} | {name: name for name in SAME}
"""Fields of a BatchSpec, and the options that they were given as."""


def options_of(spec: BatchSpec) -> dict[str, Any]:
    """What was asked for beyond the defaults; ids as text."""
    default = BatchSpec()
    given = {option: (getattr(spec, name), getattr(default, name)) for name, option in OPTIONS.items()}
    others = {option: value for option, (value, usual) in given.items() if value != usual}
    return {option: value.hex() if isinstance(value, bytes) else value for option, value in others.items()}


class Runners:
    """Looks again and again at what runs in a pipeline; the text of each job is asked for once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[bytes, Jobs] = {}
        self._texts: dict[tuple[bytes, int], str] = {}

    def look(self, limit: int) -> list[JobInfo]:
        """The jobs that run now, those first that have run longest; none, where the ventilator does not say."""
        try:
            answer: JobsInfo = self._session.ask(partial(AskJobs, batch=b"", start=0, stop=0, limit=RUNNERS))
        except ProtocolError:
            return []
        lines = sorted(answer.lines, key=lambda line: -1.0 if line.in_slot is None else line.in_slot[1], reverse=True)
        texts = {(line.batch, line.start): self._text(line) for line in lines[:limit]}
        self._texts = texts
        return [
            info_of(line.batch, line.start, Wanted("running", line, None), texts[line.batch, line.start])
            for line in lines[:limit]
        ]

    def _text(self, line: JobLine) -> str:
        key = line.batch, line.start
        if key in self._texts:
            return self._texts[key]
        try:
            if line.batch not in self._jobs:
                found: BatchesInfo = self._session.ask(partial(AskBatches, match=line.batch.hex(), limit=1))
                self._jobs[line.batch] = Jobs(self._session, line.batch, found.batches[0].spec)
            return self._jobs[line.batch].text(line.start, None if line.in_slot is None else line.in_slot[0] + 1)
        except (NoSuchBatch, IndexError):  # it has just been deleted
            return ""


def info_of(batch: bytes, index: int, one: Wanted, text: str, name: str = "") -> JobInfo:
    """What a list of jobs says of one; `name` is that of its batch."""
    line, row = one.line, one.row
    head = None if row is None or row.opens else row.head
    note = SILENT if head is None or head.note is None else head.note
    return JobInfo(
        id=job_id(batch, index),
        index=index,
        state=one.state,
        text=text,
        name=name,
        worker=line.worker if line is not None else "" if head is None else head.worker,
        host=line.host if line is not None else "",
        slot=one.in_slot[0] if one.in_slot is not None else 0 if head is None else head.slot,
        attempts=line.stamp.attempt if line is not None else 1 if head is None else head.stamp.attempt,
        started=0.0 if head is None else head.started_time,
        elapsed=0.0 if head is None else head.elapsed / max(1, head.stop - head.start),
        running=None if one.in_slot is None else one.in_slot[1],
        cause=note.cause if line is None or one.state == "delayed" else "",
    )


def _standing(line: JobLine | None, row: Row | None, *, knows: bool) -> Wanted:
    """How a job stands by what the ventilator and the sink have of it."""
    stamp = Stamp(0, 0) if row is None else row.head.stamp
    if row is not None and row.head.final and (line is None or line.stamp.generation <= stamp.generation):
        return Wanted(FINAL_STATES[row.head.state], None, row)
    if line is not None:
        return Wanted(open_state(line), line, row)
    return Wanted("queued" if knows else "open", None, row)
