"""Values pickled one by one, each as if alone, and what they need beside them where they are opened."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.client.module_shipping import Shipper
from penstock.job import payload
from penstock.job.stateless import ATOMS, are_plain, by_value_modules

if TYPE_CHECKING:
    from penstock.client.script_pickling import ScriptPickler


class Needs(NamedTuple):
    """What a pickle needs where it is opened: names of the script, own modules, and files that tracebacks may show."""

    names: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    def with_all(self, other: Needs) -> Needs:
        """The needs of two pickles together."""
        return Needs(self.names | other.names, self.modules | other.modules, self.files | other.files)

    def covers(self, other: Needs) -> bool:
        """Whether nothing else is needed."""
        return other.names <= self.names and other.modules <= self.modules


NO_NEEDS = Needs()


class Pickled(NamedTuple):
    """A pickle, and what it needs."""

    data: bytes
    needs: Needs


class ItemDumper:
    """Pickles values one by one, each as if alone, and notes what they need."""

    def __init__(self, shipper: Shipper, *, by_value: object = None) -> None:
        """`shipper` knows which modules are the user's own. `by_value`: a function that travels by value, whatever its
        name."""
        self._shipper = shipper
        self._available: Needs | None = None
        self._by_value = by_value
        self._is_named = by_value is not None
        """Whether the last values had something of the script in them: then the next ones have, too."""
        self._file = io.BytesIO()
        self._pickler: ScriptPickler | None = None
        self.needs: Needs = NO_NEEDS
        """What is needed by what was pickled so far."""

    def close(self, available: Needs) -> None:
        """From now on an item that needs more is an error: what the first ones need has been sent."""
        self._available = available
        self._pickler = None

    def dumps(self, value: object) -> bytes:
        """Pickle it. Raises PicklingError, TypeError, or whatever the value's own ``__reduce__`` raises."""
        return self.dumps_each([value])[0]

    def dumps_each(self, values: Sequence[object]) -> list[bytes]:
        """Pickle each by itself. Raises what `dumps` raises."""
        blobs = None if self._is_named or by_value_modules() else _each_quickly(values)
        if blobs is None:
            blobs = self._named(values)
        if self._available is None and (modules := self._shipper.names_in(b"".join(blobs))):
            self.needs = self.needs.with_all(Needs(modules=modules))
        return blobs

    def _named(self, values: Sequence[object]) -> list[bytes]:
        if self._pickler is None:
            from penstock.client.script_pickling import ScriptPickler  # noqa: PLC0415 - cloudpickle is slow to import

            available = None if self._available is None else self._available.names
            self._pickler = ScriptPickler(self._file, available, self._by_value)
        file, pickler, self._pickler = self._file, self._pickler, None  # one that failed is left in the middle
        file.seek(0)
        file.truncate()
        blobs = []
        for value in values:
            pickler.dump(value)
            pickler.clear_memo()
            blobs.append(file.getvalue())
            file.seek(0)
            file.truncate()
        self._pickler = pickler
        self._is_named = bool(pickler.needs or pickler.uses)
        names, modules = frozenset(pickler.needs | pickler.uses), self._shipper.own(pickler.imports)
        self.needs = self.needs.with_all(Needs(names, modules, frozenset(pickler.files)))
        return blobs


SETTLED = frozenset({list, tuple, range, str, bytes, dict, set, frozenset})
"""Inputs that are all there: drawing from them runs no code of anybody's, which could change what was drawn before."""


def as_drawn(items: Iterable[Any], form: str, dumper: ItemDumper) -> Iterator[Any]:
    """The items of an input, each serialized when it is drawn unless it is plain: its generator may still change
    it. Raises what the input raises; PicklingError that names the job and the argument."""
    for index, item in enumerate(items):
        is_plain = type(item) in ATOMS or are_plain((item,))
        yield item if is_plain else payload.alone(form, item, index, dumper)


def quickly(value: object) -> bytes | None:
    """Pickled, if nothing of the script is in it, nor of modules that are sent by value."""
    if by_value_modules():
        return None
    try:
        data = pickle.dumps(value, payload.PROTOCOL)
    except Exception:  # noqa: BLE001 - a value that pickle refuses is cloudpickle's
        return None
    return data if data.rfind(payload.MAIN) < 0 else None


def _each_quickly(values: Sequence[object]) -> list[bytes] | None:
    dumps, protocol = pickle.dumps, payload.PROTOCOL
    try:
        blobs = [dumps(value, protocol) for value in values]
    except Exception:  # noqa: BLE001 - likewise
        return None
    return None if any(payload.MAIN in blob for blob in blobs) else blobs
