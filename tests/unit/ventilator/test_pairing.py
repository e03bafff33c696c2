"""Which sink a ventilator lets in, by what is applied of its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.errors import Refused
from penstock.job.spec import Stamp
from penstock.ventilator.contract import Identity, SavePaired
from penstock.wire.desk_messages import AskPipeline, PipelineInfo
from penstock.wire.messages import Diverged, SinkBeat, SinkHead, SinkRefused, Welcome
from penstock.wire.records import UNPAIRED, Held
from support.core_benches import BATCH, BOOT, SINK, Peer, VentilatorBench, of

MINE, OTHER = b"m" * 16, b"o" * 16


def bench_of(folder: Path, **identity: Any) -> VentilatorBench:
    return VentilatorBench(folder, identity=Identity(MINE, **identity))


def head(seq: int = 0, pipeline: bytes = MINE, chain: bytes = b"", echo: int = 0, **fields: Any) -> SinkHead:
    return SinkHead(SINK, BOOT, seq, chain, echo, pipeline=pipeline, **fields)


def refusals(bench: VentilatorBench, *events: Any) -> list[str]:
    return [message.text for message in of(SinkRefused, bench.told(SINK, *events))]


def test_a_new_sink_is_told_whose_it_is_and_then_known(tmp_path: Path) -> None:
    """By the first beat; when it says so itself, that is written down."""
    bench = bench_of(tmp_path)
    bench.turn(head(pipeline=UNPAIRED))
    beats = of(SinkBeat, bench.told(SINK, after=5.0))
    assert [(one.pipeline, one.life, one.accepted) for one in beats] == [(MINE, 1, 0)]
    bench.turn(head())
    assert of(SavePaired, bench.saved) == [SavePaired(MINE)]


@pytest.mark.parametrize("pipeline", [UNPAIRED, MINE])
def test_a_log_that_ends_too_early_is_refused_until_somebody_says_so(tmp_path: Path, pipeline: bytes) -> None:
    """A new file, or an older one: it is told what to do, and is no sink; whoever asks is told that there is none."""
    bench = bench_of(tmp_path, is_paired=True)
    bench.core.ledger.mark_applied(5, b"c")
    (text,) = refusals(bench, head(seq=4 * (pipeline == MINE), pipeline=pipeline))
    assert "line 5" in text
    assert "--accept-older" in text
    (info,) = of(PipelineInfo, bench.ask(AskPipeline(1)))
    assert not info.sink_present
    assert refusals(bench, head(seq=4, pipeline=pipeline, accepts_older=True)) == []
    assert refusals(bench, head(seq=4)) == [], "in the same life it says again what it has said, while its disk is full"


def test_a_sink_of_another_pipeline_is_refused_whatever_it_says(tmp_path: Path) -> None:
    """By name."""
    bench = bench_of(tmp_path, is_paired=True)
    (text,) = refusals(bench, head(seq=9, pipeline=OTHER, accepts_older=True))
    assert OTHER.hex()[:8] in text
    assert MINE.hex()[:8] in text


def test_a_new_queue_beside_the_log_of_a_pipeline_ends(tmp_path: Path) -> None:
    """Unless somebody says that the old one is lost: then it is that pipeline's from now on."""
    bench = bench_of(tmp_path / "a")
    with pytest.raises(Refused, match="is new, and the sink at this URL has the log of pipeline 6f6f6f6f"):
        bench.turn(head(seq=9, pipeline=OTHER))
    bench = bench_of(tmp_path / "b", accepts_older=True)
    bench.turn(head(seq=9, pipeline=OTHER))
    assert of(SavePaired, bench.saved) == [SavePaired(OTHER)]


def test_a_log_that_has_parted_is_refused_when_it_is_known_that_this_file_is_not_the_older_one(tmp_path: Path) -> None:
    """If lines of it were damaged, it is compared."""
    bench = bench_of(tmp_path, is_paired=True)
    bench.core.ledger.mark_applied(5, b"c")
    bench.turn(head(seq=7, chain=b"x"))
    assert refusals(bench, Diverged(SINK, BOOT, 5)) == []
    bench.turn(after=5.0)
    bench.turn(head(seq=7, chain=b"x", echo=bench.core.ledger.beats.number))
    assert len(refusals(bench, Diverged(SINK, BOOT, 5))) == 1
    assert not bench.core.sink_log.diverged
    assert refusals(bench, Diverged(SINK, BOOT, 5, damaged=True)) == []
    assert bench.core.sink_log.diverged


def test_who_holds_what_nobody_knows_here_waits_for_the_sink(tmp_path: Path) -> None:
    """It may be in a newer file than this one: nothing is dropped until the sink has answered."""
    bench = bench_of(tmp_path, is_paired=True)
    peer = Peer(bench, "w", 1, 2)
    hello = peer.hello(peer.connect(), Held(5, BATCH, Stamp(), ((0, 2),), (), ()))
    assert of(Welcome, bench.told(peer, hello)) == []
    bench.turn(head())
    bench.turn(after=5.0)
    bench.turn(head(echo=bench.core.ledger.beats.number))
    (welcome,) = of(Welcome, bench.told(peer, hello))
    assert len(welcome.drop) == 1
