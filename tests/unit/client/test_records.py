"""What users get back: frozen records that say how things stand."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import BatchStatus, CommandResult, Outcome
from support.status_records import pipeline_status, worker_info

OUTCOME = Outcome(job_id="b:0", index=0, position=1, state="timed_out")
STATUS = BatchStatus(
    id="b", name="", kind="call", created=0.0, total=None, accepted=5, leased=2, running=1, succeeded=1, dead=1
)
WORKER = worker_info(slots=3)
PIPELINE = pipeline_status(WORKER)


@pytest.mark.parametrize("record", [OUTCOME, STATUS, WORKER, PIPELINE])
def test_records_are_frozen(record: Any) -> None:
    """Nobody changes what was."""
    for name in record.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(record, name, None)


def test_a_state_is_equal_to_its_name() -> None:
    """It prints as that too."""
    assert OUTCOME.state == "timed_out"
    assert f"{OUTCOME.state}" == "timed_out"


def test_a_batch_is_done_when_no_more_can_come() -> None:
    """Waiting is what does not run, also what a worker holds; an open batch is never done."""
    assert (STATUS.finished, STATUS.waiting, STATUS.done, PIPELINE.slots) == (2, 2, False, 3)


def test_a_command_result_is_a_completed_process() -> None:
    """In bytes, with its check."""
    result = CommandResult(["true"], 0, b"out", b"err")
    result.check_returncode()
    assert (result.args, result.stdout, result.stderr) == (["true"], b"out", b"err")
