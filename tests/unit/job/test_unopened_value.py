"""Values of jobs for people who did not submit them."""

from __future__ import annotations

import collections
import contextlib
import decimal
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.job.display import Unopened
from penstock.job.payload import Alone, decode_values, dumps, encode_values
from penstock.job.unopened_value import NOT_READABLE, ROOM, read_values

ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner), max_leaves=3)
PLAIN = st.recursive(
    ATOMS | st.frozensets(KEYS) | st.sets(KEYS),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner),
    max_leaves=10,
)


def read_one(value: Any) -> Any:
    """As a slot sends it that gave out an object of a class."""
    (found,) = read_values(encode_values([Alone(dumps(value))], "pickle"), "pickle")
    return found


@given(st.lists(PLAIN))
def test_plain_values_are_what_they_are(values: list[Any]) -> None:
    """However they travel: in one pickle, or each in its own; as they would be if they were opened."""
    for sent in (values, [Alone(dumps(value)) for value in values]):
        body = encode_values(sent, "pickle")
        assert read_values(body, "pickle") == decode_values(body, "pickle") == values


def test_values_of_msgpack_are_what_they_are() -> None:
    """They are no code in any case."""
    assert read_values(encode_values([1, {"a": [None]}], "msgpack"), "msgpack") == [1, {"a": [None]}]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.float64(2.5), 2.5),
        (np.int32(-7), -7),
        (np.bool_(True), True),
        ([np.uint8(200)], [200]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
    ],
)
def test_numbers_of_numpy_and_dicts_of_the_library_are_plain(value: Any, shown: Any) -> None:
    """Their users take them for numbers and dicts."""
    found = read_one(value)
    assert (found, type(found)) == (shown, type(shown))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (decimal.Decimal("1.5"), "Decimal('1.5')"),
        ([Path("/a")], "[PosixPath('/a')]"),
        (len, "len"),
        ([1 << 20_000], "[<number of 20001 bits>]"),
        (np.zeros(3), "ndarray(shape=(3,), dtype='f8')"),
    ],
)
def test_the_rest_is_text(value: Any, text: str) -> None:
    """Made of what was read."""
    assert read_one(value) == Unopened(text)


class Trap:
    """Makes a file wherever it is opened."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self._path,)


def test_nothing_runs(tmp_path: Path) -> None:
    """What does something when it is opened is shown by its name; opened it does it, which is the control."""
    body = encode_values([Alone(dumps(Trap(str(tmp_path / "ran"))))], "pickle")
    (found,) = read_values(body, "pickle")
    assert "mkdir" in found.text
    assert not (tmp_path / "ran").exists()
    decode_values(body, "pickle")
    assert (tmp_path / "ran").exists()


def laughing(levels: int, begin: bytes) -> bytes:
    """A pickle in which a list, or a text, is in a list ten times, which is in a list ten times ..."""
    text = b"\x80\x04" + begin + b"\x94"
    for level in range(levels):
        text += b"](" + (b"h" + bytes([level])) * 10 + b"e\x94"
    return text + b"."


@pytest.mark.parametrize(
    "blob",
    [
        laughing(20, b"]"),
        laughing(6, b"X" + (100_000).to_bytes(4, "little") + b"x" * 100_000),
        pickle.dumps({(2**61 - 1) * n: None for n in range(1, 300)}),
        b"\x80\x04" + b"]" * 5_000 + b"a" * 4_999 + b".",
        b"\x80\x04]\x94h\x00a.",
        b"\x80\x04}]K\x01s.",
    ],
    ids=["lists", "text", "keys of one hash", "deep", "knot", "a list for a key"],
)
def test_what_is_made_to_be_large_is_a_short_text(blob: bytes) -> None:
    """It costs what the bytes that came cost, not what they would become."""
    (found,) = read_values(encode_values([Alone(blob)], "pickle"), "pickle")
    assert type(found) is Unopened
    assert len(found.text) <= ROOM + len("...")


@pytest.mark.parametrize("blob", [b"", b"no pickle", pickle.dumps([1])[:-1]])
def test_what_cannot_be_read_is_said_to_be_so(blob: bytes) -> None:
    """Its neighbours are read."""
    assert read_values(encode_values([Alone(blob), Alone(dumps(5))], "pickle"), "pickle") == [Unopened(NOT_READABLE), 5]


@given(st.binary())
def test_any_bytes_are_values_or_none(body: bytes) -> None:
    """A ValueError, and nothing else."""
    for serializer in ("pickle", "msgpack"):
        with contextlib.suppress(ValueError):
            assert type(read_values(body, serializer)) is list
