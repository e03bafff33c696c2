"""The options of `run` and `submit` that GNU parallel and xargs have for reading input and for making commands of it.

They come to a function as four values: how input is read, what replacement strings are called, how many arguments a job
gets, and what the marks are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from penstock.cli.run.arguments_per_job import Filling
from penstock.cli.run.input_reading import TRIMS, Reading
from penstock.cli.run.replacement_strings import Naming

Function = TypeVar("Function", bound=Callable[..., Any])


class Marks(NamedTuple):
    """What stands before arguments, and before files of them."""

    arg_sep: str = ":::"
    arg_file_sep: str = "::::"


GROUPS: dict[str, type[Any]] = {"reading": Reading, "naming": Naming, "filling": Filling, "marks": Marks}

_OPTIONS = (
    click.option("-d", "--delimiter", metavar="TEXT", help=r"Input items end with this: ',' or '\t'."),
    click.option("-E", "eof", metavar="TEXT", help="The item at which input ends."),
    click.option("--trim", type=click.Choice(list(TRIMS)), help="Take blanks from the left, the right, both, no end."),
    click.option("--skip-first-line", is_flag=True, help="Leave out the first item."),
    click.option("-r", "--no-run-if-empty", is_flag=True, help="Leave out items of blanks only."),
    click.option("--link", is_flag=True, help="One item of each input a job, as --xapply."),
    click.option("--header", metavar=":", help="The first item of each input names it: {NAME}, also {NAME.} ..."),
    click.option("--shuf", is_flag=True, help="In random order: reads all of the input first."),
    click.option(
        "--plus/--no-plus",
        default=None,
        help="Also {..} {+/} {##} {%.gz} {/a/b} {:2:3} {^a}: `penstock guide from-gnu-parallel` has all.",
    ),
    click.option("-I", "replace", metavar="TEXT", help="This stands for the argument, instead of {}."),
    click.option("--rpl", multiple=True, metavar="'NAME s/A/B/'", help="A replacement string of your own."),
    *(
        click.option(flag, metavar="TEXT", hidden=True)
        for flag in (
            "--extensionreplace",
            "--basenamereplace",
            "--dirnamereplace",
            "--basenameextensionreplace",
            "--seqreplace",
            "--slotreplace",
        )
    ),
    click.option("-X", "context", is_flag=True, help="As many arguments a job as fit; x{} comes once for each."),
    click.option("-m", "many", is_flag=True, help="As -X, but in x{} all stand side by side."),
    click.option("--xargs", is_flag=True, help="As -m, and the last ones are not spread over the slots."),
    click.option("-s", "--max-chars", metavar="N", help="Characters of a command line, at most."),
    click.option(
        "-L", "lines", type=click.IntRange(0), metavar="N", help="As -n; an item that ends with a blank goes on."
    ),
    click.option("--arg-sep", default=":::", metavar="TEXT", help="Instead of :::."),
    click.option("--arg-file-sep", default="::::", metavar="TEXT", help="Instead of ::::."),
)


def grouped(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, the options of each group put together."""
    rest = dict(asked)
    groups = {name: kind(**{one: rest.pop(one) for one in kind._fields}) for name, kind in GROUPS.items()}
    return {**rest, **groups}


def options_like_parallel(function: Function) -> Function:
    """These options."""

    @functools.wraps(function)
    def with_groups(**asked: Any) -> Any:
        return function(**grouped(asked))

    for option in reversed(_OPTIONS):
        with_groups = option(with_groups)
    return with_groups  # type: ignore[return-value]  # it takes more than the function does
