"""What jobs are, as Python is told: the same of an embedded and of a running pipeline, however they were submitted."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

from jobs.contract import thirds
from penstock import JobInfo, Pipeline, errors
from support.stations import LIMIT, until


@dataclasses.dataclass
class Box:
    """An argument with a content."""

    size: int

    def grown(self, by: int) -> int:
        """A bound method."""
        return self.size + by


def only(pipeline: Pipeline, job_id: str) -> JobInfo:
    batch, _, index = job_id.partition(":")
    return pipeline.attach(batch).job(int(index))


def submitted(pipeline: Pipeline, *call: Any, options: dict[str, Any] | None = None, **keywords: Any) -> str:
    """The text of a single submit."""
    future: Any = pipeline.options(**options or {}).submit(*call, **keywords)
    future.result(LIMIT)
    text = only(pipeline, future.job_id).text
    return text.replace(f"{__name__}.", "")


def test_every_way_to_submit_gives_jobs_that_say_what_they_are(door: Any) -> None:
    """Calls, keywords, lambdas, partials, bound methods, objects; batches of one and of several inputs; commands."""
    with door.executor() as p:
        assert submitted(p, pow, 2, exp=10) == "pow(2, exp=10)"
        assert submitted(p, lambda x: x, [1, {"a": None}]).endswith("<lambda>([1, {'a': None}])")
        assert submitted(p, functools.partial(divmod, 7), 2) == "partial(divmod)(2)"
        assert submitted(p, str, Box(3)) == "str(Box(size=3))"
        assert submitted(p, Box(3).grown, 4) == "Box.grown(4)"
        assert submitted(p, len, "abc", options={"serializer": "msgpack"}) == "len('abc')"
        command = p.command(["echo", "a b", "c"])
        assert command.result(LIMIT).stdout == b"a b c\n"
        assert only(p, command.job_id).text == "echo 'a b' c"
        batch = p.batch(divmod, [7, 8], [2, 3])
        batch.wait(LIMIT)
        assert [job.text for job in batch.jobs()] == ["divmod(7, 2)", "divmod(8, 3)"]
        batch = p.batch(["echo", "{}", "{#}"], ["x y"])
        batch.wait(LIMIT)
        assert [job.text for job in batch.jobs()] == ["echo 'x y' 1"]


def test_a_job_tells_how_it_stands(door: Any) -> None:
    """Ended, with its cause; waiting, with what it waits for; an index that is not there is an error."""
    with door.executor() as p:
        batch = p.batch(thirds, range(1, 7), name="thirds", retries=0)
        batch.wait(LIMIT)
        assert [(job.index, job.cause) for job in batch.jobs(["failed"])] == [(2, "KeyError: 3"), (5, "KeyError: 6")]
        assert [job.index for job in batch.jobs(["succeeded"], limit=2)] == [0, 1]
        assert list(batch.jobs(["queued", "running"])) == []
        job = batch.job(2)
        assert (job.state, job.name, job.attempts, job.waits) == ("failed", "thirds", 1, "")
        assert job.text == "jobs.contract.thirds(3)"
        assert job.submitted > 0
        with pytest.raises(errors.NoSuchBatch, match="no job 6: the batch has 6 jobs"):
            batch.job(6)
        later = p.batch(thirds, [1], not_before="1h", priority=2)
        job = later.job(0)
        assert (job.state, job.options["priority"]) == ("delayed", 2)
        assert job.waits.startswith("it may not begin before")
        later.cancel()
        until(lambda: later.job(0).state == "cancelled")
        assert later.text(0) == "jobs.contract.thirds(1)"


def test_inline_jobs_have_no_arguments_any_more() -> None:
    """They have all ended: what is left is the function, and how it went."""
    with Pipeline("inline") as p:
        batch = p.batch(thirds, [1, 3])
        assert [(job.index, job.state) for job in batch.jobs()] == [(0, "succeeded"), (1, "failed")]
        assert batch.job(1).text == "jobs.contract.thirds(<arguments no longer kept>)"
        assert [job.index for job in batch.jobs(["failed"])] == [1]
