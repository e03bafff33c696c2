"""Serialization of functions, arguments and values."""

from __future__ import annotations

import os.path
import pickle
import sys
import types
from collections.abc import Callable
from threading import Lock
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.job import current_job, function_names, payload


def test_plain_data_needs_no_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pickle can do, pickle does."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    assert payload.loads(payload.dumps({"a": [1, b"2", None]})) == {"a": [1, b"2", None]}


def test_lambdas_and_closures_travel() -> None:
    """A function that pickle refuses is pickled by value."""
    n = 3
    assert payload.loads(payload.dumps(lambda x: x + n))(4) == 7


def test_class_of_main_comes_back_as_that_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances of a class of __main__ that the client is not known to have, made in a slot: they travel by value, and
    all that come back are of one class."""
    monkeypatch.setattr(current_job, "in_slot", lambda: True)
    main = types.ModuleType("__main__")
    exec("class Point:\n    x = 1\ndef make(): return Point()", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    sent = payload.dumps(main.Point())
    del main.Point
    assert type(payload.loads(sent)).__module__ == "__main__"
    main.Point = type(payload.loads(sent))  # type: ignore[attr-defined]
    assert type(payload.loads(payload.dumps(main.Point()))) is main.Point


def test_a_msgpack_function_is_a_name() -> None:
    """Nothing of a msgpack batch is unpickled: a function is found by its path, a lambda is refused."""
    blob = function_names.name_blob(os.path.basename)
    assert function_names.load_named(blob) is os.path.basename
    assert msgspec.msgpack.decode(blob) == "posixpath:basename"
    with pytest.raises(pickle.PicklingError, match="must be importable"):
        function_names.name_blob(lambda x: x)


def test_what_is_no_function_is_refused() -> None:
    """Something else raises TypeError."""
    with pytest.raises(TypeError, match="is not callable"):
        function_names.ensure_callable(3)


CALLS: list[tuple[str, Any, str, Any]] = [
    ("item", (1, 2), "item", (((1, 2),), {})),
    ("item", [1, 2], "itemblob", (([1, 2],), {})),
    ("star", (1, 2), "star", ((1, 2), {})),
    ("star", (1, [2]), "starblob", ((1, [2]), {})),
    ("call", ((1,), {"y": 2}), "blob", ((1,), {"y": 2})),
]


@pytest.mark.parametrize(("form", "item", "travels", "expected"), CALLS)
def test_chunks_travel_in_every_form(form: str, item: Any, travels: str, expected: Any) -> None:
    """Plain items together, others each as a pickle of its own; adapted calls the function as the form says."""
    found, items = payload.load_chunk(payload.chunk_blob(form, [item, item], "pickle"), "pickle")

    def show(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert (found, len(items)) == (travels, 2)
    assert payload.adapted(show, found, "pickle")(items[0]) == expected


def test_a_single_call_travels_as_it_was_serialized() -> None:
    """At submit, and not when its chunk is made."""
    blobs = [payload.call_blob((number,), {"y": [2]}, "pickle") for number in range(2)]
    form, items = payload.load_chunk(payload.blobs_chunk(blobs, "pickle"), "pickle")
    assert [payload.adapted(lambda x, y: (x, y), form, "pickle")(item) for item in items] == [(0, [2]), (1, [2])]


def test_a_range_travels_as_a_range() -> None:
    """Nobody but the slot makes its numbers."""
    blob = payload.chunk_blob("item", range(1_000_000), "pickle")
    assert len(blob) < 100
    assert payload.load_chunk(blob, "pickle")[1][-1] == 999_999


def test_a_chunk_of_the_release_before_is_opened() -> None:
    """Its items were pickled together, whatever they were."""
    old = pickle.dumps(("star", [([1], 2), ([3], 4)]), 5)
    assert payload.load_chunk(old, "pickle") == ("star", [([1], 2), ([3], 4)])


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
    """Plain ones, and those that were serialized when their jobs ended; what cannot be serialized is found by place."""
    body = payload.encode_values([1, "a", payload.Alone(payload.encode([2.5], serializer))], serializer)
    assert payload.decode_values(body, serializer) == [1, "a", [2.5]]
    assert payload.decode_values(payload.encode_values([1, None], serializer), serializer) == [1, None]
    assert list(payload.unpicklable([1, Lock(), 2, Lock()], serializer)) == [1, 3]


class Lost:
    """Cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Exits:
    """Ends the process that rebuilds it, if that lets it."""

    def __reduce__(self) -> Any:
        return sys.exit, ("bye",)


@pytest.mark.parametrize(("value", "error"), [(Lost(), ValueError), (Exits(), SystemExit)])
def test_a_value_that_cannot_be_rebuilt_is_nobody_elses(value: object, error: type[BaseException]) -> None:
    """Its neighbours are read; in its place is the error."""
    alone = payload.Alone(payload.dumps(value))
    values = payload.decode_values(payload.encode_values([1, alone, "x"], "pickle"), "pickle")
    assert type(values) is payload.Partial
    assert (values[0], type(values[1].error), values[2]) == (1, error, "x")


def test_values_of_the_release_before_are_read() -> None:
    """They were one pickle of a list."""
    assert payload.decode_values(pickle.dumps([[1], {"a": 2}], 5), "pickle") == [[1], {"a": 2}]


def test_commands_are_bytes() -> None:
    """Argument lists are bytes, whatever they hold; text is refused."""
    items = [[b"\xff\n", b""], []]
    assert payload.load_commands(msgspec.msgpack.encode(items)) == items
    with pytest.raises(msgspec.ValidationError):
        payload.load_commands(msgspec.msgpack.encode([["b"]]))
