"""A batch as its readers like to look at it, and jobs that are awaited."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from penstock import Pipeline
from penstock.errors import JobCancelled, NoSuchBatch
from support.stations import LIMIT, until


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """An embedded one with two slots."""
    with Pipeline(slots=2) as made:
        yield made


def halved(number: int) -> int:
    """Fails for odd numbers."""
    if number % 2:
        raise ValueError(f"{number} is odd <b>")
    return number // 2


def waits_for(path: str) -> str:
    """Until there is such a file."""
    while not os.path.exists(path):
        time.sleep(0.01)
    return path


def test_a_batch_is_a_sequence(pipeline: Pipeline) -> None:
    """With a length, and its values in order; one without jobs is no less there."""
    batch = pipeline.batch(halved, range(0, 20, 2))
    assert (len(batch), list(batch), sum(batch)) == (10, list(range(10)), 45)
    empty = pipeline.batch(halved, [])
    assert (len(empty), bool(empty), list(empty)) == (0, True, [])


def test_outcomes_are_a_table_of_pandas(pipeline: Pipeline) -> None:
    """A row for each job, by its index; times are times, and what never started has none."""
    batch = pipeline.batch(halved, range(4), name="table")
    table = batch.to_pandas()
    assert list(table.index) == [0, 1, 2, 3]
    assert list(table["state"]) == ["succeeded", "failed"] * 2
    assert list(table["value"][::2]) == [0, 1]
    assert table["started"].dt.tz is not None
    assert abs(table["started"].max().timestamp() - time.time()) < LIMIT
    before = pipeline.batch(waits_for, ["x"], not_before=3600.0)
    before.cancel()
    assert before.to_pandas()["started"].isna().all()
    assert pipeline.batch(halved, []).to_pandas().empty


def test_records_are_dictionaries(pipeline: Pipeline) -> None:
    """With their fields, as they are."""
    batch = pipeline.batch(halved, range(2), name="records")
    first, second = (one.asdict() for one in batch.outcomes())
    assert (first["value"], first["state"], second["state"]) == (0, "succeeded", "failed")
    assert isinstance(second["error"], ValueError)
    assert batch.wait(LIMIT).asdict()["failed"] == 1
    assert batch.job(1).asdict()["text"].endswith("halved(1)")


def test_a_timeline_is_a_picture_with_a_box_for_each_job(pipeline: Pipeline) -> None:
    """SVG that a reader of XML takes, whatever the jobs are called."""
    picture = ET.fromstring(pipeline.batch(halved, range(7)).timeline())
    boxes = [one for one in picture.iter() if one.tag.endswith("title")]
    assert len(boxes) == 7
    assert sum("failed" in str(one.text) for one in boxes) == 3


def test_a_job_is_found_by_its_future_or_its_name(pipeline: Pipeline) -> None:
    """And what names none is refused."""
    future = pipeline.submit(halved, 8)
    assert future.result(LIMIT) == 4
    info = pipeline.job(future)
    assert (info.id, info.state, info.text.endswith("halved(8)")) == (future.job_id, "succeeded", True)
    assert pipeline.job(future.job_id) == info
    with pytest.raises(ValueError, match="names a batch: write BATCH:INDEX"):
        pipeline.job(future.job_id.partition(":")[0])
    with pytest.raises(NoSuchBatch):
        pipeline.job("no-such-batch:0")


def test_futures_are_awaited(pipeline: Pipeline, folder: Path) -> None:
    """The loop goes on meanwhile; errors are raised, and a task that is cancelled cancels its job."""

    async def main() -> None:
        assert await pipeline.submit(halved, 10) == 5
        with pytest.raises(ValueError, match="3 is odd"):
            await pipeline.submit(halved, 3)
        waiting = pipeline.submit(waits_for, str(folder / "go"))
        task = asyncio.ensure_future(asyncio.wait_for(waiting, LIMIT))
        await asyncio.sleep(0)
        (folder / "go").touch()
        assert await task == str(folder / "go")
        queued = [pipeline.submit(waits_for, str(folder / "never")) for _ in range(9)]
        last = asyncio.ensure_future(_awaited(queued[-1]))
        await asyncio.sleep(0)
        last.cancel()
        with pytest.raises(asyncio.CancelledError):
            await last
        await asyncio.to_thread(until, queued[-1].done)
        assert queued[-1].cancelled() or isinstance(queued[-1].exception(0), JobCancelled)
        (folder / "never").touch()
        assert await asyncio.gather(*map(_awaited, queued[:-1])) == [str(folder / "never")] * 8

    asyncio.run(main())


async def _awaited(future: Any) -> Any:
    return await future


def test_a_notebook_shows_what_there_is(pipeline: Pipeline) -> None:
    """A bar and numbers, and nothing of it is markup of somebody else's."""
    batch = pipeline.batch(halved, range(8), name="<script>alert(1)</script>")
    batch.wait(LIMIT)
    for shown in (batch, batch.status(), pipeline):
        text = shown._repr_html_()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "<script" not in text
        assert "8 of 8 ended, 4 failed" in text
        ET.fromstring(text.replace("<br>", "<br/>"))
    with Pipeline(slots=1) as left:
        pass
    assert left.url in left._repr_html_()


KERNEL = """
import time
from penstock import Pipeline
p = Pipeline(slots=1)
b = p.batch(time.sleep, [0.3] * 4, name="bar")
print(b.progress().finished)
p.shutdown()
"""


NOTEBOOK = """
import json, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel()
client.execute_interactive(sys.argv[1], output_hook=lambda message: print(json.dumps(message["content"])))
client.stop_channels()
manager.shutdown_kernel()
"""
"""Prints what a cell puts out, each a line of JSON."""


def test_progress_is_a_bar_below_its_cell() -> None:
    """In a real kernel: one output that changes, until all has ended."""
    argv = [sys.executable, "-c", NOTEBOOK, KERNEL]
    done = subprocess.run(argv, capture_output=True, timeout=4 * LIMIT, check=True)
    contents = [json.loads(line) for line in done.stdout.splitlines()]
    shown = [one for one in contents if "data" in one]
    assert "".join(one.get("text", "") for one in contents) == "4\n", contents
    assert len({one["transient"]["display_id"] for one in shown}) == 1
    assert "<b>bar</b>" in shown[0]["data"]["text/html"]
    assert "4 of 4 ended" in shown[-1]["data"]["text/html"]
    assert len(shown) > 2


def test_progress_is_a_line_on_a_terminal_and_nothing_elsewhere(folder: Path) -> None:
    """What is redrawn stands on stderr alone."""
    (folder / "program.py").write_text(KERNEL)
    pid, terminal = pty.fork()
    if not pid:
        os.execl(sys.executable, sys.executable, str(folder / "program.py"))
    seen = b""
    while select.select([terminal], [], [], LIMIT)[0]:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
    os.waitpid(pid, 0)
    assert seen.count(b"\r\x1b[2K") > 2
    assert seen.endswith(b"4 of 4 ended\r\n4\r\n"), seen
