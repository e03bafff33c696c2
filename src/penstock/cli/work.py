"""What `run` and `submit` share: their options, and the jobs these ask for."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.arguments import Line, Source, combined, command_words, grouped, parse, shell_like, split_columns
from penstock.cli.output import say
from penstock.cli.pipe import PIPE_OPTIONS, PipeAsked, blocks, check_pipe
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.command import CommandTemplate

Function = TypeVar("Function", bound=Callable[..., Any])

TIMES = ("not_before", "expires", "retry_delay", "retain")
"""Options that are instants or durations."""
TERMS = ("limit", "worker", "needs", "on_missing", "after", "once", "max_crashes", "serializer")
"""Options that are taken as they are."""
SHELL = (b"/bin/sh", b"-c", b"{}")


def jobs_options(function: Function) -> Function:
    """The options that say what to run."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS = (
    click.option("-a", "--arg-file", "files", multiple=True, metavar="FILE", help="Arguments: the lines of FILE."),
    click.option("-0", "--null", is_flag=True, help="Input items end with a zero byte, not with a line."),
    click.option("-C", "--colsep", metavar="REGEX", help="Cut each input item into columns {1} {2} ... at REGEX."),
    click.option("-n", "-N", "--max-args", type=click.IntRange(1), metavar="N", help="N arguments (records) a job."),
    *PIPE_OPTIONS,
    click.option("--shell", is_flag=True, help="COMMAND is a line for /bin/sh; every argument in it is quoted."),
    click.option("--one", is_flag=True, help="Run COMMAND once, as it stands."),
    click.option("--call", metavar="MODULE:FUNCTION", help="Call a Python function with each argument."),
    click.option("--input", "kind", type=click.Choice(["text", "json"]), default="text", help="What --call is given."),
    click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="Add to the environment of the jobs."),
    click.option("--cwd", metavar="FOLDER", help="Run there.  [default: commands here, calls where the worker is]"),
    click.option("--user", default="", metavar="NAME", help="Run as NAME, on workers with --allow-user NAME."),
    click.option("--nice", type=int, metavar="N", help="Run commands at this niceness: 19 gives way to all others."),
    click.option("--name", default="", help="A name for the batch."),
    click.option("--priority", type=int, default=0, help="Larger goes first."),
    click.option(
        "--retries",
        type=click.IntRange(0),
        default=0,
        help="Try a job that failed so many times more: 3 is up to four runs (in GNU parallel it is three).",
    ),
    click.option("--retry-delay", metavar="TIME", help="Before the first retry; it doubles.  [default: 1s]"),
    click.option(
        "--max-crashes",
        type=click.IntRange(1),
        metavar="N",
        help="Times a process may die under a job: 1 never starts one twice.  [default: 3]",
    ),
    click.option("--timeout", "--time-limit", metavar="TIME", help="End a job that runs longer: 90s, 5m, 2h."),
    click.option("--not-before", metavar="WHEN", help="Start no job earlier: 10m from now, 2030-01-31T08:00+01:00."),
    click.option("--expires", metavar="WHEN", help="Cancel what has not started by then."),
    click.option("--after", metavar="BATCH", help="Start when every job of that batch has succeeded."),
    click.option("--once", metavar="WORD", help="Accept this once: the same again under WORD is the same batch."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N of these jobs at once, everywhere."),
    click.option("--worker", metavar="NAME", help="Only on the worker, or the host, of this name."),
    click.option("--needs", multiple=True, metavar="TAG", help="Only on workers with this tag (with all of several)."),
    click.option("--on-missing", type=click.Choice(["wait", "fail"]), help="While no worker fits.  [default: wait]"),
    click.option("--retain", metavar="TIME", help="Keep results so long after the end.  [default: 7d]"),
    click.option(
        "--keep-output",
        metavar="SIZE",
        default="all",
        help="How much of a job's stdout and stderr is kept for later: 1M, all or none.  [default: all]",
    ),
    click.option("--serializer", type=click.Choice(["pickle", "msgpack"]), help="Of --call.  [default: pickle]"),
    click.option("--initializer", metavar="MODULE:FUNCTION", help="Call it once in each slot, before --call."),
    click.option(
        "--ship/--no-ship", default=True, help="Whether the modules behind --call go along to a running pipeline."
    ),
    click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [::: ARGUMENT...]"),
)


