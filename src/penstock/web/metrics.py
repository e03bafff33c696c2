"""The pipeline as Prometheus reads it: families that are made anew at each scrape, from what the stations tell.

Promises:

1. No label has a batch, job, client or worker in it: the number of series does not grow with use.
2. A family is shown only if its station has told of it: one that is of an earlier release, or away, leaves it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.client.records import PipelineStatus, WorkerInfo
from penstock.version import VERSION
from penstock.wire.desk_messages import Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Family(NamedTuple):
    """One of those that stations tell of; `labels` are the names of the labels whose values they tell."""

    help: str
    labels: tuple[str, ...] = ()


COUNTERS = {
    "jobs_submitted_total": Family("Jobs accepted since the ventilator started."),
    "outcomes_total": Family("Final outcomes recorded since the sink started.", ("state", "cause")),
    "worker_losses_total": Family("Workers lost since the ventilator started.", ("cause",)),
    "refused_total": Family("What a station has refused since it started.", ("station", "reason")),
}
GAUGES = {
    "oldest_waiting_seconds": Family("How long the first of the jobs has waited that could be given to a worker."),
    "store_bytes": Family("Size of a store with its write-ahead log.", ("store",)),
    "store_free_bytes": Family("Free space on the disk of a store.", ("store",)),
    "backup_age_seconds": Family("Age of the last backup of a store since its station started.", ("store",)),
}
HISTOGRAMS = {
    "job_wait_seconds": Family("How long jobs waited from being accepted until a worker was given them first."),
    "job_run_seconds": Family("How long attempts ran; tiny jobs are timed together, and counted with their mean."),
    "commit_seconds": Family("How long commits took.", ("store",)),
}


class Seen(NamedTuple):
    """What the stations have told: None is one that did not."""

    status: PipelineStatus
    ventilator: Metrics | None
    sink: Metrics | None


def text(seen: Seen | None) -> bytes:
    """All families in the text format of Prometheus; without a pipeline that answers only those of this process."""
    registry = CollectorRegistry()
    registry.register(Families(seen))
    return generate_latest(registry)


class Families(Collector):
    """Of one scrape."""

    def __init__(self, seen: Seen | None) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        up = GaugeMetricFamily("penstock_up", "Whether the ventilator answers.")
        up.add_metric([], float(self._seen is not None))
        yield up
        build = GaugeMetricFamily("penstock_build_info", "Versions, as labels.", labels=["part", "version"])
        build.add_metric(["web", VERSION], 1.0)
        if self._seen is not None:
            build.add_metric(["ventilator", self._seen.status.version], 1.0)
        yield build
        if self._seen is not None:
            yield from _of_status(self._seen.status)
            yield from _told({"ventilator": self._seen.ventilator, "sink": self._seen.sink})


def _of_status(status: PipelineStatus) -> Iterator[Metric]:
    jobs = {"queued": status.queued, "held": max(0, status.leased - status.running), "running": status.running}
    yield _gauge("jobs", "Open jobs: queued at the ventilator, held by a worker, or running.", "state", jobs)
    slots = Counter({"busy": 0, "idle": 0, "unusable": 0})
    workers = Counter({"working": 0, "paused": 0, "draining": 0, "broken": 0})
    for worker in status.workers:
        workers[state_of(worker)] += 1
        busy = min(worker.running, worker.slots)
        slots["busy"] += busy
        slots["unusable" if worker.broken or worker.draining else "idle"] += worker.slots - busy
    yield _gauge("slots", "Slots of connected workers; unusable ones are those that get no jobs.", "state", slots)
    yield _gauge("workers", "Connected workers.", "state", workers)
    sink = GaugeMetricFamily("penstock_sink_up", "Whether the sink is connected to the ventilator.")
    sink.add_metric([], float(status.sink_present))
    yield sink


def state_of(worker: WorkerInfo) -> str:
    """What a worker is about, as `penstock workers` has it."""
    return "broken" if worker.broken else "draining" if worker.draining else "paused" if worker.paused else "working"


def _gauge(name: str, words: str, label: str, values: dict[str, int] | Counter[str]) -> Metric:
    family = GaugeMetricFamily(f"penstock_{name}", words, labels=[label])
    for value, count in values.items():
        family.add_metric([value], float(count))
    return family


def _told(stations: dict[str, Metrics | None]) -> Iterator[Metric]:
    """What stations have counted; families of later releases are passed over."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily] = {}
    for name, (words, labels) in COUNTERS.items():
        families[name] = CounterMetricFamily(f"penstock_{name}", words, labels=labels)
    for name, (words, labels) in GAUGES.items():
        families[name] = GaugeMetricFamily(f"penstock_{name}", words, labels=labels)
    for name, (words, labels) in HISTOGRAMS.items():
        families[name] = HistogramMetricFamily(f"penstock_{name}", words, labels=labels)
    for station, told in stations.items():
        for sample in told.samples if told is not None else ():
            labels = (station, *sample.labels) if sample.family == "refused_total" else sample.labels
            family = families.get(sample.family)
            if isinstance(family, CounterMetricFamily | GaugeMetricFamily) and _fits(sample.family, labels):
                family.add_metric(labels, sample.value)
        for spread in told.spreads if told is not None else ():
            family = families.get(spread.family)
            if isinstance(family, HistogramMetricFamily) and _fits(spread.family, spread.labels):
                family.add_metric(spread.labels, list(_buckets(spread.bounds, spread.counts)), spread.sum)
    yield from (family for family in families.values() if family.samples)


def _fits(family: str, labels: tuple[str, ...]) -> bool:
    """Whether these are as many labels as the family has."""
    return len((COUNTERS | GAUGES | HISTOGRAMS)[family].labels) == len(labels)


def _buckets(bounds: Iterable[float], counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    """As Prometheus has them: each with all that is below."""
    ends = [*map(str, bounds), "+Inf"]
    yield from zip(ends, map(float, accumulate(counts)), strict=False)
