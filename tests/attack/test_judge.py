"""The judge can say that somebody was harmed: the same attacks on stations whose rules are switched off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.wire.desk_messages import Cancel, Delete
from penstock.wire.records import Message
from support.attack_scene import HEARTBEAT_INTERVAL, LEASE_TIME, LIMITS, WORKER, Scene
from support.example_messages import example
from support.keyed_pipeline import door
from support.stations import Stations, free_url, until

WITHOUT_RULES = """
import runpy, sys
from penstock.station import permissions
permissions.refusal = lambda *_: ""
sys.argv[0] = "penstock"
runpy.run_module({module!r}, run_name="__main__")
"""


class Lawless(Stations):
    """Real stations that let every client that is let in say everything."""

    def argv(self, name: str, slots: int, url: str, settings: dict[str, Any]) -> list[str]:
        """As usual, with the rules taken away first."""
        python, _, module, *rest = super().argv(name, slots, url, settings)
        return [python, "-c", WITHOUT_RULES.format(module=module), *rest]


def says(at: str, who: str, kind: type[Message], scene: Scene) -> None:
    """A message of this kind about what alice has."""
    named = {"batch": bytes.fromhex(scene.running.id), "worker_text": WORKER, "unstarted_only": False}
    with door(scene.url, at, scene.key(who)) as knocked:
        assert knocked.answer() == "let in"
        knocked.say(example(kind, named))
        until(lambda: scene.harm() != [], 10.0, f"{kind.__name__} does harm")


CONTROLS: dict[str, Callable[[Scene], None]] = {
    "Cancel": partial(says, "desk", "watch", Cancel),
    "Delete": partial(says, "desk", "bob", Delete),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_without_the_rules_the_judge_sees_harm(place: Path, name: str) -> None:
    """What is refused or dropped elsewhere does here what it says, and is not called harmless."""
    url = free_url()
    folder = place / name
    folder.mkdir()
    stations = Lawless(folder, url, lease_time=LEASE_TIME, heartbeat_interval=HEARTBEAT_INTERVAL, limits=LIMITS)
    scene = Scene(folder, url, stations)
    try:
        scene.up()
        assert scene.harm() == []
        CONTROLS[name](scene)
    finally:
        scene.close()
