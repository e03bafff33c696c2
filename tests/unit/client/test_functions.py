"""Functions are serialized once where nothing can have changed since."""

from __future__ import annotations

import math
import pickle
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from penstock import payload
from penstock.client import functions as module
from penstock.client.functions import Function, Functions
from penstock.prepared import Initializer, Prepared, Surroundings

Main = Callable[[str], types.ModuleType]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    """Runs a script as ``__main__``."""
    made = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", made)

    def run(script: str) -> types.ModuleType:
        exec(script, made.__dict__)
        return made

    return run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions that were serialized."""
    made: list[Any] = []
    blob = payload.function_blob

    def counting(function: Callable[..., Any], serializer: str) -> bytes:
        made.append(function)
        return blob(function, serializer)

    monkeypatch.setattr(payload, "function_blob", counting)
    return made


@pytest.mark.parametrize("function", [pow, math.sqrt, len, payload.dumps, dict, str.upper])
def test_what_travels_by_name_is_serialized_once(function: Callable[..., Any], counted: list[Any]) -> None:
    """Or is cheap to serialize again, like a method."""
    known = Functions()
    assert known.serialized(function, "pickle") == known.serialized(function, "pickle")
    assert len(counted) == 1 or function is str.upper


def test_a_plain_function_of_main_is_serialized_once(main: Main, counted: list[Any]) -> None:
    """Also one that calls itself, or another one, or reads a constant."""
    script = main(
        "import math\nN = 3\ndef half(x): return x / N\ndef f(x, y=2): return f(x - 1) if x else half(math.pi)"
    )
    known = Functions()
    first = known.serialized(script.f, "pickle")
    assert known.serialized(script.f, "pickle") is first
    assert counted == [script.f]


@pytest.mark.parametrize(
    "change",
    [
        "N = 4",
        "def half(x): return x",
        "f.__defaults__ = (3,)",
        "f.__defaults__ = None",
        "half.__defaults__ = (1,)",
        "f.__kwdefaults__ = {'z': 1}",
        "f.note = 1",
    ],
)
def test_a_changed_function_is_serialized_again(main: Main, change: str) -> None:
    """A constant, a function it calls, a default: what is sent is what is there now."""
    script = main("N = 3\ndef half(x): return x / N\ndef f(x, y=2): return half(x)")
    known = Functions()
    before = known.serialized(script.f, "pickle")
    main(change)
    assert known.serialized(script.f, "pickle").digest != before.digest


@pytest.mark.parametrize(
    "script", ["data = []\ndef f(): return data", "def f(x=[]): return x", "class A: pass\ndef f(): A()"]
)
def test_a_function_of_something_that_can_change_is_serialized_at_each_use(
    main: Main, counted: list[Any], script: str
) -> None:
    """A list or a class of the script is looked at again."""
    function = main(script).f
    known = Functions()
    known.serialized(function, "pickle")
    known.serialized(function, "pickle")
    assert len(counted) == 2


def test_a_closure_is_as_constant_as_its_cells(counted: list[Any]) -> None:
    """Numbers are, lists are not."""
    known = Functions()

    def adder(what: Any) -> Callable[[], Any]:
        return lambda: what

    for function in (adder(1), adder([1])):
        known.serialized(function, "pickle")
        known.serialized(function, "pickle")
    assert len(counted) == 3


def test_a_partial_is_serialized_at_each_use(counted: list[Any]) -> None:
    """What is bound to it may have changed; the same bytes have the same digest."""
    known = Functions()
    bound = partial(pow, 2)
    assert known.serialized(bound, "pickle") == known.serialized(bound, "pickle")
    assert len(counted) == 2


def test_what_cannot_be_called_or_serialized_is_an_error() -> None:
    """TypeError, and PicklingError that names the function."""
    known = Functions()
    with pytest.raises(TypeError, match="5 is not callable"):
        known.serialized(5, "pickle")  # type: ignore[arg-type]  # the point
    with pytest.raises(pickle.PicklingError, match=r"the function .*lambda"):
        known.serialized(lambda: None, "msgpack")


def test_a_function_too_large_for_a_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how large it is and what to do."""
    monkeypatch.setattr(module, "MAX_PART_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="the function: 2 MB when serialized, at most 1 MB"):
        Functions().serialized(partial(len, bytes(2 << 20)), "pickle")


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch, counted: list[Any]) -> None:
    """The oldest is forgotten, with all that it holds."""
    monkeypatch.setattr(module, "CACHED", 2)
    known = Functions()
    for function in (len, pow, abs, len):
        known.serialized(function, "pickle")
    assert counted == [len, pow, abs, len]


def test_a_call_is_known_again_though_it_is_prepared_anew() -> None:
    """The key of an initializer is new each time; another initializer, or another environment, is another call."""
    functions = Functions.here()

    def prepared(initializer: Callable[..., Any], key: bytes, **variables: str) -> Function:
        return functions.serialized(
            Prepared(len, Initializer(key, initializer, ()), Surroundings(None, variables)), "pickle"
        )

    first, again = prepared(abs, b"1"), prepared(abs, b"2")
    assert first.digest != again.digest
    assert first.call == again.call
    others = {prepared(max, b"1").call, prepared(abs, b"1", X="1").call, functions.serialized(len, "pickle").call}
    assert len(others | {first.call}) == 4
