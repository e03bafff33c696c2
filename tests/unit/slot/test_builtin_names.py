"""Builtins that code has left changed are put right."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.slot.builtin_names import Builtins

NAMES = vars(builtins)


@pytest.fixture
def kept() -> Iterator[Builtins]:
    """Those of this process, which is put right afterwards, whatever a test finds."""
    before = dict(NAMES)
    yield Builtins()
    NAMES.clear()
    NAMES.update(before)


class Everything:
    """Says that it is equal to anything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


@pytest.mark.parametrize("name", ["len", "any", "map", "isinstance", "object", "__import__", "__build_class__"])
@pytest.mark.parametrize("change", [None, Everything()])
def test_a_changed_name_is_what_it_was(kept: Builtins, name: str, change: Any) -> None:
    """Also one that looking needs itself, and whatever is in its place; it is said once which it was."""
    was = NAMES[name]
    NAMES[name] = change
    assert kept.put_right() == f"builtins.{name}"
    assert NAMES[name] is was
    assert kept.put_right() == ""


def test_what_is_missing_is_there_again(kept: Builtins) -> None:
    """All of it, and nothing is the matter then."""
    was = dict(NAMES)
    del NAMES["len"], NAMES["open"]
    assert kept.put_right() == "builtins.len and builtins.open"
    assert was == NAMES
    assert kept.are_kept()


def test_what_is_added_is_let_be(kept: Builtins) -> None:
    """As by gettext.install."""
    NAMES["_"] = str
    assert kept.put_right() == ""
    assert NAMES["_"] is str


def test_what_is_wanted_is_kept(kept: Builtins) -> None:
    """What a function's module has changed when it was imported."""
    NAMES["print"] = wanted = Everything()
    assert not kept.are_kept()
    kept.keep()
    assert kept.put_right() == ""
    assert NAMES["print"] is wanted
