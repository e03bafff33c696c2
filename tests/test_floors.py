"""The house is in order: import floors (import-linter), and what a reader of any file may count on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

TOP = Path(__file__).parents[1]
SOURCES = sorted((TOP / "src").rglob("*.py"))
TESTS = sorted((TOP / "tests").rglob("*.py"))
SCRIPTS = sorted(path for path in (TOP / "scripts").iterdir() if path.is_file())

FUNCTION_LINES, MEDIAN_LINES, MODULE_LINES = 60, 8, 400
LONG_MODULES = {"messages.py": 700, "desk_messages.py": 600}
"""The protocol is one file by intention: half of it is documentation."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def lines(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def named(path: Path) -> str:
    return str(path.relative_to(TOP))


def test_imports_go_down_only() -> None:
    """Every contract of [tool.importlinter] holds; a new module without a floor fails too."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_function_is_long() -> None:
    """Where decoding, deciding and sending meet, functions grow: none is over 60 lines, half are 8 or less."""
    found = {f"{named(path)}:{node.name}": lines(node) for path in SOURCES for node in functions(path)}
    assert {name: count for name, count in found.items() if count > FUNCTION_LINES} == {}
    assert median(found.values()) <= MEDIAN_LINES


def test_no_module_is_long() -> None:
    """A module that outgrows 400 lines has a second concern without a name."""
    found = {named(path): len(path.read_text().splitlines()) for path in SOURCES}
    limit = {name: LONG_MODULES.get(Path(name).name, MODULE_LINES) for name in found}
    assert {name: count for name, count in found.items() if count > limit[name]} == {}


def test_every_module_says_what_it_is() -> None:
    """Each source file begins with its docstring."""
    assert [named(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_every_test_says_its_claim() -> None:
    """The docstrings of the tests read as the specification."""
    found = [
        f"{named(path)}:{node.name}"
        for path in TESTS
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert found == []


def test_unit_tests_never_sleep() -> None:
    """Time is an argument: nothing in unit/ and scenarios/ waits for the real one."""
    found = [named(path) for path in TESTS if {"unit", "scenarios"} & set(path.parts) and "sleep(" in path.read_text()]
    assert found == []


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "X" + "XX"])
def test_nothing_is_left_for_later(word: str) -> None:
    """What is not done is in an issue, not in the code."""
    assert [named(path) for path in (*SOURCES, *TESTS, *SCRIPTS) if re.search(rf"\b{word}\b", path.read_text())] == []


def test_unit_tests_mirror_the_source() -> None:
    """unit/test_X.py tests the module X: no test is about a module that is not there."""
    unit = TOP / "tests" / "unit"
    package = TOP / "src" / "penstock"
    for path in unit.rglob("test_*.py"):
        stem = path.stem.removeprefix("test_")
        folder = package / path.parent.relative_to(unit)
        known = {module.stem for module in folder.iterdir()} | {"main"}
        assert any(stem == name or stem.startswith(f"{name}_") for name in known), named(path)
