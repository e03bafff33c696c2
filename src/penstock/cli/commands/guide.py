"""``penstock guide``: the manual, where there is no internet."""

from __future__ import annotations

import difflib
import io
import os
import sys

import click

from penstock.cli.options import debug
from penstock.guide import TOPICS, Page, page, pages

LINE_CHARS = 100
"""Wider lines are hard to read, however wide the terminal is."""


@click.command("guide", short_help="Read the manual: first steps, examples, operation, design.")
@click.argument("topic", required=False)
@debug
def command(topic: str | None) -> None:
    """Show the page of the manual about TOPIC, or list all pages.

    On a terminal the page is laid out and opens in your pager (PAGER, else less). Piped or redirected, it is the
    Markdown itself.
    """
    if topic is None:
        _list(pages())
    elif topic not in TOPICS:
        raise click.UsageError(_unknown(topic))
    elif _is_plain():
        print(page(topic).text, end="")
    else:
        click.echo_via_pager(_laid_out(page(topic)))


def _unknown(topic: str) -> str:
    close = difflib.get_close_matches(topic.lower(), TOPICS, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"the manual has no page {topic!r}: {hint}`penstock guide` lists all pages"


def _list(all_pages: list[Page]) -> None:
    rows = [(one.topic, one.purpose) for one in all_pages]
    if _is_plain():
        width = max(len(topic) for topic, _ in rows)
        for topic, purpose in rows:
            print(f"{topic:{width}}  {purpose}")
        return
    formatter = click.HelpFormatter()
    with formatter.section("Pages of the manual; `penstock guide TOPIC` shows one"):
        formatter.write_dl(rows)
    print(formatter.getvalue(), end="")


def _is_plain() -> bool:
    return not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"


def _laid_out(one: Page) -> str:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    page_text = io.StringIO()
    readable_on_any_background = Theme({"markdown.code": "bold cyan"})
    console = Console(file=page_text, force_terminal=True, theme=readable_on_any_background)
    console.width = min(console.width, LINE_CHARS)
    console.print(Markdown(one.text, code_theme="ansi_dark", hyperlinks=False))
    return page_text.getvalue()
