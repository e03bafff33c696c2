"""Tokens: an outcome counts only for what its worker was given."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from penstock.job.spec import JobState, Stamp
from penstock.station.lease_tokens import Grant, LeaseTokens
from penstock.wire.records import OutcomeHead

SEAL = LeaseTokens(b"shared by ventilator and sink")
GRANT = Grant(7, b"b" * 16, 10, 20, Stamp())
HEAD = OutcomeHead(b"b" * 16, 12, 15, JobState.SUCCEEDED, True, Stamp(), 7, 0, 0.0, 0.0, 0)


def test_a_token_covers_its_lease() -> None:
    """All of it and every part of it."""
    granted = SEAL.opened([SEAL.token(GRANT)])
    assert granted(HEAD)
    assert granted(replace(HEAD, start=10, stop=20))


@pytest.mark.parametrize(
    "change",
    [
        {"start": 9},
        {"stop": 21},
        {"batch": b"c" * 16},
        {"lease": 8},
        {"stamp": Stamp(0, 2, 0)},
        {"stamp": Stamp(1, 1, 0)},
    ],
)
def test_a_token_covers_nothing_else(change: dict[str, object]) -> None:
    """Neither jobs beside it nor another try of them."""
    assert not SEAL.opened([SEAL.token(GRANT)])(replace(HEAD, **change))


def test_nobody_else_makes_tokens() -> None:
    """One bit more or less, another key, or none at all."""
    token = SEAL.token(GRANT)
    for at in range(len(token)):
        assert SEAL.open(token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]) is None
    for forged in (b"", token[:-1], token + b"x", LeaseTokens(b"another").token(GRANT)):
        assert SEAL.open(forged) is None
    assert not SEAL.opened([])(HEAD)


def test_without_keys_there_are_no_tokens() -> None:
    """Nothing is made, nothing is asked for; nor is anything asked of the ventilator's own verdicts."""
    assert LeaseTokens().token(GRANT) == b""
    assert LeaseTokens().opened([])(HEAD)
    assert SEAL.opened(None)(HEAD)


def test_a_claim_is_of_one_batch_and_one_key() -> None:
    """Nobody hands it on, and no lease's token opens outcomes to a client, nor the other way round."""
    token = SEAL.claim_token(b"b" * 16, "alice")
    assert SEAL.may_claim(token, b"b" * 16, "alice")
    for other in (b"", token[:-1], SEAL.token(GRANT), LeaseTokens(b"another").claim_token(b"b" * 16, "alice")):
        assert not SEAL.may_claim(other, b"b" * 16, "alice")
    assert not SEAL.may_claim(token, b"c" * 16, "alice")
    assert not SEAL.may_claim(token, b"b" * 16, "bob")
    assert SEAL.open(token) is None


def test_without_keys_everybody_may_claim() -> None:
    """There is nobody to be told apart."""
    assert LeaseTokens().claim_token(b"b" * 16, "") == b""
    assert LeaseTokens().may_claim(b"", b"b" * 16, "")
