"""Records as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.cli.json_text import json_text


def no_number(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read(value: Any) -> tuple[Any, int]:
    lost: list[None] = []
    text = json_text({"value": value}, repr, lambda: lost.append(None))
    return json.loads(text, parse_constant=no_number)["value"], len(lost)


def knot() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("value", "read_as", "lost"),
    [
        (1.5, 1.5, 0),
        (float("nan"), None, 1),
        ([1, {"a": float("inf"), "b": -float("inf")}], [1, {"a": None, "b": None}], 2),
        ({(1, 2): "x", float("nan"): 1}, {"(1, 2)": "x", "nan": 1}, 0),
        ((1, {2}), [1, "{2}"], 0),
        (knot(), ["[[...]]"], 0),
    ],
)
def test_whatever_a_function_returns_is_json(value: Any, read_as: Any, lost: int) -> None:
    """Numbers that are none are null and counted, keys and what has no form are text, a knot is cut."""
    assert read(value) == (read_as, lost)


def test_what_is_nested_too_deeply_is_text_from_there_on() -> None:
    """No reader would take it, and no recursion ends here."""
    assert read([float("nan"), deep(500)])[1] == 1
