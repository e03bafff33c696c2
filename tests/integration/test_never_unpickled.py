"""Who looks at jobs of others runs none of their code: pickles are opened for `results --values` alone."""

from __future__ import annotations

from collections.abc import Iterator
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
    looker = {MARK: str(folder / "opened-")}
    for name in ("value", "error", "function"):
        for words in (
            *(("jobs", name), ("jobs", name, "--full"), ("jobs", name, "--json")),
            *(("show", f"{name}:0"), ("show", f"{name}:0", "--json"), ("why", f"{name}:0")),
            *(
                ("results", name),
                ("results", name, "--csv"),
                ("results", name, "--json"),
                ("results", name, "--follow"),
            ),
            *(("status",), ("batches",), ("workers",), ("top", "--interval", "0.1")),
        ):
            done = cli(*words, env=looker)
            assert done.returncode in {0, 1}, (words, done.stderr)
            assert b"Traceback" not in done.stderr, done.stderr
            assert list(folder.glob("opened-*")) == [], words
    for name in ("value", "error"):
        done = cli("results", name, "--values", env=looker)
        assert [path.name for path in folder.glob("opened-*")] == [f"opened-{name}"], done.stderr
        (folder / f"opened-{name}").unlink()
