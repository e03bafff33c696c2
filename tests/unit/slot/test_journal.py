"""The results that a slot has not sent, as its agent reads them when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import ProtocolError
from penstock.job import payload
from penstock.job.spec import JobState
from penstock.slot.journal import ONE, Journal, Saved, saved
from penstock.slot.protocol import JOURNAL_BYTES, SAVED, SAVED_FROM, Page, Ran
from penstock.wire.records import Note

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.just(...)
)
PLAIN = st.recursive(ATOMS, lambda some: st.lists(some, max_size=3).map(tuple), max_leaves=5)
OTHER = st.lists(st.integers(), max_size=3) | st.dictionaries(st.text(), st.integers(), max_size=2)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page with an empty journal."""
    page = Page.create()
    yield page
    page.close()


def read(page: Page, start: int, serializer: str = "pickle") -> Saved:
    return saved(page, start, 2**62, serializer, 1000.0, 3.0)


def values_of(found: Saved, serializer: str = "pickle") -> list[Any]:
    """One for each job: its value, or the record of one that failed."""
    values: list[Any] = []
    for ran, body in zip(found.ran, found.bodies, strict=True):
        assert ran.size == len(body)
        if ran.state is JobState.SUCCEEDED:
            values += payload.decode_values(body, serializer)
        else:
            values.append(ran)
    assert [ran.start for ran in found.ran[1:]] == [ran.stop for ran in found.ran[:-1]]
    return values


@given(st.lists(st.one_of(PLAIN, OTHER, st.just(NotImplemented)), max_size=20), st.integers(0, 25))
def test_each_job_is_read_as_it_was_written(page: Page, values: list[Any], skipped: int) -> None:
    """Plain values, others, and failures between them; from any job on."""
    journal = Journal(page)
    journal.begin(7, "pickle")
    expected: list[Any] = []
    for index, value in enumerate(values, 7):
        if value is NotImplemented:
            expected.append(Ran(index, index + 1, JobState.FAILED, 1.0, 0.5, 3, Note("cause")))
            journal.add_record(expected[-1], b"abc")
        else:
            expected.append(value)
            is_plain = isinstance(value, tuple) or not isinstance(value, list | dict)
            journal.add_frozen(value if is_plain else payload.Alone(payload.encode(value, "pickle")))
    assert not journal.is_incomplete
    found = read(page, 7 + skipped)
    assert values_of(found) == expected[skipped:]
    assert [ran.start for ran in found.ran[:1]] == ([7 + skipped] if skipped < len(values) else [])
    assert values_of(saved(page, 7, 7 + skipped, "pickle", 0.0, 1.0)) == expected[:skipped]


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536, 100_000])
def test_many_at_once_are_as_many_one_by_one(page: Page, serializer: str, count: int) -> None:
    """Lists of all sizes for which msgpack has different heads."""
    journal = Journal(page)
    journal.begin(0, serializer)
    values = [number % 100 for number in range(count)]
    assert journal.add_all(values)
    assert not journal.is_incomplete
    found = read(page, 0, serializer)
    assert values_of(found, serializer) == values
    assert len(found.ran) == (count > 0)


def test_what_has_no_form_there_is_said(page: Page) -> None:
    """Of many at once nothing is written then; one that has no form in its serializer either ends the journal."""
    journal = Journal(page)
    journal.begin(0, "msgpack")
    assert not journal.add_all([1, 2**70])
    journal.add(1)
    journal.add(2**70)
    assert journal.is_incomplete
    journal.add(3)
    assert values_of(read(page, 0, "msgpack"), "msgpack") == [1]


def test_what_does_not_fit_ends_it_until_it_begins_anew(page: Page) -> None:
    """Entries are of one job after the other, none is left out."""
    journal = Journal(page)
    journal.begin(0, "pickle")
    journal.add(b"x" * (JOURNAL_BYTES - 100))
    journal.add(b"y" * 100)
    journal.add(b"z")
    assert journal.is_incomplete
    assert [len(value) for value in values_of(read(page, 0))] == [JOURNAL_BYTES - 100]
    journal.begin(1, "pickle")
    assert read(page, 0) == Saved((), ())
    journal.add(b"y" * 100)
    assert values_of(read(page, 1)) == [b"y" * 100]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=200),
    st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300).map(lambda n: n * ONE + n),
    st.integers(-3, 2**63 - 1),
)
def test_whatever_is_written_there_is_read_or_refused(page: Page, data: bytes, cell: int, first: int) -> None:
    """A job can write to it: nothing else is raised, and what is read has an entry for each job."""
    page.journal[: len(data)] = data
    page.cells[SAVED], page.cells[SAVED_FROM] = cell, first
    try:
        found = read(page, 5)
    except ProtocolError:
        return
    assert sum(ran.size for ran in found.ran) == sum(map(len, found.bodies))
