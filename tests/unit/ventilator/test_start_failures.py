"""Workers that could not start a job which others may run."""

from __future__ import annotations

from penstock.job.spec import BatchSpec
from penstock.ventilator.start_failures import PAUSE
from penstock.wire.desk_messages import AskPipeline, AskWhy, PipelineInfo, Why
from penstock.wire.messages import HandedBack
from penstock.wire.records import Lease, LeaseSpan, Message
from support.core_benches import BATCH, Peer, VentilatorBench, leases, of

CAUSE = "cannot start 'tool': No such file or directory"


def unable(peer: Peer, number: int, index: int) -> HandedBack:
    """It could not start this job of its lease."""
    return HandedBack(peer.id, 0, (LeaseSpan(number, index, index + 1),), CAUSE)


def paused(bench: VentilatorBench) -> dict[str, str]:
    """As `penstock workers` has it."""
    (info,) = of(PipelineInfo, bench.ask(AskPipeline(1)))
    return {line.name: line.paused for line in info.workers}


def given(sent: list[tuple[bytes, Message]], peer: Peer, batch: bytes = BATCH) -> list[Lease]:
    """What it was given of a batch."""
    return [lease for lease in leases([message for to, message in sent if to == peer.id]) if lease.batch == batch]


def test_others_are_given_what_one_could_not_start(bench: VentilatorBench) -> None:
    """It gets nothing more of that batch for a while, then it is tried again; of others it gets all the time."""
    has, lacks = bench.worker("has", window=1), bench.worker("lacks", window=1)
    sent = bench.submit(1, 1, 1, spec=BatchSpec(kind="command"))
    (mine,) = given(sent, lacks)
    assert mine.elsewhere
    assert given(bench.turn(unable(lacks, mine.number, mine.start)), lacks) == []
    assert paused(bench) == {"has": "", "lacks": CAUSE}
    assert [CAUSE in log.fields for log in bench.logged if log.event == "not_started"] == [True]
    (why,) = of(Why, bench.ask(AskWhy(2, BATCH, mine.start)))
    assert (
        f"worker lacks on host could not start a job of its batch ({CAUSE}), and is tried again in 30 s" in why.reason
    )
    other = b"other".ljust(16)
    assert len(given(bench.submit(1, batch=other), lacks, other)) == 1
    lacks.window = 4
    assert given(bench.pass_time(PAUSE - 1, (has, ()), (lacks, ())), lacks) == []
    assert given(bench.pass_time(2, (has, ()), (lacks, ())), lacks)
    assert paused(bench) == {"has": "", "lacks": ""}


def test_what_nobody_can_start_is_left_to_fail(bench: VentilatorBench) -> None:
    """It is given out again to be tried for good; for a while nobody is believed to do better."""
    pair = [bench.worker("a", window=1), bench.worker("b", window=1)]
    sent = bench.submit(1, 1, spec=BatchSpec(kind="command"))
    for peer in pair:
        (lease,) = given(sent, peer)
        assert lease.elsewhere
        again = bench.turn(unable(peer, lease.number, lease.start))
    assert len(leases(again)) == 2
    assert not any(lease.elsewhere for lease in leases(again))
    assert paused(bench) == {"a": "", "b": ""}


def test_one_alone_is_not_asked_to_leave_it_to_others(bench: VentilatorBench) -> None:
    """Nor where the other one may not run it, or is gone: then the first is given it again at once."""
    only = bench.worker("only", tags=("gpu",))
    other = bench.worker("other")
    (lease,) = leases(bench.submit(1, spec=BatchSpec(needs=("gpu",))))
    assert not lease.elsewhere
    batch = b"free".ljust(16)
    sent = bench.submit(1, batch=batch)
    (lease,) = leases(sent)
    holder, left = (only, other) if given(sent, only, batch) else (other, only)
    assert lease.elsewhere
    left.disconnect()
    (again,) = given(bench.turn(unable(holder, lease.number, 0)), holder, batch)
    assert not again.elsewhere
