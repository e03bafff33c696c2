"""The script of a client (``__main__``) as its slots have it: a module of that name with what its functions use.

What a script defines travels as *definitions*: some of its names with their values, made by the client
(client/script_definitions.py) and put into this process's ``__main__`` once. Everything else, arguments and results
included, names them there, so a class is one class, a global has one state in a process, and `pickle` and pools work
inside of a job as they do in a script. Where something cannot travel as a definition, the slot runs the script's source
as a module, as the start method ``spawn`` of multiprocessing does. Promises:

1. A process has one version of each name. One that has another one already is `Stale`: it is replaced.
2. What a definition holds beside other definitions is its own.
"""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from penstock.job import current_job

MAIN = "__main__"
SPAWNED = "__mp_main__"
"""The name of the script where it is run as a module: what its ``if __name__ == "__main__"`` guards is not."""


class Stale(Exception):  # noqa: N818 - a state of this process, never shown to anybody
    """This process holds another version of what a function needs: it has to be replaced."""


class ScriptModule(ModuleType):
    """``__main__`` in a slot. Its functions read the client's ``__file__`` in their globals; who asks the module itself
    is multiprocessing, for what a new process is to run to have the same: that is `RESTORER`, with the path of
    what was kept for it."""

    kept = ""
    """The folder that has `RESTORER` and the definitions."""

    @property
    def __file__(self) -> str:  # type: ignore[override]  # a module's own is no property
        if not self.kept:
            raise AttributeError("__file__")
        return os.path.join(self.kept, RESTORER)


RESTORER = "restore_main.py"
"""Fills the ``__main__`` of a process that a job starts by spawn or forkserver."""
RESTORING = "from penstock.job.main_module import restored\nglobals().update(restored(__file__))\n"
KEPT = "definitions"


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """Names of a script, pickled together as a dictionary: those that cannot be without each other."""

    names: tuple[str, ...]
    digest: bytes
    blob: bytes


class ScriptSource(msgspec.Struct, frozen=True, array_like=True):
    """A script to be run as a module: its file, the package it belongs to, its text."""

    path: str
    package: str
    text: str


class SourceText(msgspec.Struct, frozen=True, array_like=True):
    """What tracebacks show of a file, or of a cell of a notebook, that may not be here."""

    path: str
    text: str


class Travelling(NamedTuple):
    """What goes along of a script: definitions in the order in which they can be opened, or its source; the user's own
    modules that these need, and the files that they are from."""

    definitions: tuple[Definition, ...] = ()
    source: ScriptSource | None = None
    modules: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    path: str = ""
    """Of the script."""


class _Here:
    """What this process has of a script."""

    digests: dict[str, bytes] = {}  # noqa: RUF012 - the process has one
    entered: list[Definition] = []  # noqa: RUF012
    source: ScriptSource | None = None
    module: ModuleType | None = None


def enter(
    definitions: Iterable[Definition],
    source: ScriptSource | None,
    texts: Iterable[SourceText],
    path: str = "",
    folder: str = "",
) -> None:
    """Have these in ``__main__``. `path` is the script's own, `folder` one for what processes that jobs start are to
    find. Raises Stale; and whatever loading them raises."""
    missing = [one for one in definitions if not _has(one)]
    if source is not None and source != _Here.source and (_Here.digests or _Here.source):
        raise Stale
    if source is None and missing and _Here.source is not None:
        raise Stale
    for text in texts:
        lines = text.text.splitlines(keepends=True)
        linecache.cache.setdefault(text.path, (len(text.text), None, lines, text.path))
    if source is not None and _Here.source is None:
        _run(source)
    if missing and path:
        namespace()["__file__"] = path
    for one in missing:
        namespace().update(pickle.loads(one.blob))  # noqa: S301 - whoever opens pickles opened those around it
        _Here.digests.update(dict.fromkeys(one.names, one.digest))
    if missing and folder:
        with contextlib.suppress(OSError):  # the disk is full: only processes that jobs start will miss it
            _keep(missing, folder)


def _keep(definitions: list[Definition], folder: str) -> None:
    """For processes that jobs start."""
    _Here.entered += definitions
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name, content in (KEPT, msgspec.msgpack.encode(_Here.entered)), (RESTORER, RESTORING.encode()):
        with open(os.path.join(folder, f"{name}.new"), "wb") as file:
            file.write(content)
        os.replace(file.name, os.path.join(folder, name))
    module = _Here.module
    if isinstance(module, ScriptModule):
        module.kept = folder


def restored(path: str) -> dict[str, Any]:
    """What ``__main__`` is to have in a process that a job has started; `path` is that of its restorer."""
    with open(os.path.join(os.path.dirname(path), KEPT), "rb") as file:
        definitions = msgspec.msgpack.decode(file.read(), type=list[Definition])
    _module(MAIN)
    enter(definitions, None, ())
    return {name: value for name, value in namespace().items() if not name.startswith("__")}


