"""What a job comes to on stdout and on stderr, however much that is: a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.cli.output import value_text
from penstock.faces import cause_line

if TYPE_CHECKING:
    from penstock import Outcome
    from penstock.client.printed import Printed

Kept = Callable[["Outcome", bool, int], Iterator["Printed"]]
"""What is kept of an outcome's stdout, or stderr (True), from a byte on."""


class Shown:
    """An outcome that is to be shown: `seen` bytes of either stream were, while the job ran."""

    def __init__(self, outcome: Outcome, kept: Kept, seen: tuple[int, int] = (0, 0)) -> None:
        self.outcome = outcome
        self._kept = kept
        self._seen = seen
        self._missing = [0, 0]

    def stdout(self) -> Iterator[bytes]:
        """What it printed, then what a call returned unless that is None."""
        yield from self._printed(is_error=False)
        if value := self._value():
            yield value

    def stderr(self) -> Iterator[bytes]:
        """What it printed there."""
        return self._printed(is_error=True)

    def remarks(self, what: str | None = None) -> bytes:
        """How much of what was given out is missing, and why the job failed; `what` it is, if that is to be said."""
        text = b""
        for name, missing in zip(("stdout", "stderr"), self._missing, strict=True):
            if missing:
                said = f"{missing:,} bytes of its {name} are missing here, they were not kept: --keep-output keeps more"
                text += f"penstock: {self.outcome.job_id}: {said}\n".encode()
        return text + complaint(self.outcome, what)

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
        return replace(self.outcome, stdout=b"".join(self._printed(is_error=False)), stderr=b"".join(self.stderr()))

    def _printed(self, *, is_error: bool) -> Iterator[bytes]:
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


def complaint(outcome: Outcome, what: str | None = None) -> bytes:
    """Why a job did not succeed and `what` it is, on a line. Where that is not said, a bare exit code is no news."""
    if outcome.state == "succeeded" or (what is None and outcome.state == "failed" and outcome.returncode is not None):
        return b""
    return f"penstock: {cause_line(outcome.job_id, outcome.state, outcome.cause, what or '')}\n".encode()


class Tagged:
    """Puts the job's arguments and a tab before each line of an output that comes in parts (``--tag``)."""

    def __init__(self, tag: bytes | None) -> None:
        self._before = b"" if tag is None else tag + b"\t"
        self._at_start = True

    def __call__(self, part: bytes) -> bytes:
        """The next part."""
        if not self._before or not part:
            return part
        lines = part.split(b"\n")
        is_ended = not lines[-1]
        first = self._before if self._at_start else b""
        self._at_start = is_ended
        text = first + (b"\n" + self._before).join(lines)
        return text[: len(text) - len(self._before)] if is_ended else text
