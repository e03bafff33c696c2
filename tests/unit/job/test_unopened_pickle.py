"""Pickles of strangers are read without opening them."""

from __future__ import annotations

import copyreg
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from penstock.job import unopened_pickle
from penstock.job.unopened_pickle import Made, Members, Name, Pairs
from penstock.job.value_text import value_text

ROOM = 200


class Hostile:
    """Runs a command when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


class Stateful(Hostile):
    """Runs it when its state is set."""

    def __reduce__(self) -> Any:
        return Setting, (), {"path": str(self._path)}


class Setting:
    """Writes a file when its state is set."""

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["path"]).touch()


def extended(path: Path) -> bytes:
    """By a registered extension, which the real unpickler does not even ask about."""
    command = pickle.dumps(f"touch {path}", 2)[2:-1]
    return b"\x80\x02\x82\xf0" + command + b"\x85R."


def instantiated(path: Path) -> bytes:
    """By the oldest opcode that calls something."""
    return b"(S'touch " + os.fsencode(path) + b"'\nios\nsystem\n."


@pytest.mark.parametrize(
    "make",
    [
        lambda path: pickle.dumps(Hostile(path)),
        lambda path: pickle.dumps([{"k": (Hostile(path),)}]),
        lambda path: pickle.dumps(Stateful(path)),
        extended,
        instantiated,
    ],
)
def test_nothing_is_called(tmp_path: Path, make: Any) -> None:
    """What runs a command when it is opened is shown by its name; opened it does run it, which is the control."""
    copyreg.add_extension("os", "system", 0xF0)
    try:
        blob = make(tmp_path / "ran")
        text = value_text(unopened_pickle.read(blob), ROOM)
        assert "system" in text or "Setting" in text or "extension" in text
        assert not (tmp_path / "ran").exists()
        pickle.loads(blob)
        assert (tmp_path / "ran").exists()
    finally:
        copyreg.remove_extension("os", "system", 0xF0)
        copyreg.clear_extension_cache()


def test_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a pickle names may run code when it is imported."""
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    blob = b"\x80\x04\x8c\x04trap\x8c\x01x\x93."
    assert unopened_pickle.read(blob) == Name("trap", "x")
    assert not (tmp_path / "ran").exists()


DEEP = b"\x80\x04" + b"]" * 500_000 + b"a" * 499_999 + b"."
DEEP_KEY = b"\x80\x04}" + b")" + b"\x85" * 500_000 + b"K\x01s."


DEEP_PARTIAL = (
    b"\x80\x04\x8c\x09functools\x8c\x07partial\x93\x94" + b"h\x00" * 50_000 + b"K\x01" + b"\x85R" * 50_000 + b"."
)
DEEP_GETATTR = b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93" + b")" + b"\x85" * 500_000 + b")R\x8c\x01x\x86R."


def laughing(levels: int = 60) -> bytes:
    """A list of two times the same list, of two times the same list ..."""
    return (
        b"\x80\x04]"
        + b"".join(b"\x94](h" + bytes([level]) + b"h" + bytes([level]) + b"e" for level in range(levels))
        + b"."
    )


@pytest.mark.parametrize(
    "blob",
    [
        DEEP,
        DEEP_KEY,
        DEEP_PARTIAL,
        DEEP_GETATTR,
        laughing(),
        b"\x80\x04]\x94h\x00a.",  # a list in itself
        b"\x80\x04K\x01r\xff\xff\xff\x7f.",  # remembered in a place far away
        pickle.dumps(1 << 100_000),
        pickle.dumps({frozenset({(1, 2)}): {3}}),
    ],
)
def test_nothing_that_is_nested_large_or_endless_stops_it(blob: bytes) -> None:
    """It is shown in part: what the real one takes all memory or the whole stack for is read in one pass."""
    assert len(value_text(unopened_pickle.read(blob), ROOM)) <= ROOM + len("...")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"hello",
        b"\x80\x04.",
        b"\x80\x04K\x01",
        b"\x80\x04a.",
        b"\x80\x04u.",
        b"\x80\x04h\x07.",
        b"\x80\x04K\x01K\x02\x93.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00x.",  # bytes that would be a million megabytes
        b"\x80\x04\x8c\x05ab",
        b"I" + b"9" * 10_000 + b"\n.",
    ],
)
def test_what_is_no_pickle_is_a_value_error(blob: bytes) -> None:
    """And nothing else, however it is wrong."""
    with pytest.raises(ValueError, match="not a readable pickle"):
        unopened_pickle.read(blob)


def test_random_bytes_are_read_or_refused() -> None:
    """A pickle with some bytes changed gives a value that can be shown, or a ValueError."""
    dice = random.Random(7)
    whole = pickle.dumps(("call", [((1, "x", {2: [b"y"]}), {"k": Path("/a")}), {3, 4}, range(3)]), 5)
    read = 0
    for _ in range(3_000):
        blob = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            blob[dice.randrange(len(blob))] = dice.randrange(256)
        try:
            found = unopened_pickle.read(blob)
        except ValueError:
            continue
        read += 1
        assert len(value_text(found, ROOM)) <= ROOM + len("...")
    assert read > 100


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_as_they_are(protocol: int) -> None:
    """By every protocol there is."""
    value: list[Any] = [1, -5, 2**40, 2.5, None, True, "ü", (1, 2, 3, 4), [[]], "x" * 300]
    assert unopened_pickle.read(pickle.dumps(value, protocol)) == value


def test_the_rest_is_described() -> None:
    """Dicts and sets by their members, objects by what would be called."""
    found = unopened_pickle.read(pickle.dumps(({"a": 1}, {2}, frozenset([3]), Path("/x"), len), 5))
    mapping, members, frozen, path, function = found
    assert type(mapping) is Pairs
    assert mapping.pairs == [("a", 1)]
    assert type(members) is Members
    assert (members.kind, members.items, frozen.kind) == ("set", [2], "frozenset")
    assert type(path) is Made
    assert function == Name("builtins", "len")


def test_reading_may_stop_when_it_is_enough() -> None:
    """Of a chunk with a million jobs nobody looks at more than those that are shown."""
    blob = pickle.dumps(("item", list(range(100_000))), 5)
    form, items = unopened_pickle.read(blob, enough=10)
    assert form == "item"
    assert items[:10] == list(range(10))
    assert len(items) < 100_000
    assert unopened_pickle.read(blob, enough=100_000)[1] == list(range(100_000))
    assert unopened_pickle.read(pickle.dumps(("item", []), 5), enough=1) == ("item", [])
