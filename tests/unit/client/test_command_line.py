"""What the command line asks of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import Pipeline
from penstock.client.command_line import batches_like, check_options, submit_streamed


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    with Pipeline("inline") as made:
        yield made


def test_a_pipeline_that_remembers_nothing_says_so(pipeline: Pipeline) -> None:
    """Who asks an inline pipeline for earlier batches is not told that there were none."""
    with pytest.raises(ValueError, match="inline"):
        batches_like(pipeline, abs, {})


def test_where_nothing_can_be_streamed_the_batch_is_submitted_whole(pipeline: Pipeline) -> None:
    """An inline pipeline runs what comes, and what is wrong with an input is raised as by `Pipeline.batch`."""
    batch = submit_streamed(pipeline, abs, iter([-1, 2]), {"name": "two"}, lambda _: bytes(16))
    assert (list(batch.values()), batch.name) == ([1, 2], "two")
    with pytest.raises(ValueError, match="once"):
        submit_streamed(pipeline, abs, [], {"once": "word"}, lambda _: bytes(16))


def test_options_are_looked_at_before_there_is_a_pipeline() -> None:
    """All but the batch that they come after: only a pipeline knows it."""
    check_options({"after": "last", "retries": 2})
    with pytest.raises(ValueError, match="retries"):
        check_options({"after": "last", "retries": -1})
