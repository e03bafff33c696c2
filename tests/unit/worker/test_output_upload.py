"""Large outputs on their way to the sink."""

from __future__ import annotations

from penstock.job.spec import JobState, Stamp
from penstock.wire.bounds import RESEND
from penstock.wire.records import OutcomeHead
from penstock.worker.contract import DeliverOutput, FreeOutput
from penstock.worker.held_lease import KeptOutcome
from penstock.worker.output_upload import MESSAGE_BYTES, PART_BYTES, WINDOW_BYTES, Uploads

MIB = 1 << 20


def kept(index: int = 0) -> KeptOutcome:
    head = OutcomeHead(
        batch=b"b" * 16,
        start=index,
        stop=index + 1,
        state=JobState.SUCCEEDED,
        final=True,
        stamp=Stamp(),
        lease=5,
        slot=1,
        started_time=0.0,
        elapsed=0.0,
        size=0,
        crashed=False,
    )
    return KeptOutcome(head, b"", b"token")


def sent(uploads: Uploads, now: float = 0.0) -> list[DeliverOutput]:
    return [action for action in uploads.deliver(now) if isinstance(action, DeliverOutput)]


def places(messages: list[DeliverOutput]) -> list[tuple[bool, int, int]]:
    return [(head.is_error, head.position, head.size) for message in messages for head in message.records]


def connected() -> Uploads:
    uploads = Uploads()
    uploads.reconnected()
    return uploads


def test_an_outcome_follows_its_output() -> None:
    """When all of it is recorded and not before; then the spool has its room back."""
    uploads, one = connected(), kept()
    output = (((0, PART_BYTES + 5),), (b"err",))
    uploads.add(one, 1, output, None)
    (message,) = sent(uploads)
    assert places([message]) == [(False, 0, PART_BYTES), (False, PART_BYTES, 5), (True, 0, 3)]
    assert message.sources == ((1, output[0]), (1, output[0]), (1, output[1]))
    assert message.tokens == (b"token",)
    assert uploads.take_done() == ([], [])
    uploads.recorded(message.number - 1)
    assert uploads.take_done() == ([], [])
    assert uploads.waiting_bytes == one.size
    uploads.recorded(message.number)
    assert uploads.take_done() == ([one], [FreeOutput(1, output)])
    assert (uploads.waiting_bytes, uploads.due_at) == (0, None)


def test_what_is_under_way_is_bounded() -> None:
    """The rest waits in the spool until some is recorded."""
    uploads = connected()
    uploads.add(kept(), 0, (((0, 100 * MIB),), ()), None)
    first = sent(uploads)
    assert sum(size for _, _, size in places(first)) == WINDOW_BYTES
    assert all(sum(size for _, _, size in places([message])) <= MESSAGE_BYTES for message in first)
    assert sent(uploads) == []
    uploads.recorded(first[0].number)
    (more,) = sent(uploads)
    assert more.records[0].position == WINDOW_BYTES


def test_what_is_not_known_to_be_recorded_is_sent_again() -> None:
    """At a new connection, and after a while without a word; what was recorded is not."""
    uploads = connected()
    uploads.add(kept(), 0, (((0, 3 * MIB),), ()), None)
    first = sent(uploads)
    uploads.recorded(first[0].number)
    uploads.reconnected()
    again = sent(uploads)
    assert places(again) == places(first[1:])
    uploads.recorded(first[-1].number)  # said by the old sink: nothing under way now has such a number
    assert uploads.take_done() == ([], [])
    assert sent(uploads, RESEND / 2) == []
    assert places(sent(uploads, RESEND)) == places(again)


def test_nothing_is_sent_to_nobody() -> None:
    """Before the first connection it would be lost."""
    uploads = Uploads()
    uploads.add(kept(), 0, ((b"x",), ()), None)
    assert sent(uploads) == []
    uploads.reconnected()
    assert len(sent(uploads)) == 1


def test_an_outcome_that_is_closed_meanwhile_is_not_uploaded() -> None:
    """Another try of the job was recorded: the spool has its room back, and nothing is delivered."""
    uploads, one, other = connected(), kept(0), kept(1)
    output = ((b"x" * 10,), ())
    uploads.add(one, 0, output, None)
    uploads.add(other, 0, output, None)
    one.left.remove(0, 1)
    (message,) = sent(uploads)
    assert [head.index for head in message.records] == [1]
    assert uploads.take_done() == ([], [FreeOutput(0, output)])


def test_of_a_bounded_output_head_and_tail_are_sent() -> None:
    """As many bytes as are to be kept."""
    uploads = connected()
    uploads.add(kept(), 0, (((0, 10 * MIB),), ()), 2 * MIB)
    found = places(sent(uploads))
    assert sum(size for _, _, size in found) == 2 * MIB
    assert {position for _, position, _ in found if MIB <= position < 9 * MIB} == set()
