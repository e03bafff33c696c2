"""Whose file is whose: this ventilator's, the sink's that reports to it, and which of them is the newer one.

Promises:

1. A sink of another pipeline is refused, by name, and nothing that it says changes anything here.
2. So is one whose log ends before what is applied here, or parts from it, unless lines were found damaged there, or
   somebody has said that files may be older (`--accept-older`).
3. A new queue file beside the log of a pipeline ends this ventilator, unless that was said.
4. A release that knows no pipelines is let in as it was.
"""

from __future__ import annotations

from penstock.station.contract import Refuse
from penstock.ventilator.contract import Identity, SavePaired
from penstock.ventilator.ledger import Ledger
from penstock.wire.messages import Diverged, SinkBeat, SinkHead, SinkRefused
from penstock.wire.records import UNPAIRED

RESTORE = "put the newer file back, or start this station with --accept-older: then what is lost runs again, or is dead"


class Pairing:
    """Of the ventilator that has this `identity`."""

    def __init__(self, ledger: Ledger, identity: Identity) -> None:
        self._ledger = ledger
        self._is_paired = identity.is_paired
        self._accepts_older = identity.accepts_older
        self._accepts_sink = False
        self._admitted: tuple[bytes, int] | None = None
        """The sink that was let in last, and in which of its lives: while its disk is full it says again what it has
        said before."""
        self._refused: tuple[bytes, int] | None = None
        """The sink that was refused last, and in which of its lives: it is told once, and nobody else is asked."""

    def admits(self, head: SinkHead) -> bool:
        """Whether this sink is the pipeline's; if not, one of the two stations is told to end."""
        ledger = self._ledger
        self._accepts_sink = self._accepts_older or head.accepts_older
        if not head.pipeline or not ledger.pipeline:
            return True
        if head.pipeline not in {ledger.pipeline, UNPAIRED}:
            return self._is_of_same(head)
        life = (head.sink, head.boot)
        if self._is_paired and head.seq < ledger.applied and not self._accepts_sink and life != self._admitted:
            is_new = head.pipeline == UNPAIRED
            what = "is new" if is_new else f"is an older copy, or has lost its end: it ends at line {head.seq}"
            self._refuse(
                head, f"{what}, and the queue.db of this pipeline knows line {ledger.applied} of it; {RESTORE}"
            )
            return False
        self._admitted = life
        if not self._is_paired and head.pipeline == ledger.pipeline:
            self._is_paired = True
            ledger.turn.say(SavePaired(ledger.pipeline))
        return True

    def _is_of_same(self, head: SinkHead) -> bool:
        ledger = self._ledger
        names = f"of pipeline {head.pipeline.hex()[:8]}"
        if self._is_paired:
            self._refuse(
                head, f"is {names}, and the ventilator is of pipeline {ledger.pipeline.hex()[:8]}: use its --data"
            )
        elif self._accepts_sink:
            self._is_paired, ledger.pipeline = True, head.pipeline
            ledger.turn.say(SavePaired(head.pipeline))
            return True
        else:
            text = (
                f"is new, and the sink at this URL has the log {names}, up to line {head.seq}: use its --data; if its"
            )
            ledger.turn.say(Refuse(f"{text} queue.db is lost, start the ventilator with --accept-older"))
        return False

    def admits_divergence(self, diverged: Diverged) -> bool:
        """Whether a log that has parted from what is applied here is to be believed."""
        if not self._is_paired or self._accepts_sink or diverged.damaged:
            return True
        if not self._ledger.is_confirmed:
            return False  # it may be this file that is the older one: the sink says so, or parts from it again
        self._tell(
            diverged.sink, diverged.boot, f"is not the one that queue.db knows up to line {diverged.seq}; {RESTORE}"
        )
        return False

    def _refuse(self, head: SinkHead, text: str) -> None:
        self._tell(head.sink, head.boot, text)

    def _tell(self, sink: bytes, boot: int, text: str) -> None:
        if self._refused != (sink, boot):
            self._refused = (sink, boot)
            self._ledger.turn.log("sink_refused", sink=sink.hex()[:8], why=f"its results.db {text}")
        self._ledger.turn.tell(sink, SinkRefused(text))

    def beat(self, number: int) -> SinkBeat:
        """The sign of life of this number."""
        ledger = self._ledger
        return SinkBeat(number, ledger.applied, ledger.pipeline, ledger.life, ledger.accepted, self._accepts_older)
