"""The filter: one line that says which jobs are meant, such as ``state=failed error~Timeout worker=gpu7 wait>5m``.

The grammar, for the command line, Python and the address of a page alike:

1. A filter is terms with blanks between them, and all of them must hold. An empty one is fulfilled by every job.
2. A term is a field, an operator and a value, without blanks between them. Several values with commas between them:
   either of them, with `=` and `~`; none of them, with `!=` and `!~`.
3. A value that has blanks or commas, or begins with a quote, stands in quotes, single or double; in these a backslash
   takes the sign behind it as it is.
4. `~` and `!~` look for a part, in capitals or not. There are no patterns: no filter costs a station more than reading.
5. What a job does not have fulfils no comparison by `<` and `>`; as text it is empty.

A station decides what it can about a batch (`matches_batch`, `within`) before it looks at any job of it (`matches`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from penstock.errors import ConfigError
from penstock.job.spans import Span, SpanSet
from penstock.job.spec import FINAL, UNSUCCESSFUL, WHOLE_END
from penstock.job.times import ISO, instant, seconds

MOST_CHARS = 2_000
MOST_TERMS = 50
MOST_VALUES = 100
"""In all terms together: each of them is looked for."""
SHOWN = 40
"""Characters of what is wrong that an error repeats."""

OPEN_STATES = ("queued", "delayed", "running")
STATES = (*OPEN_STATES, "succeeded", "failed", "timed_out", "cancelled", "dead")
"""A job's, for people."""
ENDED_STATES = frozenset(state.value for state in FINAL)
WITH_CAUSE = frozenset(state.value for state in UNSUCCESSFUL)
NOT_WAITING = ENDED_STATES | {"running"}

TERM = re.compile(r"([^\s=!~<>]*)([=!~<>]+)")
VALUE = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s,"'][^\s,]*)""", re.DOTALL)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
PLAIN = re.compile(r"[^\s,\"'=!~<>][^\s,]*")
"""A value that needs no quotes where it is written."""
BATCH_ID = re.compile(r"[0-9a-f]{32}")
JOB = re.compile(r"([0-9a-f]{32}):(\d{1,18})")

Number = float | None
"""A whole number, seconds or an instant; None: the job has none."""


class BatchFacts(NamedTuple):
    """What filters ask of a batch."""

    id: str
    name: str
    owner: str
    title: str
    """The name of the function, or the command."""
    is_command: bool
    submitted: float
    """Seconds since the epoch."""
    jobs: Mapping[str, int] = {}
    """By final state."""
    open: int = 0
    """How many have not ended."""


class JobFacts(NamedTuple):
    """What filters ask of a job, or of several that are alike. Instants are seconds since the epoch."""

    state: str
    worker: str = ""
    host: str = ""
    cause: str = ""
    traceback: str = ""
    attempts: int = 0
    wait: Number = None
    """Seconds from the submit to the start or, of what waits, to now."""
    ran: Number = None
    started: Number = None
    ended: Number = None


class Term(NamedTuple):
    """Values as they were written, without their quotes."""

    field: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{','.join(map(_quoted, self.values))}"

    @property
    def negates(self) -> bool:
        """Whether it is fulfilled by what the values do not fit."""
        return self.operator.startswith("!")

    def fits(self, text: str, whole: str | None = None) -> bool:
        """Whether a text fulfils it; `whole`: what `~` looks in, if that is more."""
        if self.operator.endswith("~"):
            folded = (text if whole is None else whole).casefold()
            found = any(value in folded for value in _folded(self.values))
        else:
            found = text in self.values
        return found is not self.negates

    def compares(self, number: Number) -> bool:
        """Whether a number fulfils it."""
        if number is None:
            return False
        wanted = _numbers(self.field, self.values)
        if self.operator == "<":
            return number < wanted[0]
        if self.operator == ">":
            return number > wanted[0]
        return (number in wanted) is not self.negates


class Kind(NamedTuple):
    """Of values: how they are compared, and how they are read. `read` raises ValueError."""

    operators: tuple[str, ...]
    read: Callable[[str], float]


def _state(value: str) -> float:
    if value not in STATES:
        raise ValueError(f"{value!r} is no state: there are {', '.join(STATES)}")
    return 0.0


def _job(value: str) -> float:
    if not JOB.fullmatch(value):
        raise ValueError(f"{value!r} is no id of a job: write BATCH:INDEX, with the whole id of the batch")
    return 0.0


def _whole(value: str) -> float:
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(WHOLE_END))):
        raise ValueError(f"{value!r} is no whole number")
    return float(value)


