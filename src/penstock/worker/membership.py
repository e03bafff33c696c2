"""A worker's touch with the ventilator: greeting, hello, welcome, heartbeats and their echoes.

Promises:

1. Liveness is an echo: the worker was alive for the ventilator when it sent the newest heartbeat that was echoed, and
   the mere arrival of something late is no sign of life.
2. It says hello to the newest greeting only, and not before its connections for jobs and for outcomes have been up:
   rounds would miss it, and what it ran would stay here.
3. A welcome counts only if it answers the newest hello while that is still a sign of life.
4. The slots know when touch ends unless something is heard, and start nothing from then on, whatever the agent does.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.wire.messages import Greeting, Heartbeat, Hello, InSlot, Welcome
from penstock.worker.contract import Touch

REPORT_PAUSE = 0.1
"""Seconds between two looks whether a heartbeat has arrived."""

InSlots = Callable[[float], tuple[InSlot, ...]]


class Membership:
    """`me` has who this worker is; its other fields are filled in for each hello. `in_slots`: what runs at a moment."""

    def __init__(self, me: Hello, now: float, lease_time: float, interval: float, in_slots: InSlots) -> None:
        self._me = me
        self._in_slots = in_slots
        self._lease_time = lease_time
        self._pace = 1.0
        self._interval = interval
        self._greeting: Greeting | None = None
        self.jobs_connected: bool = False
        """Whether the job connection has come up,"""
        self.sink_connected: bool = False
        """and the one to the sink: each once. What was held when the sink went away must be told of without it."""
        self._number = 0
        self._hello_number = 0
        self._echoed = 0
        """The newest that was: what it said is known there."""
        self._prompt = False
        """The next hello is due at the usual pace, however slowly this worker beats: the one that answered the greeting
        may be lost, and a ventilator that has come up again waits RECOVERY_GRACE for it. One only: ten thousand workers
        that repeat theirs would be a flood."""
        self._sent: dict[int, float] = {}
        """When each hello or heartbeat that was not echoed yet was sent, by number."""
        self._alive_at = now
        self._told_touch = 0.0
        self._beat_at = now
        self.joined: bool = False
        """Whether the newest hello was welcomed."""
        self.lost: bool = True
        """Whether nothing was heard for so long that others may have its jobs."""

    @property
    def beat_due_at(self) -> float:
        """When the next heartbeat or hello is due."""
        return self._beat_at + self._interval * (1.0 if self._prompt else self._pace)

    @property
    def can_say_hello(self) -> bool:
        """Whether somebody waits for a hello and everything is connected."""
        return self._greeting is not None and self.jobs_connected and self.sink_connected

    def greeted(self, greeting: Greeting) -> None:
        """A new control connection, or a ventilator that does not know this worker."""
        self._greeting = greeting
        self._prompt = True
        self.joined = False

    def hello(self, window: int, now: float, broken: str = "") -> Hello:
        """The answer to the newest greeting, without the inventory; `broken`: why nothing can be run here."""
        assert self._greeting is not None
        self._hello_number = self._next(now)
        return msgspec.structs.replace(
            self._me,
            life=self._greeting.life,
            connection=self._greeting.connection,
            number=self._hello_number,
            window=window,
            broken=broken,
        )

    def heartbeat(self, window: int, now: float, broken: str = "") -> Heartbeat:
        """The next sign of life, without the inventory: `since` says what the ventilator has of that."""
        since = self._echoed if self._greeting is not None and self._greeting.parts else 0
        return Heartbeat(self._me.worker, self._next(now), window, (), broken, self._in_slots(now), since=since)

    def wait(self, now: float) -> None:
        """What was said last has not arrived: nothing more until it has, and for a moment after a heartbeat, or for an
        interval after a hello, which a second one would make void."""
        pause = REPORT_PAUSE if self.joined else self._interval
        self._beat_at += max(0.0, now + pause - self.beat_due_at)

    def postpone(self, now: float) -> None:
        """Nothing can be said now; look again after an interval."""
        self._beat_at = now
        self._prompt = False

    def _next(self, now: float) -> int:
        self._number += 1
        self._sent[self._number] = now
        self._beat_at = now
        for number in [number for number, at in self._sent.items() if now - at > self._lease_time * self._pace]:
            del self._sent[number]
        return self._number

    def echoed(self, number: int, pace: float) -> None:
        """The ventilator heard that one, and wants so many times the usual interval between them."""
        self._pace = pace
        sent_at = self._sent.pop(number, None)
        if sent_at is not None:
            self._alive_at = max(self._alive_at, sent_at)
            self._echoed = max(self._echoed, number)

    def welcomed(self, welcome: Welcome, now: float) -> bool:
        """Whether the welcome counts; then the worker belongs again."""
        if self.joined or welcome.number != self._hello_number:
            return False
        self.echoed(welcome.number, 1.0)
        if self.silence(now) > self._lease_time / 2:
            return False
        self.joined, self.lost, self._prompt = True, False, False
        self._me = msgspec.structs.replace(self._me, is_apart=bool(welcome.name))
        return True

    @property
    def _touch_ends_at(self) -> float:
        """When the worker must consider itself lost, unless it hears an echo."""
        return self._alive_at + self._pace * self._lease_time / 2

    def touch(self) -> list[Touch]:
        """What the slots do not know yet of it."""
        if self._touch_ends_at == self._told_touch:
            return []
        self._told_touch = self._touch_ends_at
        return [Touch(self._told_touch)]

    def silence(self, now: float) -> float:
        """Seconds since the ventilator is known to have counted this worker as alive."""
        return now - self._alive_at

    def loses_touch(self, now: float) -> bool:
        """Whether it is at this moment that the worker must consider itself lost."""
        if self.lost or now <= self._touch_ends_at:
            return False
        self.joined, self.lost = False, True
        return True
