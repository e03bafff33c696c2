"""What a process knows of the job it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.job import current_job as module
from penstock.job.current_job import CurrentJob, announce, current_job, in_slot, is_loading, loading


@pytest.fixture(autouse=True)
def no_slot() -> Iterator[None]:
    """This process is no slot, before and after."""
    yield
    module._Place.job = None


def test_outside_of_a_job_there_is_none() -> None:
    """Any process but a slot has no current job."""
    assert current_job() is None
    assert not in_slot()
    assert not is_loading()


def test_slot_announces_how_the_job_is_found() -> None:
    """Each question is answered by what runs then."""
    jobs = [CurrentJob("b:0", 1, "mill", 0), None]
    announce(lambda: jobs[0])
    assert in_slot()
    assert current_job() == CurrentJob("b:0", 1, "mill", 0)
    jobs.pop(0)
    assert current_job() is None


def test_loading_is_said_and_unsaid() -> None:
    """While a slot imports the user's module it says so."""
    with loading(now=True):
        assert is_loading()
        with loading(now=False):
            assert not is_loading()
        assert is_loading()
    assert not is_loading()
