"""The state of a pipeline, asked of its ventilator alone, so that it is known while the sink is away, too."""

from __future__ import annotations

from penstock.client.batch import pipeline_status_of
from penstock.client.locate import locate
from penstock.client.records import PipelineStatus
from penstock.client.session import Session
from penstock.client.single_submits import Streams
from penstock.errors import NoPipeline
from penstock.wire.messages import AskPipeline


def ask_status(url: str) -> PipelineStatus:
    """As Pipeline.status, of the pipeline at this URL, with the key of the environment. Raises NoPipeline: no
    ventilator answers; Refused, ConfigError."""
    url, key = locate(url, None)
    session = Session(url, Streams(), None, key)  # it submits nothing
    try:
        return pipeline_status_of(session.ask(AskPipeline), url)
    except NoPipeline:
        session.connect(0.0)  # which says who is missing, and why
        raise
    finally:
        session.close()
