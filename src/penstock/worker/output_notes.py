"""What the note of an outcome has of an output: done by the agent, which has the spools."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.job.output_limit import is_beside, note_bytes, shortened
from penstock.job.spec import JobState
from penstock.job.spooled_output import Segments, size_of
from penstock.slot.output_spool import Spool, free_all, read_at
from penstock.slot.protocol import Ran
from penstock.wire.records import Note

Spools = tuple[Spool, Spool]
"""A slot's: for stdout and for stderr."""


def noted(ran: Ran, spools: Spools, bound: int | None) -> Ran:
    """With a note of what it wrote, if at most `bound` bytes of it (None: all) are to be kept; `spooled` is left of
    what is to be kept beside the note."""
    note = ran.note
    if note is None:
        return ran
    limit = note_bytes(bound)
    if ran.spooled is None and max(len(note.stdout), len(note.stderr)) <= limit and not any(ran.lost):
        return ran
    out, err = ran.output()
    beside = is_beside(bound)
    out_text, out_size, out = _noted(spools[0], out, limit, beside=beside)
    err_text, err_size, err = _noted(spools[1], err, limit, beside=beside)
    note = replace(note, stdout=out_text, stdout_size=out_size, stderr=err_text, stderr_size=err_size)
    ran = replace(ran, note=note, spooled=(out, err) if out or err else None)
    return _incomplete(ran, note) if any(ran.lost) else ran


def noted_all(ran: tuple[Ran, ...], spools: Spools, bound: int | None) -> tuple[Ran, ...]:
    """All of a piece."""
    if all(one.note is None for one in ran):
        return ran
    return tuple(noted(one, spools, bound) for one in ran)


def _noted(spool: Spool, output: Segments, limit: int, *, beside: bool) -> tuple[bytes, int, Segments]:
    """Of one stream: what the note has, how much there was if that is less, what is to be kept beside it."""
    size = sum(map(size_of, output))
    if size <= limit:
        text = read_at(spool, output, 0, size)
        free_all(spool, output)
        return text, 0, ()
    half = limit // 2
    head, tail = read_at(spool, output, 0, half), read_at(spool, output, size - half, half)
    if not beside:
        free_all(spool, output)
    return shortened(head, size - 2 * half, tail), size, output if beside else ()


def _incomplete(ran: Ran, note: Note) -> Ran:
    """A job whose output is not whole has not succeeded, whatever it came to."""
    cause = f"its output is not whole: the worker's folder for temporary files had no room for {sum(ran.lost)} bytes"
    cause = f"{cause}; {note.cause}" if note.cause else cause
    state = JobState.FAILED if ran.state is JobState.SUCCEEDED else ran.state
    return replace(ran, state=state, note=replace(note, cause=cause, returncode=None))
