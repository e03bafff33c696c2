"""Exceptions come back as themselves."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.job.exception_pickling import Raised


@dataclass(frozen=True)
class FrozenError(Exception):
    """Cannot be written to."""

    code: int = 1


class FarError(Exception):
    """Passes on other arguments than it takes."""

    def __init__(self, where: str, limit: int) -> None:
        super().__init__(f"{where} is beyond {limit}")
        self.limit = limit


class OwnError(Exception):
    """Knows how it is rebuilt."""

    def __reduce__(self) -> Any:
        return OwnError, ("again",)


def back(error: BaseException) -> Any:
    """As its client has it."""
    return pickle.loads(pickle.dumps(Raised(error)))


def test_exceptions_that_pickle_cannot_rebuild_come_back() -> None:
    """With their arguments and attributes."""
    frozen, far = back(FrozenError(7)), back(FarError("here", 3))
    assert (type(frozen), frozen.code, frozen.args) == (FrozenError, 7, (7,))
    assert (type(far), far.limit, str(far)) == (FarError, 3, "here is beyond 3")


@pytest.mark.parametrize(
    "error", [ValueError("a", 2), OSError(2, "no", "file"), KeyError("k"), UnicodeEncodeError("a", "b", 0, 1, "c")]
)
def test_others_come_back_as_ever(error: Exception) -> None:
    """With their notes."""
    error.add_note("seen")
    found = back(error)
    assert (type(found), str(found), found.__notes__) == (type(error), str(error), ["seen"])


def test_a_class_that_knows_better_is_asked() -> None:
    """Its own way to be rebuilt is taken."""
    assert back(OwnError("first")).args == ("again",)
