"""What the sink counts: penstock.sink.metrics."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from penstock.job.spec import JobState
from penstock.sink.metrics import cause_of
from penstock.wire.records import Note
from support.sink_models import head_of

BATCH = b"b" * 16


@pytest.mark.parametrize(
    ("state", "note", "cause"),
    [
        (JobState.SUCCEEDED, None, ""),
        (JobState.FAILED, Note(cause="ValueError: x", traceback="..."), "exception"),
        (JobState.FAILED, Note(cause="exit code 3", returncode=3), "exit_code"),
        (JobState.TIMED_OUT, Note(cause="it ran for 2 s"), ""),
        (JobState.CANCELLED, Note(cause="cancelled"), ""),
        (JobState.DEAD, Note(cause="its process died", pid=7, exitcode=-9), "process_died"),
        (JobState.DEAD, Note(cause="worker w was lost"), "lost"),
    ],
)
def test_a_cause_is_one_word_of_few(state: JobState, note: Note | None, cause: str) -> None:
    """Whatever users and hosts have written into the note: it makes no series of its own."""
    assert cause_of(replace(head_of(BATCH, 0, 1), state=state, note=note)) == cause
