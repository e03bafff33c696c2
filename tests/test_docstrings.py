"""Public docstrings tell a user what a call needs: its arguments, what it raises, what the fields of a record hold."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock
import penstock.joblib
from penstock.adapters.finished_queue import Finished
from penstock.adapters.pool import AsyncResult, IMapIterator
from penstock.adapters.queues import Dispatched
from penstock.client.futures import JobFuture
from penstock.client.options import CallOptions
from penstock.client.submitter import Submitter
from penstock.job.current_job import CurrentJob

WORDS = 4
"""Fewer say no more than the name."""
RESULT = re.compile(r"(A|An|The|All|How|Whether|What|One|Two|False)\b|.*\breturn(s|ed)?\b", re.DOTALL | re.IGNORECASE)
"""How a docstring says what is returned: it begins with that, or has the word."""


def public() -> list[Any]:
    """What users import, and the classes of what they get back."""
    named = [getattr(penstock, name) for name in penstock.__all__ if name != "errors"]
    others = [
        value
        for module in (penstock.errors, penstock.joblib)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    ]
    return [*named, *others, Finished, AsyncResult, IMapIterator, Dispatched, JobFuture, Submitter, CurrentJob]


CLASSES = [one for one in public() if inspect.isclass(one)]
RECORDS = [one for one in CLASSES if issubclass(one, msgspec.Struct)]


def own_members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public ones that a class of penstock defines itself."""
    for name, value in vars(kind).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield f"{kind.__name__}.{name}", value


def documented() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Every public function and method, with what documents it: a constructor by the docstring of its class, too."""
    for one in public():
        if not inspect.isclass(one):
            yield one.__name__, one.__doc__ or "", inspect.unwrap(one)
            continue
        if "__init__" in vars(one) and one not in RECORDS:
            make = vars(one)["__init__"]
            yield one.__name__, f"{one.__doc__} {make.__doc__}", make
        for name, value in own_members(one):
            function = value.fget if isinstance(value, property) else value
            assert function is not None
            yield name, function.__doc__ or "", function


CALLS = [pytest.param(text, function, id=name) for name, text, function in documented()]


def raised(function: Callable[..., Any]) -> set[str]:
    """The names of the exceptions that its body raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    kinds = [error.func if isinstance(error, ast.Call) else error for error in found]
    names = {kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "") for kind in kinds}
    return {name for name in names if name[:1].isupper()}


@pytest.mark.parametrize(("text", "function"), CALLS)
def test_a_call_documents_what_it_takes_returns_and_raises(text: str, function: Callable[..., Any]) -> None:
    """Each parameter is named in backquotes, and each exception of its body by its class; the text is a sentence."""
    missing = {
        name for name in inspect.signature(function).parameters if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)
    }
    assert missing - {"self", "cls"} == set()
    assert {name for name in raised(function) if name not in text} == set()
    assert len(text.split()) >= WORDS
    if inspect.signature(function).return_annotation not in {"None", inspect.Signature.empty}:
        assert RESULT.match(text)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_class_says_what_it_is(kind: type) -> None:
    """In a sentence of its own, not its base's."""
    assert len((vars(kind)["__doc__"] or "").split()) >= WORDS


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_record_says_what_it_holds(kind: type[msgspec.Struct]) -> None:
    """In a text below it, as a sentence, with the unit of a time."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    told: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            assert isinstance(text.value, ast.Constant)
            told[field.target.id] = str(text.value.value)
    assert list(told) == list(kind.__struct_fields__)
    assert [name for name, text in told.items() if len(text.split()) < WORDS or not text.endswith(".")] == []
    floats = {field.name for field in msgspec.structs.fields(kind) if field.type in {float, float | None}}
    assert [name for name in floats if "second" not in told[name] and "How long" not in told[name]] == []


@pytest.mark.parametrize("name", CallOptions.__annotations__)
def test_every_job_option_is_documented(name: str) -> None:
    """Where `help` finds it."""
    assert f"``{name}``" in (Submitter.options.__doc__ or "")


def test_the_sources_of_the_client_have_no_docstring_that_says_nothing() -> None:
    """Three words or fewer say what the name says: it goes, or becomes a sentence."""
    package = Path(penstock.__file__).parent
    sources = [
        *package.glob("client/*.py"),
        *package.glob("adapters/*.py"),
        package / "errors.py",
        package / "joblib.py",
    ]
    documentable = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [(path.name, node) for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    short = [
        f"{name}: {text}"
        for name, node in nodes
        if isinstance(node, documentable) and (text := ast.get_docstring(node)) and len(text.split()) < WORDS
    ]
    assert short == []
