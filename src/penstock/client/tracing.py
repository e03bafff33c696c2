"""What is submitted belongs to the trace of the program that submits it (OpenTelemetry).

Only a program that has imported OpenTelemetry's API can trace, so penstock never imports it by itself. Names of spans
and attributes are those of OpenTelemetry's semantic conventions for messaging.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.job import function_names
from penstock.job.spec import BatchSpec
from penstock.job.traceparent import traceparent_of
from penstock.version import VERSION

if TYPE_CHECKING:
    from opentelemetry import trace

API = "opentelemetry.trace"
COMMAND = "command"
"""In the place of a function's name."""


def submitting(spec: BatchSpec, target: Callable[..., Any] | str) -> AbstractContextManager[BatchSpec]:
    """A producer span around a submit of `target`, a function or the title of a batch. The spec that the context
    manager returns names that span, if it is recorded; without a trace it is `spec` itself."""
    api = sys.modules.get(API)
    return nullcontext(spec) if api is None else _span(api, spec, target)


@contextmanager
def _span(api: Any, spec: BatchSpec, target: Callable[..., Any] | str) -> Iterator[BatchSpec]:
    title = target if isinstance(target, str) else function_names.title(target)
    tracer: trace.Tracer = api.get_tracer("penstock", VERSION)
    attributes = {
        "messaging.system": "penstock",
        "messaging.operation.type": "send",
        "messaging.operation.name": "submit",
        "messaging.destination.name": spec.name or title,
    }
    name = f"submit {title}"
    with tracer.start_as_current_span(name, kind=api.SpanKind.PRODUCER, attributes=attributes) as span:
        found = traceparent_of(span.get_span_context())
        yield msgspec.structs.replace(spec, traceparent=found) if found else spec
