"""Why nothing comes."""

from __future__ import annotations

from penstock.cli.why_waiting import ailing
from penstock.client.records import BatchStatus, PipelineStatus, WorkerInfo

URL = "tcp://head:5555"
WORKER = WorkerInfo(id="ab", name="w", host="h", pid=1, slots=1, jobs=0, done=0, draining=False, python="3.11")


def reasons(workers: tuple[WorkerInfo, ...] = (), *, finished: int = 0, waits: str = "") -> list[str]:
    pipeline = PipelineStatus(
        url=URL,
        version="",
        python="",
        queued=0,
        leased=0,
        batches=1,
        sink_present=True,
        malformed=0,
        workers=workers,
    )
    batch = BatchStatus(
        id="ab", name="", kind="command", created=0.0, total=2, accepted=2, leased=0, succeeded=finished, waits=waits
    )
    return [reason.text for reason in ailing(pipeline, batch)]


def test_no_worker_is_said_with_how_to_start_one() -> None:
    """And how many jobs wait for it."""
    assert reasons() == [
        f"no worker is connected to {URL}: 2 jobs wait for one (start one: penstock worker --connect {URL})"
    ]
    assert "1 job waits" in reasons(finished=1)[0]


def test_what_the_ventilator_knows_goes_before() -> None:
    """It knows who is asked for; with a worker there, or nothing left, nothing is wrong."""
    assert reasons(waits="no worker with the tag gpu is connected") == [
        "no worker with the tag gpu is connected: batch ab waits for that"
    ]
    assert reasons((WORKER,)) == reasons(finished=2) == []
