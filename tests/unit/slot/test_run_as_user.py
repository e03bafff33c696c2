"""Whom jobs may be."""

from __future__ import annotations

from penstock.slot.run_as_user import refusal


def test_a_worker_says_how_a_user_is_allowed() -> None:
    """Also to a ventilator that does not know whom it allows; jobs that name nobody run as the worker."""
    assert refusal("", (), "w1") == refusal("bob", ("alice", "bob"), "w1") == ""
    assert refusal("bob", ("alice",), "w1") == (
        "worker w1 does not allow user=bob: it has to be started as root with --allow-user bob"
    )
