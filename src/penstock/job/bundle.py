"""A function with all that it needs beside it, as it travels; and as a process has it that runs its jobs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from penstock.job import current_job, function_names, main_module, payload, shipped_modules
from penstock.job.main_module import Definition, ScriptSource, SourceText
from penstock.job.shipped_modules import Module
from penstock.job.stateless import is_stateless
from penstock.job.wrappers import Placed, Surroundings, run_initializer

Bytes = bytes | bytearray | memoryview


class InitializerCode(msgspec.Struct, frozen=True, array_like=True):
    """What runs once in a process for each `key`: a pickle of the function and its arguments."""

    key: bytes
    code: bytes


class Bundle(msgspec.Struct, frozen=True, omit_defaults=True):
    """`code` is the pickled function; `python` the version that it needs, if it needs one."""

    code: bytes
    python: str = ""
    modules: tuple[Module, ...] = ()
    definitions: tuple[Definition, ...] = ()
    source: ScriptSource | None = None
    path: str = ""
    """Of the script, where its client has it."""
    texts: tuple[SourceText, ...] = ()
    initializer: InitializerCode | None = None
    surroundings: Surroundings = Surroundings()

    def __reduce__(self) -> Any:
        return unbundled, (msgspec.msgpack.encode(self),)

    def dumps(self) -> bytes:
        """As it travels: what needs nothing beside it is just its pickle."""
        return self.code if self == Bundle(self.code) else pickle.dumps(self, payload.PROTOCOL)

    def enter(self) -> None:
        """Have all that the function needs in this process. Raises Stale: this one cannot; RuntimeError: no process
        here can; and whatever loading it raises."""
        shipped_modules.ensure_python(self.python)
        shipped_modules.enter(self.modules)
        if self.definitions or self.source or self.texts:
            main_module.enter(self.definitions, self.source, self.texts, self.path, shipped_modules.folder())
        if self.initializer is not None:
            run_initializer(self.initializer.key, partial(payload.loads, self.initializer.code), self.surroundings)


def unbundled(data: bytes) -> Bundle:
    """The Bundle of a pickle."""
    return msgspec.msgpack.decode(data, type=Bundle)


class LoadedFunction:
    """A function of a batch in the process that runs its jobs: loaded once if jobs can share it unseen, else anew for
    each of them."""

    def __init__(self, blob: Bytes, serializer: str) -> None:
        """Raises whatever loading it raises, and script.Stale."""
        self._serializer = serializer
        self._bundle: Bundle | None = None
        with current_job.loading(now=True):
            self._function = (
                function_names.load_named(blob) if serializer == "msgpack" else self._loaded(payload.loads(blob))
            )
        self.is_shared: bool = serializer == "msgpack" or is_stateless(self._function)
        """Whether all jobs are given the same one."""
        self._blob = b"" if self.is_shared else bytes(blob)

    def _loaded(self, found: Any) -> Callable[..., Any]:
        if not isinstance(found, Bundle):
            return function_names.ensure_callable(found)
        found.enter()
        self._bundle = found
        return self._from_bundle(found)

    @staticmethod
    def _from_bundle(bundle: Bundle) -> Callable[..., Any]:
        function = function_names.ensure_callable(payload.loads_for_job(bundle.code))
        return function if bundle.surroundings == Surroundings() else Placed(function, bundle.surroundings)

    @property
    def function(self) -> Callable[..., Any]:
        """As it was loaded first."""
        return self._function

    def runner(self, form: str) -> Callable[[Any], Any]:
        """A callable that runs one job from its item of this form."""
        if self.is_shared:
            return payload.adapted(self._function, form, self._serializer)

        def run_anew(item: Any) -> Any:
            return payload.adapted(self._fresh(), form, self._serializer)(item)

        return run_anew

    def _fresh(self) -> Callable[..., Any]:
        if self._bundle is not None:
            return self._from_bundle(self._bundle)
        return function_names.ensure_callable(payload.loads_for_job(self._blob))
