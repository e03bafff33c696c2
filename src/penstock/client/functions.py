"""Functions as they travel: as they are at each submit, serialized again only where something may have changed."""

from __future__ import annotations

import linecache
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from penstock.client.argument_pickling import NO_NEEDS, ItemDumper, Needs, Pickled, quickly
from penstock.client.module_shipping import Shipper
from penstock.client.remembered_functions import CACHED_BYTES, NOWHERE, RememberedFunctions, trim, unwrapped
from penstock.client.version_check import Versions
from penstock.job import function_names, payload
from penstock.job.bundle import Bundle, InitializerCode
from penstock.job.main_module import SourceText, Travelling
from penstock.job.shipped_modules import PYTHON, Module
from penstock.job.stateless import is_importable, is_in_script, is_stateless
from penstock.job.wrappers import Initializer, Prepared, Surroundings
from penstock.wire.records import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from penstock.client.script_definitions import Script

DIGEST_BYTES = 16
ITEM_BYTES = 16 << 10
"""A function with a state of its own, or one of many of the same code, travels with each job's arguments if it is not
larger; else it is sent once for all jobs that are given one like it."""
MAX_PART_BYTES = MAX_FRAME_BYTES - (1 << 20)
"""A function or an argument can be this large: on the way to a worker it has to fit into a frame with others."""
TEXT_CHARS = 1 << 18
"""Characters of a source that is sent along for tracebacks."""
BY_VALUE = b"cloudpickle"
"""In every pickle that has code in it."""

Bytes = bytes | memoryview


class Function(NamedTuple):
    """A serialized function and its name on the wire. `bare` is its form without what is sent along, `call` the
    digest of that: by it a call is known again when only what is sent along has changed, or it is prepared anew."""

    code: bytes
    digest: bytes
    bare: Bundle | bytes
    call: bytes
    needs: Needs = Needs()
    is_code: bool = False
    """Whether it only runs where Python has the same minor version."""
    title: str = ""
    """What people call it."""

    @classmethod
    def of(cls, code: bytes, title: str = "") -> Function:
        """Of a form that needs nothing beside it."""
        return cls(code, _digest(code), code, _digest(code), title=title)


def _digest(code: bytes) -> bytes:
    return blake2b(code, digest_size=DIGEST_BYTES).digest()


class _Made(NamedTuple):
    """A function that was put together, and the parts that it was made of."""

    bare: Bundle
    script: Travelling
    modules: tuple[Module, ...]
    function: Function


NOTHING = Travelling()