def _instant(value: str) -> float:
    if not ISO.match(value):
        raise ValueError(f"{value!r} is no instant: write 2030-01-31T08:00Z or 2030-01-31T08:00+01:00")
    return instant(value)


WORDS = Kind(("=", "!=", "~", "!~"), lambda _: 0.0)
STATE = Kind(("=", "!="), _state)
JOB_ID = Kind(("=", "!="), _job)
COUNT = Kind(("=", "!=", "<", ">"), _whole)
DURATION = Kind(("<", ">"), seconds)
INSTANT = Kind(("<", ">"), _instant)
ANY_STATE = frozenset(STATES)


class Field(NamedTuple):
    """What can be asked for; `of_batch`: it is the same for all jobs of a batch. `states`: jobs in others have none."""

    kind: Kind
    of_batch: bool = False
    states: frozenset[str] = ANY_STATE


FIELDS: dict[str, Field] = {
    "id": Field(JOB_ID),
    "batch": Field(WORDS, of_batch=True),
    "name": Field(WORDS, of_batch=True),
    "state": Field(STATE),
    "function": Field(WORDS, of_batch=True),
    "command": Field(WORDS, of_batch=True),
    "worker": Field(WORDS),
    "host": Field(WORDS, states=frozenset(OPEN_STATES)),
    "error": Field(WORDS, states=WITH_CAUSE),
    "cause": Field(WORDS, states=WITH_CAUSE),
    "owner": Field(WORDS, of_batch=True),
    "attempts": Field(COUNT),
    "wait": Field(DURATION),
    "ran": Field(DURATION, states=NOT_WAITING),
    "submitted": Field(INSTANT, of_batch=True),
    "started": Field(INSTANT, states=NOT_WAITING),
    "ended": Field(INSTANT, states=ENDED_STATES),
}


