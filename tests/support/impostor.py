"""A worker with a key of its own that says what it likes: it joins, is given jobs, and does harm with that."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TypeVar

from penstock.job.spec import JobState
from penstock.wire.frames import Decoder
from penstock.wire.messages import Greeting, Hello, Jobs, Left, Outcomes, VentilatorToWorker, Welcome
from penstock.wire.records import Held, Lease, Message, OutcomeHead
from support.attack_scene import Scene
from support.keyed_pipeline import door
from support.stations import until

Kind = TypeVar("Kind", bound=Message)
NAME = "gpu/thief"


class Impostor:
    """Of the key gpu; `join` before anything else."""

    def __init__(self, scene: Scene, opened: contextlib.ExitStack) -> None:
        self.scene = scene
        self.id = os.urandom(16)
        key = scene.key("gpu")
        self.jobs, self.report, self.outcomes, self.control = (
            opened.enter_context(door(scene.url, at, key, self.id if at == "control" else b""))
            for at in ("jobs", "report", "outcomes", "control")
        )
        self._decoder = Decoder(VentilatorToWorker)
        self._number = 0
        self._heard: list[Message] = []
        assert {at.answer() for at in (self.jobs, self.report, self.outcomes, self.control)} == {"let in"}

    def next_number(self) -> int:
        """Of a hello or heartbeat."""
        self._number += 1
        return self._number

    def heard(self, kind: type[Kind]) -> Kind:
        """The next message of this kind that is said to it."""

        def look() -> Kind | None:
            self._listen()
            found = next((one for one in self._heard if isinstance(one, kind)), None)
            if found is not None:
                self._heard.remove(found)
            return found

        found = until(look, what=f"a {kind.__name__} is heard")
        assert found is not None
        return found

    def said(self, kind: type[Kind]) -> list[Kind]:
        """All of this kind that was said to it so far."""
        self._listen()
        found = [one for one in self._heard if isinstance(one, kind)]
        self._heard = [one for one in self._heard if not isinstance(one, kind)]
        return found

    def _listen(self) -> None:
        for at, cut in ((self.control, 16), (self.jobs, 0)):
            while at.socket.poll(5):
                self._heard.append(self._decoder.decode(at.socket.recv()[cut:]).message)

    def join(self, *held: Held, window: int = 0, slots: int = 1, name: str = NAME) -> None:
        """Say hello, with this inventory, and be welcome."""
        greeting = self.heard(Greeting)
        hello = Hello(
            self.id, greeting.life, greeting.connection, self.next_number(), name, "h", 1, slots, window, held, "3"
        )
        self.report.say(hello)
        self.heard(Welcome)

    def given(self, jobs: int = 1) -> Lease:
        """A lease of so many jobs of a batch of alice's that only this worker fits."""
        self.batch = self.scene.alice.batch(abs, range(-jobs, 0), worker=NAME)
        return self.heard(Jobs).leases[0]

    def outcome(self, lease: Lease, *tokens: bytes, worker: bytes = b"") -> Outcomes:
        """What one of its jobs came to: a failure that nobody has to unpickle."""
        head = OutcomeHead(
            lease.batch, lease.start, lease.stop, JobState.CANCELLED, True, lease.stamp, lease.number, 0, 0.0, 0.0, 0
        )
        return Outcomes(worker or self.id, NAME, (head,), tokens)


@contextlib.contextmanager
def impostor(scene: Scene) -> Iterator[Impostor]:
    """One for a while; it says that it leaves."""
    with contextlib.ExitStack() as opened:
        made = Impostor(scene, opened)
        try:
            yield made
        finally:
            made.report.say(Left(made.id))
