"""Values of strangers as text."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import functools
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from penstock.job import unopened_pickle
from penstock.job.value_text import call_text, function_name, value_text


class Point:
    """An object with a state."""

    def __init__(self, x: int, y: object) -> None:
        self.x = x
        self.y = y


class Color(enum.Enum):
    """Made by a call."""

    RED = 1


class Empty:
    """An object without a state."""


def shown(value: Any) -> str:
    return value_text(unopened_pickle.read(pickle.dumps(value, 5)), 1_000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2.5, None, True], "[1, 2.5, None, True]"),
        ((1,), "(1,)"),
        ((), "()"),
        ({"a": (1, 2)}, "{'a': (1, 2)}"),
        ({1}, "{1}"),
        (set(), "set()"),
        (frozenset([1]), "frozenset([1])"),
        (b"\x00a", r"b'\x00a'"),
        (bytearray(b"a"), "bytearray(b'a')"),
        ("it's", '"it\'s"'),
        (decimal.Decimal("1.5"), "Decimal('1.5')"),
        (Path("/a/b"), "PosixPath('/a/b')"),
        (dt.date(2026, 11, 30), "date(2026, 11, 30)"),
        (dt.datetime(2026, 11, 30, 8, 5, 1), "datetime(2026, 11, 30, 8, 5, 1)"),  # noqa: DTZ001 - as users do
        (Color.RED, "Color(1)"),
        (Point(1, [2]), "Point(x=1, y=[2])"),
        (Empty(), "Empty()"),
        (np.arange(9), "ndarray(shape=(9,), dtype='i8')"),
        (np.zeros((2, 3))[:, ::2], "ndarray(shape=(2, 2), dtype='f8')"),
        (np.float32(1.5), "1.5"),
        (np.array([1, 2], ">i2")[1], "2"),
        (collections.deque([1, Empty()]), "deque([1, Empty()])"),
        (collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (len, "len"),
        (functools.reduce, "_functools.reduce"),
    ],
)
def test_plain_values_as_python_has_them_others_by_name(value: Any, text: str) -> None:
    """What an object was made of is told where it says something."""
    assert shown(value) == text


@pytest.mark.parametrize("room", [1, 10, 100])
def test_a_text_has_a_bound(room: int) -> None:
    """In length, whatever there is more of: characters, items, or depth."""
    deep: list[Any] = []
    for _ in range(1_000):
        deep = [deep]
    for value in ("x" * 1_000, list(range(1_000)), {n: "x" * n for n in range(100)}, deep, 10**5_000):
        assert len(value_text(value, room)) <= room + len("...")


def test_a_call_is_shown_as_it_would_be_typed() -> None:
    """Arguments, then keywords; what is too much is dots."""
    assert call_text("f", (1, "a"), [("how", None)], 100) == "f(1, 'a', how=None)"
    assert call_text("f", (), (), 100) == "f()"
    assert call_text("f", ("x" * 100,), (), 10) == "f('xxxxxxx..."


def test_functions_that_travel_as_code_have_their_names() -> None:
    """Lambdas, functions inside of functions, partials; an object that is none has none."""

    def inner() -> None:
        """By value."""

    for function, name in ((lambda: 1, "<lambda>"), (inner, "inner"), (functools.partial(inner), "partial(")):
        assert name in function_name(unopened_pickle.read(cloudpickle.dumps(function)))
    assert function_name(unopened_pickle.read(pickle.dumps(Point(1, 2)))) == ""
    assert "<lambda>" in value_text(unopened_pickle.read(cloudpickle.dumps([lambda: 1])), 100)


def test_what_is_of_a_class_that_travels_as_code_has_its_name() -> None:
    """As classes of scripts and notebooks do: their objects, and their methods as functions."""

    class Local:
        def __init__(self, size: int) -> None:
            self.size = size

        def grown(self, by: int) -> int:
            return self.size + by

    assert value_text(unopened_pickle.read(cloudpickle.dumps(Local(3), 5)), 1_000) == "Local(size=3)"
    assert function_name(unopened_pickle.read(cloudpickle.dumps(Local(3).grown, 5))) == "Local.grown"
