"""One trace from a web handler through a submit to the job's own spans, also where a worker is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.stations import LIMIT, Stations, until

PROGRAM = """
import os, sys, time
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from penstock import Pipeline, current_job

def start_tracing(receiver):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(receiver)))
    trace.set_tracer_provider(provider)

def parse(path):
    with trace.get_tracer("jobs").start_as_current_span("read the file"):
        pass
    if current_job().attempt == 1:
        open(path, "w").close()
        time.sleep(600)
    return "parsed"

receiver, path = sys.argv[1:]
start_tracing(receiver)
app, pipeline = FastAPI(), Pipeline(os.environ["PENSTOCK_URL"])

@app.get("/parse")
def handle() -> str:
    with trace.get_tracer("web").start_as_current_span("handler"):
        traced = pipeline.options(initializer=start_tracing, initargs=(receiver,))
        told = pipeline.command(["printenv", "TRACEPARENT"]).result().stdout.decode()
        return traced.submit(parse, path).result() + " " + told.strip()

print(TestClient(app).get("/parse").json())
"""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP receiver: its address, and the spans that it was sent."""
    spans: list[Span] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
        server.shutdown()


def test_two_attempts_have_one_origin(stations: Stations, receiver: tuple[str, list[Span]], folder: Path) -> None:
    """The handler's span is the root; submits are its children, and jobs those of their submits. The first attempt of
    one job dies with its worker: what it had recorded itself is there, and so is all of the second attempt."""
    url, spans = receiver
    stations.start("ventilator", "sink", "w1")
    begun = folder / "begun"
    (folder / "web.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, "web.py", url, str(begun)],
        cwd=folder,
        env={**os.environ, "PENSTOCK_URL": stations.url},
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        until(begun.exists, what="the job has begun")
        stations.end("w1", signal.SIGKILL)
        stations.start("w2")
        said, _ = program.communicate(timeout=LIMIT)
    value, of_command = said.split()
    assert value == "parsed"
    (root,) = (span for span in spans if span.name == "handler")
    assert {span.trace_id for span in spans} == {root.trace_id}
    submits = {span.name: span for span in spans if span.kind == Span.SPAN_KIND_PRODUCER}
    assert sorted(submits) == ["submit command", "submit parse"]
    assert {span.parent_span_id for span in submits.values()} == {root.span_id}
    assert of_command.split("-")[1:3] == [root.trace_id.hex(), submits["submit command"].span_id.hex()]
    (run,) = (span for span in spans if span.name == "run parse")
    assert run.parent_span_id == submits["submit parse"].span_id
    assert {one.key: one.value.int_value for one in run.attributes}["penstock.attempt"] == 2
    first, second = (span.parent_span_id for span in spans if span.name == "read the file")
    assert second == run.span_id != first
