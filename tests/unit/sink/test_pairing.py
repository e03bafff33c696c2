"""Which ventilator a sink hears, by what it has heard before."""

from __future__ import annotations

from typing import Any

from penstock.sink.contract import Known, SaveKnown
from penstock.sink.pairing import Pairing
from penstock.station.contract import Report
from penstock.wire.messages import SinkBeat, VentilatorRefused
from penstock.wire.records import UNPAIRED
from support.sink_models import SINK

MINE, OTHER = b"m" * 16, b"o" * 16
KNOWN = Known(MINE, life=3, accepted=10)


def beat(pipeline: bytes = MINE, life: int = 4, accepted: int = 10, **fields: Any) -> SinkBeat:
    return SinkBeat(1, 0, pipeline, life, accepted, **fields)


def test_the_first_ventilator_is_the_pipelines() -> None:
    """It is remembered before anything else is said."""
    pairing = Pairing(SINK, 7, Known())
    assert pairing.pipeline == UNPAIRED
    assert pairing.take(beat()) == (True, [SaveKnown(MINE, 4, 10)])
    assert pairing.pipeline == MINE
    assert pairing.take(beat()) == (True, []), "nothing new, nothing to save"


def test_a_release_that_knows_no_pipelines_is_heard() -> None:
    """As it was."""
    assert Pairing(SINK, 7, KNOWN).take(SinkBeat(1, 0)) == (True, [])


def test_the_ventilator_of_another_pipeline_changes_nothing() -> None:
    """Nor is it answered: it knows what to say of it."""
    assert Pairing(SINK, 7, KNOWN).take(beat(OTHER)) == (False, [])


def test_an_older_file_is_refused_until_somebody_says_so() -> None:
    """By either count, whichever station was told."""
    for older in (beat(life=2), beat(accepted=9)):
        heard, (report,) = Pairing(SINK, 7, KNOWN).take(older)
        assert not heard
        assert isinstance(report, Report)
        assert isinstance(report.message, VentilatorRefused)
        assert "--accept-older" in report.message.text
    assert Pairing(SINK, 7, KNOWN).take(beat(accepted=9, accepts_older=True)) == (True, [SaveKnown(MINE, 4, 9)])
    told = Pairing(SINK, 7, Known(MINE, 3, 10, accepts_older=True))
    assert told.take(beat(accepted=9)) == (True, [SaveKnown(MINE, 4, 9)])
