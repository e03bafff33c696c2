"""``--halt``: when a run ends before its last job."""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.errors import ConfigError

FORM = re.compile(r"(soon|now),(fail|success|done)=([1-9]\d*)")
SHORT = {"0": "never", "1": "soon,fail=1", "2": "now,fail=1"}
"""As GNU parallel has them."""


class Halt(NamedTuple):
    """After so many jobs that came to `kind`, start no more; `now`: and end those that run."""

    now: bool
    kind: str
    jobs: int

    @classmethod
    def parse(cls, text: str) -> Halt | None:
        """``soon,fail=1``; None: never. ConfigError: it is written otherwise."""
        text = SHORT.get(text, text)
        if text == "never":
            return None
        match = FORM.fullmatch(text)
        if match is None:
            raise ConfigError(f"--halt {text}: write soon,fail=N or now,fail=N (also success=N, done=N), or never")
        return cls(match[1] == "now", match[2], int(match[3]))

    def is_due(self, failed: int, succeeded: int) -> bool:
        """Whether so many are enough."""
        return {"fail": failed, "success": succeeded, "done": failed + succeeded}[self.kind] >= self.jobs

    def said(self, failed: int, succeeded: int) -> str:
        """For people."""
        how = "running ones are ended" if self.now else "running ones finish"
        return f"--halt: {failed} failed and {succeeded} succeeded, no more jobs are started and {how}"
