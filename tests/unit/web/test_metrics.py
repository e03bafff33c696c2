"""What Prometheus reads: penstock.web.metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from penstock.client.records import PipelineStatus, WorkerInfo
from penstock.web.metrics import Seen, text
from penstock.wire.desk_messages import Metrics, Sample, Spread


def worker(name: str, **fields: object) -> WorkerInfo:
    """One with four slots of which three are busy."""
    known = {"id": name, "name": name, "host": name, "pid": 1, "slots": 4, "jobs": 5, "running": 3, "done": 9}
    return WorkerInfo(**known | {"draining": False, "python": "3.11"} | fields)  # type: ignore[arg-type]


def series(seen: Seen | None) -> dict[tuple[str, ...], float]:
    """By name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text(seen).decode())
        for sample in family.samples
    }


def test_without_a_pipeline_only_that_is_told() -> None:
    """The scrape succeeds, so that an alert can look at it."""
    found = series(None)
    assert found.pop(("penstock_up",)) == 0
    assert [name for name, *_ in found] == ["penstock_build_info"]


def test_jobs_slots_and_workers_are_counted_by_state() -> None:
    """A slot of a worker that gets no jobs is not idle."""
    workers = (worker("a"), worker("b", broken="no memory"), worker("c", draining=True, running=4))
    status = PipelineStatus(
        url="", version="0.3.0", python="", queued=7, leased=12, running=10, sink_present=True, workers=workers
    )
    found = series(Seen(status, None, None))
    assert [found["penstock_jobs", state] for state in ("queued", "held", "running")] == [7, 2, 10]
    assert [found["penstock_slots", state] for state in ("busy", "idle", "unusable")] == [10, 1, 1]
    assert [found["penstock_workers", state] for state in ("working", "broken", "draining", "paused")] == [1, 1, 1, 0]
    assert not any(name.startswith("penstock_outcomes") for name, *_ in found)  # nobody has told of them


def test_what_stations_have_counted_is_shown_as_they_have() -> None:
    """Buckets count all that is below them; a family of a later release is passed over, and so are labels too many."""
    told = Metrics(
        1,
        (
            Sample("outcomes_total", ("failed", "exception"), 3.0),
            Sample("refused_total", ("malformed",), 2.0),
            Sample("of_a_later_release", (), 1.0),
            Sample("store_bytes", ("queue", "one too many"), 1.0),
        ),
        (Spread("job_run_seconds", (), (0.1, 1.0), (5, 2, 1), 4.5),),
    )
    found = series(Seen(PipelineStatus(url="", version="", python="", sink_present=True), None, told))
    assert found["penstock_outcomes_total", "exception", "failed"] == 3
    assert found["penstock_refused_total", "malformed", "sink"] == 2
    assert [found["penstock_job_run_seconds_bucket", end] for end in ("0.1", "1.0", "+Inf")] == [5, 7, 8]
    assert (found["penstock_job_run_seconds_count",], found["penstock_job_run_seconds_sum",]) == (8, 4.5)
    assert not {"penstock_of_a_later_release", "penstock_store_bytes"} & {name for name, *_ in found}


def test_no_series_is_of_a_worker() -> None:
    """A thousand workers make as many series as one."""
    one, many = (
        PipelineStatus(
            url="",
            version="",
            python="",
            sink_present=True,
            workers=tuple(worker(f"w{number}") for number in range(count)),
        )
        for count in (1, 1000)
    )
    assert series(Seen(one, None, None)).keys() == series(Seen(many, None, None)).keys()
