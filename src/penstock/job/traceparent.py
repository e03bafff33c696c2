"""How a trace is named from one process to another (W3C Trace Context)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext


def traceparent_of(context: SpanContext) -> str:
    """The header's text for this span; empty if there is no such span, or nobody records its trace."""
    if not context.is_valid or not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
