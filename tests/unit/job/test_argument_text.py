"""What jobs were given, read from the bytes of their batch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from penstock.client.functions import Functions
from penstock.job import payload
from penstock.job.argument_text import UNREADABLE, Work
from penstock.job.bundle import Bundle
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec
from penstock.job.wrappers import Prepared, Surroundings

ROOM = 200
TITLED = BatchSpec(title="f")


def texts(work: Work, chunk: bytes, first: int, *indexes: int) -> list[str]:
    read = work.reader(chunk, first, ROOM)
    return [read(index, None) for index in indexes]


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
@pytest.mark.parametrize(
    ("form", "items", "expected"),
    [
        ("item", [1, "b"], ["f(1)", "f('b')"]),
        ("item", range(5, 7), ["f(5)", "f(6)"]),
        ("item", [[1], {"k": 2}], ["f([1])", "f({'k': 2})"]),
        ("star", [(1, "b"), (2, "c")], ["f(1, 'b')", "f(2, 'c')"]),
        ("call", [((1,), {"k": 2}), ((), {})], ["f(1, k=2)", "f()"]),
    ],
)
def test_every_form_of_a_chunk_is_read(serializer: Any, form: str, items: Any, expected: list[str]) -> None:
    """Plain items and those that are a pickle each, in both serializers; a chunk begins at any index."""
    work = Work(BatchSpec(title="f", serializer=serializer), b"")
    chunk = payload.chunk_blob(form, items, serializer)
    assert texts(work, chunk, 100, 100, 101) == expected
    blob = payload.blobs_chunk([payload.call_blob((1,), {"k": 2}, serializer)], serializer)
    assert texts(work, blob, 3, 3) == ["f(1, k=2)"]


def test_commands_are_put_together() -> None:
    """From the template and the arguments; a number from 1 stands for the index."""
    spec = BatchSpec(kind="command", title="echo")
    work = Work(spec, CommandTemplate((b"echo", b"{#}", b"{}")).encode())
    assert texts(work, msgspec.msgpack.encode([[b"a b"], [b"\xff"]]), 0, 0, 1) == ["echo 1 'a b'", r"echo 2 '\xff'"]
    assert Work(spec, b"").without_arguments() == "echo <arguments no longer kept>"


@pytest.mark.parametrize(
    "chunk",
    [b"", b"x", pickle.dumps(1), pickle.dumps(("item", 3)), pickle.dumps(("blob", [1])), pickle.dumps(("call", [3]))],
)
def test_what_cannot_be_read_says_so(chunk: bytes) -> None:
    """Of jobs from another release, or from somebody who means harm."""
    assert texts(Work(TITLED, b""), chunk, 0, 0, 5) == [f"f({UNREADABLE})"] * 2
    commands = Work(BatchSpec(kind="command", title="c"), CommandTemplate((b"c",)).encode())
    assert texts(commands, chunk, 0, 0) == [f"c {UNREADABLE}"]


def serialized(target: Callable[..., Any], serializer: str = "pickle") -> bytes:
    return Functions().serialized(target, serializer).code


def test_a_function_without_a_title_is_named_by_its_own_bytes() -> None:
    """Those of batches that a client of an earlier release submitted."""
    assert Work(BatchSpec(), serialized(pow)).label == "pow"
    assert "<lambda>" in Work(BatchSpec(), serialized(lambda: 1)).label
    assert Work(BatchSpec(serializer="msgpack"), serialized(pow, "msgpack")).label == "builtins.pow"
    assert Work(BatchSpec(), Bundle(pickle.dumps(pow), path="/x").dumps()).label == "pow"
    assert Work(BatchSpec(), b"f").label == "<function>"


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_folder_and_variables_of_calls_are_known(serializer: Any) -> None:
    """They travel with the function."""
    around = Surroundings("/data", {"A": "b"})
    work = Work(BatchSpec(serializer=serializer), serialized(Prepared(pow, None, around), serializer))
    assert work.surroundings == around


def test_a_function_that_comes_with_its_arguments_is_the_function() -> None:
    """A partial or a bound method is the first argument of its job."""
    work = Work(BatchSpec(title="penstock.job.payload.call"), b"")
    chunk = payload.blobs_chunk([payload.call_blob((pow, 2, 3), {}, "pickle")], "pickle")
    assert texts(work, chunk, 0, 0) == ["pow(2, 3)"]
