"""Job options: what a user may ask for, and the BatchSpec that is made of it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from penstock.client.whole_numbers import limit, priority, whole
from penstock.job.advice import ensure_plain
from penstock.job.spec import ID_BYTES, LABEL_CHARS, WHOLE_END, BatchSpec
from penstock.job.times import Instant, Seconds, instant, seconds
from penstock.job.wrappers import Initializer, Prepared, Surroundings

if TYPE_CHECKING:
    from penstock.client.batch import Batch

Argument = str | bytes | os.PathLike[str] | int | float
"""A word of a command, a folder, a name or value in an environment."""


class UnnamedOptions(TypedDict, total=False):
    """The options of every job but its name. `Pipeline.options` says what each of them means."""

    priority: int
    retries: int
    retry_delay: Seconds
    max_crashes: int
    time_limit: Seconds | None
    not_before: Instant
    expires: Instant
    after: Batch | str | None
    worker: str | None
    needs: str | Iterable[str] | None
    on_missing: Literal["wait", "fail"]
    limit: int | None
    once: str | None
    user: str
    cwd: Argument | None
    env: Mapping[str, Argument] | Mapping[bytes, Argument] | None
    keep_output: int | str | None
    retain: Seconds
    serializer: Literal["pickle", "msgpack"]


class UnnamedCallOptions(UnnamedOptions, total=False):
    """The options of jobs that call a function, but for the name."""

    initializer: Callable[..., object] | None
    initargs: Iterable[Any]


class CallOptions(UnnamedCallOptions, total=False):
    """The options of jobs that call a function."""

    name: str


class CommandOptions(UnnamedOptions, total=False):
    """The options of jobs that run a command."""

    name: str
    check: bool


SIZE = re.compile(r"(\d+)([kmgKMG]?)")
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _expires(value: Instant, name: str) -> float:
    expires = instant(value, name)
    if expires <= time.time():
        raise ValueError(f"{name} must lie in the future, or no job could ever start")
    return expires


def _name(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if len(value) > LABEL_CHARS:
        raise ValueError(f"{name} has {len(value)} characters, at most {LABEL_CHARS} are allowed")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be text, and {value!r} has bytes that are none") from None
    return value


def output_size(value: Any, name: str) -> int | None:
    """How much of an output is kept, in bytes: a number, text like ``500k``, ``1M``, ``none``; None, or ``all``: all.
    Raises ValueError, TypeError."""
    if isinstance(value, str):
        value = {"all": None, "none": 0}.get(value, value)
    if not isinstance(value, str):
        return None if value is None else whole(0)(value, name)
    match = SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"{name}: {value!r} is no size: write 500k, 1M, 2G, `all` or `none`")
    size = int(match[1]) * UNITS[match[2].lower()]
    return size if size < WHOLE_END else None


def tag(value: object, name: str = "a tag") -> str:
    """A word that says what a worker has. Raises ValueError, TypeError."""
    text = _name(value, name)
    if not text or not text.isprintable() or text != text.strip():
        raise ValueError(f"{name} must be a word, not {text!r}")
    return text


def _word(value: Any, name: str) -> str:
    return "" if value is None else tag(value, name)


def _needs(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, str | Iterable | None):
        raise TypeError(f"{name} must be a tag or several, not {type(value).__name__}")
    tags = [value] if isinstance(value, str) else list(value or ())
    return tuple(sorted({tag(one, name) for one in tags}))


def _one_of(*words: str) -> Callable[[object, str], str]:
    def parse(value: object, name: str) -> str:
        if value not in words:
            raise ValueError(f"{name} must be {' or '.join(map(repr, words))}, not {value!r}")
        return str(value)

    return parse


def _after(value: object, name: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be a batch or the id or name of one, not {type(value).__name__}")
    return value


def _time_limit(value: Any, name: str) -> float | None:
    limit = None if value is None else seconds(value, name)
    if limit == 0:
        raise ValueError(f"{name} must be more than 0 seconds, or None")
    return limit


def _check(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return value


PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "name": _name,
    "priority": priority,
    "retries": whole(0),
    "retry_delay": seconds,
    "max_crashes": whole(1),
    "time_limit": _time_limit,
    "user": _name,
    "not_before": instant,
    "expires": _expires,
    "after": _after,
    "once": _word,
    "keep_output": output_size,
    "limit": limit,
    "worker": _word,
    "needs": _needs,
    "on_missing": _one_of("wait", "fail"),
    "retain": seconds,
    "serializer": _one_of("pickle", "msgpack"),
}
"""The options of every job."""

FIELDS = {"not_before": "not_before_time", "expires": "expires_time"}
"""Options whose field of the BatchSpec has another name."""

COMMAND_PARSERS: dict[str, Callable[[Any, str], Any]] = {**PARSERS, "check": _check}
"""Commands have these too."""

AROUND = ("initializer", "initargs", "cwd", "env")
"""Options of calls that travel with the function; ``cwd`` and ``env`` of commands travel with their template."""


def spec_of(options: Mapping[str, Any], *, kind: str = "call", client: bytes = b"") -> BatchSpec:
    """The options as a BatchSpec; `client`: whose calls they are. TypeError: an unknown one, named beside the known;
    ValueError: a wrong value."""
    known = COMMAND_PARSERS if kind == "command" else PARSERS
    changes: dict[str, Any] = {"kind": kind, "client": client if kind == "call" else b""}
    for name, value in options.items():
        if name in AROUND and kind == "call":
            continue
        if name in ("initializer", "initargs"):
            raise TypeError(f"{name} is for calls: a command has no process that lasts")
        if name not in known:
            raise TypeError(f"unknown option {name!r}; known are {', '.join((*known, *AROUND))}")
        changes[FIELDS.get(name, name)] = known[name](value, name)
    spec = BatchSpec(**changes)
    if spec.expires_time is not None and spec.expires_time <= spec.not_before_time:
        raise ValueError("expires must be later than not_before, or no job could ever start")
    if "on_missing" in options and not (spec.worker or spec.needs or spec.user):
        raise ValueError("on_missing says what to do while no worker fits: give worker, needs or user, too")
    return spec


def depends_on_now(options: Mapping[str, Any]) -> bool:
    """Whether the same options come to another BatchSpec later: a duration counts from each submit."""
    return any(not isinstance(options.get(name), datetime | None) for name in FIELDS)


def argument_bytes(value: object) -> bytes:
    """One argument of a command: bytes as they are, text and paths as the file system has them, numbers as text.

    Raises ValueError for a zero byte, TypeError for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"an argument of a command must be text, bytes, a path or a number, not {type(value).__name__}")
    data = os.fsencode(value)
    if b"\0" in data:
        raise ValueError(f"an argument of a command cannot hold a zero byte: {data[:80]!r}")
    return data


