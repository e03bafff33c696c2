"""The last line of a run: how it was.

Promises:

1. It is one line on stderr, after everything else, however the run ended; only who closed stdout on it hears nothing.
2. Its numbers add up: what succeeded, what failed, what somebody else cancelled, what is left.
3. Where something failed it says how to see it, where something is left it says how to go on.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from penstock.cli.output import counted, printable, say
from penstock.errors import ConfigError
from penstock.url import default_url

if TYPE_CHECKING:
    from penstock import Outcome
    from penstock.cli.run.wanted_jobs import Wanted

EXAMPLES = 3
"""Failed jobs that are named where nothing else keeps them."""
EXAMPLE_CHARS = 60
"""Of a job, where it is named."""
KINDS = {"timed_out": "ran too long", "dead": "died"}
"""How a job fails that did not end by itself, in words."""
STOPPED = "stopped"
"""How a job ends that the user has had enough of."""


class Summary:
    """Counts outcomes, and says what they were when it is left."""

    def __init__(
        self, *, failed: str = "", again: str = "", left: str = "", names: Callable[[int], bytes] | None = None
    ) -> None:
        """`failed`: what shows failed jobs, `again`: what runs them again, `left`: what goes on with those that are
        left; `names`: what a job is, by its number, where failed ones are to be named here."""
        self.failed_hint = failed
        self._again_hint = again
        self._left_hint = left
        self._names = names
        self._wanted: Wanted | None = None
        self._earlier = 0
        self._counts: Counter[str] = Counter()
        """By the states in which jobs ended, and `STOPPED`."""
        self._examples: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._wanted is not None and not isinstance(error, BrokenPipeError):
            say(self.text())

    def begin(self, wanted: Wanted) -> None:
        """These were handed in: from now on there is something to say."""
        self._wanted = wanted

    @property
    def ended(self) -> int:
        """How many jobs have."""
        return self._counts.total()

    @property
    def _failed(self) -> int:
        return self.ended - self._counts["succeeded"] - self._counts["cancelled"] - self._counts[STOPPED]

    def count(self, number: int, outcome: Outcome, *, stopped: bool) -> None:
        """One more has ended; `stopped`: because the user has had enough."""
        state = STOPPED if stopped else str(outcome.state)
        self._counts[state] += 1
        if state == "succeeded":
            self._earlier += self._wanted is not None and self._wanted.is_earlier(number)
        elif state not in {"cancelled", STOPPED} and self._names is not None and len(self._examples) < EXAMPLES:
            self._examples.append(f"{shortened(self._names(number))} ({printable(cause_of(outcome))})")

    def text(self) -> str:
        """The line that says how many jobs ended how, and what to do next."""
        total = None if self._wanted is None else self._wanted.count()
        stopped, succeeded, cancelled = (self._counts[state] for state in (STOPPED, "succeeded", "cancelled"))
        left = stopped if total is None else total - self.ended + stopped
        is_cut = self._wanted is not None and self._wanted.is_cut
        before = f" ({self._earlier} of them before)" if self._earlier else ""
        if not (self._failed or cancelled or left or is_cut):
            return f"{counted(succeeded, 'job')} succeeded{before}"
        parts = [f"{succeeded} succeeded{before}"]
        if self._failed:
            parts.append(f"{self._failed} failed{self._how_failed()}")
        if cancelled:
            parts.append(f"{cancelled} cancelled")
        if is_cut:
            parts.append(f"{left} left and the rest of the input")
        elif left:
            parts.append(f"{left} left")
        hints = [self._again_hint] if self._failed else []
        hints += [self._left_hint] if left or is_cut else []
        return "; ".join(filter(None, (", ".join(parts), *hints)))

    def _how_failed(self) -> str:
        more = self._failed - len(self._examples)
        if not self._examples:
            kinds = ", ".join(f"{count} {KINDS[state]}" for state, count in self._counts.items() if state in KINDS)
            said = "; ".join(filter(None, (kinds, self.failed_hint)))
            return f" ({said})" if said else ""
        rest = f" and {more} more ({self.failed_hint})" if more and self.failed_hint else ""
        return f" ({', '.join(self._examples)}{rest})"


def cause_of(outcome: Outcome) -> str:
    """Why a job did not succeed, without what stands before that for machines."""
    return outcome.cause or str(outcome.state)


def shortened(text: bytes) -> str:
    """A job, not too long."""
    shown = printable(text.decode("utf-8", "backslashreplace"))
    return shown if len(shown) <= EXAMPLE_CHARS else f"{shown[: EXAMPLE_CHARS - 1]}…"


def shown_by(command: str, url: str, batch: str) -> str:
    """What shows a batch on a running pipeline, as short as it can be typed here."""
    return f"penstock {command} {'' if _is_default(url) else f'--url {shlex.quote(url)} '}{batch}"


def _is_default(url: str) -> bool:
    try:
        return url == (os.environ.get("PENSTOCK_URL") or default_url())
    except ConfigError:  # there is none here
        return False
