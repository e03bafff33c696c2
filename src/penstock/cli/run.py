"""``penstock run``: commands or calls over many inputs, like GNU parallel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.options import as_json, debug
from penstock.cli.output import say, write
from penstock.cli.work import Work, first_of, hand_in, jobs_options, shown

if TYPE_CHECKING:
    from penstock import Pipeline


@click.command(
    "run",
    context_settings={"allow_interspersed_args": False},
    short_help="Run commands or calls over many inputs, like GNU parallel.",
)
@click.option("--url", envvar="PENSTOCK_URL", help="A running pipeline; without one, run brings its own.")
@click.option("-j", "--jobs", "slots", type=click.IntRange(1), help="Slots of its own pipeline.  [default: cores]")
@click.option("-k", "--keep-order", is_flag=True, help="Output in the order of the input.")
@click.option("--tag", is_flag=True, help="Put the arguments of its job before each line.")
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
@as_json
@debug
@jobs_options
def command(
    url: str | None, slots: int | None, keep_order: bool, tag: bool, dry_run: bool, as_json: bool, **asked: Any
) -> int:
    """Run COMMAND once for each ARGUMENT, or --call a Python function with it.

    {} {.} {/} {//} {/.} {#} {%} {1} {2} in COMMAND stand for the argument and its parts; without any, it is
    appended. Arguments come after ::: (:::+ links two lists, :::: reads files), from -a FILE, or from stdin.
    No COMMAND: each input line is one. No shell is involved unless you say --shell.
    """
    if url and slots:
        raise click.UsageError("-j is for a pipeline of its own: a running one has the slots of its workers")
    work = Work(**asked)
    inputs = first_of(work.inputs())
    if inputs is None:
        say("empty input: 0 jobs")
        return 0
    target = work.target()
    if dry_run:
        return _print_only(work, target, inputs)
    tags: dict[int, bytes] | None = {} if tag else None
    if tags is not None:
        inputs = _remembered(inputs, tags)
    from penstock import Pipeline
    from penstock.cli.progress import Progress
    from penstock.cli.watch import Watch

    with Pipeline(url or "local", slots=slots, pass_output=False) as pipeline:
        say(_place(pipeline, url, slots))
        batch = hand_in(pipeline, work, target, inputs)
        with Progress(batch.status().total) as progress:
            return Watch(batch, progress, as_json=as_json, in_order=keep_order, tags=tags).to_the_end()


def _place(pipeline: Pipeline, url: str | None, slots: int | None) -> str:
    if url is None:
        from penstock.config import default_slots

        return f"embedded, {_plural(slots or default_slots(), 'slot')}"
    workers = pipeline.workers()
    hosts = len({worker.host for worker in workers})
    return f"{url}, {_plural(sum(worker.slots for worker in workers), 'slot')} on {_plural(hosts, 'host')}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _print_only(work: Work, target: Any, inputs: Iterator[Any]) -> int:
    from penstock.command import CommandTemplate

    for number, arguments in enumerate(inputs, 1):
        if isinstance(target, CommandTemplate):
            write(shown(target.argv(arguments, number)).encode("utf-8", "surrogateescape") + b"\n")
        else:
            write(f"{work.call}({arguments!r})\n".encode("utf-8", "surrogateescape"))
    return 0


def _remembered(inputs: Iterator[Any], tags: dict[int, bytes]) -> Iterator[Any]:
    """The inputs, each kept as text for ``--tag`` until its outcome is shown."""
    for index, item in enumerate(inputs):
        tags[index] = b" ".join(item) if isinstance(item, list) else str(item).encode("utf-8", "surrogateescape")
        yield item
