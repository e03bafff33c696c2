"""Whose log this is: the pipeline whose ventilator was heard first, and how far that one had come.

Promises:

1. The ventilator of another pipeline changes nothing here. It ends one of the two, by what it knows (SinkRefused).
2. So does one of the same pipeline whose file is older than what is known here of it: it is told, and ends, unless
   somebody has said that files may be older.
"""

from __future__ import annotations

from penstock.sink.contract import Known, SaveKnown
from penstock.station.contract import Actions, Report
from penstock.wire.messages import SinkBeat, VentilatorRefused
from penstock.wire.records import UNPAIRED


class Pairing:
    """Of the sink that is known by this id in this life."""

    def __init__(self, sink: bytes, boot: int, known: Known) -> None:
        self._sink, self._boot = sink, boot
        self._known = known
        self.accepts_older: bool = known.accepts_older

    @property
    def pipeline(self) -> bytes:
        """For the ventilator."""
        return self._known.pipeline or UNPAIRED

    def take(self, beat: SinkBeat) -> tuple[bool, Actions]:
        """Whether its ventilator is to be heard any further, and what there is to say and to save about it."""
        known = self._known
        if not beat.pipeline:
            return True, []
        if known.pipeline and beat.pipeline != known.pipeline:
            return False, []
        is_older = known.pipeline and (beat.life < known.life or beat.accepted < known.accepted)
        if is_older and not (self.accepts_older or beat.accepts_older):
            text = (
                f"is an older copy, or has lost its end (its -wal?): it knows {beat.accepted} accepted chunks in"
                f" {beat.life} starts, and the sink has heard of {known.accepted} in {known.life}; put the newer file"
                " back, or start the ventilator with --accept-older: then what is lost is gone"
            )
            return False, [Report(VentilatorRefused(self._sink, self._boot, text))]
        if (beat.pipeline, beat.life, beat.accepted) == (known.pipeline, known.life, known.accepted):
            return True, []
        self._known = Known(beat.pipeline, beat.life, beat.accepted, known.accepts_older)
        return True, [SaveKnown(beat.pipeline, beat.life, beat.accepted)]