@lru_cache(maxsize=MOST_TERMS)
def _folded(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values of a term, in neither capitals nor small letters."""
    return tuple(dict.fromkeys(value.casefold() for value in values))


@lru_cache(maxsize=MOST_TERMS)
def _numbers(field: str, values: tuple[str, ...]) -> tuple[float, ...]:
    """Values of a term, read once for all the jobs that it is asked of."""
    return tuple(map(FIELDS[field].kind.read, values))


class Filter:
    """Which jobs are meant. Frozen; `str` gives a line that means the same."""

    def __init__(self, terms: Iterable[Term] = ()) -> None:
        self.terms: tuple[Term, ...] = tuple(terms)
        self.states: frozenset[str] = frozenset(filter(self._may_be, STATES))
        """Jobs in others are not meant, whatever else is asked for."""
        self.searches: int = sum(len(term.values) for term in self.terms if term.field in {"error", "cause"})
        """How often what a job leaves behind is gone through, which may be long."""

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)

    @classmethod
    def parse(cls, line: str) -> Filter:
        """What a line says. Raises ConfigError, in one line: it says nothing, and what could be said."""
        if len(line) > MOST_CHARS:
            raise ConfigError(f"the filter has {len(line):,} characters, at most {MOST_CHARS:,} are allowed")
        return cls(_terms(line))

    def _may_be(self, state: str) -> bool:
        for term in self.terms:
            if term.field == "state" and not term.fits(state):
                return False
            if state not in FIELDS[term.field].states and not (term.negates or "" in term.values):
                return False
        return True

    def matches_batch(self, batch: BatchFacts) -> bool:
        """Whether jobs of the batch may be meant."""
        has_some = any(batch.jobs.get(state) for state in self.states & ENDED_STATES)
        has_open = bool(batch.open) and not self.states <= ENDED_STATES
        return (has_some or has_open) and all(_fits_batch(term, batch) for term in self.terms)

    @property
    def batches(self) -> frozenset[str] | None:
        """The batches that it names by whole ids: no others need be looked at. None: it names none so."""
        named: frozenset[str] | None = None
        for term in self.terms:
            ids = frozenset(value.partition(":")[0] for value in term.values)
            if term.operator == "=" and term.field in {"batch", "id"} and all(map(BATCH_ID.fullmatch, ids)):
                named = ids if named is None else named & ids
        return named

    def within(self, batch: str, start: int, stop: int) -> list[Span]:
        """Those of the jobs [start, stop) of the batch with this id that are meant by their own ids, in order."""
        left = SpanSet([(start, stop)] if start < stop else [])
        for term in self.terms:
            if term.field == "id":
                named = SpanSet((index, index + 1) for index in _indexes(term, batch) if start <= index < stop)
                if term.negates:
                    for span in named:
                        left.remove(*span)
                else:
                    left = SpanSet(part for span in named for part in left.overlap(*span))
        return list(left)

    def matches(self, job: JobFacts) -> bool:
        """Whether a job of a batch that may be meant fulfils what is asked of jobs."""
        return job.state in self.states and all(_fits_job(term, job) for term in self.terms)

    def of_jobs(self) -> Filter:
        """What is left of it where it is known that the batches fulfil their part."""
        return Filter(term for term in self.terms if not FIELDS[term.field].of_batch)


def _fits_batch(term: Term, batch: BatchFacts) -> bool:
    match term.field:
        case "batch":
            ends = term.operator.endswith("=") and any(
                value and (batch.id.startswith(value) or batch.id.endswith(value)) for value in term.values
            )
            return not term.negates if ends else term.fits(batch.id)
        case "name":
            return term.fits(batch.name)
        case "owner":
            return term.fits(batch.owner)
        case "function":
            return not batch.is_command and term.fits(batch.title)
        case "command":
            return batch.is_command and term.fits(batch.title)
        case "submitted":
            return term.compares(batch.submitted)
        case "id":
            return term.negates or any(value.startswith(f"{batch.id}:") for value in term.values)
        case _:
            return True


def _fits_job(term: Term, job: JobFacts) -> bool:
    match term.field:
        case "worker":
            return term.fits(job.worker)
        case "host":
            return term.fits(job.host)
        case "cause":
            return term.fits(job.cause)
        case "error":
            return term.fits(job.cause.partition(":")[0], f"{job.cause}\n{job.traceback}")
        case "attempts" | "wait" | "ran" | "started" | "ended":
            return term.compares(getattr(job, term.field))
        case _:
            return True


def _indexes(term: Term, batch: str) -> Iterator[int]:
    for value in term.values:
        found = JOB.fullmatch(value)
        if found is not None and found[1] == batch:
            yield int(found[2])


def _terms(line: str) -> Iterator[Term]:
    at, count, values = _skip_blanks(line, 0), 0, 0
    while at < len(line):
        term, at = _term(line, at)
        count, values = count + 1, values + len(term.values)
        if count > MOST_TERMS:
            raise ConfigError(f"the filter has more than {MOST_TERMS} terms")
        if values > MOST_VALUES:
            raise ConfigError(f"the filter has more than {MOST_VALUES} values")
        if at < len(line) and not line[at].isspace():
            raise _wrong(line, at, "a blank belongs in front of it")
        yield term
        at = _skip_blanks(line, at)


def _skip_blanks(line: str, at: int) -> int:
    while at < len(line) and line[at].isspace():
        at += 1
    return at


def _term(line: str, at: int) -> tuple[Term, int]:
    """The term that begins there, and where it ends."""
    found = TERM.match(line, at)
    if found is None:
        raise _wrong(line, at, "it is no term: write a field, an operator and a value, as in state=failed")
    field, operator = found.groups()
    if field not in FIELDS:
        raise _wrong(line, at, f"there is no field {field[:SHOWN]!r}: there are {', '.join(FIELDS)}")
    kind = FIELDS[field].kind
    if operator not in kind.operators:
        raise _wrong(line, at, f"{field} has no operator {operator[:SHOWN]}: it has {' '.join(kind.operators)}")
    values, end = _values(line, found.end())
    if not values:
        raise _wrong(line, at, "it has no value, or one whose quotes do not end")
    if operator in "<>" and len(values) > 1:
        raise _wrong(line, at, f"{operator} compares with one value")
    for value in values:
        try:
            kind.read(value)
        except (ValueError, OverflowError) as error:
            raise _wrong(line, at, f"{field}: {error}") from None
    return Term(field, operator, values), end


def _values(line: str, at: int) -> tuple[tuple[str, ...], int]:
    """The values from there on, and where they end; none: what is there is no value."""
    values: list[str] = []
    while (found := VALUE.match(line, at)) is not None:
        double, single, plain = found.groups()
        quoted = single if double is None else double
        values.append(plain if quoted is None else ESCAPED.sub(r"\1", quoted))
        at = found.end()
        if line[at : at + 1] != ",":
            return tuple(values), at
        at += 1
    return (), at


def _wrong(line: str, at: int, what: str) -> ConfigError:
    return ConfigError(f"the filter at {line[at : at + SHOWN]!r}: {what}")


def _quoted(value: str) -> str:
    if PLAIN.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
