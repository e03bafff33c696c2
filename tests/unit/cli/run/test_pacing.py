"""What keeps the jobs of a run back."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import click
import pytest

from penstock.cli.run import pacing
from penstock.cli.run.pacing import (
    SETTLE_TIME,
    SILENCE_TIME,
    LoadType,
    Pacing,
    Watchful,
    load,
    slots_for,
    too_little_is_free,
    too_many_run,
)
from penstock.errors import ConfigError

URL = "tcp://head:5555"


@pytest.mark.parametrize(("text", "most"), [("3", 3), ("0", 0.01), ("1.5", 1.5), ("50%", 4), ("+1", 9), ("-3", 5)])
def test_forms_of_load(monkeypatch: pytest.MonkeyPatch, text: str, most: float) -> None:
    """Those of GNU parallel, on a machine of eight cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert LoadType().convert(text, None, None) == most


@pytest.mark.parametrize("text", ["", "x", "+1%", "1e3", "%"])
def test_what_is_no_load_is_refused(text: str) -> None:
    """With those that are."""
    with pytest.raises(click.BadParameter, match="write 4, or 80%"):
        LoadType().convert(text, None, None)


@pytest.mark.parametrize("asked", [{"load": 2.0}, {"memfree": 1 << 30}])
def test_what_is_about_this_machine_is_for_a_pipeline_here(asked: dict[str, Any]) -> None:
    """Elsewhere the user is told what to use; a delay means the same everywhere."""
    made = Pacing(**{"delay": 1.0, "load": None, "memfree": None, "halts": False} | asked)
    made.check(None)
    with pytest.raises(ConfigError, match=r"workers of tcp://head:5555: limit them with --limit N"):
        made.check(URL)
    made._replace(load=None, memfree=None).check(URL)


def test_only_slots_that_can_run_the_jobs_count() -> None:
    """Else more would be handed in than run, and start after the one that halts."""
    usual = {"id": "3fa2c1", "name": "w", "host": "h", "slots": 4, "draining": False, "broken": ""}
    worker = SimpleNamespace(**usual, tags=("gpu",), users=("ann",))
    workers = [SimpleNamespace(**worker.__dict__ | changes) for changes in CHANGED]
    pipeline: Any = SimpleNamespace(workers=lambda: workers)
    work: Any = SimpleNamespace(worker="w", needs=["gpu"], user="ann", limit=None, pipe=False)
    assert slots_for(pipeline, work, URL) == 4
    workers.append(SimpleNamespace(**worker.__dict__ | {"name": "w-3fa2c1", "host": "other"}))
    assert slots_for(pipeline, work, URL) == 8  # started with the same name
    work.worker = "h"
    assert slots_for(pipeline, work, URL) == 8
    halting = Pacing(None, None, None, halts=True)
    for work.limit, at_once in ((None, 8), (3, 3), (100, 8)):
        pace = halting.of(pipeline, work, URL)
        assert pace is not None
        assert (pace.at_once(), pace.as_read) == (at_once, True)


def test_blocks_are_handed_in_a_little_ahead() -> None:
    """One more than runs, for each slot; what goes as fast as it can has no pace."""
    pipeline: Any = SimpleNamespace(engine=SimpleNamespace(slots=lambda: 4))
    work: Any = SimpleNamespace(limit=None, pipe=True)
    plain = Pacing(None, None, None, halts=False)
    pace = plain.of(pipeline, work, None)
    assert pace is not None
    assert (pace.at_once(), pace.read_ahead, pace.as_read) == (8, 1, False)
    work.pipe = False
    assert plain.of(pipeline, work, None) is None


CHANGED: list[dict[str, Any]] = [{}, {"draining": True}, {"broken": "x"}, {"tags": ()}, {"users": ()}, {"name": "v"}]


def test_a_machine_with_too_much_to_do_keeps_jobs_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again until it has less; a job that was handed in is seen there only after a moment."""
    loads = iter([5.0, 2.0, 1.0])
    monkeypatch.setattr(pacing, "load", lambda: next(loads))
    calm = Watchful(lambda: too_many_run(2))
    assert [calm.left(now) > 0 for now in (100, 101, 102)] == [True, True, False]
    calm.begun(103)
    assert 0 < calm.left(103) <= SETTLE_TIME


def test_a_machine_without_memory_keeps_jobs_back() -> None:
    """Nobody has a petabyte."""
    assert Watchful(lambda: too_little_is_free(1)).left(100) == 0
    assert Watchful(lambda: too_little_is_free(1 << 50)).left(100) > 0


class Clock:
    """Stands for the module time."""

    now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


def test_what_takes_long_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And again when it happens again."""
    clock = Clock()
    reasons = iter(["busy"] * 3 + [""] + ["busy"] * 2)
    monkeypatch.setattr(pacing, "time", clock)
    gate = Watchful(lambda: next(reasons))
    said = []
    for _ in range(6):
        gate.left(0)
        said.append(capsys.readouterr().err)
        clock.now += SILENCE_TIME
    assert said == ["", "penstock: no job is started: busy\n", "", "", "", "penstock: no job is started: busy\n"]


def test_the_load_is_a_number() -> None:
    """Of this moment."""
    assert 0 <= load() < 100_000
