"""Failed jobs, grouped by their error."""

from __future__ import annotations

import re

import pytest

from penstock import Pipeline
from penstock.client.failures import merged
from penstock.errors import NoSuchBatch
from penstock.job.error_pattern import key_of
from penstock.wire.messages import ErrorGroup


def parse(text: str) -> float:
    """What the jobs call."""
    return float(text)


def test_an_inline_pipeline_groups_what_failed() -> None:
    """Calls by their error and its place in the user's code, commands by exit code and last line; what succeeded does
    not count."""
    with Pipeline("inline") as pipeline:
        first = pipeline.batch(parse, ["1", "x", "y"])
        pipeline.batch(parse, ["z"])
        pipeline.command(["sh", "-c", "echo gone 7 >&2; exit 3"])
        groups = [(group.jobs, group.batches, group.error) for group in pipeline.failures()]
        assert groups == [
            (3, 2, "ValueError: could not convert string to float: '…' (test_failures.py:parse)"),
            (1, 1, "exit code 3: gone …"),
        ]
        (group,) = pipeline.failures(batch=first)
        assert group.examples == (f"{first.id}:1", f"{first.id}:2")
        assert re.fullmatch("[0-9a-f]{32}", group.key)
        assert 0 < group.first <= group.last
        assert group.asdict() in pipeline.failures(batch=first.id).asdict()["groups"]
        with pytest.raises(NoSuchBatch):
            pipeline.failures(batch="nosuch")


def test_groups_of_several_batches_are_one() -> None:
    """Of one error: sums, the span of the times that are known, and names once."""
    key = key_of("exit code 1")
    one = ErrorGroup(b"a" * 16, key, "exit code 1", 2, 0.0, 0.0, ("w", "v"), (3, 4))
    other = ErrorGroup(b"b" * 16, key, "exit code 1", 5, 7.0, 9.0, ("v", "u"), (0,))
    rare = ErrorGroup(b"b" * 16, key_of("exit code 2"), "exit code 2", 1, 1.0, 1.0, (), (6,))
    group, last = merged([rare, one, other])
    assert (group.jobs, group.batches, group.first, group.last) == (7, 2, 7.0, 9.0)
    assert group.workers == ("w", "v", "u")
    assert group.examples == (f"{'61' * 16}:3", f"{'61' * 16}:4", f"{'62' * 16}:0")
    assert last.error == "exit code 2"