def _has(one: Definition) -> bool:
    known = {_Here.digests.get(name) for name in one.names}
    if known == {one.digest}:
        return True
    if known != {None}:
        raise Stale
    return False


def _run(source: ScriptSource) -> None:
    module = _module(SPAWNED)
    module.__file__ = source.path
    module.__package__ = source.package
    _Here.source = source
    code = compile(source.text, source.path, "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102 - the user's script, as `import` runs a module


def namespace() -> dict[str, Any]:
    """The globals of the script's functions in this process."""
    if _Here.module is None and not current_job.in_slot():
        return vars(sys.modules[MAIN])  # of a client that runs its jobs itself
    return vars(_Here.module or _module(MAIN))


def _module(name: str) -> ModuleType:
    module = _Here.module = (ScriptModule if name == MAIN else ModuleType)(name)
    sys.modules[MAIN] = module
    sys.modules[SPAWNED] = module
    return module


def has_name(name: str) -> bool:
    """Whether the client's script has this name too, so that what it stands for travels back by name."""
    if not current_job.in_slot():
        return True
    return name in _Here.digests or (_Here.source is not None and name in namespace())


class Namespace(dict[str, Any]):
    """Stands in a pickle for the globals of the script, wherever it is opened."""

    def __reduce__(self) -> Any:
        return namespace, ()


# --------------------------------------------------------------------------------- what definitions are rebuilt with


def rebuild_class(make: Callable[..., type], *args: Any) -> type:
    """A class without its content. The hooks of its bases do not run: what they did is in the state that follows."""
    bases = next(one for one in args if isinstance(one, tuple))
    with _without_hooks(bases):
        return make(*args)


@contextlib.contextmanager
def _without_hooks(bases: tuple[Any, ...]) -> Iterator[None]:
    family = dict.fromkeys(one for base in bases for one in getattr(base, "__mro__", ()))
    hooks = {one: vars(one)["__init_subclass__"] for one in family if _is_hooked(one)}
    for one in hooks:
        one.__init_subclass__ = classmethod(_nothing)
    try:
        yield
    finally:
        for one, hook in hooks.items():
            one.__init_subclass__ = hook


def _is_hooked(one: type) -> bool:
    return one.__module__ == MAIN and "__init_subclass__" in vars(one)


def _nothing(cls: type, /, **_: Any) -> None:
    """In place of a hook."""


def rebuild_lru_cache(function: Callable[..., Any], parameters: Mapping[str, Any], attributes: dict[str, Any]) -> Any:
    """A cached function with an empty cache."""
    cached = functools.lru_cache(**parameters)(function)
    vars(cached).update(attributes)
    return cached


def rebuild_singledispatch(function: Callable[..., Any], registry: dict[type, Callable[..., Any]]) -> Any:
    """A generic function with its implementations."""
    generic = functools.singledispatch(function)
    for kind, implementation in registry.items():
        if kind is not object:
            generic.register(kind, implementation)
    return generic


def rebuild_type_name(kind: type, name: str, *content: Any) -> Any:
    """A name for annotations. It is of the module whose globals it is made with."""
    known = {"__name__": MAIN, "kind": kind, "name": name, "content": content}
    return eval("kind(name, *content)", known)  # noqa: S307 - of what is written here


def rebuild_context_variable(name: str, default: tuple[Any, ...]) -> ContextVar[Any]:
    """A context variable that nobody has set."""
    return ContextVar(name, default=default[0]) if default else ContextVar(name)


def rebuild_from_bases(name: str, bases: tuple[type, ...], content: dict[str, Any]) -> type:
    """A class that is made whole, as its statement does it."""
    return types.new_class(name, bases, {}, lambda namespace: namespace.update(content))


class Factory(NamedTuple):
    """Makes the default of a field."""

    make: Callable[[], Any]


def rebuild_struct(name: str, bases: tuple[type, ...], fields: list[Any], config: dict[str, Any], rest: Any) -> type:
    """A msgspec.Struct with its methods."""
    made = [_field(*one) for one in fields]
    return msgspec.defstruct(name, made, bases=bases, namespace=rest, module=MAIN, **config)


def _field(name: str, kind: Any, *default: Any) -> Any:
    if default and type(default[0]) is Factory:
        return name, kind, msgspec.field(default_factory=default[0].make)
    return (name, kind, *default)


def fresh(kind: str) -> Any:
    """A new one, as the script's own statement would make it."""
    return FRESH[kind]()


FRESH: dict[str, Callable[[], Any]] = {
    "lock": threading.Lock,
    "rlock": threading.RLock,
    "local": threading.local,
    "weak values": weakref.WeakValueDictionary,
    "weak keys": weakref.WeakKeyDictionary,
}
"""Of these a definition has an empty one."""
