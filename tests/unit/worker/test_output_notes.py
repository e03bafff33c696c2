"""What the agent puts into the note of an outcome."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.job.output_limit import NOTE_BYTES, cut_line
from penstock.job.spec import KEEP_OUTPUT, JobState
from penstock.slot.output_spool import Spool
from penstock.slot.protocol import Ran
from penstock.wire.records import Note
from penstock.worker.output_notes import noted


def ran(out: Any, **fields: Any) -> Ran:
    return Ran(0, 1, JobState.SUCCEEDED, 0.0, 0.0, 0, Note(returncode=0), spooled=(out, ()), **fields)


def note_of(made: Ran) -> Note:
    assert made.note is not None
    return made.note


@pytest.fixture
def spools() -> Any:
    """With 3 MiB that a job wrote."""
    pair = (Spool(), Spool())
    pair[0].write(b"x" * (3 << 20), 0)
    yield pair
    for spool in pair:
        spool.close()


def test_a_short_output_is_whole_in_its_note(spools: Any) -> None:
    """Wherever it was."""
    made = noted(ran(((0, 1000), b"end")), spools, None)
    assert (note_of(made).stdout, note_of(made).stdout_size, made.spooled) == (b"x" * 1000 + b"end", 0, None)


@pytest.mark.parametrize("bound", [KEEP_OUTPUT, 1000])
def test_a_bounded_output_is_head_and_tail_in_its_note(spools: Any, bound: int) -> None:
    """And nothing of it is left in the spool."""
    made = noted(ran(((0, 3 << 20),)), spools, bound)
    half, size = bound // 2, 3 << 20
    assert note_of(made).stdout == b"x" * half + cut_line(size - bound) + b"x" * half
    assert (note_of(made).stdout_size, made.spooled) == (size, None)
    assert spools[0].read(0, 5) == b"\0" * 5


def test_nothing_is_kept_if_nothing_is_to_be_kept(spools: Any) -> None:
    """But how much it was."""
    assert note_of(noted(ran((b"abc",)), spools, 0)) == Note(returncode=0, stdout_size=3)


def test_what_is_kept_whole_is_left_in_the_spool(spools: Any) -> None:
    """For the sink, with head and tail in the note."""
    made = noted(ran(((0, 3 << 20), b"y")), spools, None)
    assert made.spooled == (((0, 3 << 20), b"y"), ())
    assert note_of(made).stdout_size == (3 << 20) + 1
    assert len(note_of(made).stdout) == NOTE_BYTES + len(cut_line((3 << 20) + 1 - NOTE_BYTES))


def test_a_job_whose_output_was_lost_has_not_succeeded(spools: Any) -> None:
    """Silence would be worse."""
    made = noted(ran((b"abc",), lost=(7, 0)), spools, None)
    assert made.state is JobState.FAILED
    assert "no room for 7 bytes" in note_of(made).cause
    assert (note_of(made).stdout, note_of(made).returncode) == (b"abc", None)
