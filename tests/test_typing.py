"""What type checkers know of penstock's interface. mypy reads tests/typing with all the rest (scripts/test)."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import penstock

TOP = Path(__file__).parents[1]


def pyright(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with the Python that runs this, and what is installed there."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "pyright", *arguments],
        cwd=TOP,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(TOP / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pyright_keeps_the_types_and_reports_the_mistakes() -> None:
    """In a client program and in api.py, strict: an ignore comment without a mistake is an error."""
    done = pyright()
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_has_a_complete_type() -> None:
    """By `pyright --verifytypes`: what penstock, penstock.errors and penstock.joblib offer, the members of these
    classes, and whatever their types refer to. The other modules are nobody's interface."""
    found = json.loads(pyright("--verifytypes", "penstock", "--ignoreexternal", "--outputjson").stdout)
    known = {symbol["name"]: symbol["isTypeKnown"] for symbol in found["typeCompleteness"]["symbols"]}
    classes = [kind for name in penstock.__all__ if inspect.isclass(kind := getattr(penstock, name))]
    owners = {f"{base.__module__}.{base.__qualname__}" for kind in classes for base in kind.__mro__}
    names = {f"penstock.{name}" for name in penstock.__all__ if name != "errors"} | {"penstock.joblib.shutdown"}
    names |= {name for name in known if name.startswith("penstock.errors.") or name.rpartition(".")[0] in owners}
    assert {"penstock.client.submitter.Submitter.submit", "penstock.errors.JobDied.pid"} <= names
    assert [name for name in sorted(names) if not known[name]] == []
