"""Who looks at jobs of others runs none of their code: pickles are opened for `results --values` alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from penstock import Pipeline
from support.stations import LIMIT, Stations, until

MARK = "LOOKERS_MARK"
"""In the environment of who looks: what is opened there makes a file of this name. Jobs have none."""


def trap(what: str, rest: str) -> Any:
    """What a pickle is made of that runs code wherever it is opened, and is `rest` then."""
    environ = f"__import__('os').environ.get({MARK!r})"
    return eval, (f"({environ} and open({environ} + {what!r}, 'w').close(), {rest})[-1]",)


class Argument:
    """Is opened as an argument."""

    def __reduce__(self) -> Any:
        return trap("argument", "5")


class Value:
    """Is opened as a value."""

    def __reduce__(self) -> Any:
        return trap("value", "6")


class Trapped(Exception):  # noqa: N818 - it is a trap
    """Is opened as an exception."""

    def __reduce__(self) -> Any:
        return trap("error", "ValueError(7)")


class Function:
    """Is opened as a function."""

    def __reduce__(self) -> Any:
        return trap("function", "abs")

    def __call__(self, number: int) -> int:
        return number


def value(_: object) -> Value:
    return Value()


def fail(_: object) -> None:
    raise Trapped("no")


@pytest.fixture
def pipeline(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Stations and a worker, named by PENSTOCK_URL."""
    stations.start("ventilator", "sink", "w1", slots=2)
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    with Pipeline(stations.url) as made:
        until(made.workers)
        yield made


def test_no_command_opens_a_pickle_unless_it_is_asked_to(cli: Cli, pipeline: Pipeline, folder: Path) -> None:
    """As an argument, a value, an exception and a function: only `results --values` opens values and exceptions."""
    batches = [
        pipeline.batch(value, [Argument()], name="value"),
        pipeline.batch(fail, [Argument()], name="error"),
        pipeline.batch(Function(), [1, 2], name="function"),
    ]
    for batch in batches:
        batch.wait(LIMIT)
    commands: list[tuple[str, ...]] = [("status",), ("batches",), ("workers",), ("top", "--interval", "0.1")]
    for name in ("value", "error", "function"):
        commands += [("jobs", name, *more) for more in ((), ("--full",), ("--json",))]
        commands += [("show", f"{name}:0", *more) for more in ((), ("--full",), ("--json",))]
        commands += [("results", name, *more) for more in ((), ("--csv",), ("--json",), ("--follow",))]
        commands += [("why", f"{name}:0")]

    def look(place: int) -> tuple[bytes, list[Path]]:
        done = cli(*commands[place], env={MARK: str(folder / f"{place}-opened-")})
        assert done.returncode in {0, 1}, done.stderr
        return done.stderr, list(folder.glob(f"{place}-opened-*"))

    with ThreadPoolExecutor(4) as pool:
        for words, (stderr, opened) in zip(commands, pool.map(look, range(len(commands))), strict=True):
            assert b"Traceback" not in stderr, stderr
            assert opened == [], words
    (record,) = map(json.loads, cli("results", "value", "--json").stdout.splitlines())
    assert record["value"] is None
    assert record["value_text"].startswith("eval(")
    for words in (("results", "value"), ("results", "value", "--csv"), ("show", "value:0")):
        assert b"eval(" in cli(*words).stdout
    (record,) = map(json.loads, cli("results", "error", "--json").stdout.splitlines())
    assert record["error"].endswith("Trapped: no")
    (one, two) = map(json.loads, cli("results", "function", "--json").stdout.splitlines())
    assert {one["value"], two["value"]} == {1, 2}
    assert "value_text" not in one
    for name in ("value", "error"):  # the control
        done = cli("results", name, "--values", env={MARK: str(folder / "opened-")})
        assert [path.name for path in folder.glob("opened-*")] == [f"opened-{name}"], done.stderr
        (folder / f"opened-{name}").unlink()
