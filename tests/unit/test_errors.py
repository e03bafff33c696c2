"""The errors users catch: their bases are part of the interface, and they travel like any other value."""

from __future__ import annotations

import pickle
from concurrent.futures import BrokenExecutor, CancelledError
from subprocess import CalledProcessError

import pytest

from penstock import errors

BASES = {
    errors.ConfigError: ValueError,
    errors.NoPipeline: ConnectionError,
    errors.Refused: PermissionError,
    errors.NoSuchBatch: LookupError,
    errors.NoSuchWorker: LookupError,
    errors.NoLongerKept: LookupError,
    errors.JobDied: BrokenExecutor,
    errors.JobCancelled: CancelledError,
    errors.CommandFailed: CalledProcessError,
    errors.JobTimedOut: errors.JobError,
    errors.JobExited: errors.JobError,
    errors.ResultNotPicklable: errors.JobError,
    errors.RemoteError: errors.JobError,
    errors.OnceMismatch: errors.PenstockError,
}


@pytest.mark.parametrize(("kind", "base"), BASES.items())
def test_each_is_in_the_tree_and_has_a_useful_base(kind: type[Exception], base: type[BaseException]) -> None:
    """Whoever catches the standard library's error catches ours."""
    assert issubclass(kind, base)
    assert issubclass(kind, errors.PenstockError)


def test_a_time_limit_is_no_timeout_of_the_reader() -> None:
    """TimeoutError is one's own wait."""
    assert not issubclass(errors.JobTimedOut, TimeoutError)


@pytest.mark.parametrize(
    "error",
    [
        errors.JobExited("it exited", 7),
        errors.CommandFailed(3, ["false", "x"], b"out", b"err"),
        *(kind("said") for kind in BASES if kind is not errors.CommandFailed),
    ],
)
def test_errors_travel(error: Exception) -> None:
    """A job may use a pipeline, and raise what that raised."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.args, vars(again), str(again)) == (error.args, vars(error), str(error))
