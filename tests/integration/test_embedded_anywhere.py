"""An embedded pipeline starts whatever state its client is in, or says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.stations import LIMIT

RUN = """
with Pipeline("local", slots=1) as p:
    open(sys.argv[1], "w").write(str(p.submit(abs, -2).result(60)))
"""
STATES = {
    "in a folder that is gone": "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "without standard files": "[os.close(fd) for fd in (0, 1, 2)]",
    "with files in their places": "[os.close(fd) for fd in (0, 1, 2)]; files = [open(os.devnull) for _ in range(3)]",
    "without standard streams": "sys.stdin = sys.stdout = sys.stderr = None",
    "with a Path in sys.path": "import pathlib; sys.path.insert(0, pathlib.Path('/tmp'))",
    "where temporary files cannot go": "import tempfile; tempfile.tempdir = '/nonexistent'",
    "beside a file json.py": "open('json.py', 'w').write('raise SystemExit(3)')",
}


@pytest.mark.parametrize("state", STATES)
def test_it_starts(folder: Path, state: str) -> None:
    """And runs a job."""
    script, found = folder / "script.py", folder / "found"
    work = folder / "work"
    work.mkdir()
    script.write_text(f"import os, sys\nfrom penstock import Pipeline\n{STATES[state]}\n{RUN}")
    done = subprocess.run(
        [sys.executable, str(script), str(found)], cwd=work, timeout=LIMIT, capture_output=True, check=False
    )
    assert found.exists(), done.stderr
    assert found.read_text() == "2"


def test_without_a_python_it_says_so(folder: Path) -> None:
    """In one line that names what is wrong, and nothing is left."""
    script = folder / "script.py"
    script.write_text(
        textwrap.dedent("""
            import sys, tempfile
            from penstock import Pipeline
            tempfile.tempdir = sys.argv[1]
            sys.executable = "/nonexistent/python"
            Pipeline("local", slots=1)
        """)
    )
    room = folder / "room"
    room.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(room)], timeout=LIMIT, capture_output=True, text=True, check=False
    )
    assert "ConfigError: no process of /nonexistent/python can be started" in done.stderr
    assert os.listdir(room) == []
