"""Who cannot run what this Python sends is said before it is sent."""

from __future__ import annotations

import logging
from itertools import count

import pytest

from penstock.client.records import PipelineStatus
from penstock.client.version_check import LOOK_INTERVAL, Versions
from penstock.errors import NoPipeline
from penstock.job.shipped_modules import PYTHON
from penstock.version import VERSION
from support.status_records import pipeline_status, worker_info


def status(*versions: str) -> PipelineStatus:
    """A pipeline with a worker of each of these Pythons."""
    names = count()
    return pipeline_status(*(worker_info(name=f"w{next(names)}", python=version) for version in versions))


class World:
    """What is asked, and when."""

    def __init__(self) -> None:
        self.now = 10.0
        self.answer: PipelineStatus | Exception = status()
        self.asked = 0
        self.versions = Versions(self.status, lambda: self.now)

    def status(self) -> PipelineStatus:
        """How the pipeline stands."""
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def look(self, answer: PipelineStatus | Exception) -> None:
        """Look, after some time."""
        self.now += LOOK_INTERVAL
        self.answer = answer
        self.versions.look()


def test_each_other_version_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """It names a worker and both versions; another patch level, or the ventilator's, is none."""
    world = World()
    with caplog.at_level(logging.WARNING):
        world.look(status(f"{PYTHON}.99"))
        assert caplog.messages == []
        world.look(status(PYTHON, "3.99.1", "3.99.2", "3.98.0"))
        world.look(status("3.99.1"))
    assert [message[: message.index(":")] for message in caplog.messages] == [
        f"worker w1 has Python 3.99 and this is {PYTHON}",
        f"worker w3 has Python 3.98 and this is {PYTHON}",
    ]


def test_an_older_ventilator_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """One of before 0.3 does not tell its clients by itself; the others do."""
    world = World()
    with caplog.at_level(logging.WARNING):
        world.look(pipeline_status(version="99.0.0"))
        world.look(pipeline_status(version="0.2.0", url="ipc:///x"))
        world.look(pipeline_status(version="0.2.0"))
    advice = f"upgrade the ventilator to penstock {VERSION}"
    assert caplog.messages == [f"the ventilator at ipc:///x has penstock 0.2.0 and this is {VERSION}: {advice}"]


def test_workers_are_looked_at_now_and_then() -> None:
    """Not for each function: a look is a question."""
    world = World()
    world.look(status())
    world.versions.look()
    assert world.asked == 1
    world.look(status())
    assert world.asked == 2


@pytest.mark.parametrize("error", [NoPipeline("nobody"), RuntimeError("in a callback")])
def test_a_look_that_fails_is_no_error(error: Exception) -> None:
    """What is submitted then meets it too, or does not need the answer."""
    World().look(error)
