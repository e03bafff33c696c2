"""``--resume``, ``--resume-failed`` and ``--retry-failed`` with nothing but the joblog of an earlier run, also of GNU
parallel's.

A job is told by its number in the input (Seq) and by what was run. The log is read line by line, and eight bytes are
kept of each.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

from penstock.cli.output import say
from penstock.cli.run.halt import Counts
from penstock.cli.run.joblog import readable
from penstock.errors import ConfigError
from penstock.job.spans import SpanSet

LINE = re.compile(rb"(\d+)\t[^\t]*(?:\t *-?[\d.]+){4}\t(-?\d+)\t(-?\d+)\t(.*)\n", re.DOTALL)
"""Seq, Host, Starttime, JobRuntime, Send, Receive, Exitval, Signal, Command."""
HEAD_BEGINS = b"Seq\t"
QUOTES = b"'\"\\"
"""Each shell and each program quotes in its own way: commands that differ in nothing else are the same."""
SHOWN_BYTES = 60
"""Of a line that is quoted."""
MAX_SEQ = 1 << 62


class Logged:
    """What a joblog tells. `numbers` has the place in the input, from 0, of each job that is left, as it is drawn."""

    def __init__(self, path: str, *, failed_too: bool) -> None:
        """`failed_too`: what did not succeed is not done. ConfigError: the file is no joblog, or cannot be read."""
        self.path = path
        self.size: int = 0
        """Bytes of its whole lines: a run that was killed may have left half of one behind them."""
        self.counts: Counts = Counts()
        """Of the jobs that are done."""
        self.numbers: array[int] = array("q")
        self.total: int = 0
        """How many jobs there were, as far as it tells."""
        self._failed_too = failed_too
        self._done: set[bytes] = set()
        self._seen = SpanSet()
        self._failures: dict[int, bytes] = {}
        self._differs = False
        try:
            self._read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None

    def _read(self) -> None:
        succeeded = SpanSet()
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    say(f"{self.path}: the last line is incomplete, so its job counts as not done")
                    break
                self.size += len(line)
                if number > 1 or not line.startswith(HEAD_BEGINS):
                    self._add(number, line, succeeded)
        failed = self._seen.count - succeeded.count
        self.counts = Counts(0 if self._failed_too else failed, succeeded.count)

    def _add(self, number: int, line: bytes, succeeded: SpanSet) -> None:
        match = LINE.fullmatch(line)
        if match is None or not 0 < (seq := int(match[1])) < MAX_SEQ:
            shown = os.fsdecode(line[:SHOWN_BYTES].rstrip(b"\n"))
            raise ConfigError(f"{self.path} is not a joblog: its line {number} is {shown!r}")
        command = readable(match[4])
        self.total = max(self.total, seq)
        self._seen.add(seq, seq + 1)
        if match[2] == b"0" and match[3] == b"0":
            succeeded.add(seq, seq + 1)
            self._failures.pop(seq, None)
        elif self._failed_too:
            if seq not in succeeded:
                self._failures[seq] = command
            return
        self._done.add(_digest(seq, command))

    def missing(self, items: Iterator[Any], shown: Callable[[Any, int], bytes] | None) -> Iterator[Any]:
        """The items that are left. `shown`: what would be run for an item with this number from 1; None: that depends
        on more than these, and the number alone tells."""
        for number, item in enumerate(items, 1):
            command = shown(item, number) if shown is not None else None
            if not self._is_done(number, command):
                self.numbers.append(number - 1)
                yield item

    def failures(self) -> list[str]:
        """The commands of the jobs that did not succeed, in the order of the input: these are left."""
        failed = sorted(self._failures)
        self.numbers.extend(seq - 1 for seq in failed)
        return [os.fsdecode(self._failures[seq]) for seq in failed]

    def _is_done(self, seq: int, command: bytes | None) -> bool:
        if seq not in self._seen:
            return False
        if command is None:
            return not self._failed_too or seq not in self._failures
        if _digest(seq, command) in self._done:
            return True
        if seq not in self._failures and not self._differs:
            self._differs = True
            say(f"job {seq} was another command in {self.path}: it is run again, and so are others like it")
        return False


def _digest(seq: int, command: bytes) -> bytes:
    return blake2b(b"%d\t" % seq + command.translate(None, QUOTES), digest_size=8).digest()
