"""A function that uses its process up."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from jobs.contract import thirds
from penstock.job import current_job
from penstock.job.run_limit import Limited


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """This process takes no notice of being used up."""
    yield
    current_job.here.retiring = False


def test_after_so_many_runs_the_process_takes_no_more() -> None:
    """Runs that fail count, functions of one key are counted together, as what was sent there is."""
    one = Limited(b"key", 3, thirds)
    other: Limited = pickle.loads(pickle.dumps(Limited(b"key", 3, abs)))
    assert one(1) == 1
    with pytest.raises(KeyError):
        one(3)
    assert not current_job.here.retiring
    assert other(-5) == 5
    assert current_job.here.retiring


def test_pools_are_counted_apart() -> None:
    """By their keys."""
    for key in (b"one", b"two"):
        Limited(key, 2, abs)(-1)
    assert not current_job.here.retiring
