"""What a worker needs of its slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.job.spans import Span
from penstock.job.spec import JobState
from penstock.job.spooled_output import Segments, Spooled
from penstock.station.contract import Bytes, Input
from penstock.worker.contract import Run


class Slots(Protocol):
    """A worker's slots, as far as it uses them: slot_host.py has them as processes."""

    def filenos(self) -> list[int]:
        """What to poll for reading; it never changes."""

    def receive(self, fd: int) -> list[Input]:
        """Handle whatever is ready."""

    def tick(self, now: float) -> list[Input]:
        """Handle what is due."""

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do."""

    def run(self, order: Run, code: Bytes, arguments: Bytes) -> None:
        """Queue a piece on its slot, with the batch's function and the arguments of the lease's chunk."""

    def allow(self, until: float) -> None:
        """Let slots start jobs until then."""

    def free(self, lease: int) -> None:
        """The slots need the lease's arguments no longer."""

    def cut(self, slot: int, piece: int) -> None:
        """Let the slot stop the piece after what runs of it."""

    def end(self, slot: int, piece: int, grace: float, state: JobState, cause: str, spans: Sequence[Span]) -> None:
        """End a slot's process tree, if it runs one of these jobs of the piece."""

    def look_at_stack(self, number: int, batch: bytes, index: int) -> None:
        """See where this job is; comes back as StackSeen with this number."""

    def read_output(self, slot: int, stream: int, output: Segments, position: int, size: int) -> bytes:
        """So many bytes of what a job of this slot wrote, from `position` on."""

    def free_output(self, slot: int, output: Spooled) -> None:
        """It is wanted no more."""

    def close(self, grace: float = 0.0, hurry: Sequence[int] = ()) -> list[Input]:
        """End every slot and what it started; returns what was said meanwhile."""
