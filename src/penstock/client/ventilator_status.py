"""The state of a pipeline, asked of its ventilator alone, so that it is known while the sink is away, too."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.client.batch import pipeline_status_of
from penstock.client.locate import locate
from penstock.client.records import PipelineStatus
from penstock.client.session import Session
from penstock.client.submit_packing import Part
from penstock.errors import NoPipeline
from penstock.wire.messages import AskPipeline


class Nothing:
    """The source of a client that submits nothing and only asks."""

    def take_parts(self) -> Iterable[Part]:
        """Nothing: this client submits no jobs."""
        return ()


def ask_status(url: str) -> PipelineStatus:
    """As Pipeline.status, of the pipeline at this URL, with the key of the environment. Raises NoPipeline: no
    ventilator answers; Refused, ConfigError."""
    url, key = locate(url, None)
    session = Session(url, Nothing(), None, key)
    try:
        return pipeline_status_of(session.ask(AskPipeline), url)
    except NoPipeline:
        session.connect(0.0)  # which says who is missing, and why
        raise
    finally:
        session.close()
