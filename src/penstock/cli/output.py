"""What goes to stdout: bytes of commands, values of calls, lines of JSON, columns for people."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import sys
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import IO, TYPE_CHECKING, Any

from penstock.errors import RemoteError
from penstock.job import display
from penstock.job.display import DOTS, SHORT, Unopened

if TYPE_CHECKING:
    from penstock.client.records import Outcome

printable: Callable[[str], str] = display.printable
printable_lines: Callable[[str], str] = display.printable_lines
"""As much a part of what goes to stdout as the rest."""
DEPTH = 100
"""Of lists in lists; what is deeper is written as text in JSON."""
UTC_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_ways: list[Callable[[str], None]] = [_print]
"""How a line comes to stderr: the last of them, whose line may stand there."""
_warned: deque[str] = deque(maxlen=20)


def say(text: str) -> None:
    """One line for people, on stderr."""
    _ways[-1](f"penstock: {printable(text)}")


@contextmanager
def saying(way: Callable[[str], None]) -> Iterator[None]:
    """Lines for people go this way meanwhile."""
    _ways.append(way)
    try:
        yield
    finally:
        _ways.remove(way)


class Says(logging.Handler):
    """What the client warns of, as `say` says it."""

    def emit(self, record: logging.LogRecord) -> None:
        _warned.append(record.getMessage())
        say(record.getMessage())


def said(reason: str) -> bool:
    """Whether the client has warned of that."""
    return any(reason in text for text in _warned)


def write(data: bytes) -> None:
    """Bytes to stdout, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def for_reader(stream: IO[str], parts: Iterable[bytes]) -> Iterator[bytes]:
    """What programs of others have written, for stdout or stderr: as it is, but to a terminal as text that leaves the
    cursor alone."""
    if not stream.isatty():
        yield from parts
        return
    decoder = getincrementaldecoder("utf-8")("backslashreplace")
    for part in parts:
        yield printable_lines(decoder.decode(part)).encode()
    yield printable_lines(decoder.decode(b"", final=True)).encode()


def json_line(record: Mapping[str, Any]) -> None:
    """A record as a line of JSON; what JSON has no form for is written as text, NaN and infinity as null, which is
    said."""
    write(json_bytes(record) + b"\n")


def json_bytes(record: Mapping[str, Any]) -> bytes:
    """The line without its end. Every reader of JSON takes it (RFC 8259)."""
    try:
        return json.dumps(record, default=as_text, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):  # a number or a key that JSON lacks, a value within itself
        return json.dumps({name: _plain(value, ()) for name, value in record.items()}).encode()


def _plain(value: Any, within: tuple[int, ...]) -> Any:
    """A value that JSON has a form for; `within`: what it stands in."""
    if isinstance(value, float) and not math.isfinite(value):
        _say_no_number()
        return None
    if value is None or isinstance(value, str | float) or (isinstance(value, int) and _is_written(value)):
        return value
    if id(value) in within or len(within) > DEPTH or not isinstance(value, dict | list | tuple):
        return as_text(value)
    within = (*within, id(value))
    if isinstance(value, dict):
        return {_key(key): _plain(one, within) for key, one in value.items()}
    return [_plain(one, within) for one in value]


def _key(key: Any) -> Any:
    is_number = (isinstance(key, int) and _is_written(key)) or (isinstance(key, float) and math.isfinite(key))
    return key if key is None or isinstance(key, str) or is_number else as_text(key)


def _is_written(number: int) -> bool:
    """Whether Python writes it in decimal: it refuses to where that would take long."""
    try:
        str(number)
    except ValueError:
        return False
    return True


@cache
def _say_no_number() -> None:
    say("NaN and infinity are written as null, since JSON has no such numbers")


def as_text(value: object) -> str:
    """A value as text: bytes decoded as far as they can be, anything else by repr, if it has one."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - it may be the value's own code; a number may have more digits than Python writes
        from penstock.job.value_text import value_text as text_without_its_code

        return text_without_its_code(value, SHORT)


def value_text(value: object) -> str:
    """A value as one line: text as it is, what JSON can say as JSON, anything else by repr."""
    if isinstance(value, str | Unopened):
        return str(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return as_text(value) if not isinstance(value, bytes) else repr(value)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a flat record. A value that was not opened is its text, under a name that says so."""
    record: dict[str, Any] = {name: getattr(outcome, name) for name in outcome.__struct_fields__}
    record["state"] = str(outcome.state)
    record["error"] = error_text(outcome)
    if outcome.returncode is not None:
        del record["value"]  # it says the same once more
    elif isinstance(outcome.value, Unopened):
        record |= {"value": None, "value_text": outcome.value.text}
    return record


def error_text(outcome: Outcome) -> str | None:
    """A job's error on a line, with the name of its class; of one that was not rebuilt, the line that came with it."""
    error = outcome.error
    if error is None or isinstance(error, RemoteError):
        return None if error is None else outcome.cause
    return f"{type(error).__name__}: {error}"


def columns(head: Sequence[str], rows: Iterable[Sequence[object]], elastic: str = "") -> None:
    """A table, as wide as it must be; on a terminal its `elastic` column is as narrow as it must be."""
    lines = [tuple(printable(str(cell)) for cell in row) for row in (head, *rows)]
    widths = [max(map(cells, column)) for column in zip(*lines, strict=True)]
    if elastic and (screen := screen_cells()):
        at = head.index(elastic)
        widths[at] = min(widths[at], max(len(elastic), screen - sum(widths) - 2 * (len(widths) - 1) + widths[at]))
    for line in lines:
        print("  ".join(padded(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip())


def cells(text: str) -> int:
    """How wide it is on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """So wide on a terminal: with blanks behind it, or cut."""
    text = clipped(text, width)
    return text + " " * max(0, width - cells(text))


def clipped(text: str, width: int) -> str:
    """No wider than that on a terminal, with dots for what is left out."""
    if cells(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, max(0, width - len(DOTS))).rstrip() + DOTS


def screen_cells() -> int | None:
    """The width of the terminal that stdout is; None: it is none, and nothing need be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def counted(count: int, noun: str) -> str:
    """So many of them."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def local_time(seconds: float) -> str:
    """A wall-clock instant for people."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else "-"


def in_local_time(text: str) -> str:
    """What a station says, which knows no zone but UTC, with its instants as the reader's clock has them."""
    return UTC_TIME.sub(lambda found: local_time(datetime.fromisoformat(f"{found[1]}+00:00").timestamp()), text)


def duration(seconds: float) -> str:
    """A duration for people: three digits and a unit."""
    if seconds < 1:
        return f"{round(seconds * 1000, 2):.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
