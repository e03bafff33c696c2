"""The chain of the sink's log."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.sink.hash_chain import CHAIN_BYTES, completion
from penstock.wire.frames import Decoder, encode
from penstock.wire.messages import Completions, ToVentilator
from support.sink_models import SINK, WORKERS, head_of

HEAD = head_of(b"b" * 16, 0, 5)


def test_a_line_has_what_the_outcome_says() -> None:
    """Number, span, state, stamp, lease, worker: nothing of the values."""
    line = completion(1, HEAD, WORKERS[0], b"")
    assert (line.seq, line.batch, line.start, line.stop, line.state) == (1, HEAD.batch, 0, 5, HEAD.state)
    assert (line.final, line.stamp, line.crashed) == (HEAD.final, HEAD.stamp, HEAD.crashed)
    assert (line.lease, line.worker, line.elapsed) == (HEAD.lease, WORKERS[0], 0.5)
    assert len(line.chain) == CHAIN_BYTES


def test_each_field_and_each_earlier_line_changes_the_chain() -> None:
    """Two logs with the same chain are the same."""
    chains = {
        completion(1, HEAD, WORKERS[0], b"").chain,
        completion(2, HEAD, WORKERS[0], b"").chain,
        completion(1, replace(HEAD, stop=6), WORKERS[0], b"").chain,
        completion(1, replace(HEAD, final=False), WORKERS[0], b"").chain,
        completion(1, HEAD, WORKERS[1], b"").chain,
        completion(1, HEAD, WORKERS[0], bytes(16)).chain,
    }
    assert len(chains) == 6


def test_the_chain_survives_the_wire() -> None:
    """A duration that was given as an int comes back as a float, and the chain is the same."""
    line = completion(1, replace(HEAD, elapsed=2), WORKERS[0], b"")
    message = Decoder(ToVentilator).decode(encode(Completions(SINK, 1, (line,)))).message
    assert message.records == (line,)
    assert completion(1, replace(HEAD, elapsed=2.0), WORKERS[0], b"") == line
