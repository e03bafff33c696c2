"""A disk whose power can be cut and whose operations can fail, under real SQLite (a VFS of apsw).

It keeps apart what the system was told to write and what it has synced. A power cut leaves what was synced and any of
the sectors that were not, in any order; a sync that fails leaves the disk without what it should have written, though
whoever reads still sees it (that is what Linux does).
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
"""Bytes that a disk writes all or nothing of."""
FAULTS: dict[str, type[apsw.Error]] = {"EIO": apsw.IOError, "ENOSPC": apsw.FullError}


class Content:
    """A file: what is on the platter, and what was written since the last sync, in order: ``(offset, bytes)``, or
    ``(size, None)`` for a truncation."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.unsynced: list[tuple[int, bytes | None]] = []
        self.is_there = True

    def after(self, written: Sequence[tuple[int, bytes | None]]) -> bytearray:
        """What the platter has once these are on it."""
        found = bytearray(self.synced)
        for offset, data in written:
            if data is None:
                del found[offset:]
                continue
            found.extend(bytes(max(0, offset - len(found))))
            found[offset : offset + len(data)] = data
        return found

    def cut(self, chance: random.Random) -> bytearray:
        """What a power cut leaves."""
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        left: list[tuple[int, bytes | None]] = []
        for offset, data in self.unsynced:
            if data is None:
                left += [(offset, None)] if chance.random() < share else []
                continue
            sectors = [(offset + at, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)]
            left += [sector for sector in sectors if chance.random() < share]
        return self.after(left)


class Disk(apsw.VFS):
    """All files that SQLite opens while this is the default VFS.

    `look` is called after every write, truncation, sync and deletion. `fail` makes an operation fail: the n-th from now
    of those kinds.
    """

    def __init__(self) -> None:
        super().__init__("disk", "unix", makedefault=True)
        self.contents: dict[Path, Content] = {}
        self.look: Callable[[], None] = lambda: None
        self.done: Counter[str] = Counter()
        self._fault: tuple[str, frozenset[str], int, bool] | None = None

    # ------------------------------------------------------------------------------------------ faults

    def fail(self, error: str, kinds: str, at: int, *, lasting: bool = False) -> None:
        """EIO or ENOSPC at the operation of this number, from 1, of kinds like ``"write sync"``; `lasting`: at every
        one from there on."""
        self._fault = (error, frozenset(kinds.split()), at, lasting)

    def heal(self) -> bool:
        """No more faults; whether there was one."""
        left = self._fault
        self._fault = None
        return left is None or left[2] <= 0

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """What is done here neither fails nor counts, and nobody looks."""
        fault, self._fault = self._fault, None
        look, self.look = self.look, lambda: None
        yield
        self._fault, self.look = fault, look

    def begins(self, kind: str) -> None:
        """An operation: raises if it is to fail."""
        self.done[kind] += 1
        if self._fault is None or kind not in self._fault[1]:
            return
        error, kinds, at, lasting = self._fault
        self._fault = (error, kinds, at - 1, lasting)
        if at == 1 or (lasting and at < 1):
            raise FAULTS[error](f"a disk that fails: {error} at {kind}")

    def cut(self, folder: Path, target: Path, chance: random.Random) -> None:
        """What a power cut now would leave of a folder, in a new folder."""
        target.mkdir(mode=0o700)
        for path, content in self._files(folder):
            if not content.is_there and chance.random() < 0.5:
                continue
            left = content.cut(chance)
            if left or chance.random() < 0.5 or content.synced:
                (target / path.name).write_bytes(left)

    def kill(self, folder: Path, target: Path) -> None:
        """What a kill -9 now would leave of a folder, in a new folder: all that was written, synced or not."""
        target.mkdir(mode=0o700)
        for path, content in self._files(folder):
            if content.is_there:
                (target / path.name).write_bytes(path.read_bytes())
                self.contents[target / path.name] = copy.deepcopy(content)

    def sync_folder(self, folder: Path) -> None:
        """The folder's names are on the platter: what was deleted stays so."""
        for path, content in self._files(folder):
            if not content.is_there:
                del self.contents[path]

    def restore(self, source: Path, folder: Path) -> None:
        """The power is back: the folder has what `cut` left in `source`, and all of it is on the platter."""
        for path, _ in self._files(folder):
            path.unlink(missing_ok=True)
            del self.contents[path]
        for path in source.iterdir():
            path.replace(folder / path.name)

    def _files(self, folder: Path) -> list[tuple[Path, Content]]:
        return [(path, content) for path, content in self.contents.items() if path.parent == folder]

    # ------------------------------------------------------------------------------------------ the VFS

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        before = self.contents.get(path)
        if before is None or not before.is_there:
            self.contents[path] = content = Content()
            if path.exists():
                content.synced[:] = path.read_bytes()
        return DiskFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.begins("delete")
        super().xDelete(filename, syncdir)
        content = self.contents.get(Path(filename))
        if content is not None:  # else it was there before this disk was
            content.is_there = False
        if syncdir:
            self.contents.pop(Path(filename), None)
        self.look()


class DiskFile(apsw.VFSFile):
    """An open file of it."""

    def __init__(self, disk: Disk, path: Path, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._path = path

    @property
    def _content(self) -> Content:
        return self._disk.contents[self._path]

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.begins("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.begins("write")
        super().xWrite(data, offset)
        self._content.unsynced.append((offset, bytes(data)))
        self._disk.look()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.begins("truncate")
        super().xTruncate(newsize)
        self._content.unsynced.append((newsize, None))
        self._disk.look()

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802
        content = self._content
        written, content.unsynced = content.unsynced, []
        self._disk.begins("sync")
        content.synced = content.after(written)
        self._disk.look()
