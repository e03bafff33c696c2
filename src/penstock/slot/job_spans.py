"""A job that was submitted in a trace runs in a span of that trace (OpenTelemetry).

Spans are made by whatever the slot's process has for that: the API's own settings (OTEL_PYTHON_TRACER_PROVIDER), or a
provider that an initializer has set up, which comes after the fork and before the first job. Without the API, or
without a provider, jobs run as ever, and what they send elsewhere still belongs to the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock.job.spec import job_id
from penstock.job.traceparent import traceparent_of
from penstock.slot.job_report import CommandEnd
from penstock.slot.protocol import LoadChunk
from penstock.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

TRACEPARENT = "traceparent"


class JobSpans:
    """Of the jobs of a chunk, of which `index_now` tells which one runs."""

    def __init__(self, head: LoadChunk, index_now: Callable[[], int]) -> None:
        self._head = head
        self._index_now = index_now
        self._tracer = _tracer() if head.traceparent else None

    def each(self, job: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """What runs a job in a span of its own."""
        if (tracer := self._tracer) is None:
            return job

        def run(item: Any) -> Any:
            with self._span(tracer, {"messaging.message.id": job_id(self._head.batch, self._index_now())}) as span:
                value = job(item)
                if type(value) is CommandEnd and value.cause:
                    _fail(span, value.cause)
                return value

        return run

    @contextmanager
    def piece(self, jobs: int) -> Iterator[None]:
        """A span around so many jobs, which are too short for one each."""
        if self._tracer is None:
            yield
            return
        with self._span(self._tracer, {"messaging.batch.message_count": jobs}):
            yield

    @contextmanager
    def _span(self, tracer: Tracer, attributes: dict[str, Any]) -> Iterator[Span]:
        from opentelemetry import trace  # noqa: PLC0415 - there is a tracer
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        parent = TraceContextTextMapPropagator().extract({TRACEPARENT: self._head.traceparent})
        span = tracer.start_span(
            f"run {self._head.title or 'command'}",
            parent,
            trace.SpanKind.CONSUMER,
            {
                "messaging.system": "penstock",
                "messaging.operation.type": "process",
                "messaging.operation.name": "run",
                "penstock.batch.id": self._head.batch.hex(),
                "penstock.attempt": self._head.attempt,
                **attributes,
            },
            [trace.Link(trace.get_current_span(parent).get_span_context())],
        )
        with trace.use_span(span, end_on_exit=True):
            yield span


def _tracer() -> Tracer | None:
    try:
        from opentelemetry import trace  # noqa: PLC0415 - of whoever submits in a trace
    except ImportError:
        return None
    return trace.get_tracer("penstock", VERSION)


def _fail(span: Span, cause: str) -> None:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - there is a span

    span.set_status(Status(StatusCode.ERROR, cause))


def trace_variables(head: LoadChunk) -> dict[bytes, bytes]:
    """What a command finds in its environment about the trace that it belongs to: the span around it, or else that of
    its submit."""
    if not head.traceparent:
        return {}
    found = head.traceparent
    if _tracer() is not None:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - there is a tracer

        found = traceparent_of(get_current_span().get_span_context()) or found
    return {b"TRACEPARENT": found.encode()}
