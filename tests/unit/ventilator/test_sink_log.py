"""The sink's log comes in: in order, once, and over whatever the ledger said."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.ventilator.contract import SaveApplied
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import RESEND
from penstock.wire.frames import encode
from penstock.wire.messages import CancelSpan, Closed, Completions, Diverged, Greeting, Replay, Took
from penstock.wire.records import BatchSpan, RecordedSpan
from support.core_benches import BATCH, BOOT, SINK, VentilatorBench, held, leases, of


def test_closed_is_said_in_the_turn_that_saves_the_outcome(bench: VentilatorBench) -> None:
    """A worker may drop an outcome only when that it is recorded is durably known here."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4))
    bench.saved.clear()
    sent = bench.told(peer, bench.record(0, 4, lease=lease.number, worker=peer.id))
    assert sent == [Closed((RecordedSpan(BATCH, 0, 4, Stamp()),))]
    assert of(SaveApplied, bench.saved) == [SaveApplied(1, b"1")]
    assert bench.counts() == {"succeeded": 4}


def test_closed_of_many_spans_goes_in_several_messages(bench: VentilatorBench) -> None:
    """As after a replay: half a second at 1 Mbit/s at most."""
    peer = bench.worker("w")
    bench.submit(3_000)
    lines = [bench.record(index, index + 1, worker=peer.id) for index in range(3_000)]
    closed = of(Closed, bench.told(peer, *lines))
    assert [span.start for one in closed for span in one.spans] == list(range(3_000))
    assert max(len(encode(one)) for one in closed) <= 64 << 10


def test_a_line_counts_once(bench: VentilatorBench) -> None:
    """Lines that were applied already change nothing."""
    bench.submit(4, close=False)
    line = bench.record(0, 2)
    bench.turn(line)
    bench.turn(line)
    assert bench.counts() == {"succeeded": 2}


def test_on_a_gap_the_log_is_asked_for(bench: VentilatorBench) -> None:
    """From the last applied line; what is behind the gap is not applied before."""
    bench.submit(4)
    bench.turn(after=RESEND)
    first, second = bench.record(0, 2), bench.record(2, 4)
    assert of(Replay, bench.told(SINK, second)) == [Replay(0, b"")]
    assert bench.counts() == {}
    bench.turn(first, second)
    assert bench.counts() == {"succeeded": 4}


def test_a_head_that_is_told_again_changes_nothing(bench: VentilatorBench) -> None:
    """A sink whose disk is full repeats its last one, with why: what was told since is not undone, nor waited for."""
    bench.submit(4)
    last = bench.head()
    bench.turn(bench.record(0, 2))
    bench.turn(after=RESEND)
    for _ in range(2):
        assert of(Replay, bench.told(SINK, replace(last, trouble="full"))) in ([Replay(1, b"1")], [])
    assert bench.core.sink_log.trouble == "full"
    bench.turn(bench.record(2, 4), bench.head())
    assert bench.counts() == {"succeeded": 4}
    assert not bench.core.sink_log.trouble


def test_a_new_sink_is_asked_from_the_last_applied_line(bench: VentilatorBench) -> None:
    """After either side restarts the chains are compared."""
    bench.submit(4)
    bench.turn(bench.record(0, 2))
    assert of(Replay, bench.told(SINK, bench.head(boot=BOOT + 1))) == [Replay(1, b"1")]


def test_lines_of_a_former_boot_are_void(bench: VentilatorBench) -> None:
    """Rule 14: also the answer about a log from the sink's former life."""
    bench.submit(4)
    bench.turn(bench.head(boot=BOOT + 1))
    bench.turn(bench.record(0, 2), Diverged(SINK, BOOT, 0))
    assert bench.counts() == {}
    line = bench.record(0, 2)
    bench.seq = 1
    bench.turn(Completions(SINK, BOOT + 1, (replace(line.records[0], seq=1),)))
    assert bench.counts() == {"succeeded": 2}


def test_a_sink_that_is_not_known_yet_is_asked_for_its_head(tmp_path: Path) -> None:
    """Its first head can be lost while connections come up: its first lines tell as much, and nothing waits a beat."""
    bench = VentilatorBench(tmp_path)
    bench.submit(2)
    assert len(of(Greeting, bench.told(SINK, bench.record(0, 2)))) == 1
    assert bench.counts() == {}


