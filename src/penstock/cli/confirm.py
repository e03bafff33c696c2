"""Asking before what concerns more than the user may think of."""

from __future__ import annotations

import sys

import click

from penstock.cli.option_types import OptionDecorator

yes: OptionDecorator = click.option("--yes", is_flag=True, help="Do not ask before.")


def confirm(question: str, *, yes: bool) -> None:
    """Go on if the user says so, or has said so before. Raises click.Abort: no; UsageError: nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can answer here: say --yes")
    click.confirm(question, abort=True, err=True)
