"""The manual page penstock(1), made from the help of the command line: what is said there is said here.

Without --write it prints the page; with it, it goes to src/penstock/penstock.1, from where the wheel installs it.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from penstock.cli import group
from penstock.cli.option_types import SizeType
from penstock.cli.run.help_sections import SECTIONS, JobsCommand
from penstock.exit_codes import MEANINGS
from penstock.version import VERSION

PAGE = Path(__file__).parents[1] / "src" / "penstock" / "penstock.1"

DATE = "2026-11-30"
"""When somebody last read the page as a whole."""
LINE_CHARS = 66
"""So that it is at most 80 with what roff needs beside."""
EVERYWHERE = ("config", "debug")
"""Options of every command, by the names of their parameters: they are told of once."""

DESCRIPTION = """
Penstock runs Python calls and shell commands on every core of every machine you have: a ventilator hands jobs to
workers, workers send the outcomes to a sink. `penstock run` works like GNU parallel and brings a pipeline of
its own; `penstock up`, or `penstock ventilator`, `penstock sink` and any number of `penstock worker`, is one that
stays, for many clients that come and go.

A job is one call or one command, named BATCH:INDEX; a batch is what was submitted together. BATCH is the id, a unique
beginning or end of it, a name (the newest of that name) or `last`. INDEX counts from 0.

