"""The guide's page `reference`, made from the code: what is said there is said here.

Without --write it prints the page; with it, it goes to src/penstock/guide/reference.md.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

import man_page
import penstock
from penstock import cli, errors
from penstock.cli.settings import PREFIX, VARIABLE
from penstock.client.options import AROUND, COMMAND_PARSERS, FIELDS
from penstock.job.spec import UNSUCCESSFUL, BatchSpec, JobState
from penstock.ventilator.jobs_model import MOVES, Place

PAGE = Path(__file__).parents[1] / "src" / "penstock" / "guide" / "reference.md"

HEAD = """\
# Reference

Every job option, setting, exit code, Python name and error, on one page.

This page is made from the code by `scripts/reference`, and a test compares the two. The options of each command are
in `penstock COMMAND --help`, and all together in `man penstock`.
"""

JOB_OPTIONS = """
## Job options

They have one name and one meaning everywhere: in Python for `p.options(...)`, `p.batch(...)` and `p.command(...)`, on
the command line as flags of `penstock run` and `penstock submit`. A duration is seconds, a `timedelta` or text like
`90s`, `5m`, `1h30m`, `2d`. An instant is a `datetime` with a time zone, ISO 8601 text with one, or a duration from now.
"""
WITHOUT_FLAG = {"initargs": "The arguments of `initializer`."}
"""Options of which neither a field of the BatchSpec nor a flag says what they are."""

SETTINGS = """
## Settings

They belong to a machine or a user, never to a job. A flag comes before the environment variable, the variable before
the settings file, the file before the default. The settings file is the first of these that there is: `--config FILE`,
PENSTOCK_CONFIG, `~/.config/penstock/penstock.toml`, `/etc/penstock/penstock.toml`.
"""

EXIT_CODES = """
## Exit codes

Results go to stdout, everything else to stderr. A job's own exit code is in its outcome; 127 there is a program that
does not exist, 126 one that cannot be run.
"""

STATES = """
## States of a job
"""

PLACES = """
## Places of a job

Inside of the ventilator a job is in one place at a time. This is the table by which it is moved; any other move is an
error.
"""

IN_JOBS = """
## What a job knows

Python jobs ask `penstock.current_job()`, which is None outside of a job. Commands have environment variables:
`PENSTOCK_JOB_ID` (`BATCH:INDEX`), `PENSTOCK_INDEX` (from 0), `PENSTOCK_ATTEMPT` (from 1) and `PENSTOCK_SLOT` (from 0).
"""

FILES = """
## Files
"""

NAMES = """
## Python names

What `penstock` exports. `help(penstock.Pipeline.map)` shows the whole text.
"""

ERRORS = """
## Errors

