"""The options of `run` and `submit` that GNU parallel and xargs have for reading input and for making commands of it.

They come to a function as four values: how input is read, what replacement strings are called, how many arguments a job
gets, and what the marks are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from penstock.cli.option_types import SIZE, Count
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
    click.option("-d", "--delimiter", metavar="TEXT", help=r"Input items end with TEXT, like ',' or '\t'."),
    click.option("-E", "eof", metavar="TEXT", help="Stop reading at the item TEXT."),
    click.option(
        "--trim",
        type=click.Choice(list(TRIMS)),
        help="Trim blanks on the left, on the right, on both sides, or not at all.",
    ),
    click.option("--skip-first-line", is_flag=True, help="Skip the first item."),
    click.option("-r", "--no-run-if-empty", is_flag=True, help="Skip items that are empty or blank."),
    click.option("--link", is_flag=True, help="Give each job one item of each input, like --xapply."),
    click.option(
        "--header", metavar=":", help="Take the first item of each input as its name: {NAME}, also {NAME.} ..."
    ),
    click.option("--shuf", is_flag=True, help="Run in random order; this reads all of the input first."),
    click.option(
        "--plus/--no-plus",
        default=None,
        help="Replace also {..} {+/} {##} {%.gz} {/a/b} {:2:3} {^a}: see `penstock guide from-gnu-parallel`.",
    ),
    click.option("-I", "replace", metavar="TEXT", help="Use TEXT instead of {}."),
    click.option("--rpl", multiple=True, metavar="'NAME s/A/B/'", help="Define a replacement string of your own."),
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
    click.option(
        "-X", "context", is_flag=True, help="Give each job as many arguments as fit; x{} is repeated for each."
    ),
    click.option("-m", "many", is_flag=True, help="Like -X, but x{} is written once, with all arguments side by side."),
    click.option("--xargs", is_flag=True, help="Like -m, without spreading the last arguments over the slots."),
    click.option("-s", "--max-chars", type=SIZE, metavar="N", help="Allow at most N characters in a command line."),
    click.option(
        "-L", "lines", type=Count(0), help="Like -n, but an item that ends with a blank continues in the next one."
    ),
    click.option("--arg-sep", default=":::", metavar="TEXT", help="Use TEXT instead of :::."),
    click.option("--arg-file-sep", default="::::", metavar="TEXT", help="Use TEXT instead of ::::."),
)


def grouped(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, the options of each group put together."""
    rest = dict(asked)
    groups = {name: kind(**{one: rest.pop(one) for one in kind._fields}) for name, kind in GROUPS.items()}
    return {**rest, **groups}


def options_like_parallel(function: Function) -> Function:
    """Give a command these options; it gets their values as the four groups."""

    @functools.wraps(function)
    def with_groups(**asked: Any) -> Any:
        return function(**grouped(asked))

    for option in reversed(_OPTIONS):
        with_groups = option(with_groups)
    return with_groups  # type: ignore[return-value]  # it takes more than the function does
