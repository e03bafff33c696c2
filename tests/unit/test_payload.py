"""Serialization of functions, arguments and values."""

from __future__ import annotations

import os.path
import pickle
import sys
import types
from collections.abc import Callable
from fractions import Fraction
from threading import Lock
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import payload


def test_plain_data_needs_no_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pickle can do, pickle does."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    assert payload.loads(payload.dumps({"a": [1, b"2", None]})) == {"a": [1, b"2", None]}


def test_lambdas_and_closures_travel() -> None:
    """A function that pickle refuses is pickled by value."""
    n = 3
    assert payload.loads(payload.dumps(lambda x: x + n))(4) == 7


def test_class_of_main_comes_back_as_that_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances of a class of __main__ that return to their process are of the very same class."""
    main = types.ModuleType("__main__")
    exec("class Point:\n    x = 1\ndef make(): return Point()", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    sent = payload.dumps(main.Point())
    del main.Point
    assert type(payload.loads(sent)).__module__ == "__main__"
    main.Point = type(payload.loads(sent))  # type: ignore[attr-defined]
    assert type(payload.loads(payload.dumps(main.Point()))) is main.Point


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_functions_travel(serializer: str) -> None:
    """A function that can be imported travels in either serializer."""
    blob = payload.function_blob(os.path.basename, serializer)
    assert payload.load_function(blob, serializer) is os.path.basename


def test_msgpack_function_is_a_name() -> None:
    """Nothing of a msgpack batch is unpickled: a method is found by its path, a lambda is refused."""
    blob = payload.function_blob(str.upper, "msgpack") if hasattr(str.upper, "__module__") else b""
    assert not blob.startswith(b"\x80\x05")
    with pytest.raises(pickle.PicklingError, match="must be importable"):
        payload.function_blob(lambda x: x, "msgpack")


def test_function_that_cannot_be_pickled_is_named() -> None:
    """The error says which function and why."""
    stream = Lock()

    def reader() -> object:
        return stream

    with pytest.raises(pickle.PicklingError, match=r"reader cannot be pickled: .*lock"):
        payload.function_blob(reader, "pickle")


def test_what_is_no_function_is_refused() -> None:
    """A blob that holds something else raises TypeError."""
    with pytest.raises(TypeError, match="is not callable"):
        payload.load_function(payload.dumps(3), "pickle")


def test_function_of_a_module_registered_by_value_travels_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """cloudpickle.register_pickle_by_value is honoured."""
    import cloudpickle

    module = types.ModuleType("only_here")
    exec("def double(x): return 2 * x", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    cloudpickle.register_pickle_by_value(module)
    try:
        blob = payload.function_blob(module.double, "pickle")
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    monkeypatch.delitem(sys.modules, "only_here")
    assert payload.load_function(blob, "pickle")(4) == 8


CALLS: list[tuple[str, Any]] = [
    ("item", (1, 2)),
    ("star", (1, 2)),
    ("call", ((1,), {"y": 2})),
    ("blob", payload.call_blob((1,), {"y": 2}, "pickle")),
]


@pytest.mark.parametrize(("form", "item"), CALLS)
def test_chunks_travel_in_every_form(form: str, item: Any) -> None:
    """Form and items come back, and adapted calls the function as the form says."""
    found, items = payload.load_chunk(payload.chunk_blob(form, [item, item], "pickle"), "pickle")
    assert (found, items) == (form, [item, item])

    def show(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    expected: Any = {"item": (((1, 2),), {}), "star": ((1, 2), {})}.get(form, ((1,), {"y": 2}))
    assert payload.adapted(show, form, "pickle")(items[0]) == expected


@pytest.mark.parametrize(
    "use", [lambda: payload.chunk_blob("odd", [], "pickle"), lambda: payload.adapted(len, "odd", "")]
)
def test_unknown_form_is_an_error(use: Callable[[], Any]) -> None:
    """Neither side takes a form that is none."""
    with pytest.raises(ValueError, match="'odd' is no form"):
        use()


@given(st.lists(st.recursive(st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.text(), st.lists)))
def test_msgpack_chunks_come_back(items: list[Any]) -> None:
    """Any plain data travels by msgpack as it is."""
    assert payload.load_chunk(payload.chunk_blob("item", items, "msgpack"), "msgpack") == ("item", items)


@pytest.mark.parametrize(
    ("form", "items", "message"),
    [
        ("item", [1, Lock()], r"the argument of job 11 \(lock\) cannot be serialized by pickle: "),
        ("star", [(1, 2), (3, Lock())], r"argument 2 of job 11 \(lock\)"),
        ("call", [((1,), {}), ((2,), {"k": Lock()})], r"argument 'k' of job 11 \(lock\)"),
        ("item", [Lock()], r"the argument \(lock\)"),
    ],
)
def test_argument_that_cannot_be_pickled_is_named(form: str, items: list[Any], message: str) -> None:
    """The error names job, argument, type and reason."""
    with pytest.raises(pickle.PicklingError, match=message):
        payload.chunk_blob(form, items, "pickle", 10)


def test_argument_of_a_single_call_is_named() -> None:
    """A call's blob names the argument."""
    with pytest.raises(pickle.PicklingError, match=r"argument 2 \(lock\) cannot be serialized by pickle"):
        payload.call_blob((1, Lock()), {}, "pickle")
    with pytest.raises(pickle.PicklingError, match=r"argument 'z' \(complex\) cannot be serialized by msgpack"):
        payload.call_blob((), {"z": 1j}, "msgpack")


def test_reduce_that_fails_with_its_own_error_is_explained() -> None:
    """Whatever a value raises when it is pickled becomes the reason."""

    class Odd:
        def __reduce__(self) -> Any:
            raise RuntimeError("not today")

    with pytest.raises(pickle.PicklingError, match="not today"):
        payload.call_blob((Odd(),), {}, "pickle")


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_values_come_back_as_one_list(serializer: str) -> None:
    """The values of neighbouring jobs are one list; those that cannot be serialized are found by place."""
    values = [1, "a", None, [2.5]]
    assert payload.decode_values(payload.encode_values(values, serializer), serializer) == values
    assert list(payload.unpicklable([1, Lock(), 2, Lock()], serializer)) == [1, 3]


class Lost:
    """Cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_values_that_cannot_be_rebuilt_are_noticed() -> None:
    """Plain data always can; so can what msgpack takes."""
    assert payload.may_break(payload.encode_values([1, Lost()], "pickle"), "pickle")
    assert not payload.may_break(payload.encode_values([1, Fraction(1, 2)], "pickle"), "pickle")
    assert not payload.may_break(payload.encode_values([1, b"\x93"], "pickle"), "pickle")
    assert not payload.may_break(payload.encode_values([1, b"\x93"], "msgpack"), "msgpack")


def test_commands_are_bytes() -> None:
    """Argument lists are bytes, whatever they hold; text is refused."""
    items = [[b"\xff\n", b""], []]
    assert payload.load_commands(msgspec.msgpack.encode(items)) == items
    with pytest.raises(msgspec.ValidationError):
        payload.load_commands(msgspec.msgpack.encode([["b"]]))
