"""Help in sections: so many options are found by what they are about."""

from __future__ import annotations

import click

SECTIONS = {
    "Input": ("files", "null", "colsep", "max_args", "call", "kind", "shell", "one"),
    "Blocks of stdin": ("pipe", "block", "recend", "recstart", "record_lines"),
    "Output": ("keep_order", "lines", "tag", "as_json", "joblog", "results", "dry_run", "wait"),
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
        "priority",
        "resume",
        "resume_failed",
        "retry_failed",
    ),
    "When and where": ("not_before", "expires", "after", "worker", "needs", "on_missing", "user", "cwd", "env", "nice"),
    "Of the batch": ("name", "once", "retain", "serializer", "initializer", "ship"),
    "The pipeline": ("url", "key", "data", "config", "debug"),
}
"""Of the options of `run` and `submit`, by the names of their parameters; the others come last."""


class JobsCommand(click.Command):
    """A command with these options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.name: option.get_help_record(ctx) for option in options}
        for title, names in SECTIONS.items():
            found = [record for name in names if (record := records.pop(name, None)) is not None]
            with formatter.section(title):
                formatter.write_dl(found)
        with formatter.section("Others"):
            formatter.write_dl([record for record in records.values() if record is not None])