class Functions:
    """Serializes functions and arguments for the jobs of one client. Without a `shipper` these run in this very process
    (inline), and nothing is sent along. `versions` warns of workers that cannot run what is sent."""

    def __init__(self, shipper: Shipper | None = None, versions: Versions | None = None) -> None:
        self._versions = versions
        self.shipper: Shipper = shipper or Shipper(ships=False)
        self._sends_along = shipper is not None
        self._script: Script | None = None
        self._remembered = RememberedFunctions()
        self._made: OrderedDict[tuple[int, Needs], _Made] = OrderedDict()

    # ------------------------------------------------------------------------------------------- functions

    def serialized(self, target: Callable[..., Any], serializer: str) -> Function:
        """The function as it travels now. Raises pickle.PicklingError; TypeError: it is not callable; ValueError: it,
        or what is sent along with it, is too large."""
        entry = self._remembered.find(target, serializer)
        if entry is not None:
            return self._looked_at(self._along(entry.bare, entry.needs, entry.title))
        function, initializer, surroundings = unwrapped(target)
        if not callable(function):
            raise TypeError(f"{target!r} is not callable")
        if serializer == "msgpack":
            return self._named(target)
        bare, needs = self._bare(function, initializer, surroundings)
        title = function_names.title(function)
        self._remembered.keep(target, serializer, bare, needs, title)
        return self._looked_at(self._along(bare, needs, title))

    def _named(self, target: Callable[..., Any]) -> Function:
        function, initializer, surroundings = unwrapped(target)
        made = Function.of(function_names.name_blob(target), function_names.title(function))
        if not isinstance(target, Prepared):
            return made
        unnamed = None if initializer is None else Initializer(b"", initializer.function, initializer.arguments)
        return made._replace(call=_digest(function_names.name_blob(Prepared(function, unnamed, surroundings))))

    def _bare(
        self, function: Callable[..., Any], initializer: Initializer | None, surroundings: Surroundings
    ) -> tuple[Bundle, Needs]:
        """The function without what is sent along, and what that is."""
        label = function_names.label(function)
        by_value = function if is_in_script(function) and not is_stateless(function) else None
        pickled = self._pickled(function, f"the function {label}", by_value)
        first, needs = None, pickled.needs
        if initializer is not None:
            what = f"the initializer {function_names.label(initializer.function)} or its arguments"
            code = self._pickled((initializer.function, initializer.arguments), what)
            first, needs = InitializerCode(initializer.key, code.data), needs.with_all(code.needs)
        return Bundle(pickled.data, initializer=first, surroundings=surroundings), needs

    def _looked_at(self, function: Function) -> Function:
        if self._versions is not None and function.is_code:
            self._versions.look()
        return function

    # ------------------------------------------------------------------------------------------- calls

    def call(
        self, target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], serializer: str
    ) -> tuple[Function, bytes]:
        """One call: a function and an item. Raises what `serialized` does, and PicklingError that names an argument."""
        if serializer == "msgpack":
            return self.serialized(target, serializer), payload.call_blob(args, kwargs, serializer)
        function, initializer, surroundings = unwrapped(target)
        if self._remembered.find(target, serializer) is None and self._travels_with_arguments(function):
            try:
                item = self._item((function, *args), kwargs, function)
            except pickle.PicklingError:
                self.serialized(target, serializer)  # if it is to blame, its error says so
                self._item(args, kwargs)
                raise
            if len(item.data) <= ITEM_BYTES:
                target = payload.call
                if initializer is not None or surroundings != NOWHERE:
                    target = Prepared(payload.call, initializer, surroundings)
                return self.with_needs(self.serialized(target, serializer), item.needs), item.data
        item = self._item(args, kwargs)
        return self.with_needs(self.serialized(target, serializer), item.needs), item.data

    def _travels_with_arguments(self, function: Any) -> bool:
        """Whether a single call brings its function along: it has a state, or there are many like it."""
        if is_importable(function) or (is_in_script(function) and is_stateless(function)):
            return False
        if type(function) is FunctionType and is_stateless(function):
            return self._remembered.is_one_of_many(function)
        return callable(function)

    def _item(self, args: Sequence[Any], kwargs: dict[str, Any], function: object = None) -> Pickled:
        if not is_in_script(function) and (data := quickly((tuple(args), kwargs))) is not None:
            modules = self.shipper.names_in(data)
            return Pickled(data, Needs(modules=modules) if modules else NO_NEEDS)
        dumper = ItemDumper(self.shipper, by_value=function if is_in_script(function) else None)
        return Pickled(payload.call_blob(args, kwargs, "pickle", dumper), dumper.needs)

    def with_needs(self, function: Function, needs: Needs) -> Function:
        """The function, with what its arguments need too."""
        if needs is NO_NEEDS or isinstance(function.bare, bytes) or function.needs.covers(needs):
            return function
        return self._along(function.bare, function.needs.with_all(needs), function.title)

    # ------------------------------------------------------------------------------------------- what is sent along

    def _along(self, bare: Bundle, needs: Needs, title: str) -> Function:
        """The function with all that it needs, as that is now."""
        if not self._sends_along:
            return _finished(bare, bare, needs, title)
        script = self.script.travelling(needs.names) if needs.names else NOTHING
        names = needs.modules | script.modules
        modules = self.shipper.modules(names) if names else ()
        key = (id(bare), needs)
        known = self._made.get(key)
        if known is not None and known.script is script and known.modules is modules:
            return known.function
        is_code = bool(script.definitions) or BY_VALUE in bare.code
        texts = self._texts(needs.files | script.files)
        bundle = Bundle(
            bare.code, PYTHON if is_code else "", modules, script.definitions, script.source, script.path, texts,
            bare.initializer, bare.surroundings,
        )  # fmt: skip
        made = _finished(bundle, bare, needs, title)
        if len(made.code) <= CACHED_BYTES:
            self._made[key] = _Made(bare, script, modules, made)
            trim(self._made)
        return made

    def _texts(self, files: frozenset[str]) -> tuple[SourceText, ...]:
        """The sources of files that workers may not have."""
        wanted = [path for path in sorted(files) if not (self.shipper.is_local and os.path.isfile(path))]
        texts = [SourceText(path, "".join(linecache.getlines(path))) for path in wanted]
        return tuple(one for one in texts if 0 < len(one.text) <= TEXT_CHARS)

    @property
    def script(self) -> Script:
        """What of the script is sent along."""
        if self._script is None:
            from penstock.client.script_definitions import Script  # noqa: PLC0415 - cloudpickle is slow to import

            self._script = Script(self.shipper)
        return self._script

    # ------------------------------------------------------------------------------------------- pickling

    def _pickled(self, value: object, what: str, by_value: object = None) -> Pickled:
        dumper = ItemDumper(self.shipper, by_value=by_value)
        try:
            return Pickled(dumper.dumps(value), dumper.needs)
        except Exception as error:
            raise pickle.PicklingError(f"{what} cannot be pickled: {str(error) or type(error).__name__}") from error


def _finished(bundle: Bundle, bare: Bundle, needs: Needs, title: str) -> Function:
    code = bundle.dumps()
    if len(code) > MAX_PART_BYTES:
        raise ValueError(f"the function: {too_large(code)}{_largest(bundle)}")
    call = _digest(bare.code)
    if bare.initializer is not None or bare.surroundings != NOWHERE:
        first = bare.initializer.code if bare.initializer is not None else b""
        call = _digest(bare.code + first + msgspec.msgpack.encode(bare.surroundings))
    return Function(code, _digest(code), bare, call, needs, bool(bundle.python), title)


def _largest(bundle: Bundle) -> str:
    """Which part of a function is too large."""
    if not bundle.definitions:
        return ""
    one = max(bundle.definitions, key=lambda one: len(one.blob))
    return f" ({' and '.join(map(repr, one.names))} of the script alone is {len(one.blob) >> 20} MB)"


def too_large(data: bytes) -> str:
    """What is wrong with more than MAX_PART_BYTES."""
    most = MAX_PART_BYTES >> 20
    return f"{len(data) >> 20} MB when serialized, at most {most} MB can be sent: pass a path or an address instead"
