"""Help in sections: so many options are found by what they are about.

The sections are a table here, since `run` and `submit` share most options, which come from six modules: an option group
of cloup belongs to the one command that was made last with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from penstock.cli.run.gnu_options import hidden_options, spelled

if TYPE_CHECKING:
    from click.parser import _OptionParser

SECTIONS: dict[str, tuple[str, ...]] = {
    "Input": (
        *("files", "null", "delimiter", "colsep", "header", "link", "trim", "skip_first_line", "no_run_if_empty"),
        *("eof", "shuf", "arg_sep", "arg_file_sep", "call", "kind"),
    ),
    "Blocks of stdin": ("pipe", "block", "recend", "recstart"),
    "Command": (
        *("max_args", "context", "many", "xargs", "max_chars", "lines", "shell", "one", "plus", "replace", "rpl"),
    ),
    "Output": (
        *("keep_order", "live", "ungroup", "tag", "tagstring", "verbose", "verbose_stderr", "as_json", "joblog"),
        *("results", "keep_output", "dry_run", "wait", "bar"),
    ),
    "How many, how often, how long": (
        "at_once",
        "limit",
        "halt",
        "delay",
        "load",
        "memfree",
        "retries",
        "retry_delay",
        "max_crashes",
        "timeout",
        "grace",
        "priority",
        "resume",
        "resume_failed",
        "retry_failed",
    ),
    "When and where": ("not_before", "expires", "after", "worker", "needs", "on_missing", "user", "cwd", "env", "nice"),
    "The batch": ("name", "once", "retain", "serializer", "initializer", "ship"),
    "The pipeline": ("url", "key", "data", "config", "debug"),
}
"""Of the options of `run` and `submit`, by the names of their parameters; the others come last."""


class JobsCommand(click.Command):
    """A command with these options, which knows those of GNU parallel too."""

    @cached_property
    def _hidden(self) -> list[click.Option]:
        return hidden_options(self.params)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its parameters, and those that are accepted or refused by name."""
        return [*super().get_params(ctx), *self._hidden]

    def make_parser(self, ctx: click.Context) -> _OptionParser:
        """What reads its words, with the other names of its options."""
        parser = super().make_parser(ctx)
        for option in spelled(self.params):
            option.add_to_parser(parser, ctx)
        return parser

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options, as long as the command has not begun: behind it are its own."""
        if ctx.params.get("words"):
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, incomplete)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.name: option.get_help_record(ctx) for option in options}
        for title, names in SECTIONS.items():
            found = [record for name in names if (record := records.pop(name, None)) is not None]
            with formatter.section(title):
                formatter.write_dl(found)
        with formatter.section("Other options"):
            formatter.write_dl([record for record in records.values() if record is not None])
