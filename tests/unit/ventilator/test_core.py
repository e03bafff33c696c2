"""The ventilator's turn: how pipelines stand, and when it wants to be woken."""

from __future__ import annotations

from penstock.wire.desk_messages import AskPipeline, PipelineInfo
from penstock.wire.messages import SinkBeat, Took
from support.core_benches import BEAT, SINK, VentilatorBench, leases, of


def test_the_sink_is_told_every_beat_what_is_applied(bench: VentilatorBench) -> None:
    """A SinkBeat with a growing number."""
    bench.submit(3)
    bench.turn(bench.record(0, 1))
    (first,) = of(SinkBeat, bench.told(SINK, after=BEAT))
    (second,) = of(SinkBeat, bench.told(SINK, after=BEAT))
    assert (first.applied, second.applied, second.number) == (1, 1, first.number + 1)


def test_it_wakes_for_its_beat(bench: VentilatorBench) -> None:
    """At the latest: then the workers' and the sink's silence is looked at too."""
    wakeup = bench.core.next_wakeup()
    assert wakeup is not None
    assert wakeup <= bench.now + BEAT


def test_it_says_how_the_pipeline_stands(bench: VentilatorBench) -> None:
    """Queued and leased jobs add up to what is open."""
    peer = bench.worker("w", window=1)
    (lease,) = leases(bench.submit(3, 4))
    bench.turn(Took(peer.id, (lease.number,), 1))
    bench.turn(bench.record(0, 1, lease=lease.number, worker=peer.id))
    (info,) = of(PipelineInfo, bench.ask(AskPipeline(5)))
    assert (info.number, info.life, info.queued, info.leased, info.batches, info.sink_present) == (5, 1, 4, 2, 1, True)
    assert [(line.name, line.jobs, line.done) for line in info.workers] == [("w", 2, 1)]


def test_each_life_has_a_greater_number(bench: VentilatorBench) -> None:
    """It is stored at the start, so that no lease number is ever used twice."""
    lives = [bench.core.ledger.life]
    for _ in range(2):
        bench.restart()
        lives.append(bench.core.ledger.life)
    assert lives == [1, 2, 3]
