"""Large arrays among arguments: what jobs find of them, and which files there are."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.adapters.mapped_arrays import Arrays

Calls = list[tuple[Any, Any, Any]]


def loaded(calls: Calls) -> Calls:
    """As a slot has them."""
    found: Calls = pickle.loads(pickle.dumps(calls))
    return found


def files(folder: Path) -> list[str]:
    """By name."""
    return sorted(path.name for path in folder.glob("*/*"))


@pytest.fixture
def arrays(tmp_path: Path) -> Arrays:
    """Of arrays above a hundred bytes."""
    return Arrays(str(tmp_path), 100, "r")


KINDS: list[Any] = [
    np.arange(100.0),
    np.arange(100.0).reshape(20, 5),
    np.asfortranarray(np.arange(100.0).reshape(20, 5)),
    np.arange(100, dtype=">i4"),
    np.zeros(30, dtype=[("a", "i4"), ("b", "f8")]),
    np.arange("2026-01-01", "2026-03-01", dtype="datetime64[D]"),
    np.arange(200.0)[50:150],
]


@pytest.mark.parametrize("array", KINDS, ids=lambda array: f"{array.dtype}{array.shape}{array.flags.f_contiguous}")
def test_an_array_is_found_as_it_was(array: Any, arrays: Arrays, tmp_path: Path) -> None:
    """As plain, in its order and type; from its file."""
    calls, used = arrays.mapped([(len, (array,), {"key": array})])
    [(_, (found,), kwargs)] = loaded(calls)
    assert (type(found), found.dtype, found.strides) == (np.ndarray, array.dtype, array.strides)
    np.testing.assert_array_equal(found, array)
    assert kwargs["key"] is found
    assert (len(used), files(tmp_path)) == (1, ["0"])


@pytest.mark.parametrize(
    "value",
    [
        np.arange(5.0),
        np.arange(200.0)[::2],
        np.array([object()] * 100),
        [np.arange(99.0)],
        "text",
        np.ma.masked_array(np.zeros(99)),
    ],
)
def test_all_else_travels_as_it_is(value: Any, arrays: Arrays, tmp_path: Path) -> None:
    """Small ones, scattered ones, objects, and what only holds an array."""
    calls, used = arrays.mapped([(len, (value,), {})])
    assert calls[0][1][0] is value
    assert (used, files(tmp_path)) == ([], [])


def test_who_writes_into_it_writes_into_its_own(arrays: Arrays) -> None:
    """Neither another job nor the file sees it."""
    array = np.zeros(100)
    calls, _ = arrays.mapped([(len, (array,), {})])
    first = loaded(calls)[0][1][0]
    first[:] = 7.0
    np.testing.assert_array_equal(loaded(calls)[0][1][0], array)


def test_an_array_that_changed_is_written_again(arrays: Arrays, tmp_path: Path) -> None:
    """A call that was dispatched before finds what there was; equal ones share a file, also with what is no number."""
    array = np.full(100, np.nan)
    before, used = arrays.mapped([(len, (array,), {})])
    again, used_again = arrays.mapped([(len, (array,), {})])
    assert used == used_again
    array[:] = 1.0
    after, _ = arrays.mapped([(len, (array,), {})])
    assert [float(loaded(calls)[0][1][0][0]) for calls in (after,)] == [1.0]
    assert all(np.isnan(loaded(calls)[0][1][0]).all() for calls in (before, again))
    assert files(tmp_path) == ["0", "1"]
    arrays.release(used + used_again)
    arrays.mapped([])
    assert files(tmp_path) == ["1"]


def test_a_file_goes_when_nobody_needs_it(arrays: Arrays, tmp_path: Path) -> None:
    """Its array is gone, and the jobs that were given it have ended; in the end all go."""
    _, used = arrays.mapped([(len, (np.zeros(100),), {})])
    arrays.mapped([])
    assert files(tmp_path) == ["0"], "a job needs it"
    arrays.release(used)
    kept = np.ones(100)
    arrays.mapped([(len, (kept,), {})])
    assert files(tmp_path) == ["1"]
    arrays.close()
    assert not list(tmp_path.iterdir())


def test_a_mode_that_shares_is_meant(tmp_path: Path) -> None:
    """All who are given the array write into the one file."""
    arrays = Arrays(str(tmp_path), 100, "w+")
    array = np.zeros(100)
    first, second = (loaded(arrays.mapped([(len, (array,), {})])[0])[0][1][0] for _ in range(2))
    first[0] = 5.0
    assert (second[0], type(second)) == (5.0, np.memmap)
    assert loaded(arrays.mapped([(len, (array,), {})])[0])[0][1][0][0] == 5.0


def test_a_file_of_the_users_is_where_it_is(arrays: Arrays, tmp_path: Path) -> None:
    """What is written into it, or a part of it, is written there; a private copy of it is no such file."""
    own = np.memmap(tmp_path / "own", float, "w+", shape=(100,))
    [(_, (found, part), _)] = loaded(arrays.mapped([(len, (own, own[10:20]), {})])[0])
    found[0], part[0] = 3.0, 4.0
    assert (own[0], own[10]) == (3.0, 4.0)
    private = np.memmap(tmp_path / "own", float, "c", shape=(100,))
    private[0] = 9.0
    assert loaded(arrays.mapped([(len, (private,), {})])[0])[0][1][0][0] == 9.0
    assert own[0] == 3.0
