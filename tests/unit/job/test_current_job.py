"""What a process knows of the job it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.job.current_job import CurrentJob, current_job, here, in_slot, loading


@pytest.fixture(autouse=True)
def no_slot() -> Iterator[None]:
    """This process is no slot, before and after."""
    yield
    here.job = None


def test_outside_of_a_job_there_is_none() -> None:
    """Any process but a slot has no current job."""
    assert current_job() is None
    assert not in_slot()
    assert not here.loading


def test_slot_announces_how_the_job_is_found() -> None:
    """Each question is answered by what runs then."""
    jobs = [CurrentJob("b:0", 1, "mill", 0), None]
    here.job = lambda: jobs[0]
    assert in_slot()
    assert current_job() == CurrentJob("b:0", 1, "mill", 0)
    jobs.pop(0)
    assert current_job() is None


def test_loading_is_said_and_unsaid() -> None:
    """While a slot imports the user's module it says so."""
    said: list[bool] = []
    with loading(now=True):
        said.append(here.loading)
        with loading(now=False):
            said.append(here.loading)
        said.append(here.loading)
    assert [*said, here.loading] == [True, False, True, False]
