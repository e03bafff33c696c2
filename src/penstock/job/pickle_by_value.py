"""What is pickled by value: by cloudpickle, with what that does not know yet of newer Pythons.

1. On Python 3.14 annotations are made when somebody asks for them. A class keeps its own. Where one names what is not
   there (it was imported under TYPE_CHECKING), all of that function or class travel as text; what stands for a name
   until it is there has the whole module with it, and travels without.
2. On Python 3.15 a global may be an import that was not needed yet. It is made when a function that uses it is pickled,
   as if the function were called.
"""

from __future__ import annotations

import sys
import types
from functools import partial
from types import FunctionType
from typing import Any, ForwardRef

import cloudpickle

from penstock.job.stateless import all_code

LAZY: Any = getattr(types, "LazyImportType", ())
"""What a global is until it is used, if it was imported lazily."""


class ValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Raises what cloudpickle raises, and what a lazy import raises."""

    def reducer_override(self, obj: Any) -> Any:
        """What makes a function or a class again; NotImplemented: its name does."""
        if isinstance(obj, FunctionType):
            return self._function(obj)
        if isinstance(obj, type):
            return self._class(obj)
        return _forward(obj) if isinstance(obj, ForwardRef) else NotImplemented

    def _function(self, function: FunctionType) -> Any:
        try:
            reduced = super().reducer_override(function)
        except Exception:  # noqa: BLE001 - what makes an annotation may raise anything
            function = _with_annotations(function)
            reduced = super().reducer_override(function)
        if reduced is not NotImplemented and _import_lazy(function):
            reduced = super().reducer_override(function)
        return reduced

    def _class(self, class_: type) -> Any:
        reduced = super().reducer_override(class_)
        if "__annotate_func__" in vars(class_) and reduced is not NotImplemented:
            _, _, (attributes, _), *_ = reduced
            attributes["__annotations__"] = _annotations(class_)
        return reduced


def _forward(name: ForwardRef) -> Any:
    made = partial(
        ForwardRef, name.__forward_arg__, is_argument=name.__forward_is_argument__, module=name.__forward_module__,
        is_class=name.__forward_is_class__,
    )  # fmt: skip
    return made, ()


def _annotations(owner: FunctionType | type) -> dict[str, Any]:
    try:
        return dict(owner.__annotations__)
    except Exception:
        if sys.version_info >= (3, 14):
            from annotationlib import Format, get_annotations  # noqa: PLC0415 - there is none in an older Python

            return get_annotations(owner, format=Format.STRING)
        raise


def _with_annotations(function: FunctionType) -> FunctionType:
    """A copy of the function that has its annotations made."""
    code, known, name = function.__code__, function.__globals__, function.__name__
    copy = FunctionType(code, known, name, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__, copy.__module__, copy.__doc__ = function.__qualname__, function.__module__, function.__doc__
    copy.__dict__.update(function.__dict__)
    copy.__annotations__ = _annotations(function)
    return copy


def _import_lazy(function: FunctionType) -> bool:
    """Make the imports that stand behind the globals that a function uses; whether there were any."""
    known = function.__globals__
    names = {name for code in all_code(function.__code__) for name in code.co_names}
    lazy = [name for name in names if isinstance(known.get(name), LAZY)]
    for name in lazy:
        known[name] = known[name].resolve()
    return bool(lazy)
