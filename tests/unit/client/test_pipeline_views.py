"""Views: what shares a limit."""

from __future__ import annotations

from penstock.client.pipeline_views import group_of, in_group
from penstock.job.spec import ID_BYTES, BatchSpec

ONE, OTHER = b"1" * ID_BYTES, b"2" * ID_BYTES


def test_views_with_the_same_options_are_one_view() -> None:
    """Of one pipeline; durations do not tell them apart, though each submit makes another instant of them."""
    spec = BatchSpec(limit=1, name="mails")
    assert group_of(ONE, spec) == group_of(ONE, BatchSpec(limit=1, name="mails", expires_time=7.0))
    assert len({group_of(ONE, spec), group_of(OTHER, spec), group_of(ONE, BatchSpec(limit=1))}) == 3
    assert len(group_of(ONE, spec)) == ID_BYTES


def test_only_a_limit_is_shared() -> None:
    """Without one a batch names no group."""
    assert in_group(BatchSpec(), ONE) == BatchSpec()
    assert in_group(BatchSpec(limit=3), ONE) == BatchSpec(limit=3, limit_group=ONE)
