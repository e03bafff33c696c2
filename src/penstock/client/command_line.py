"""All that the command line asks of the client beyond `Pipeline`, `Batch` and the records: it imports nothing else.

Below are the client's part of ``penstock run`` and `submit` (what is submitted, how fast, what earlier batches have
done), and what `top` asks again and again; the rest is handed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penstock.client.backup import Copying, copying_at
from penstock.client.batch import Batch, batches_of
from penstock.client.batch_input import Digest
from penstock.client.batch_jobs import Runners
from penstock.client.batch_opening import Target, after_as_id, opening_of
from penstock.client.functions import MAX_PART_BYTES
from penstock.client.kept_output import Printed
from penstock.client.live_output import Live, Onlooker, Seen
from penstock.client.many_jobs import Cancellations, Deletions, Many, Retries
from penstock.client.options import output_size, spec_of
from penstock.client.pipeline import Pipeline
from penstock.client.records import JobInfo
from penstock.client.streamed_batch import AHEAD, HEADSTART, Growing
from penstock.client.submit_pacing import Delay, Gate, Pace, breath
from penstock.client.ventilator_desk import Desk, ask_status, ventilator_at
from penstock.job.times import seconds

__all__ = [
    "AHEAD",
    "HEADSTART",
    "MAX_PART_BYTES",
    "Cancellations",
    "Copying",
    "Delay",
    "Deletions",
    "Desk",
    "Gate",
    "Growing",
    "Live",
    "Many",
    "Onlooker",
    "Pace",
    "Printed",
    "Retries",
    "Seen",
    "ask_status",
    "batches_like",
    "check_options",
    "copying_at",
    "output_size",
    "running_jobs",
    "seconds",
    "slots_of",
    "submit_streamed",
    "ventilator_at",
    "wake_slots",
]

WAKING_ROUNDS = 20
"""Of calls that wake the slots of an embedded pipeline, at most: one that is not there by then may come late."""


def check_options(options: Mapping[str, Any]) -> None:
    """Look at job options before there is a pipeline. Raises TypeError, ValueError: one of them is wrong."""
    spec_of({name: value for name, value in options.items() if name != "after"})  # only a pipeline knows its id


def submit_streamed(
    pipeline: Pipeline,
    target: Target,
    items: Iterable[Any],
    options: Mapping[str, Any],
    digest: Digest,
    *,
    live: Live | None = None,
    pace: Pace | None = None,
) -> Batch:
    """Submit a batch whose input may come slowly: jobs are submitted as their items come, and as `pace` allows; `live`
    has what they print while they run. Returns when the whole input is accepted, or what there is of it after
    HEADSTART seconds. Where all of the input has to be there first (`once`, an inline pipeline) it is `Pipeline.batch`.

    Raises what `Pipeline.batch` raises, if the input fails by then; then nothing of the batch is left.
    """
    engine = pipeline.engine
    if engine.session is None or options.get("once"):
        return pipeline.batch(target, items, digest=digest, **options)
    opening = opening_of(engine, target, after_as_id(engine, options))
    (inputs,) = opening.inputs([items])
    batch = Growing(engine.session, opening.spec, opening.function, inputs, engine.slots(), digest, live, pace)
    batch.begin()
    return batch


def batches_like(pipeline: Pipeline, target: Target, options: Mapping[str, Any]) -> list[Batch]:
    """All batches of this function or command, the newest first. Raises ValueError: the pipeline remembers none."""
    engine = pipeline.engine
    if engine.session is None:
        raise ValueError("this needs a pipeline that remembers, and `inline` does not")
    opening = opening_of(engine, target, {name: value for name, value in options.items() if name != "after"})
    return batches_of(engine.session, opening.function.call, opening.spec.kind)


def slots_of(pipeline: Pipeline) -> int:
    """How many jobs can run at once."""
    return pipeline.engine.slots()


def wake_slots(pipeline: Pipeline) -> None:
    """Return when each slot of an embedded pipeline is there: else its first jobs would start late, and the next ones
    too soon after them."""
    slots, awake = slots_of(pipeline), set[int]()
    for _ in range(WAKING_ROUNDS):
        awake.update(pipeline.map(breath, range(slots), chunksize=1))
        if len(awake) >= slots:
            return


def running_jobs(pipeline: Pipeline) -> Callable[[int], list[JobInfo]]:
    """What tells, as often as it is called, which jobs have run longest: at most so many. `pipeline` has stations."""
    session = pipeline.engine.session
    assert session is not None, "an inline pipeline runs nothing while somebody looks on"
    return Runners(session).look
