"""What a job gives out on stdout and on stderr, however much that is: a part at a time."""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.cli.output import json_bytes, json_line, outcome_record, say, value_text, write
from penstock.job.display import cause_line
from penstock.job.spawning import CANNOT_START

if TYPE_CHECKING:
    from penstock import Outcome
    from penstock.client.command_line import Printed

Kept = Callable[["Outcome", bool, int], Iterator["Printed"]]
"""What is kept of an outcome's stdout, or stderr (True), from a byte on."""


class Shown:
    """An outcome that is to be shown: `seen` bytes of either stream were, while the job ran."""

    def __init__(self, outcome: Outcome, kept: Kept, seen: tuple[int, int] = (0, 0), what: str | None = None) -> None:
        """`what` it is, to be said if it did not succeed; None: a bare exit code is no news."""
        self.outcome = outcome
        self._what = what
        self._kept = kept
        self._seen = seen
        self._missing = [0, 0]

    def stdout(self) -> Iterator[bytes]:
        """What it printed, then what a call returned unless that is None."""
        yield from self.printed(is_error=False)
        if value := self._value():
            yield value

    def stderr(self) -> Iterator[bytes]:
        """What it printed there."""
        return self.printed(is_error=True)

    def remarks(self) -> bytes:
        """How much of what was given out is missing, and why the job failed."""
        text = b"".join(f"penstock: {line}\n".encode() for line in self.said_missing())
        return text + complaint(self.outcome, self._what)

    def said_missing(self) -> Iterator[str]:
        """For each stream of which not all was there to give out, a line."""
        for name, missing in zip(("stdout", "stderr"), self._missing, strict=True):
            if missing:
                said = (
                    f"{missing:,} bytes of its {name} are missing, since they were not kept: --keep-output keeps more"
                )
                yield f"{self.outcome.job_id}: {said}"

    @property
    def stdout_size(self) -> int:
        """Bytes that it comes to on stdout, shown and kept or not."""
        return self.outcome.stdout_size + len(self._value())

    @property
    def is_whole(self) -> bool:
        """Whether the outcome itself has all of its output."""
        outcome = self.outcome
        return outcome.stdout_size <= len(outcome.stdout) and outcome.stderr_size <= len(outcome.stderr)

    def whole(self) -> Outcome:
        """The outcome with all of its output that is kept."""
        if self.is_whole:
            return self.outcome
        return replace(self.outcome, stdout=b"".join(self.printed(is_error=False)), stderr=b"".join(self.stderr()))

    def printed(self, *, is_error: bool) -> Iterator[bytes]:
        """What it wrote to one of them, and was not shown before."""
        self._missing[is_error] = 0
        if self.is_whole:
            text = (self.outcome.stderr if is_error else self.outcome.stdout)[self._seen[is_error] :]
            return iter((text,) if text else ())
        return self._kept_parts(is_error=is_error)

    def _kept_parts(self, *, is_error: bool) -> Iterator[bytes]:
        for printed in self._kept(self.outcome, is_error, self._seen[is_error]):
            if isinstance(printed, int):
                self._missing[is_error] += printed
            else:
                yield printed

    def _value(self) -> bytes:
        if self.outcome.returncode is not None or self.outcome.value is None:
            return b""
        return value_text(self.outcome.value).encode("utf-8", "surrogateescape") + b"\n"


def json_record(shown: Shown) -> None:
    """The outcome as a line of JSON on stdout. A long output is written as it is read: it may be larger than memory."""
    record = outcome_record(shown.outcome)
    if shown.is_whole:
        json_line(record)
        return
    del record["stdout"], record["stderr"]
    write(json_bytes(record).removesuffix(b"}"))
    for name, parts in (("stdout", shown.printed(is_error=False)), ("stderr", shown.printed(is_error=True))):
        write(f', "{name}": "'.encode())
        decoder = getincrementaldecoder("utf-8")("backslashreplace")
        for part in chain(parts, (None,)):
            text = decoder.decode(part or b"", final=part is None)
            write(json.dumps(text)[1:-1].encode())
        write(b'"')
    write(b"}\n")
    for missing in shown.said_missing():
        say(missing)


def complaint(outcome: Outcome, what: str | None = None) -> bytes:
    """Why a job did not succeed and `what` it is, on a line. Where that is not said, a bare exit code is no news."""
    if outcome.state == "succeeded" or (what is None and is_bare_exit(outcome)):
        return b""
    return f"penstock: {cause_line(outcome.job_id, outcome.state, outcome.cause, what or '')}\n".encode()


def is_bare_exit(outcome: Outcome) -> bool:
    """Whether all there is to say of it is a command's exit code, which grep and its like have for an answer."""
    return outcome.state == "failed" and outcome.returncode is not None and not outcome.cause.startswith(CANNOT_START)


class Tagged:
    """Puts the job's arguments and a tab before each line of an output that comes in parts (``--tag``)."""

    def __init__(self, tag: bytes | None) -> None:
        self._before = b"" if tag is None else tag + b"\t"
        self._at_start = True

    def __call__(self, part: bytes) -> bytes:
        """The next part of the output, with the tag before each line that begins in it."""
        if not self._before or not part:
            return part
        lines = part.split(b"\n")
        is_ended = not lines[-1]
        first = self._before if self._at_start else b""
        self._at_start = is_ended
        text = first + (b"\n" + self._before).join(lines)
        return text[: len(text) - len(self._before)] if is_ended else text
