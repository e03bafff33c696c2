"""Who hears nothing of the ventilator connects anew."""

from __future__ import annotations

from penstock.sink.core import SinkCore
from penstock.station.contract import Renew
from penstock.station.control_silence import ControlSilence
from penstock.wire.messages import Beat, SinkBeat
from support.core_benches import BEAT, WorkerBench, of
from support.sink_models import SINK

LEASE = 5.0


def test_once_in_each_lease_time() -> None:
    """Not at the first look, whenever that is: only then its time begins."""
    hearing = ControlSilence(LEASE)
    renewals = [at for at in range(1000, 1018) if hearing.look(float(at))]
    assert renewals == [1005, 1010, 1015]


def test_the_log_says_so_ever_more_seldom() -> None:
    """A connection is tried all the same."""
    hearing = ControlSilence(2.0)
    renewals = [(at, one.is_said) for at in range(1000, 1064) for one in hearing.look(float(at))]
    assert [at for at, _ in renewals] == list(range(1002, 1064, 2))
    assert [at for at, is_said in renewals if is_said] == [1002, 1004, 1008, 1016, 1032]


def test_a_worker_that_is_answered_stays() -> None:
    """Jobs are no sign: they have a connection of their own."""
    bench = WorkerBench()
    assert not of(Renew, bench.pass_time(4 * LEASE))
    bench.turn(bench.jobs())
    assert len(of(Renew, bench.pass_time(LEASE + BEAT, answered=False))) == 1
    assert len(of(Renew, bench.pass_time(2 * LEASE, answered=False))) == 2


def test_a_worker_that_was_never_greeted_tries_again() -> None:
    """It could not even say hello."""
    assert len(of(Renew, WorkerBench(join=False).pass_time(2 * LEASE + BEAT, answered=False))) == 2


def test_a_sink_that_hears_no_beat_tries_again() -> None:
    """And one that hears them does not."""
    core = SinkCore(7, (0, b""), sink=SINK, lease_time=LEASE)
    for at in range(100, 120):
        core.handle(SinkBeat(at, 0), float(at))
        assert not of(Renew, core.tick(float(at)))
    found = [at for at in range(120, 131) if of(Renew, core.tick(float(at)))]
    assert found == [124, 129]


def test_where_many_are_answered_seldom_silence_is_longer() -> None:
    """The pace of the Beats is the pace of its patience."""
    hearing = ControlSilence(LEASE)
    hearing.hear(Beat(1, 3.0), 1000.0)
    assert [at for at in range(1000, 1032) if hearing.look(float(at))] == [1015, 1030]
