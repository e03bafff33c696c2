"""The client: how Python programs reach a pipeline.

::

    pipeline.py     Pipeline: what users hold; options.py, batch.py (handles on batches), inline.py (no stations)
    engine.py       one client of one pipeline, and the rules of leaving
    single_submits.py      single submits, joined into batches; map.py, chunking.py: map; functions.py: what they run
    readers.py      readers of results; results.py: what these mean
    session.py      the background thread; courier.py: what it carries; requests, packing, following: and how
"""

from penstock.client.batch import Batch
from penstock.client.pipeline import Pipeline, Submitter

__all__ = ["Batch", "Pipeline", "Submitter"]
