"""The options of `run` and `submit` that say what to run, and what they say: `Work` makes jobs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import click

from penstock.cli.option_types import (
    DURATION,
    POSITIVE_DURATION,
    SIZE,
    WORD,
    Count,
    OptionDecorator,
    together,
    with_unit,
)
from penstock.cli.run.arguments import ParsedWords
from penstock.cli.run.input_reading import TRIMS, Filling, Reading
from penstock.cli.run.replacement_strings import Naming

GROUPS: dict[str, type[Any]] = {"reading": Reading, "naming": Naming, "filling": Filling}
"""Options that are handed on together: how input is read, what replacement strings are called, how many arguments a
job gets."""

jobs_options: OptionDecorator = together(
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
    click.option("--pipe", "--spreadstdin", is_flag=True, help="Cut stdin into blocks, and let each COMMAND read one."),
    click.option(
        "--block", "--block-size", type=SIZE, help="Make the blocks of --pipe about this large.  [default: 1M]"
    ),
    click.option(
        "--recend", metavar="TEXT", help="Records of --pipe end with TEXT; blocks are cut there.  [default: \\n]"
    ),
    click.option("--recstart", metavar="TEXT", help="Records of --pipe begin with TEXT."),
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
        "--not-before",
        type=with_unit,
        metavar="WHEN",
        help="Start no job before this time: 10m (from now) or 2030-01-31T08:00+01:00.",
    ),
    click.option("--expires", type=with_unit, metavar="WHEN", help="Cancel jobs that have not started by this time."),
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
    click.option("-d", "--delimiter", metavar="TEXT", help=r"Input items end with TEXT, like ',' or '\t'."),
    click.option("-E", "eof", metavar="TEXT", help="Stop reading at the item TEXT."),
    click.option(
        "--trim",
        type=click.Choice(TRIMS),
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


@dataclass(kw_only=True)
class JobOptions:
    """What click hands over, under the names of the options."""

    files: Sequence[str]
    null: bool
    colsep: str | None
    max_args: int | None
    shell: bool | None
    one: bool
    call: str | None
    kind: str
    env: Sequence[str]
    cwd: str | None
    user: str
    timeout: float | None
    words: Sequence[str]
    limit: int | None = None
    worker: str | None = None
    needs: Sequence[str] = ()
    once: str | None = None
    ship: bool = True
    serializer: str | None = None
    initializer: str | None = None
    nice: int | None = None
    keep_output: str = "all"
    pipe: bool = False
    block: int | None = None
    recend: str | None = None
    recstart: str | None = None
    arg_sep: str = ":::"
    arg_file_sep: str = "::::"
    reading: Reading = field(default_factory=Reading)
    naming: Naming = field(default_factory=Naming)
    filling: Filling = field(default_factory=Filling)
    terms: dict[str, Any] = field(default_factory=dict)
    """The others, which `Pipeline.batch` takes as they are."""
    slots: int = 1
    """Over which the arguments of -X and -m are spread."""
    names: list[bytes] = field(init=False, default_factory=list)
    """What --header calls the columns, once `inputs` has begun."""
    line: ParsedWords = field(init=False)

    @classmethod
    def of(cls, asked: dict[str, Any]) -> Self:
        """From the options by their names."""
        terms = dict(asked)
        groups = {name: kind(**{one: terms.pop(one) for one in kind._fields}) for name, kind in GROUPS.items()}
        own = {one.name: terms.pop(one.name) for one in fields(cls) if one.name in terms}
        return cls(**own, **groups, terms=terms)