Every command says what it does with `--help`. Where a list is printed, `--json` makes it an object per line.
"""

EXIT_STATUS = tuple((str(code), meaning) for code, meaning in MEANINGS.items())

IN_JOBS = "Set for a command that runs as a job: which job it is, at which attempt, in which slot of its worker."

FILES = (
    ("~/.config/penstock/penstock.toml, /etc/penstock/penstock.toml", 'Settings, the first there is: url = "...".'),
    ("~/.config/penstock/keys", "The key folder."),
    ("~/.local/state/penstock", "The folder of both stores: queue.db (accepted jobs) and results.db (outcomes)."),
)

EXAMPLES = (
    ("Compress files, a job per core:", "penstock run gzip ::: *.log"),
    ("In the order of the input, of lines of a file:", "penstock run -k sha256sum {} :::: names"),
    ("Call a Python function with each line of stdin:", "seq 3 | penstock run -k --call math:sqrt --input json"),
    (
        "A pipeline that stays, and one of its clients:",
        "penstock up &\npenstock submit --name sums sha256sum ::: /etc/*\npenstock results --follow sums",
    ),
    (
        "Let other machines in, with keys:",
        'eval "$(penstock keys init tcp://head:5555)"\npenstock up\npenstock fleet start HOSTS',
    ),
)


def page() -> str:
    """All of it."""
    return "\n".join([*_head(), *_commands(), *_tail(), ""])


def _head() -> Iterator[str]:
    yield f'.TH PENSTOCK 1 {DATE} "penstock {VERSION}" "User Commands"'
    yield ".SH NAME"
    yield f"penstock \\- {_text(_first_sentence(group))}"
    yield ".SH SYNOPSIS"
    yield _text("`penstock` [`--version`] [`-h` | `--help`] COMMAND [OPTION ...] [ARGUMENT ...]")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(DESCRIPTION)


def _commands() -> Iterator[str]:
    yield ".SH COMMANDS"
    for context in _all_commands():
        command = context.command
        pieces = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
        yield f'.SS "{_text(" ".join([context.command_path, "[OPTION ...]", *pieces]))}"'
        yield from _paragraphs(command.help or command.short_help or "")
        for title, options in _grouped(context):
            if title:
                yield ".PP"
                yield f".I {_text(title)}"
            for option in options:
                yield from _option(option)


def _all_commands() -> Iterator[click.Context]:
    return _contexts(click.Context(group, info_name="penstock"))


def _contexts(parent: click.Context) -> Iterator[click.Context]:
    """Of all commands that do something, those of a group behind one another."""
    assert isinstance(parent.command, click.Group)
    for name in parent.command.list_commands(parent):
        command = parent.command.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        if isinstance(command, click.Group):
            yield from _contexts(context)
        elif not command.hidden:
            yield context


def _grouped(context: click.Context) -> Iterator[tuple[str, list[click.Option]]]:
    """The options under the titles that `--help` has; without one where there are none."""
    left = {one.name: one for one in _options(context) if one.name not in EVERYWHERE}
    if isinstance(context.command, JobsCommand):
        for title, names in SECTIONS.items():
            if found := [left.pop(name) for name in names if name in left]:
                yield title, found
    else:
        yield "", list(left.values())


def _options(context: click.Context) -> list[click.Option]:
    return [one for one in context.command.params if isinstance(one, click.Option) and not one.hidden]


def _option(option: click.Option) -> Iterator[str]:
    flags = ", ".join(rf"\fB{_text(flag)}\fR" for flag in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else rf" \fI{_text(_value(option))}\fR"
    yield ".TP"
    yield flags + value
    yield from _lines((option.help or "") + _default(option))


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    match option.type:
        case click.Choice(choices=choices):
            return "|".join(map(str, choices))
        case click.Path(file_okay=False):
            return "FOLDER"
        case click.Path():
            return "FILE"
        case click.types.IntParamType() | click.types.FloatParamType():
            return "N"
        case SizeType():
            return "SIZE"
        case _:
            return (option.name or "value").upper()


def _default(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return f"  [default: {option.show_default}]"
    return f"  [default: {option.default}]" if option.show_default else ""


def _tail() -> Iterator[str]:
    yield ".SH OPTIONS OF EVERY COMMAND"
    for option in _options(next(_all_commands())):
        if option.name in EVERYWHERE:
            yield from _option(option)
    yield ".SH EXIT STATUS"
    yield from _items(EXIT_STATUS)
    yield ".SH ENVIRONMENT"
    for variable, flags in sorted(_variables().items()):
        yield from _items([(variable, f"The value of {', '.join(sorted(flags))}, where that is not given.")])
    yield from _items([("PENSTOCK_JOB_ID, PENSTOCK_INDEX, PENSTOCK_ATTEMPT, PENSTOCK_SLOT", IN_JOBS)])
    yield ".SH FILES"
    yield from _items(FILES)
    yield ".SH EXAMPLES"
    for place, (what, line) in enumerate(EXAMPLES):
        yield from ((".PP",) if place else ())
        yield from (_text(what), ".PP", ".RS 4", ".nf", _text(line), ".fi", ".RE")
    yield ".SH SEE ALSO"
    yield _text("`parallel`(1), `xargs`(1), `ssh`(1)")


def _variables() -> dict[str, set[str]]:
    """By environment variable: the longest flags of the options that it speaks for."""
    found: dict[str, set[str]] = {}
    for context in _all_commands():
        for param in context.command.params:
            if isinstance(param.envvar, str):
                found.setdefault(param.envvar, set()).add(max(param.opts, key=len))
    return found


def _items(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in items:
        yield from (".TP", rf"\fB{_text(name)}\fR", *_lines(text))


def _paragraphs(text: str) -> Iterator[str]:
    for place, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if place:
            yield ".PP"
        if paragraph.lstrip().startswith("\b"):
            yield from (".nf", *map(_text, paragraph.replace("\b", "").strip("\n").splitlines()), ".fi")
        else:
            yield from _lines(paragraph)


def _lines(text: str) -> Iterator[str]:
    """In lines that can be compared."""
    return map(_text, textwrap.wrap(" ".join(text.split()), LINE_CHARS, break_long_words=False, break_on_hyphens=False))


def _text(text: str) -> str:
    """As roff has it: what stands between backticks is bold, and nothing is a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return re.sub(r"^(?=[.'])", r"\&", text, flags=re.MULTILINE)


def _first_sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split()).rstrip(".")


def main() -> None:
    """Print it, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make src/penstock/penstock.1 anew")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
