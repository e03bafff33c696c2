"""Outcomes on their way to the sink: bounded, and sent until they are closed."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.station.contract import Actions
from penstock.wire.bounds import RESEND
from penstock.wire.records import BatchHead, Lease, OutcomeHead, RecordedSpan
from penstock.worker.contract import Deliver
from penstock.worker.held_lease import HeldLease
from penstock.worker.holdings import Holdings
from penstock.worker.outbox import AGAIN_BYTES, UNDER_WAY_BYTES, Outbox

BATCH = b"b" * 16


def kept(sizes: list[int]) -> tuple[Holdings, Outbox]:
    """A worker that has outcomes of so many bytes to send."""
    holdings = Holdings()
    outbox = Outbox(holdings, 0.0)
    held = HeldLease(
        Lease(1, BATCH, 0, len(sizes), 0, len(sizes), Stamp(), 4), BatchHead(BATCH, BatchSpec(), b"f" * 16, 1, 1)
    )
    holdings.add(held)
    for index, size in enumerate(sizes):
        held.unstarted.take_first(1)
        held.running.add(index, index + 1)
        head = OutcomeHead(BATCH, index, index + 1, JobState.SUCCEEDED, True, Stamp(), 1, 0, 1.0, 0.1, size)
        outbox.add(holdings.keep(held, head, bytes(size)))
    return holdings, outbox


def sent(actions: Actions) -> list[int]:
    """Indexes of the outcomes in these messages."""
    return [record.start for action in actions if isinstance(action, Deliver) for record in action.records]


def test_what_is_under_way_is_bounded_and_goes_on_as_it_is_closed() -> None:
    """In the order in which the outcomes came; each is sent once."""
    quarter = UNDER_WAY_BYTES // 4
    holdings, outbox = kept([quarter] * 10)
    assert sent(outbox.deliver(1.0)) == [0, 1, 2, 3]
    assert sent(outbox.deliver(1.1)) == []
    holdings.close(RecordedSpan(BATCH, 0, 2, Stamp()))
    assert sent(outbox.deliver(1.2)) == [4, 5]
    holdings.close(RecordedSpan(BATCH, 2, 6, Stamp()))
    assert sent(outbox.deliver(1.3)) == [6, 7, 8, 9]


def test_an_outcome_that_is_larger_than_all_that_may_be_under_way_goes_alone() -> None:
    """Nothing is too large to be sent."""
    holdings, outbox = kept([2 * UNDER_WAY_BYTES, 1])
    assert sent(outbox.deliver(1.0)) == [0]
    holdings.close(RecordedSpan(BATCH, 0, 1, Stamp()))
    assert sent(outbox.deliver(1.1)) == [1]


def test_what_is_not_closed_in_time_is_sent_again_and_so_is_all_at_a_new_connection() -> None:
    """Each once, however often it is found."""
    _, outbox = kept([1, 1])
    assert sent(outbox.deliver(1.0)) == [0, 1]
    outbox.send_all_again()
    outbox.send_all_again()
    assert sent(outbox.deliver(1.1)) == [0, 1]
    assert sent(outbox.deliver(1.1 + RESEND / 2)) == []
    assert sent(outbox.deliver(1.2 + 2 * RESEND)) == [0, 1]


def test_little_is_sent_again_at_once() -> None:
    """A sink that is slow has it all in its memory, and would have it twice."""
    half = AGAIN_BYTES // 2
    _, outbox = kept([half] * 6)
    assert sent(outbox.deliver(1.0)) == [0, 1, 2, 3, 4, 5]
    assert sent(outbox.deliver(1.0 + RESEND)) == [0, 1]
    assert sent(outbox.deliver(1.0 + 2 * RESEND)) == [2, 3]


def test_nothing_is_sent_again_while_something_is_on_its_way() -> None:
    """However long that takes: it would wait behind what it repeats. When all has arrived, RESEND later it is."""
    _, outbox = kept([1, 1])
    assert sent(outbox.deliver(1.0)) == [0, 1]
    for second in range(2, 30):
        outbox.under_way(float(second))
        assert sent(outbox.deliver(float(second))) == []
    assert sent(outbox.deliver(29.0 + RESEND)) == [0, 1]