@dataclass(kw_only=True)
class Work(PipeAsked):
    """The jobs that a command line asks for."""

    files: Sequence[str]
    null: bool
    colsep: str | None
    max_args: int | None
    shell: bool
    one: bool
    call: str | None
    kind: str
    env: Sequence[str]
    cwd: str | None
    user: str
    name: str
    priority: int
    retries: int
    timeout: str | None
    words: Sequence[str]
    not_before: str | None = None
    expires: str | None = None
    limit: int | None = None
    worker: str | None = None
    needs: Sequence[str] = ()
    on_missing: str | None = None
    after: str | None = None
    once: str | None = None
    ship: bool = True
    retry_delay: str | None = None
    max_crashes: int | None = None
    retain: str | None = None
    serializer: str | None = None
    initializer: str | None = None
    nice: int | None = None
    keep_output: str = "all"
    line: Line = field(init=False)

    def __post_init__(self) -> None:
        self.line = parse(self.words, self.files)
        if not self.call and (self.serializer or self.initializer):
            raise ConfigError("--serializer and --initializer are for --call: a command is a program of its own")
        self._check_options()
        check_pipe(self)
        if self.call:
            self._check_call()
        elif self.one and (self.line.sources or not self.line.command):
            raise ConfigError("--one runs COMMAND once as it stands: it needs one and takes no input")
        elif not self.shell and shell_like(self.line.command):
            raise ConfigError(f"{self.line.command[0]!r} looks like a shell line: add --shell")
        else:
            self._check_places()

    def _check_places(self) -> None:
        """A place beyond the last argument would be empty in every job."""
        if self.one or self.colsep is not None or self.pipe:
            return
        from penstock.command import REPLACEMENT

        count = self.columns * (self.max_args or 1)
        for word in map(os.fsencode, self.line.command):
            for match in REPLACEMENT.finditer(word):
                if match[2] and abs(int(match[2])) > count:
                    inputs = "input" if count == 1 else "inputs"
                    raise ConfigError(f"{os.fsdecode(match[0])} in the command, and each job has {count} {inputs}")

    @property
    def columns(self) -> int:
        """Arguments that one input item has; 0: that is for --colsep to find out."""
        return 0 if self.colsep is not None else len(self.line.sources) or 1

    def _check_options(self) -> None:
        from penstock.client.options import spec_of

        try:
            spec_of({name: value for name, value in self.options().items() if name != "after"})
        except (TypeError, ValueError) as error:
            raise ConfigError(_as_flag(str(error))) from None
        for text in self.env:
            _variable(text)

    def _check_call(self) -> None:
        if self.line.command:
            raise ConfigError(f"--call takes arguments after :::, not a command: {self.line.command[0]!r}")
        if self.nice is not None:
            raise ConfigError("--nice is for commands: a call runs in a process that lasts")
        if self.one or self.shell or self.colsep or (self.max_args or 1) > 1 or len(self.line.sources) > 1:
            raise ConfigError("--call takes one input source, and none of --one, --shell, --colsep and -n")

    @property
    def is_command(self) -> bool:
        """Whether commands are run, not a function called."""
        return self.call is None

    def options(self) -> dict[str, Any]:
        """The job options, as `Pipeline.batch` has them."""
        given: dict[str, Any] = {"name": self.name, "priority": self.priority, "retries": self.retries}
        given["keep_output"] = self.keep_output
        if self.user:
            given["user"] = self.user
        if self.call:
            given |= {"cwd": self.cwd, "env": dict(map(_variable, self.env))}
        if self.timeout:
            given["time_limit"] = self._seconds(self.timeout)
        if self.initializer:
            given["initializer"] = _function("--initializer", self.initializer)
        given |= {name: with_unit(text) for name in TIMES if (text := getattr(self, name))}
        return given | {name: value for name in TERMS if (value := getattr(self, name))}

    @staticmethod
    def _seconds(text: str) -> float:
        from penstock.client.options import seconds

        return seconds(with_unit(text), "--timeout")

    def inputs(self) -> Iterator[Any]:
        """What each job is given, read as it is used: argument lists for commands, an argument for a function."""
        if self.one:
            return iter(([],))
        if self.pipe:
            return blocks(self)
        items = combined(self._sources(), b"\0" if self.null else b"\n")
        if self.call:
            return self._values(item for (item,) in items)
        if self.colsep is not None:
            items = split_columns(items, self._separator(self.colsep))
        if self.max_args is not None:
            items = grouped(items, self.max_args)
        if not self.line.command:
            return self._lines(items)
        return map(list, items)

    @staticmethod
    def _separator(text: str) -> re.Pattern[bytes]:
        try:
            return re.compile(os.fsencode(text))
        except re.error as error:
            raise ConfigError(f"--colsep {text}: {error}") from None

    def count_up_to(self, most: int) -> int:
        """How many jobs there will be; `most` also if that cannot be said yet."""
        are_there = self.one or all(not one.file or os.path.isfile(one.file) for one in self.line.sources)
        if not are_there or not (self.one or self.line.sources):
            return most
        return sum(1 for _ in itertools.islice(self.inputs(), most))

    def _sources(self) -> list[Source]:
        if self.line.sources:
            return self.line.sources
        if sys.stdin.isatty():
            say("reading arguments from the terminal, one a line, Ctrl-D ends them (or name them after :::)")
        return [Source(file="-")]

    def _lines(self, items: Iterator[tuple[bytes, ...]]) -> Iterator[list[bytes]]:
        """Each item as a command of its own."""
        lines = (b" ".join(item) for item in items)
        wanted = (line for line in lines if line.strip())
        return ([line] for line in wanted) if self.shell else (list(command_words(line)) for line in wanted)

    def _values(self, items: Iterator[bytes]) -> Iterator[Any]:
        if self.kind == "text":
            return map(os.fsdecode, items)
        return (_json(number, item) for number, item in enumerate(items, 1))

    def target(self) -> CommandTemplate | Callable[..., Any]:
        """What the jobs have in common. ConfigError: there is no such function."""
        if self.call:
            return _function("--call", self.call)
        from penstock.command import CommandTemplate

        words = tuple(map(os.fsencode, self.line.command))
        line_by_line = not words and self.shell
        return CommandTemplate(
            words=SHELL if line_by_line else words,
            cwd=os.path.abspath(os.fsencode(self.cwd or b".")),
            env=dict(map(_variable, self.env)),
            shell=self.shell and not line_by_line,
            literal=self.one,
            stdin=self.pipe,
            nice=self.nice,
        )


