"""Which batches are listed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from penstock.cli.commands.batches import instant, is_in
from penstock.client.records import BatchStatus
from penstock.errors import ConfigError


def batch(**fields: Any) -> BatchStatus:
    defaults: dict[str, Any] = {"total": 3, "accepted": 3, "leased": 0}
    return BatchStatus(id="ab", name="", kind="call", created=1.0, **defaults | fields)


def test_each_batch_waits_works_is_paused_or_done_and_may_have_failures() -> None:
    """`failed` is asked beside the others."""
    assert is_in(batch(), "waiting")
    assert is_in(batch(leased=1, failed=1), "working")
    assert is_in(batch(leased=1, paused=True), "paused")
    assert is_in(batch(leased=1, failed=1), "failed")
    assert is_in(batch(succeeded=3), "done")
    assert not is_in(batch(succeeded=3), "failed")


def test_since_is_so_long_ago_or_a_date() -> None:
    """As one would say it, in local time."""
    assert instant("2h", 10_000.0) == 2_800.0
    assert instant("2026-05-31", 0.0) == datetime(2026, 5, 31).astimezone().timestamp()
    assert instant("2026-05-31T14:00", 0.0) == datetime(2026, 5, 31, 14).astimezone().timestamp()
    with pytest.raises(ConfigError, match="--since yesterday: write 2h"):
        instant("yesterday", 0.0)
