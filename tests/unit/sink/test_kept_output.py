"""What the sink keeps of large outputs."""

from __future__ import annotations

from penstock.job.spec import Stamp
from penstock.sink.contract import SaveOutput
from penstock.sink.kept_output import Outputs
from penstock.station.contract import Report
from penstock.station.lease_tokens import NO_TOKENS, Grant, LeaseTokens
from penstock.wire.messages import LiveTaken, Output
from penstock.wire.records import Print

SINK, WORKER, BATCH, OTHER = (letter * 16 for letter in (b"s", b"w", b"b", b"o"))


def part(batch: bytes = BATCH, index: int = 3) -> Print:
    return Print(batch, index, 7, Stamp(), False, 0, 2)


def arrived(*heads: Print, tokens: tuple[bytes, ...] = ()) -> tuple[Output, tuple[bytes, ...]]:
    return Output(WORKER, "w", heads, tokens, 9), (b"xx",) * len(heads)


def test_parts_are_saved_and_then_said_to_be() -> None:
    """What is forgotten is taken in and dropped: its worker must not wait for ever."""
    outputs = Outputs(SINK, NO_TOKENS, {OTHER: True})
    said = Report(LiveTaken(SINK, WORKER, 9, is_kept=True))
    assert outputs.on_output(*arrived(part(), part(OTHER))) == [SaveOutput(part(), b"xx"), said]


def test_a_worker_writes_to_no_job_that_it_was_not_given() -> None:
    """Where there are keys, the tokens of its leases say which those are."""
    lease_tokens = LeaseTokens(b"k" * 32)
    token = lease_tokens.token(Grant(7, BATCH, 3, 4, Stamp()))
    outputs = Outputs(SINK, lease_tokens, {})
    actions = outputs.on_output(*arrived(part(), part(index=4), tokens=(token,)))
    assert [action.head.index for action in actions if isinstance(action, SaveOutput)] == [3]
    assert outputs.refused == 1
