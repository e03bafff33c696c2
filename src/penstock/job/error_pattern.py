"""What errors have in common that are alike: their text without what differs from job to job.

Promises:

1. Numbers, hexadecimal digits, ids, paths, addresses and quoted text make no difference; the type of an exception, the
   other words, the place in the user's code, an exit code and a signal do.
2. It costs at most what CHARS characters cost, and raises nothing, whatever the text.
"""

from __future__ import annotations

import hashlib
import os
import re
import sysconfig
from types import TracebackType

KEY_BYTES = 16
CHARS = 400
"""Of a message that are looked at: what tells errors apart stands at the beginning, and an error is not to cost more
because it has a long text."""
PLACE_CHARS = 200
PATTERN_CHARS = 1_000
"""A pattern is no longer: the text, and a place."""
BLANK = "\u2026"

TYPE = re.compile(r"[^\W\d][\w.]*(?=: |$)")
"""Of an exception, at the beginning of its text: the digits in it are part of a name."""
BLANKED = re.compile(
    r"(?P<kept>\bexit code -?\d+|\bSIG[A-Z]+\d*\b|(?<=[^\W\d_]{2})\d+(?=[^\W\d_]{2}))"  # sha256sum is a word
    r"|(?P<quoted>(?<!\w)(?:[bBrRuU]{1,2})?(?:'.*?'|\".*?\"|`[^`]*`)(?!\w))"
    r"|\b\w+://[^\s'\")>]+"  # an address
    r"|(?<![\w/\\])(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[\w.@%+~-]+[/\\]?)+"  # an absolute path
    r"|(?<![\w/])(?:[\w.-]+/)+[\w-]+\.\w{1,5}\b"  # a relative one, of a file
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b0[xX][0-9a-fA-F]+\b"
    r"|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b"
    r"|(?:(?<!\w)[+-])?\d+(?:[.,:_]\d+)*(?:[eE][+-]?\d+)?",
    re.DOTALL,
)
RUNS = re.compile(f"({BLANK}|'{BLANK}')(?:(?:, ?|[-.:/x ])\\1)+")
"""Numbers and texts in a row, as in a list or a date: how many there are is no difference either."""

LIBRARIES = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
"""Where no user's code is, beside what is named by INSTALLED."""
INSTALLED = ("site-packages", "dist-packages")


def pattern_of(cause: str, *, stderr: bytes = b"", place: str = "") -> str:
    """What an error with this cause has in common with those that are alike. `stderr` is what a command wrote there,
    `place` that of the exception: see `place_of`."""
    cause = cause[:CHARS]
    kind = TYPE.match(cause)
    end = kind.end() if kind else 0
    text = cause[:end] + _blanked(cause[end:])
    if last := _last_line(stderr):
        text = f"{text}: {_blanked(last)}"
    text = text[: PATTERN_CHARS - PLACE_CHARS - len(" ()")]
    return f"{text} ({place})" if place else text


def key_of(pattern: str) -> bytes:
    """What stands for a pattern where it would be too long."""
    return hashlib.blake2b(pattern.encode("utf-8", "backslashreplace"), digest_size=KEY_BYTES).digest()


def place_of(trace: TracebackType | None, own_folder: str) -> str:
    """Where an exception was raised, ``app.py:parse``: the innermost frame of the user's code; of any other code that
    is not in `own_folder`, if there is none."""
    users = others = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(own_folder):
            others = code
            if not _is_library(code.co_filename):
                users = code
        trace = trace.tb_next
    found = users or others
    if found is None:
        return ""
    place = f"{os.path.basename(found.co_filename)}:{found.co_qualname.replace('<locals>.', '')}"
    return place[:PLACE_CHARS].encode("utf-8", "backslashreplace").decode()[:PLACE_CHARS]


def _is_library(name: str) -> bool:
    return name.startswith(LIBRARIES) or name.startswith("<frozen ") or any(part in name for part in INSTALLED)


def _blanked(text: str) -> str:
    return RUNS.sub(r"\1", BLANKED.sub(_blank, text))


def _blank(found: re.Match[str]) -> str:
    if found["kept"]:
        return found["kept"]
    return f"'{BLANK}'" if found["quoted"] else BLANK


def _last_line(stderr: bytes) -> str:
    """The last line that is not empty, as far as it is looked at."""
    lines = stderr[-4 * CHARS :].decode("utf-8", "replace").splitlines()
    return next((line.strip()[:CHARS] for line in reversed(lines) if line.strip()), "")
