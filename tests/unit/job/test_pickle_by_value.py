"""What travels by value where annotations and imports are made late."""

from __future__ import annotations

import io
import pickle
import sys
import weakref
from threading import Lock
from typing import Any

import pytest
from cloudpickle import cloudpickle

from penstock.job.pickle_by_value import ValuePickler

late_annotations = pytest.mark.skipif(sys.version_info < (3, 14), reason="such a definition is a NameError here")
lazy_imports = pytest.mark.skipif(sys.version_info < (3, 15), reason="no lazy imports here")


def script(text: str, **there: Any) -> dict[str, Any]:
    """The globals of a script that has run, with what was there before."""
    known = {"__name__": "a_script", **there}
    exec(compile(text, "a_script.py", "exec", dont_inherit=True), known)
    return known


def pickled(value: object) -> bytes:
    """The value as it travels."""
    file = io.BytesIO()
    ValuePickler(file, 5).dump(value)
    return file.getvalue()


def sent(value: object, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The value as another process makes it: one that knows no classes yet."""
    data = pickled(value)
    monkeypatch.setattr(cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", weakref.WeakValueDictionary())
    return pickle.loads(data)


def test_a_class_keeps_its_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own, as values; one without any has none, also if it inherits."""
    known = script("class Point:\n    x: int\n    y: 'Point'\nclass Dot(Point):\n    z = 1")
    point, dot = sent((known["Point"], known["Dot"]), monkeypatch)
    assert dot.__base__ is point is not known["Point"]
    assert (point.__annotations__, dot.__annotations__) == ({"x": int, "y": "Point"}, {})


@late_annotations
@pytest.mark.parametrize("missing", ["Missing", "sys.Missing"])
def test_annotations_of_what_is_not_there_are_text(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a function, which is else as it was, and of a class."""
    text = f"""
import sys
def outer():
    cell = 100
    def function(x: {missing}, y: int = 10, *, z=1000) -> None:
        "Adds."
        return x + y + z + cell
    function.mark = 1
    return function
class Point:
    x: {missing}
    y: int
"""
    known = script(text)
    function, point = sent((known["outer"](), known["Point"]), monkeypatch)
    assert function(1) == 1111
    assert (function.__name__, function.__doc__, function.mark) == ("function", "Adds.", 1)
    assert function.__annotations__ == {"x": missing, "y": "int", "return": "None"}
    assert point.__annotations__ == {"x": missing, "y": "int"}


@late_annotations
def test_what_stands_for_a_missing_name_travels_without_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataclass keeps it for each field, with all globals: one that cannot be pickled must not matter."""
    text = "from dataclasses import *\n@dataclass\nclass Point:\n    x: Missing\n    y: int = 2"
    known = script(text, lock=Lock())
    point = sent(known["Point"](1), monkeypatch)
    assert (point.x, point.y) == (1, 2)
    missing, integer = (field.type for field in known["fields"](point))
    assert (missing.__forward_arg__, integer) == ("Missing", int)


def test_a_function_that_cannot_travel_says_why() -> None:
    """The second try with its annotations as text hides nothing."""
    known = script("def function(x: int): return lock", lock=Lock())
    with pytest.raises(TypeError, match="lock"):
        pickled(known["function"])


@lazy_imports
def test_a_lazy_import_is_made_when_a_function_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module, one in a package and a name; what this function does not use stays what it is."""
    text = """
lazy import wave, not_there
lazy import xml.dom.minidom
lazy from fractions import Fraction as F
def function():
    return wave.Error, (lambda: xml.dom.minidom.parseString("<a/>").documentElement.tagName)(), F(1, 2)
def other():
    return not_there
"""
    for name in ("wave", "xml.dom.minidom"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    known = script(text)
    assert "wave" not in sys.modules
    error, tag, half = sent(known["function"], monkeypatch)()
    assert (error.__module__, tag, float(half)) == ("wave", "a", 0.5)
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        pickled(known["other"])