def environment_bytes(env: Mapping[Any, Any] | None) -> dict[bytes, bytes]:
    """What a job's environment has beyond the worker's. ValueError: no variable can have such a name."""
    if not isinstance(env, Mapping | None):
        raise TypeError(f"env must be a mapping of names to values, not {type(env).__name__}")
    found = {argument_bytes(name): argument_bytes(value) for name, value in (env or {}).items()}
    for name in found:
        if not name or b"=" in name:
            raise ValueError(f"env: {os.fsdecode(name)!r} cannot be the name of a variable")
    return found


class Around(NamedTuple):
    """What is done around each job of a batch of calls: an initializer before the first, a folder, an environment."""

    initializer: Initializer | None = None
    surroundings: Surroundings = Surroundings()

    def prepare(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is to be sent."""
        return function if self == Around() else Prepared(function, *self)


def around_of(options: Mapping[str, Any]) -> Around:
    """Of the options of calls. TypeError: an initializer that cannot be called; ValueError: a wrong value."""
    function, arguments = options.get("initializer"), options.get("initargs", ())
    if not isinstance(arguments, Iterable):
        raise TypeError(f"initargs must be a tuple of arguments, not {type(arguments).__name__}")
    arguments = tuple(arguments)
    if function is None and arguments:
        raise ValueError("initargs without an initializer")
    if function is not None and not callable(function):
        raise TypeError(f"initializer must be callable, not {type(function).__name__}")
    ensure_plain(function)
    initializer = None if function is None else Initializer(os.urandom(ID_BYTES), function, arguments)
    cwd = options.get("cwd")
    folder = None if cwd is None else os.path.abspath(os.fsdecode(argument_bytes(cwd)))
    variables = {os.fsdecode(name): os.fsdecode(value) for name, value in environment_bytes(options.get("env")).items()}
    return Around(initializer, Surroundings(folder, variables))
