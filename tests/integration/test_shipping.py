"""Code goes along: functions of modules that only the client has run on workers elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from support.stations import LIMIT, Stations

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

def nested(point):
    from penstock import Pipeline
    with Pipeline(slots=1) as inner:
        return inner.submit(area, point).result(60)

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
    return printed(project / "script.py", url)


def printed(script: Path, url: str) -> str:
    """What a script prints."""
    argv = [sys.executable, str(script), url]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=2 * LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


SCRIPT = """
import sys
from shapes import Point
from shapes.area import area, nested, seen
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
    assert p.submit(nested, Point(3, 4)).result(60) == Point(90, 1)
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


@pytest.mark.skipif(sys.version_info < (3, 15), reason="no lazy imports here")
def test_what_a_script_imports_lazily_goes_along(far: Stations, folder: Path) -> None:
    """Also where the job is the first to need it: neither module is in sys.modules at submit."""
    script = """
import sys, penstock
lazy import units
lazy from shapes.area import seen
def metre(_):
    return units.METRE, seen()
with penstock.Pipeline(sys.argv[1]) as p:
    assert not {"units", "shapes"} & sys.modules.keys()
    print(p.submit(metre, 0).result(60))
"""
    assert run(folder, script, far.url) == "(1, 0)\n"


def test_without_it_the_error_says_what_to_do(far: Stations, folder: Path) -> None:
    """Opted out: a plain ModuleNotFoundError, whose line says what to do."""
    script = """
import sys, units, penstock
from shapes.area import area
with penstock.Pipeline(sys.argv[1], ship=False) as p:
    error = p.submit(area, 3).exception(60)
    print(type(error).__name__, error, error.__notes__)
    print(p.batch(area, [3]).outcomes().__next__().cause)
"""
    said = run(folder, script, far.url).splitlines()
    assert said[0].startswith("ModuleNotFoundError No module named 'shapes' [")
    assert "install it there" in said[0]
    assert said[1].startswith("ModuleNotFoundError: No module named 'shapes'; it is not where the job ran: install it")


VERSIONS = """
import sys, penstock
from units import METRE, metre, me
with penstock.Pipeline(sys.argv[1]) as p:
    assert p.submit(metre).result(60) == METRE
    assert p.submit(me).result(60) is me
    print(METRE)
"""
UNITS = "METRE = {}\ndef metre(): return METRE\ndef me(): return me\n"


def test_the_clients_module_wins_and_each_client_has_its_own(far: Stations, folder: Path) -> None:
    """The worker has a module of that name: what the client means by it is what runs there. Two clients with two
    versions, in turns on one slot: each gets its own, and who sends nothing gets the worker's."""
    outputs = [""] * 2
    (folder / "elsewhere" / "units.py").write_text(UNITS.format(99))
    for number, name in enumerate(("here", "there")):
        (folder / name).mkdir()
        (folder / name / "units.py").write_text(UNITS.format(number))
        (folder / name / "script.py").write_text(VERSIONS)
    for _ in range(2):
        for number, name in enumerate(("here", "there")):
            outputs[number] = printed(folder / name / "script.py", far.url)
        assert outputs == ["0\n", "1\n"]
    plain = "import sys, penstock, units\nwith penstock.Pipeline(sys.argv[1], ship=False) as p:"
    (folder / "here" / "plain.py").write_text(f"{plain} print(p.submit(units.metre).result(60))")
    assert printed(folder / "here" / "plain.py", far.url) == "99\n"


def test_a_changed_module_is_the_same_call(far: Stations, cli: Cli, folder: Path) -> None:
    """`run --resume` knows a function by its name, though other code goes along now; `--no-ship` leaves it here."""
    (folder / "tool.py").write_text("def do(x): return int(x)\n")
    words = ["run", "--url", far.url, "-k", "--call", "tool:do", "--resume-failed", ":::", "1", "two"]
    assert cli(*words).returncode == 1
    (folder / "tool.py").write_text("def do(x): return len(x)\n")
    done = cli(*words)
    assert done.stdout == b"1\n3\n"
    assert b"resumed: 1 of 2 jobs had been submitted before" in done.stderr
    refused = cli("run", "--url", far.url, "--no-ship", "--call", "tool:do", ":::", "1")
    assert (refused.returncode, b"No module named 'tool'; it is not where" in refused.stderr) == (1, True)
