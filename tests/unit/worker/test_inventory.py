"""What a worker says of what it holds: as much as has changed, and never less than is needed."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from penstock.job.spec import BatchSpec, Stamp
from penstock.station.lease_tokens import Grant, LeaseTokens
from penstock.ventilator.known_worker import Worker
from penstock.wire.frames import pieces
from penstock.wire.messages import Heartbeat
from penstock.wire.records import BatchHead, Held, Lease
from penstock.worker.core import WINDOW
from penstock.worker.held_lease import HeldLease
from penstock.worker.holdings import Holdings
from penstock.worker.inventory import Inventory

ME, BATCH = b"me".ljust(16), b"batch".ljust(16)
JOBS = 4
"""Of a lease."""
FIRST_LEASE = 3 << 40
"""Of the ventilator's third life."""
TOKENS = LeaseTokens(b"key")


def lease(number: int) -> HeldLease:
    """One that has just come, with a token as where there are keys."""
    start, number = 1_000_000 + JOBS * number, FIRST_LEASE + number
    grant = TOKENS.token(Grant(number, BATCH, start, start + JOBS, Stamp()))
    head = BatchHead(BATCH, BatchSpec(), b"f" * 16, 0, 0)
    return HeldLease(Lease(number, BATCH, start, JOBS, start, start + JOBS, Stamp(), 0, grant), head)


def start(held: HeldLease) -> None:
    """Its next job starts, if one is left."""
    if held.unstarted:
        held.running.add(*held.unstarted.take_first(1))


def come_back(held: HeldLease) -> None:
    """What runs of it did not run after all."""
    for span in held.running:
        held.running.remove(*span)
        held.unstarted.add(*span)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.just(0)),
        st.tuples(st.sampled_from(["start", "come back", "go"]), st.integers(0, 3)),
        st.tuples(st.just("beat"), st.sampled_from(["lost", "heard", "echoed"])),
    ),
    max_size=40,
)


@given(STEPS)
def test_who_hears_the_changes_has_all_of_it(steps: list[tuple[str, int | str]]) -> None:
    """Whatever changes, there and back too, and whichever heartbeats are lost, or are heard and their echo is: after
    one that is heard the ventilator has the inventory that the worker has."""
    holdings = Holdings()
    inventory, ventilator = Inventory(holdings), Worker(ME, {})
    numbers, new, base = count(2), map(lease, count()), 1
    ventilator.take_inventory(Heartbeat(ME, 1, 0, inventory.whole(1)))
    for step, which in steps:
        if step == "beat":
            number = next(numbers)
            held, gone = inventory.since(base, number)
            if which == "lost":
                continue
            ventilator.take_inventory(Heartbeat(ME, number, 0, held, since=base, gone=gone))
            assert ventilator.inventory == {one.lease.number: one.line() for one in holdings.leases.values()}
            base = number if which == "echoed" else base
        elif step == "come":
            holdings.add(next(new))
        elif some := list(holdings.leases.values())[int(which) :]:
            {"start": start, "come back": come_back, "go": holdings.remove}[step](some[0])


def test_without_a_base_all_of_it_is_said() -> None:
    """A ventilator of an earlier release hears the whole inventory each time, and no changes."""
    holdings = Holdings()
    inventory = Inventory(holdings)
    for number in (1, 2):
        holdings.add(lease(number))
    lines = tuple(held.line() for held in holdings.leases.values())
    assert inventory.since(0, 1) == inventory.since(0, 2) == (lines, ())
    holdings.remove(next(iter(holdings.leases.values())))
    assert inventory.since(0, 3) == (lines[1:], ())


def test_a_heartbeat_is_as_long_as_what_has_changed() -> None:
    """Of as many leases as a worker ever wants, with tokens, all of it takes longer than half a second at 1 Mbit/s;
    after that a heartbeat has the ten that changed, and without changes it has nothing."""
    holdings = Holdings()
    inventory = Inventory(holdings)
    for number in range(1, WINDOW + 1):
        holdings.add(lease(number))
    assert frame_bytes(inventory.since(1, 2)) > 100_000
    assert frame_bytes(inventory.since(2, 3)) < 100
    for number, held in enumerate(list(holdings.leases.values())[:10]):
        (start if number % 2 else holdings.remove)(held)
    assert frame_bytes(inventory.since(3, 4)) < 1000


def frame_bytes(found: tuple[tuple[Held, ...], tuple[int, ...]]) -> int:
    """Of the heartbeat with these lines and gone leases."""
    return sum(map(len, pieces(Heartbeat(ME, 2**40, WINDOW, found[0], since=2**40 - 1, gone=found[1]))))
