"""Jobs that were submitted in a trace run in spans of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock.slot.job_report import CommandEnd
from penstock.slot.job_spans import JobSpans, trace_variables
from penstock.slot.protocol import LoadChunk

TRACE, SPAN = "1" * 32, "2" * 16
ORIGIN = f"00-{TRACE}-{SPAN}-01"


def chunk(traceparent: str = ORIGIN) -> LoadChunk:
    """Of a second attempt."""
    return LoadChunk(1, 0, 1, b"b" * 16, 0, 2, b"f", "pickle", True, b"", "parse", traceparent)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What this process records."""
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield found
    provider.shutdown()


def only(spans: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, Any]]:
    (made,) = spans.get_finished_spans()
    return made, dict(made.attributes or {})


def test_a_job_runs_in_a_span_of_its_submits_trace(spans: InMemorySpanExporter) -> None:
    """A consumer span that is a child of the submit's, and linked to it; what the job itself records is its child."""
    inside: list[trace.SpanContext] = []
    job = JobSpans(chunk(), lambda: 7).each(lambda _: inside.append(trace.get_current_span().get_span_context()))
    job("x")
    made, attributes = only(spans)
    assert (made.name, made.kind) == ("run parse", trace.SpanKind.CONSUMER)
    assert made.parent is not None
    assert (made.context.trace_id, made.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert [link.context.span_id for link in made.links] == [int(SPAN, 16)]
    assert (attributes["messaging.message.id"], attributes["penstock.attempt"]) == (f"{b'b'.hex() * 16}:7", 2)
    assert inside == [made.context]


def test_a_job_that_raises_has_a_span_that_failed(spans: InMemorySpanExporter) -> None:
    """With the exception, which goes on."""
    with pytest.raises(ZeroDivisionError):
        JobSpans(chunk(), lambda: 0).each(lambda item: 1 // item)(0)
    made, _ = only(spans)
    assert made.status.status_code is trace.StatusCode.ERROR
    assert [event.name for event in made.events] == ["exception"]


def test_a_command_that_fails_has_a_span_that_failed(spans: InMemorySpanExporter) -> None:
    """With its cause."""
    JobSpans(chunk(), lambda: 0).each(lambda _: CommandEnd([b"false"], 1, "exit code 1"))([])
    made, _ = only(spans)
    assert (made.status.status_code, made.status.description) == (trace.StatusCode.ERROR, "exit code 1")


def test_tiny_jobs_share_a_span(spans: InMemorySpanExporter) -> None:
    """Which says how many they are."""
    with JobSpans(chunk(), lambda: 0).piece(500):
        pass
    assert only(spans)[1]["messaging.batch.message_count"] == 500


def test_a_command_finds_the_span_around_it(spans: InMemorySpanExporter) -> None:
    """In its environment; outside of any span, that of its submit, and without a trace nothing."""
    found = JobSpans(chunk(), lambda: 0).each(lambda _: trace_variables(chunk()))([])
    made, _ = only(spans)
    assert found[b"TRACEPARENT"].decode().split("-")[1:3] == [TRACE, f"{made.context.span_id:016x}"]
    assert trace_variables(chunk()) == {b"TRACEPARENT": ORIGIN.encode()}
    assert trace_variables(chunk("")) == {}


def test_without_a_trace_a_job_runs_as_it_is(spans: InMemorySpanExporter) -> None:
    """And nothing is recorded."""
    job = abs
    assert JobSpans(chunk(""), lambda: 0).each(job) is job
    with JobSpans(chunk(""), lambda: 0).piece(500):
        pass
    assert spans.get_finished_spans() == ()
