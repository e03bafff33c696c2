"""What `run` and `submit` share: their options, and the jobs these ask for."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.option_types import DURATION, POSITIVE_DURATION, WORD, Count, with_unit
from penstock.cli.output import counted, say
from penstock.cli.run import job_file, python_calls, user_shell
from penstock.cli.run.arguments import InputSource, ParsedWords, grouped, marks, parse
from penstock.cli.run.arguments_per_job import Arguments, Filling, continued
from penstock.cli.run.command_templates import composer_of, composes, template_of
from penstock.cli.run.composed_commands import Composer
from penstock.cli.run.input_options import options_like_parallel
from penstock.cli.run.job_options import JobOptions
from penstock.cli.run.pipe import PIPE_OPTIONS, blocks, check_pipe
from penstock.cli.run.replacement_strings import Naming, refuse_unknown
from penstock.cli.run.shell_words import refuse_shell_words
from penstock.errors import ConfigError
from penstock.job.display import command_text

if TYPE_CHECKING:
    from penstock.job.command import CommandTemplate

Function = TypeVar("Function", bound=Callable[..., Any])

INSTANTS = ("not_before", "expires")
"""Options that are times of day, or durations from now."""
DURATIONS = ("retry_delay", "retain")
TERMS = ("limit", "worker", "needs", "on_missing", "after", "once", "max_crashes", "serializer")
"""Options that are taken as they are."""


def jobs_options(function: Function) -> Function:
    """The options that say what to run."""
    function = options_like_parallel(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS = (
    click.option(
        "-a",
        "--arg-file",
        "files",
        type=WORD,
        multiple=True,
        metavar="FILE",
        help="Read arguments from FILE, one per line.",
    ),
    click.option("-0", "--null", is_flag=True, help="Input items end with a zero byte instead of a newline."),
    click.option("-C", "--colsep", metavar="REGEX", help="Split each input item into columns {1} {2} ... at REGEX."),
    click.option(
        *("-n", "-N", "--max-args"),
        type=Count(0),
        help="Give each job N arguments (with --pipe: records); 0: one job for each, without it.",
    ),
    *PIPE_OPTIONS,
    click.option(
        "--shell/--no-shell",
        default=None,
        help="Run COMMAND as a line of your shell, with every argument quoted. --no-shell: take > or $X in it as text.",
    ),
    click.option("--one", is_flag=True, help="Run COMMAND once, as it is written."),
    click.option("--call", metavar="MODULE:FUNCTION", help="Call a Python function with each argument."),
    click.option(
        "--input",
        "kind",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Pass arguments to --call as text, or as values read from JSON.",
    ),
    click.option(
        "--env",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Add a variable to the environment of the jobs, or a function that bash has exported.",
    ),
    click.option(
        "--cwd",
        type=WORD,
        metavar="FOLDER",
        help="Run in FOLDER.  [default: commands run here, calls where the worker runs]",
    ),
    click.option(
        "--user", default="", metavar="NAME", help="Run as NAME, on workers that were started with --allow-user NAME."
    ),
    click.option(
        "--nice", type=int, metavar="N", help="Run commands with niceness N; 19 yields to all other processes."
    ),
    click.option("--name", default="", help="Give the batch a name."),
    click.option("--priority", type=int, metavar="N", default=0, help="Run batches with a larger number first."),
    click.option(
        "--retries",
        type=Count(0),
        default=0,
        help="Retry a failed job up to this many times: 3 means up to four runs (in GNU parallel, three).",
    ),
    click.option(
        "--retry-delay",
        type=DURATION,
        help="Wait this long before the first retry; the delay doubles each time.  [default: 1s]",
    ),
    click.option(
        "--max-crashes",
        type=Count(1),
        help="Give up a job when its process has died N times; 1 never starts it twice.  [default: 3]",
    ),
    click.option(
        "--timeout", "--time-limit", type=POSITIVE_DURATION, help="End a job that runs longer than this: 90s, 5m, 2h."
    ),
    click.option(
        "--not-before", metavar="WHEN", help="Start no job before this time: 10m (from now) or 2030-01-31T08:00+01:00."
    ),
    click.option("--expires", metavar="WHEN", help="Cancel jobs that have not started by this time."),
    click.option("--after", metavar="BATCH", help="Start when every job of that batch has succeeded."),
    click.option(
        "--once", metavar="WORD", help="Submit this only once: the same line under WORD again finds the same batch."
    ),
    click.option("--limit", type=Count(1), help="Run at most N of these jobs at once, on all workers together."),
    click.option("--worker", metavar="NAME", help="Run only on the worker, or the host, of this name."),
    click.option(
        "--needs",
        multiple=True,
        metavar="TAG",
        help="Run only on workers with this tag; given more than once: with all of them.",
    ),
    click.option(
        "--on-missing",
        type=click.Choice(["wait", "fail"]),
        help="Wait or fail while no connected worker fits.  [default: wait]",
    ),
    click.option("--retain", type=DURATION, help="Keep results this long after the batch has ended.  [default: 7d]"),
    click.option(
        "--keep-output",
        metavar="SIZE",
        default="all",
        help="Keep this much of each job's stdout and stderr for later: 1M, all or none.  [default: all]",
    ),
    click.option(
        "--serializer",
        type=click.Choice(["pickle", "msgpack"]),
        help="Serialize the arguments and results of --call this way.  [default: pickle]",
    ),
    click.option(
        "--initializer", metavar="MODULE:FUNCTION", help="Call this function once in each slot before --call."
    ),
    click.option("--ship/--no-ship", default=True, help="Send the modules behind --call along to a running pipeline."),
    click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [::: ARGUMENT...]"),
)


@dataclass(kw_only=True)
class Work(JobOptions):
    """The jobs that a command line asks for."""

    def __post_init__(self) -> None:
        self.line: ParsedWords = parse(self.words, self.files, marks(self.marks.arg_sep, self.marks.arg_file_sep))
        self.reading.check()
        if not self.call and (self.serializer or self.initializer):
            raise ConfigError("--serializer and --initializer are for --call: a command is a program of its own")
        self._check_options()
        check_pipe(self)
        if self.call:
            self._check_call()
        elif self.one and (self.line.sources or not self.line.command):
            raise ConfigError("--one runs COMMAND once, as it is written: it needs a COMMAND and takes no input")
        else:
            self._check_command()

    def _check_command(self) -> None:
        """ConfigError: it cannot be meant."""
        if self.shell is None:
            refuse_shell_words(self.line.command)
        if not self.one:
            refuse_unknown(self.line.command, self.naming)
            self._check_places()
        if self.filling.measures and not self.line.command:
            raise ConfigError("-X, -m, --xargs and -s put arguments behind a COMMAND, but there is none")

    def _check_places(self) -> None:
        """A place beyond the last argument would be empty in every job."""
        if self.colsep is not None or self.filling.fills or composes(self) or self.max_args == 0 or self.pipe:
            return
        from penstock.job.command import REPLACEMENT

        count = self.columns * (self.max_args or 1)
        for word in map(os.fsencode, self.line.command):
            for match in REPLACEMENT.finditer(word):
                if match[2] and abs(int(match[2])) > count:
                    inputs = counted(count, "input")
                    raise ConfigError(f"{os.fsdecode(match[0])} in the command, but each job has {inputs}")

    @property
    def columns(self) -> int:
        """Arguments that one input item has; 0: that is for --colsep to find out."""
        return 0 if self.colsep is not None else len(self.line.sources) or 1

    def _check_options(self) -> None:
        from penstock.client.command_line import check_options

        options = self.options()
        try:
            check_options(options)
        except (TypeError, ValueError) as error:
            raise ConfigError(_as_flag(str(error), options)) from None
        for text in self.env:
            user_shell.variables(text)

    def _check_call(self) -> None:
        if self.line.command:
            raise ConfigError(f"--call takes arguments after :::, not a command: {self.line.command[0]!r}")
        if self.nice is not None:
            raise ConfigError("--nice is for commands: calls run in a process that outlives them")
        is_plain = self.naming == Naming() and self.filling == Filling() and self.reading.header is None
        if self.one or self.shell or self.colsep or self.max_args not in {None, 1} or len(self.line.sources) > 1:
            raise ConfigError("--call takes one input source, and none of --one, --shell, --colsep and -n")
        if not is_plain:
            raise ConfigError("--call has no replacement strings and no command line: no --header, --plus, -I, -X, -m")

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
            given |= {"cwd": self.cwd, "env": dict(pair for text in self.env for pair in user_shell.variables(text))}
        if self.timeout is not None:
            given["time_limit"] = self.timeout
        if self.initializer:
            given["initializer"] = python_calls.function("--initializer", self.initializer)
        given |= {name: with_unit(text) for name in INSTANTS if (text := getattr(self, name))}
        given |= {name: time for name in DURATIONS if (time := getattr(self, name)) is not None}
        return given | {name: value for name in TERMS if (value := getattr(self, name))}

    def inputs(self) -> Iterator[Any]:
        """What each job is given, read as it is used: argument lists for commands, an argument for a function."""
        if self.one:
            return iter(([],))
        if self.pipe:
            return blocks(self)
        columns = None if self.colsep is None else self._separator(self.colsep)
        separator = self.reading.separator(null=self.null)
        items, names = self.reading.arguments(self._sources(), separator, columns)
        self.names: list[bytes] = names
        if self.call:
            return python_calls.arguments((item for (item,) in items), self.kind)
        composer = composer_of(self) if composes(self) else None
        items = self._grouped(items, composer)
        if not self.line.command:
            return job_file.commands(items, shell=bool(self.shell), sources=self.line.sources, separator=separator)
        return map(list, items) if composer is None else self._composed(items, composer)

    def _grouped(self, items: Iterator[Arguments], composer: Composer | None) -> Iterator[Arguments]:
        """The arguments of each job."""
        count = self.max_args
        if self.filling.lines is not None:
            items, count = continued(items), self.filling.lines
        if count == 0:
            return (() for _ in items)
        if composer is not None and self.filling.measures:
            return self.filling.groups(items, count, self.slots, composer.length)
        return items if count in {None, 1} else grouped(items, count or 1)

    @staticmethod
    def _composed(items: Iterator[Arguments], composer: Composer) -> Iterator[Any]:
        total = 0
        if composer.needs_total:
            everything = list(items)
            items, total = iter(everything), len(everything)
        return (composer.compose(item, number, total) for number, item in enumerate(items, 1))

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

    def _sources(self) -> list[InputSource]:
        if self.line.sources:
            return self.line.sources
        if sys.stdin.isatty():
            say("reading arguments from the terminal, one per line; end them with Ctrl-D (or give them after :::)")
        return [InputSource(file="-")]

    def target(self) -> CommandTemplate | Callable[..., Any]:
        """What the jobs have in common. ConfigError: there is no such function."""
        if self.call:
            return python_calls.function("--call", self.call)
        return template_of(self)


def _as_flag(text: str, options: Container[str]) -> str:
    """What is wrong with an option, which is called as on the command line."""
    name = text.replace(":", " ").split()[0]
    return f"--{name.replace('_', '-')}{text[len(name) :]}" if name in options else text


def first_of(inputs: Iterator[Any]) -> Iterator[Any] | None:
    """The same inputs, or None if there are none at all."""
    for first in inputs:
        return itertools.chain((first,), inputs)
    return None


def shown(work: Work, target: Any, item: Any, number: int, slot: int = 1) -> bytes:
    """A job as a person would type it: `number` and `slot` count from 1."""
    if not work.is_command:
        return f"{work.call}({item!r})".encode("utf-8", "surrogateescape")
    return command_text(target, item, number, slot)
