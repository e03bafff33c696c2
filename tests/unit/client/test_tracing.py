"""A submit in a trace is a producer span, which the batch's spec names."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from penstock.client.tracing import API, submitting
from penstock.job.spec import BatchSpec


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What this process records."""
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield found
    provider.shutdown()


def test_the_spec_names_the_span_of_its_submit(spans: InMemorySpanExporter) -> None:
    """A producer span, with the name of the function, of the trace around it."""
    with (
        trace.get_tracer("handler").start_as_current_span("handler") as around,
        submitting(BatchSpec(name="nightly"), parse) as spec,
    ):
        pass
    made = spans.get_finished_spans()[0]
    assert (made.name, made.kind) == (f"submit {parse.__module__}.parse", trace.SpanKind.PRODUCER)
    assert made.parent is not None
    assert made.parent.span_id == around.get_span_context().span_id
    assert made.attributes is not None
    assert made.attributes["messaging.destination.name"] == "nightly"
    assert spec.traceparent.rpartition("-")[0] == f"00-{made.context.trace_id:032x}-{made.context.span_id:016x}"


def test_a_trace_that_nobody_records_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each submit would be a batch of its own for nothing."""
    monkeypatch.setattr(trace, "get_tracer", TracerProvider(sampler=ALWAYS_OFF).get_tracer)
    spec = BatchSpec()
    with submitting(spec, "work") as same:
        assert same is spec


def test_a_program_without_the_api_has_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """And penstock does not import it."""
    monkeypatch.delitem(sys.modules, API)
    spec = BatchSpec()
    with submitting(spec, parse) as same:
        assert same is spec
    assert API not in sys.modules


def parse() -> None:
    """Has a name."""