def test_a_log_that_is_shorter_than_what_was_applied_is_noticed(bench: VentilatorBench) -> None:
    """Even if the first question about it was lost: the sink is asked until it answers."""
    bench.submit(4)
    bench.turn(bench.record(0, 2))
    bench.seq = 0
    for _ in range(2):
        bench.turn(after=RESEND)
        assert of(Replay, bench.told(SINK, bench.head())) == [Replay(1, b"1")]
    bench.turn(Diverged(SINK, BOOT, 1))
    assert [log.event for log in bench.logged][-1] == "sink_diverged"


def test_a_failed_attempt_waits_for_its_retry(bench: VentilatorBench) -> None:
    """Rule 12: the stamp grows, the delay doubles and is jittered by a quarter at most."""
    bench.worker("w")
    bench.submit(1, spec=BatchSpec(retries=2, retry_delay=10.0), close=False)
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False))
    (part,) = bench.parts()
    assert (part.place, part.stamp) == (Place.DELAYED, Stamp(attempt=2))
    assert 7.5 <= part.due_at - bench.now <= 12.5
    stamp = part.stamp
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False, stamp=stamp))
    (part,) = bench.parts()
    assert (part.place, part.stamp) == (Place.DELAYED, Stamp(attempt=3))
    assert 15.0 <= part.due_at - bench.now <= 25.0


def test_a_retry_survives_a_restart(bench: VentilatorBench) -> None:
    """A job that waits for its retry has not started: also one that must not be started twice is not dead for it."""
    bench.worker("w")
    bench.submit(1, spec=BatchSpec(retries=2, retry_delay=60.0, max_crashes=1), close=False)
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False))
    bench.restart()
    bench.recover()
    bench.turn(bench.head())
    assert [(part.place, part.stamp) for part in bench.parts()] == [(Place.QUEUED, Stamp(attempt=2))]


def test_a_crash_is_queued_again_at_once(bench: VentilatorBench) -> None:
    """It counts as a crash, not as a failure."""
    bench.submit(1)
    bench.turn(bench.record(0, 1, JobState.DEAD, final=False, crashed=True))
    assert [(part.place, part.stamp) for part in bench.parts()] == [(Place.QUEUED, Stamp(0, 2, 1))]


def test_an_older_attempt_is_late(bench: VentilatorBench) -> None:
    """Rule 12: a recorded attempt with an older stamp than the one that holds changes nothing."""
    bench.submit(1, spec=BatchSpec(retries=5))
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False, stamp=Stamp(attempt=3)))
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False, stamp=Stamp(attempt=2)))
    assert [part.stamp for part in bench.parts()] == [Stamp(attempt=4)]


def test_a_recorded_attempt_clears_whatever_lease_the_job_is_under(bench: VentilatorBench) -> None:
    """Rule 12: also that of another worker."""
    peer = bench.worker("w", window=1)
    (lease,) = leases(bench.submit(1, spec=BatchSpec(retries=5, retry_delay=60.0)))
    bench.turn(Took(peer.id, (lease.number,), 1))
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False, lease=lease.number - 1))
    assert bench.places() == [(0, 1, Place.DELAYED)]


def test_who_runs_what_is_recorded_from_another_is_told_to_end_it(bench: VentilatorBench) -> None:
    """A final outcome under another lease."""
    peer = bench.worker("w", window=1)
    (lease,) = leases(bench.submit(1))
    sent = bench.told(peer, bench.record(0, 1, lease=lease.number - 1, worker=b"other".ljust(16)))
    assert of(CancelSpan, sent) == [CancelSpan((BatchSpan(BATCH, 0, 1),))]


def test_lines_about_chunks_on_disk_wait_for_them(tmp_path: Path) -> None:
    """After a restart: they are loaded, the outcome is applied once, and what had ended does not come back."""
    bench = VentilatorBench(tmp_path)
    peer = bench.worker("w", window=2)
    first, second = leases(bench.submit(2, 2, close=False))
    bench.sink()
    bench.restart()
    bench.peers.clear()
    bench.sink()
    peer = bench.worker("w", window=2)
    mine = (held(first, finished=((0, 1), (1, 2))), held(second, running=((2, 3),), unstarted=((3, 4),)))
    lines = [bench.record(0, 1, lease=first.number, worker=peer.id), bench.record(1, 2, lease=first.number)]
    bench.turn(*lines, peer.beat(*mine))
    assert bench.counts() == {"succeeded": 2}
    assert bench.places() == [(2, 4, Place.LEASED)]