def _as_flag(text: str) -> str:
    """What is wrong with an option, which is called as on the command line."""
    from penstock.client.options import PARSERS

    name = text.replace(":", " ").split()[0]
    return f"--{name.replace('_', '-')}{text[len(name) :]}" if name in PARSERS else text


def with_unit(text: str) -> str:
    """A duration as people type it: seconds need no unit."""
    return f"{text}s" if text.replace(".", "", 1).isdigit() else text


def _variable(text: str) -> tuple[bytes, bytes]:
    """``NAME=VALUE``, or ``NAME`` with the value it has here. ConfigError: it has none."""
    name, given, value = text.partition("=")
    if not name:
        raise ConfigError(f"--env {text}: no variable can have such a name; write NAME or NAME=VALUE")
    if not given and name not in os.environ:
        raise ConfigError(f"--env {name}: it is not set here; write {name}=VALUE")
    return os.fsencode(name), os.fsencode(value if given else os.environ[name])


def _json(number: int, item: bytes) -> Any:
    import json

    try:
        return json.loads(item)
    except ValueError as error:
        raise ConfigError(f"input line {number} is not JSON: {error}") from None


def _function(flag: str, name: str) -> Callable[..., Any]:
    """The function ``package.module:name``, also of a module in the current folder."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigError(f"{flag} {name}: write MODULE:FUNCTION, like math:sqrt")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{flag} {name}: {error}") from None
    if not callable(function):
        raise ConfigError(f"{flag} {name}: it is a {type(function).__name__}, nothing to call")
    return function


def first_of(inputs: Iterator[Any]) -> Iterator[Any] | None:
    """The same inputs, or None if there are none at all."""
    for first in inputs:
        return itertools.chain((first,), inputs)
    return None


def shown(work: Work, target: Any, item: Any, number: int, slot: int = 1) -> bytes:
    """A job as a person would type it: `number` and `slot` count from 1."""
    if not work.is_command:
        return f"{work.call}({item!r})".encode("utf-8", "surrogateescape")
    argv = target.argv(item, number, slot)
    if target.shell or target.words == SHELL:
        return bytes(argv[-1])
    return os.fsencode(shlex.join(map(os.fsdecode, argv)))
