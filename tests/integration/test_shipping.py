"""Code goes along: functions of modules that only the client has run on workers elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import LIMIT, Stations

PROJECT = {
    "shapes/__init__.py": "from shapes.points import Point\nfrom . import state\n",
    "shapes/points.py": """
from dataclasses import dataclass
from functools import lru_cache
import shapes.area                # and that one imports this one

@dataclass
class Point:
    x: int
    y: int

@lru_cache
def cached(x):
    return x * x

class Far(Exception):
    def __init__(self, point, limit):
        super().__init__(point, limit)
        self.point = point
""",
    "shapes/area.py": """
import shapes.points as points
import units

def area(point):
    from shapes import state
    from later import scale       # imported nowhere else
    state.seen += 1
    assert isinstance(point, points.Point)
    if point.x > 99:
        raise points.Far(point, 99)
    return points.Point(scale(points.cached(point.x)), units.METRE)

def seen():
    from shapes import state
    return state.seen
""",
    "shapes/state.py": "seen = 0\n",
    "units.py": "METRE = 1\n",
    "later.py": "def scale(x): return 10 * x\n",
}
"""What a user has in a folder: a package whose modules import each other, and modules beside it."""


def run(folder: Path, script: str, url: str) -> str:
    """What a script beside that project prints."""
    project = folder / "project"
    for name, text in PROJECT.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (project / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, project / "script.py", url], capture_output=True, text=True, timeout=2 * LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SCRIPT = """
import sys
from shapes import Point
from shapes.area import area, seen
from shapes.points import Far
from penstock import Pipeline

class Own:
    def __init__(self, point):
        self.point = point

with Pipeline(sys.argv[1]) as p:
    one = p.submit(area, Point(3, 4)).result(60)
    assert type(one) is Point and one == Point(90, 1), one
    assert list(p.map(area, [Point(n, 0) for n in range(100)])) == [Point(10 * n * n, 1) for n in range(100)]
    error = p.submit(area, Point(100, 0)).exception(60)
    assert type(error) is Far and error.point == Point(100, 0), error
    assert "raise points.Far" in str(error.__cause__), error.__cause__
    assert p.submit(seen).result(60) == 102            # one state of one module, whatever function brings it
    assert list(p.map(type, [Point(1, 2)])) == [Point] # the argument names it, the function does not
    assert p.submit(str, Point(1, 2)).result(60) == "Point(x=1, y=2)"
    assert p.submit(lambda own: area(own.point), Own(Point(1, 2))).result(60) == Point(10, 1)
    print(p.submit(area, 3).exception(60).__class__.__name__)
"""


@pytest.fixture
def far(stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stations:
    """Stations that have nothing of the user's on their path."""
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    stations.start("ventilator", "sink", "w1")
    return stations


def test_a_project_goes_along(far: Stations, folder: Path) -> None:
    """A package whose modules import each other, one imported late, a class as argument and as result, an exception
    with arguments, a cached function, a module's state: as if it were installed on the worker."""
    assert run(folder, SCRIPT, far.url) == "AssertionError\n"
