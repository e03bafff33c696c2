"""Large arrays among joblib's arguments, for slots of this machine: each is written once, and mapped by the jobs.

Promises:

1. A job sees what the array held when its call was dispatched: one that was written to since gets another file. What
   a job writes into it nobody else sees, unless the mode of joblib's that shares it was asked for.
2. An array that lies in a file of the user's own (numpy.memmap) stays there: what a job writes is written there.
3. A file is removed when its array and all jobs that were given it have ended, and with the call that made it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

SHARING = {"r+": "r+", "w+": "r+"}
"""Modes in which jobs see what others write: the user has asked for that. To truncate the file is not meant."""


class Mapped:
    """Stands in a pickle where the array was; what loads it finds that array again."""

    def __init__(self, how: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        self._how = how

    def __reduce__(self) -> Any:
        return self._how


def mapped(path: str, dtype: Any, mode: str, shape: tuple[int, ...], order: str) -> Any:
    """The array in a file, in a slot. One of its own is as plain as it was; a shared one can be told by its type."""
    import numpy as np  # noqa: PLC0415 - only who is given arrays has it

    array = np.memmap(path, dtype, mode, 0, shape, order)  # type: ignore[call-overload]  # a name of one of the modes
    return array if mode in SHARING else array.view(np.ndarray)


class File:
    """A file with one array, for as long as a job needs it."""

    def __init__(self, path: str, array: Any, stand_in: Mapped) -> None:
        self.path = path
        self.array: weakref.ReferenceType[Any] = weakref.ref(array)
        self.stand_in = stand_in
        self.users = 0
        """Batches under way that were given it."""


class Arrays:
    """The large arrays among the arguments of one call of joblib.Parallel, and their files."""

    def __init__(self, root: str, max_bytes: int | None, mode: str) -> None:
        """Files are in a folder of their own in `root`, made when there is one; of arrays larger than `max_bytes`.
        None: all travel with the arguments."""
        self._root = root
        self._max_bytes = max_bytes
        self._mode = SHARING.get(mode, "c")
        self._folder = ""
        self._remove: Callable[[], object] = lambda: None
        self._numbers = count()
        self._counting = threading.Lock()
        self._files: dict[int, File] = {}
        self._replaced: list[File] = []

    def mapped(self, calls: Iterable[tuple[Any, Any, Any]]) -> tuple[list[tuple[Any, Any, Any]], list[File]]:
        """The calls with stand-ins among their arguments, and the files of these, which are in use until `release`."""
        np = sys.modules.get("numpy")
        calls = list(calls)
        if np is None or self._max_bytes is None:
            return calls, []
        self._sweep()
        used: dict[int, File] = {}
        found = [
            (
                function,
                tuple(self._stand_in(np, value, used) for value in args),
                {name: self._stand_in(np, value, used) for name, value in kwargs.items()},
            )
            for function, args, kwargs in calls
        ]
        with self._counting:
            for file in used.values():
                file.users += 1
        return found, list(used.values())

    def release(self, files: list[File]) -> None:
        """The batch that these files were made for has ended; any thread may call this."""
        with self._counting:
            for file in files:
                file.users -= 1

    def close(self) -> None:
        """Remove all files: no job needs them any more."""
        self._remove()

    def _stand_in(self, np: Any, value: Any, used: dict[int, File]) -> Any:
        if type(value) not in (np.ndarray, np.memmap):
            return value
        if (how := _in_its_file(np, value)) is not None:
            return Mapped(how)
        flags = value.flags
        if value.nbytes <= self._max_bytes or value.dtype.hasobject or not (flags.c_contiguous or flags.f_contiguous):
            return value
        if id(value) not in used:
            used[id(value)] = self._file(np, value)
        return used[id(value)].stand_in

    def _file(self, np: Any, array: Any) -> File:
        order = "C" if array.flags.c_contiguous else "F"
        data = array.reshape(-1, order=order).view(np.uint8)
        file = self._files.get(id(array))
        if file is not None:
            if file.array() is array and self._still_holds(np, file, data):
                return file
            self._replaced.append(file)
        path = os.path.join(self._made_folder(), f"{next(self._numbers)}")
        data.tofile(path)
        how = mapped, (path, array.dtype, self._mode, array.shape, order)
        file = self._files[id(array)] = File(path, array, Mapped(how))
        return file

    def _still_holds(self, np: Any, file: File, data: Any) -> bool:
        """Whether the array is what it was when it was written; a shared one is what is in its file."""
        return self._mode in SHARING or np.array_equal(np.memmap(file.path, np.uint8, "r"), data)

    def _made_folder(self) -> str:
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="penstock-arrays-", dir=self._root)
            self._remove = weakref.finalize(self, _remove, self._folder, os.getpid())
        return self._folder

    def _sweep(self) -> None:
        """Remove files of which nobody needs the array any more."""
        self._replaced += [self._files.pop(key) for key, file in list(self._files.items()) if file.array() is None]
        for file in [file for file in self._replaced if not file.users]:
            self._replaced.remove(file)
            os.unlink(file.path)


def _in_its_file(np: Any, array: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """How an array is found again that lies in a file of the user's; None: it does not, or not all of it does."""
    from joblib._memmapping_reducer import _get_backing_memmap, _reduce_memmap_backed  # noqa: PLC0415 - numpy is here

    backing = _get_backing_memmap(array)
    if not isinstance(backing, np.memmap) or backing.mode == "c" or not os.path.exists(backing.filename or ""):
        return None
    return _reduce_memmap_backed(array, backing)  # type: ignore[no-any-return]  # joblib has no types


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
