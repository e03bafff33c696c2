"""The client: how Python programs reach a pipeline.

::

    pipeline.py     Pipeline: what users hold; submitter.py, options.py, batch.py (handles on batches)
    backend.py      what stands behind a Pipeline: engine.py (one client of one pipeline), inline.py (no stations)
    leaving.py      the rules of leaving
    single_submits  single submits, joined into batches; map.py, chunking.py: map; functions.py: what they run
    readers.py      readers of results; results.py: what these mean
    session.py      the background thread; courier.py, requests.py, follow.py: what it sends, asks and reads
"""

from penstock.client.batch import Batch
from penstock.client.pipeline import Pipeline
from penstock.client.submitter import Submitter

__all__ = ["Batch", "Pipeline", "Submitter"]