All of them are in `penstock.errors`.
"""


def page() -> str:
    """All of it."""
    parts = (
        HEAD,
        *(JOB_OPTIONS, *job_options()),
        *(SETTINGS, *settings()),
        *(EXIT_CODES, *(item(f"**{code}**", text) for code, text in man_page.EXIT_STATUS)),
        *(STATES, *states()),
        *(PLACES, *places()),
        IN_JOBS,
        *(FILES, *(item(f"`{path}`".replace(", ", "`, `"), text) for path, text in man_page.FILES)),
        *(NAMES, *names()),
        *(ERRORS, *error_tree()),
    )
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def item(head: str, text: str) -> str:
    """A line of a list."""
    return f"- {head}: {one_line(text)}"


def one_line(text: str) -> str:
    """Without the line ends of the source, and with its markup as Markdown has it."""
    return " ".join(text.replace("``", "`").split())


def job_options() -> Iterator[str]:
    """Each with its flag, its default and what it means."""
    meanings = field_docs(BatchSpec)
    fields = {field.name: field for field in msgspec.structs.fields(BatchSpec)}
    flags = {flag: option for option in options_of(cli.group.commands["run"]) for flag in option.opts}
    for name in sorted((*COMMAND_PARSERS, *AROUND)):
        flag = "--" + name.replace("_", "-")
        field = FIELDS.get(name, name)
        beside = [f"`{flag}`"] if flag in flags else []
        if default := default_of(fields[field]) if field in fields else "":
            beside.append(f"default `{default}`")
        text = meanings.get(field) or WITHOUT_FLAG.get(name) or str(flags[flag].help)
        yield item(f"**{name}**" + (f" ({', '.join(beside)})" if beside else ""), text)


def default_of(field: Any) -> str:
    """As text; empty where the option is off by default."""
    if field.default in ("", b"", 0, None, ()):
        return ""
    return f"{field.default:g} s" if isinstance(field.default, float) else repr(field.default)


def field_docs(struct: type) -> dict[str, str]:
    """The docstrings below the fields of a struct, or the members of an enumeration."""
    (tree,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        target = (
            field.target
            if isinstance(field, ast.AnnAssign)
            else field.targets[0]
            if isinstance(field, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and isinstance(below, ast.Expr):
            found[target.id] = str(ast.literal_eval(below.value))
    return found


def options_of(command: click.Command) -> list[click.Option]:
    """Those that people are told of."""
    return [one for one in command.params if isinstance(one, click.Option) and not one.hidden]


def settings() -> Iterator[str]:
    """By environment variable, with all flags that it stands for."""
    found: dict[str, list[tuple[str, click.Option]]] = {}
    for name, command in commands(cli.group):
        for option in options_of(command):
            if isinstance(option.envvar, str) and option.envvar.startswith(PREFIX) and option.envvar != VARIABLE:
                found.setdefault(option.envvar, []).append((name, option))
    for variable, uses in sorted(found.items()):
        flags = sorted({max(option.opts, key=len) for _, option in uses})
        users = list(dict.fromkeys(name for name, _ in uses))
        some = ", ".join(users[:4]) + (" and others" if len(users) > 4 else "")
        text = re.sub(r"\[env: [^];]*(; )?", "[", str(uses[0][1].help)).replace("[]", "")
        key = variable.removeprefix(PREFIX).lower()
        flag = ", ".join(f"`{flag}`" for flag in flags)
        yield item(f"**{variable}** ({flag}; `{key}` in the file)", f"{text} Of {some}.")


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All that do something, by their names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        elif not command.hidden:
            yield f"{before}{name}", command


def states() -> Iterator[str]:
    """What each means."""
    docs = field_docs(JobState)
    for state in JobState:
        again = " `penstock retry` opens it again." if state in UNSUCCESSFUL else ""
        yield item(f"**{state}**", docs[state.name] + again)


def places() -> Iterator[str]:
    """Where the ventilator has a job, and where it goes from there: the table by which it is moved."""
    docs = field_docs(Place)
    for place in Place:
        following = [one.value for one in Place if one in MOVES[place]]
        yield item(f"**{place.value}**", f"{docs[place.name]} From here to: {', '.join(following) or 'nowhere'}.")


def names() -> Iterator[str]:
    """Classes with their methods, and functions: the first sentence of each."""
    for name in penstock.__all__:
        thing = getattr(penstock, name)
        if inspect.ismodule(thing):
            continue
        yield f"\n### {name}\n\n{sentence(thing)}\n"
        if inspect.isclass(thing):
            yield from members(thing)


def members(thing: type) -> Iterator[str]:
    """The public ones that this package defines."""
    fields = field_docs(thing) if issubclass(thing, msgspec.Struct) else {}
    for name in getattr(thing, "__struct_fields__", ()):
        yield item(f"`{name}`", fields[name]) if name in fields else f"- `{name}`"
    for name, member in inspect.getmembers(thing, lambda one: inspect.isroutine(one) or isinstance(one, property)):
        home = getattr(getattr(member, "fget", member), "__module__", "") or ""
        if not name.startswith("_") and home.startswith("penstock") and inspect.getdoc(member):
            yield item(f"`{name}`" if isinstance(member, property) else f"`{name}()`", sentence(member))


def sentence(thing: object) -> str:
    """The first one of its docstring."""
    text = one_line((inspect.getdoc(thing) or "").split("\n\n")[0])
    return re.split(r"(?<=\.)\s(?=[A-Z`])", text)[0]


def error_tree(base: type[errors.PenstockError] = errors.PenstockError, depth: int = 0) -> Iterator[str]:
    """Each below the one that it is a kind of, with what it is besides."""
    besides = ", ".join(f"`{one.__name__}`" for one in base.__bases__ if one.__module__ != errors.__name__)
    also = f" (also a {besides})" if depth and besides else ""
    yield "  " * depth + item(f"**{base.__name__}**{also}", sentence(base))
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from error_tree(kind, depth + 1)


def main() -> None:
    """Print it, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make src/penstock/guide/reference.md anew")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
