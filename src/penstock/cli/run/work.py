"""What `run` and `submit` share: the jobs that their options ask for."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from penstock.cli.output import counted, say
from penstock.cli.run import job_file, user_shell
from penstock.cli.run.arguments import InputSource, ParsedWords, grouped, parse
from penstock.cli.run.composed_commands import Composer, composer_of, composes, template_of
from penstock.cli.run.input_reading import Arguments, Filling, continued
from penstock.cli.run.job_options import JobOptions
from penstock.cli.run.pipe import blocks, check_pipe
from penstock.cli.run.replacement_strings import Naming, refuse_unknown
from penstock.cli.run.shell_words import refuse_shell_words
from penstock.errors import ConfigError
from penstock.job.display import command_text

if TYPE_CHECKING:
    from penstock.job.command import CommandTemplate

TERMS = ("user", "limit", "worker", "needs", "once", "serializer", "keep_output")
"""Fields that `Pipeline.batch` takes as they are, too."""


@dataclass(kw_only=True)
class Work(JobOptions):
    """The jobs that a command line asks for."""

    def __post_init__(self) -> None:
        self.line: ParsedWords = parse(self.words, self.files, arg_sep=self.arg_sep, arg_file_sep=self.arg_file_sep)
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
        terms = self.terms | {name: getattr(self, name) for name in TERMS} | {"time_limit": self.timeout}
        given = {name: value for name, value in terms.items() if value not in {None, "", ()}}
        if self.call:
            given |= {"cwd": self.cwd, "env": dict(pair for text in self.env for pair in user_shell.variables(text))}
        if self.initializer:
            given["initializer"] = function_named("--initializer", self.initializer)
        return given

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
            return call_arguments((item for (item,) in items), self.kind)
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
            return function_named("--call", self.call)
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


def call_arguments(items: Iterator[bytes], kind: str) -> Iterator[Any]:
    """What each call is given: text, or what a line says in JSON. ConfigError: it is none."""
    if kind == "text":
        return map(os.fsdecode, items)
    return (_json_of(number, item) for number, item in enumerate(items, 1))


def _json_of(number: int, item: bytes) -> Any:
    """The value. ConfigError: it is no JSON."""
    try:
        return json.loads(item)
    except ValueError as error:
        raise ConfigError(f"input line {number} is not JSON: {error}") from None


def function_named(flag: str, name: str) -> Callable[..., Any]:
    """The function ``package.module:name``, also of a module in the current folder."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigError(f"{flag} {name}: write MODULE:FUNCTION, like math:sqrt")
    folder, top = os.getcwd(), module.partition(".")[0]
    if folder not in sys.path and top not in sys.modules and PathFinder.find_spec(top, [folder]):
        sys.path.insert(0, folder)  # only then: what else lies there would be imported in place of our own modules
    try:
        found = reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{flag} {name}: {error}") from None
    if not callable(found):
        raise ConfigError(f"{flag} {name}: it is a {type(found).__name__}, which cannot be called")
    return found
