"""One line says which jobs are meant, and a wrong one is refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigError
from penstock.job.filters import FIELDS, STATES, BatchFacts, Filter, JobFacts, Term

BATCH = "0123456789abcdef" * 2
NIGHTLY = BatchFacts(BATCH, "nightly", "ada", "resize", is_command=False, submitted=1000.0, jobs={"failed": 2}, open=3)
FAILED = JobFacts(
    "failed",
    worker="gpu7",
    cause="TimeoutError: no answer, after 5 s",
    traceback='File "fetch.py", line 3',
    attempts=3,
    wait=400.0,
    ran=0.5,
    started=1400.0,
    ended=1400.5,
)
WAITING = JobFacts("queued", attempts=1, wait=10.0)

VALUES = {
    "state": st.sampled_from(STATES),
    "id": st.integers(0, 10**12).map(lambda index: f"{BATCH}:{index}"),
    "attempts": st.integers(0, 10**9).map(str),
    "wait": st.sampled_from(["5m", "1h30m", "0.5s"]),
    "ran": st.sampled_from(["90s", "2d"]),
    **dict.fromkeys(
        ("submitted", "started", "ended"), st.sampled_from(["2026-11-30T08:00Z", "2030-01-31T08:00:00.5+01:00"])
    ),
}


@st.composite
def terms(draw: st.DrawFn) -> Term:
    """Any term that there can be."""
    field = draw(st.sampled_from(sorted(FIELDS)))
    operator = draw(st.sampled_from(FIELDS[field].kind.operators))
    most = 1 if operator in "<>" else 3
    values = draw(st.lists(VALUES.get(field, st.text(max_size=12)), min_size=1, max_size=most))
    return Term(field, operator, tuple(values))


@given(st.lists(terms(), max_size=5))
def test_a_filter_that_is_written_is_read_as_the_same(some: list[Term]) -> None:
    """Whatever its values have in them: blanks, commas, quotes, backslashes."""
    assert Filter.parse(str(Filter(some))) == Filter(some)


@given(st.text(max_size=80) | st.text(alphabet="state=failed,wait>5m !~<>'\"\\ id0:Z-T", max_size=80))
def test_nonsense_is_refused_by_one_kind_of_error_in_one_line(line: str) -> None:
    """No other exception leaves the parser, and what is accepted can be asked of a job."""
    try:
        found = Filter.parse(line)
    except ConfigError as error:
        words = str(error)
    else:
        words = str(found.matches(FAILED) or found.matches_batch(NIGHTLY))
    assert words.isprintable()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("colour=red", "no field 'colour': there are id, batch, name, state"),
        ("wait=5m", "wait has no operator =: it has < >"),
        ("state~fail", "state has no operator ~: it has = !="),
        ("attempts>=3", "attempts has no operator >=: it has = != < >"),
        ("state=broken", "'broken' is no state: there are queued, delayed, running"),
        ("wait>soon", "'soon' is no duration: write 90s"),
        ("ran<5", "'5' is no duration"),
        ("attempts>many", "'many' is no whole number"),
        ("submitted>5m", "'5m' is no instant"),
        ("submitted>2026-11-30T08:00", "has no time zone"),
        ("id=last:3", "write BATCH:INDEX, with the whole id"),
        ("failed", "it is no term: write a field"),
        ("worker=", "it has no value"),
        ("worker='gpu 7", "whose quotes do not end"),
        ("worker=a,", "it has no value"),
        ("worker='a'b=c", "a blank belongs in front"),
        ("wait>5m,6m", "compares with one value"),
        ("name=a " * 51, "more than 50 terms"),
        ("error~" + "a," * 100 + "a", "more than 100 values"),
        ("x" * 2001, "2,001 characters, at most 2,000"),
    ],
)
def test_what_is_wrong_is_said_with_what_there_is(line: str, says: str) -> None:
    """Fields, operators and kinds of values are named beside the wrong one."""
    with pytest.raises(ConfigError) as caught:
        Filter.parse(line)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "state=failed,dead worker=gpu7",
        "error=TimeoutError",
        "error~FETCH.PY",
        "error~'no answer, after'",
        "cause~timeout cause!~memory,disk",
        "wait>5m ran<1s attempts=3 attempts>2 attempts!=1,2",
        "started>1970-01-01T00:20Z ended<1970-01-01T01:00Z",
        f"batch={BATCH[:5]} batch={BATCH[-5:]} batch={BATCH} batch~9AB",
        "name=nightly owner=ada,bob function~SIZE submitted<1971-01-01T00:00Z",
        "host='' state!=succeeded",
        f"id={BATCH}:4,{BATCH}:7",
        "name!=daily batch!=77",
    ],
)
def test_a_failed_job_is_found(line: str) -> None:
    """By each field, and by several together."""
    wanted = Filter.parse(line)
    assert wanted.matches_batch(NIGHTLY)
    assert wanted.matches(FAILED)
    assert wanted.of_jobs().matches(FAILED)


@pytest.mark.parametrize(
    "line",
    [
        "state!=failed",
        "worker=gpu",
        "worker=gpu7 attempts<3",
        "error!~timeout",
        "cause!=x cause=x",
        "host=here",
        "wait<5m",
        "ran>1s",
        "ended>1970-01-01T01:00Z",
        "name~daily",
        "owner!=ada",
        "command~size",
        f"batch={BATCH[1:5]}",
        f"batch!={BATCH[:5]}",
        "submitted>1971-01-01T00:00Z",
        f"id={'f' * 32}:4",
    ],
)
def test_a_failed_job_is_not_found_by_what_it_is_not(line: str) -> None:
    """Each line differs from it in something."""
    wanted = Filter.parse(line)
    assert not (wanted.matches_batch(NIGHTLY) and wanted.matches(FAILED))


def test_what_has_not_started_fulfils_no_comparison_of_its_run() -> None:
    """Neither more nor less than a second: it has no such time; how long it waits is known."""
    lines = ("ran<1s", "ran>1s", "started<2030-01-01T00:00Z", "ended>1970-01-02T00:00Z", "wait>5m")
    assert not any(Filter.parse(line).matches(WAITING) for line in lines)
    assert Filter.parse("wait>5s ").matches(WAITING)


def test_a_batch_without_jobs_in_a_wanted_state_is_not_looked_at() -> None:
    """Its counts say so, also where the filter only implies a state: what has an error has ended."""
    ended = NIGHTLY._replace(open=0)
    assert not Filter.parse("state=dead").matches_batch(ended)
    assert not Filter.parse("host=here").matches_batch(ended)
    assert not Filter.parse("error~x").matches_batch(NIGHTLY._replace(jobs={"succeeded": 9}))
    assert Filter.parse("error!~x").matches_batch(NIGHTLY._replace(jobs={"succeeded": 9}))
    assert Filter.parse("state=queued").matches_batch(NIGHTLY)


def test_ids_are_spans_of_a_batch() -> None:
    """Jobs that are named are looked at, and nothing beside them."""
    assert Filter.parse(f"id={BATCH}:4,{BATCH}:7,{BATCH}:99").within(BATCH, 0, 10) == [(4, 5), (7, 8)]
    assert Filter.parse(f"id!={BATCH}:4").within(BATCH, 0, 10) == [(0, 4), (5, 10)]
    assert Filter.parse(f"id={BATCH}:4,{BATCH}:5 id!={BATCH}:4").within(BATCH, 0, 10) == [(5, 6)]
    assert Filter.parse(f"id={BATCH}:4").within("f" * 32, 0, 10) == []
