"""Giving out: rounds, by name, and taking back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cores import VentilatorBench, held, leases, of
from penstock.config import RESEND
from penstock.core.inputs import JobConnections
from penstock.job import BatchSpec
from penstock.messages import HandBack, HandedBack, Jobs, LeaseSpan, Took


@pytest.fixture
def bench(tmp_path: Path) -> VentilatorBench:
    """A ventilator with its sink."""
    made = VentilatorBench(tmp_path)
    made.sink()
    return made


def given_to(sent: Sequence[tuple[bytes, object]]) -> list[bytes]:
    """Who was sent jobs; b"" for each message of a round."""
    return [to for to, message in sent if isinstance(message, Jobs)]


def test_a_round_gives_each_exactly_one_message(bench: VentilatorBench) -> None:
    """While every worker has credit and every job connection is a present worker's."""
    for name in ("one", "two", "three"):
        bench.worker(name)
    assert given_to(bench.submit(1, 1, 1)) == [b"", b"", b""]


def test_everything_goes_by_name_while_a_job_connection_is_nobodys(bench: VentilatorBench) -> None:
    """Rule 3: a worker whose hello is not here yet would get a share of the round."""
    one, two = bench.worker("one"), bench.worker("two")
    bench.turn(JobConnections(3))
    assert set(given_to(bench.submit(1, 1))) == {one.id, two.id}


def test_nothing_is_given_beyond_credit(bench: VentilatorBench) -> None:
    """Rule 2: the window less the open leases, computed anew; what a round cost is counted until it is reported."""
    one, two = bench.worker("one", slots=2), bench.worker("two", slots=2)
    given = leases(bench.submit(*[1] * 9))
    assert len(given) == 4
    assert given_to(bench.turn(one.beat(), two.beat())) == []
    bench.turn(Took(one.id, (given[0].number, given[2].number), 3))
    assert len([part for part in bench.parts() if part.lease]) == 5


def test_an_idle_slot_is_served_before_one_that_looks_ahead(bench: VentilatorBench) -> None:
    """One job goes to the worker with nothing to do, whatever credit the busy one has."""
    bench.worker("busy", slots=2, window=9)
    bench.submit(1, 1, batch=b"1" * 16)
    idle = bench.worker("idle", window=1)
    assert given_to(bench.submit(1, batch=b"2" * 16)) == [idle.id]


def test_a_worker_that_is_away_is_given_nothing(bench: VentilatorBench) -> None:
    """Within the grace of a dropped connection."""
    peer = bench.worker("w")
    peer.disconnect()
    assert leases(bench.submit(1)) == []


def test_larger_priority_goes_first_and_batches_take_turns(bench: VentilatorBench) -> None:
    """A huge batch does not starve a small one."""
    big, small, urgent = b"1" * 16, b"2" * 16, b"3" * 16
    bench.submit(*[1] * 50, batch=big)
    bench.submit(*[1] * 2, batch=small)
    bench.submit(1, batch=urgent, spec=BatchSpec(priority=1))
    bench.worker("w", slots=3, window=5)
    parts = [part for batch in (big, small, urgent) for part in bench.parts(batch) if part.lease]
    order = [part.chunk.batch.id for part in sorted(parts, key=lambda part: part.lease)]
    assert order == [urgent, big, small, big, small]


def test_the_fullest_is_asked_for_half_while_a_slot_idles(bench: VentilatorBench) -> None:
    """And what comes back goes to the idle one by name."""
    full = bench.worker("full")
    (lease,) = leases(bench.submit(101))
    mine = held(lease, running=((0, 1),), unstarted=((1, 101),))
    bench.turn(full.beat(mine))
    idle = bench.worker("idle")
    sent = bench.told(full, idle.beat(), after=0.1)
    assert of(HandBack, sent) == [HandBack(1, 50)]
    sent2 = bench.turn(HandedBack(full.id, 1, (LeaseSpan(lease.number, 51, 101),)))
    assert given_to(sent2) == [idle.id]
    assert [(one.start, one.stop) for one in leases(sent2)] == [(51, 101)]


def test_an_unanswered_request_is_repeated(bench: VentilatorBench) -> None:
    """Rule 13: after RESEND, under a new number; one is open at a time."""
    full = bench.worker("full")
    (lease,) = leases(bench.submit(101))
    mine = held(lease, running=((0, 1),), unstarted=((1, 101),))
    bench.turn(full.beat(mine))
    idle = bench.worker("idle")
    asked = of(HandBack, bench.told(full, idle.beat(), after=0.1))
    asked += of(HandBack, [m for _, m in bench.pass_time(RESEND * 0.9, (full, (mine,)), (idle, ()))])
    assert [request.number for request in asked] == [1]
    asked = of(HandBack, [m for _, m in bench.pass_time(RESEND * 0.2, (full, (mine,)), (idle, ()))])
    assert [request.number for request in asked] == [2]


def test_what_must_not_be_started_twice_is_marked_before_it_leaves(bench: VentilatorBench) -> None:
    """max_crashes=1: in the transaction of the turn that gives it out."""
    bench.worker("w")
    bench.submit(1, spec=BatchSpec(max_crashes=1))
    chunk = bench.store.open_chunk_at(b"batch".ljust(16), 0)
    assert chunk is not None
    assert [part.given for part in chunk.parts] == [True]
