"""What tells one call from another, wherever it is made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.client.batch_input import serializing
from penstock.client.functions import Function
from penstock.client.once import drawn_whole, fingerprint
from penstock.job.spec import BatchSpec

FUNCTION = Function.of(b"code")


def of(items: object, function: Function = FUNCTION) -> bytes:
    """The fingerprint of a call."""
    return fingerprint(function, drawn_whole(items, serializing(BatchSpec(), "item")))  # type: ignore[arg-type]


def test_the_same_call_is_the_same_however_its_input_comes() -> None:
    """A list, a range or a generator of the same."""
    assert of(list(range(5000))) == of(range(5000)) == of(number for number in range(5000))


def test_another_function_or_other_arguments_are_another_call() -> None:
    """Also the same arguments in another order, or one more."""
    calls = [of([1, 2]), of([2, 1]), of([1, 2, 3]), of([[1, 2]]), of([]), of([1, 2], Function.of(b"other"))]
    assert len(set(calls)) == len(calls)


def test_an_input_that_fails_is_no_call() -> None:
    """Nothing of it is submitted."""

    def failing() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="gone"):
        of(failing())
