"""What the tests run is counted in every process of penstock, by the settings that scripts/coverage uses."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import Coverage, CoverageData

TOP = Path(__file__).parents[1]
SETTINGS = str(TOP / "pyproject.toml")
PROGRAM = """
from penstock import Pipeline

with Pipeline("local", slots=1) as pipeline:
    assert pipeline.submit(abs, -1).result() == 1
"""


@pytest.fixture
def counted(folder: Path) -> CoverageData:
    """Of a program with one job."""
    program, data = folder / "program.py", str(folder / "counted")
    program.write_text(PROGRAM)
    # without the measurement that may be under way here
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    argv = ["-m", "coverage", "run", f"--rcfile={SETTINGS}", f"--data-file={data}", str(program)]
    subprocess.run([sys.executable, *argv], cwd=folder, env=environment, check=True)
    measured = Coverage(data_file=data, config_file=SETTINGS)
    measured.combine([str(folder)])
    return measured.get_data()


def inside_functions(path: str) -> set[int]:
    """The lines that no import runs."""
    functions = [node for node in ast.walk(ast.parse(Path(path).read_text())) if isinstance(node, ast.FunctionDef)]
    return {line for node in functions for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)}


def test_a_line_counts_whichever_process_runs_it(counted: CoverageData) -> None:
    """Of the client, the supervisor, each station, and of the slot, which runs the job."""
    modules = ("client/engine", "supervisor", *(f"{wing}/process" for wing in ("ventilator", "worker", "sink", "slot")))
    for module in modules:
        (path,) = (file for file in counted.measured_files() if file.endswith(f"/penstock/{module}.py"))
        assert inside_functions(path) & set(counted.lines(path) or ()), module
