"""A line for each job that ended at a worker."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import msgspec
import pytest

from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.slot.protocol import Ran
from penstock.wire.records import BatchHead, Lease, Note
from penstock.worker.contract import PieceDone, Run, SlotDied
from penstock.worker.job_lines import WHAT_CHARS, JobLines
from penstock.worker.terminal_output import TerminalOutput

BATCH = b"b" * 16
ID = BATCH.hex()


@pytest.fixture
def pipe() -> Iterator[tuple[int, JobLines]]:
    """Where to read, and what writes there."""
    reader, writer = os.pipe()
    yield reader, JobLines(TerminalOutput(writer))
    os.close(reader)
    os.close(writer)


def shown(reader: int) -> list[str]:
    """The lines so far, without their times."""
    os.set_blocking(reader, False)
    try:
        text = os.read(reader, 1 << 16).decode()
    except BlockingIOError:
        return []
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", "", line) for line in text.splitlines()]


Given = tuple[Run, bytes, bytes]


def given(spec: BatchSpec, code: bytes = b"", arguments: bytes = b"", *, slot: int = 0, piece: int = 1) -> Given:
    """Jobs from 10 on, as a slot is given them; each piece is of a lease of its own."""
    lease = Lease(piece, BATCH, 10, 10, 10, 20, Stamp(), len(arguments))
    return Run(slot, piece, lease, BatchHead(BATCH, spec, b"", 0, 0), 10, 20), code, arguments


def commands(template: CommandTemplate, *arguments: list[bytes], slot: int = 0) -> Given:
    """Jobs that are commands."""
    return given(BatchSpec(kind="command"), template.encode(), msgspec.msgpack.encode(arguments), slot=slot)


def done(*ran: Ran, slot: int = 0, piece: int = 1) -> PieceDone:
    """What came back."""
    return PieceDone(slot, piece, ran, b"")


def test_a_command_is_shown_as_it_ran(pipe: tuple[int, JobLines]) -> None:
    """With its state, its cause if it has one, its time, and its own words in place of what was replaced."""
    reader, lines = pipe
    lines.given(*commands(CommandTemplate((b"echo", b"{} is", b"{#}")), [b"a b"], [b"c"], slot=2))
    ended = (
        Ran(10, 11, JobState.SUCCEEDED, 1.0, 0.25, 0),
        Ran(11, 12, JobState.FAILED, 1.0, 2.0, 0, Note("exit code 3")),
    )
    lines.ended(done(*ended, slot=2), 0.0)
    assert shown(reader) == [
        f"slot 2  {ID}:10  succeeded  0.250 s  echo 'a b is' 11",
        f"slot 2  {ID}:11  failed (exit code 3)  2.000 s  echo 'c is' 12",
    ]


def test_a_shell_line_is_shown_without_its_shell(pipe: tuple[int, JobLines]) -> None:
    """On one line, of bounded length, whatever is in it."""
    reader, lines = pipe
    lines.given(*commands(CommandTemplate((b"echo {} |", b"wc"), shell=True), [b"\x1b[2J\n" + b"x" * WHAT_CHARS]))
    lines.ended(done(Ran(10, 11, JobState.SUCCEEDED, 1.0, 0.0, 0)), 0.0)
    (line,) = shown(reader)
    assert r"echo '\x1b[2J\nxxx" in line
    assert line.endswith("xxx...")


def test_calls_are_named_by_their_title_and_each_has_a_line(pipe: tuple[int, JobLines]) -> None:
    """Also where many ended together: the time is then the mean of theirs."""
    reader, lines = pipe
    lines.given(*given(BatchSpec(title="square")))
    lines.ended(done(Ran(10, 13, JobState.SUCCEEDED, 1.0, 0.3, 0)), 0.0)
    assert shown(reader) == [f"slot 0  {ID}:{index}  succeeded  0.100 s  square" for index in (10, 11, 12)]


def test_a_job_under_which_its_process_died_has_a_line(pipe: tuple[int, JobLines]) -> None:
    """And the rest of what that slot was given has none, until it has run elsewhere."""
    reader, lines = pipe
    for piece in (1, 2):
        lines.given(*given(BatchSpec(title="crash"), piece=piece))
    lines.ended(SlotDied(0, 1, 11, JobState.DEAD, "killed by SIGSEGV", 1.0, 0.5), 0.0)
    assert shown(reader) == [f"slot 0  {ID}:11  dead (killed by SIGSEGV)  0.500 s  crash"]
    lines.ended(done(Ran(20, 21, JobState.SUCCEEDED, 1.0, 0.0, 0), piece=2), 0.0)
    assert shown(reader) == []
