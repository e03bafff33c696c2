"""What running jobs write, put together from what comes of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from penstock.client import live_output as module
from penstock.client.follow import Follower, Row
from penstock.client.live_output import Live, LiveFollower
from penstock.job.spec import Stamp
from penstock.wire.messages import Credit, Follow, print_cost
from penstock.wire.messages import Live as LiveMessage
from penstock.wire.records import Print
from support.recording_client import BATCH, values
from support.recording_client import rows as rows_message


class Screen:
    """Remembers what it is shown; jobs in `waiting` have to wait for their turn."""

    def __init__(self) -> None:
        self.texts: dict[int, list[bytes]] = {}
        self.waiting: set[int] = set()

    def is_turn(self, index: int) -> bool:
        """As an Onlooker."""
        return index not in self.waiting

    def show(self, index: int, stdout: bytes, stderr: bytes) -> None:
        """As an Onlooker."""
        self.texts.setdefault(index, []).append(stdout + stderr)

    def shown(self) -> None:
        """As an Onlooker."""


class World:
    """A Live with its screen, and what comes."""

    def __init__(self) -> None:
        self.live = Live()
        self.screen = Screen()
        self.live.onlooker = self.screen

    def comes(self, text: bytes, position: int = 0, *, index: int = 0, lease: int = 1, is_error: bool = False) -> None:
        """A job wrote this."""
        record = Print(BATCH, index, lease, Stamp(), is_error, position, len(text))
        self.live.add((record,), [memoryview(text)])

    def shown(self, index: int = 0) -> list[bytes]:
        """What was shown of a job by now."""
        self.live.show()
        return self.screen.texts.get(index, [])

    def ends(self, index: int = 0, *, lease: int = 1) -> tuple[int, int]:
        """The job has ended; how much of it was shown."""
        head, body = values(index, "x")
        self.live.settle(Row(replace(head, lease=lease), index, index + 1, 0, body, 1))
        return self.live.seen(index)


@pytest.fixture
def world() -> World:
    """Nothing has come."""
    return World()


def test_whole_lines_are_shown_once(world: World) -> None:
    """The end of a line waits for the rest of it, and is left to the outcome if none comes; each stream by itself."""
    world.comes(b"one\ntw")
    world.comes(b"error\n", is_error=True)
    assert world.shown() == [b"one\nerror\n"]
    world.comes(b"o\nthr", 6)
    assert world.shown() == [b"one\nerror\n", b"two\n"]
    assert world.ends() == (8, 6)
    assert world.live.seen(0) == (0, 0)


def test_behind_a_gap_nothing_is_shown(world: World) -> None:
    """It is in the outcome; other jobs are not touched, and what comes twice is shown once."""
    world.comes(b"one\n")
    world.comes(b"one\n")
    world.comes(b"three\n", 8)
    world.comes(b"four\n", 4)
    world.comes(b"other\n", index=1)
    assert (world.shown(), world.shown(1)) == ([b"one\n"], [b"other\n"])
    assert world.ends() == (4, 0)


def test_a_new_run_is_shown_from_its_beginning(world: World) -> None:
    """Under a larger lease; what still comes of the old run is late."""
    world.comes(b"one\nhal")
    world.comes(b"one\n", lease=2)
    world.comes(b"f\n", 7, lease=1)
    assert world.shown() == [b"one\n"]
    assert world.ends(lease=2) == (4, 0)


def test_an_outcome_of_another_run_is_shown_whole(world: World) -> None:
    """Nothing of its output was shown."""
    world.comes(b"one\n", lease=2)
    assert world.shown()
    assert world.ends(lease=1) == (0, 0)


def test_what_comes_behind_the_outcome_is_not_shown(world: World) -> None:
    """It has been: the outcome has all of it."""
    world.comes(b"one\n")
    assert world.ends() == (4, 0)
    world.comes(b"two\n", 4)
    assert world.shown() == [b"one\n"]


def test_a_job_waits_for_its_turn(world: World) -> None:
    """Its lines are brought again until then, at the latest when it has ended."""
    world.screen.waiting = {0}
    world.comes(b"one\n")
    world.comes(b"two\n", 4)
    assert world.shown() == []
    world.screen.waiting = set()
    assert world.ends() == (8, 0)
    assert world.shown() == [b"one\ntwo\n"]


def test_what_waits_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is left to the outcome, and so is what nobody reads in time; others go on."""
    monkeypatch.setattr(module, "PENDING_BYTES", 10)
    world.comes(b"one\n" + b"x" * 7)
    world.comes(b"two\n", 11)
    assert world.shown() == []
    world.comes(b"three\n", index=1)
    assert world.shown(1) == [b"three\n"]
    assert world.ends() == (0, 0)


def test_it_is_asked_for_beside_the_rows() -> None:
    """Follow gives credit for it and none for rows; what came is given back; after a while it is said again."""
    live = Live()
    woken: list[bool] = []
    live.wake = lambda: woken.append(live.ready)
    follower: Follower = LiveFollower(BATCH, live)
    numbers = iter([5, 6])
    assert follower.next_message(0.0, numbers) == Follow(BATCH, 0, 0, 5, module.LIVE_WINDOW, parts=True)
    assert follower.next_message(1.0, numbers) is None
    record = Print(BATCH, 0, 1, Stamp(), False, 0, module.LIVE_WINDOW // 2)
    follower.on_live(LiveMessage(BATCH, (record,)), b"x" * record.size)
    assert woken == [True]
    assert follower.next_message(2.0, numbers) == Credit(BATCH, 0, print_cost(record))
    assert follower.next_message(2.0 + module.FOLLOW_INTERVAL, numbers) == Follow(
        BATCH, 0, 0, 6, module.LIVE_WINDOW, parts=True
    )
    follower.on_rows(*rows_message(0))
