"""What jobs may share unseen."""

from __future__ import annotations

import functools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from penstock.job.run_limit import Limited
from penstock.job.stateless import are_plain, is_importable, is_stateless
from penstock.job.wrappers import Placed, Surroundings


class Thing:
    """Has a state."""

    def method(self) -> None:
        """Bound, it brings that along."""

    @classmethod
    def of_class(cls) -> None:
        """Bound to what has a name."""


def closure(value: object) -> Callable[[], object]:
    """A function with a cell."""
    return lambda: value


def defaults(value: object) -> Callable[..., object]:
    """A function with a default."""
    return lambda x=value: x


@pytest.mark.parametrize("values", [[], [1, 2.5, "a", b"b", None, True, 1j, ...], [(1, ("a", (None,))), 2], [()]])
def test_plain_values(values: list[object]) -> None:
    """Numbers, texts, bytes, None, and tuples of those."""
    assert are_plain(values)


@pytest.mark.parametrize("value", [[], {}, set(), bytearray(), (1, []), Thing(), Thing, type("Own", (int,), {})(3)])
def test_all_else_is_not_plain(value: object) -> None:
    """Whatever can be changed, or could have attributes."""
    assert not are_plain([1, value])


@pytest.mark.parametrize(
    "value",
    [
        len, math.sqrt, Thing, closure, closure(1), closure((1, "a")), closure(math), closure(closure(2)),
        defaults(3), functools.partial(pow, 2), functools.partial(sorted, key=len), Thing.of_class,
        functools.lru_cache(closure), Limited(b"", 2, len), Placed(len, Surroundings()), frozenset({1}),
    ],
)  # fmt: skip
def test_what_has_no_state(value: object) -> None:
    """What has a name, and what consists of such things and of plain values."""
    assert is_stateless(value)


@pytest.mark.parametrize(
    "value",
    [
        closure([]), defaults({}), closure(closure([])), functools.partial(len, []), functools.partial(pow, x=[]),
        Thing().method, Thing(), [].append, Limited(b"", 2, functools.partial(len, [])),
        Placed(Thing().method, Surroundings("/", {})), closure(Thing()),
    ],
)  # fmt: skip
def test_what_has_a_state(value: object) -> None:
    """Whatever holds something that can be changed."""
    assert not is_stateless(value)


def test_a_function_that_leads_to_itself_has_an_end() -> None:
    """A recursive closure is looked at once."""

    def recursive(n: int) -> Any:
        return recursive(n - 1) if n else 0

    assert is_stateless(recursive)


def test_what_was_reloaded_or_is_by_value_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name means what it means now, and nothing of a module that goes by value."""
    import cloudpickle

    module = types.ModuleType("some_module")
    exec("def f(): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "some_module", module)
    before = module.f
    assert is_importable(before)
    exec("def f(): pass", module.__dict__)
    assert not is_importable(before)
    assert is_importable(module.f)
    cloudpickle.register_pickle_by_value(module)
    try:
        assert not is_importable(module.f)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
