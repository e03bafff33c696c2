"""What type checkers know of penstock's interface. mypy reads tests/typing with all the rest (scripts/test)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
