"""Commands as jobs of a slot."""

from __future__ import annotations

import os
from collections.abc import Callable

from penstock.command import CommandTemplate
from penstock.job import job_id
from penstock.processes import children, has_children, sweep_children
from penstock.report import CommandEnd
from penstock.slotwire import LoadChunk


def command_job(
    head: LoadChunk,
    template: CommandTemplate,
    slot: int,
    index_now: Callable[[], int],
    is_ended: Callable[[], object],
) -> Callable[[list[bytes]], CommandEnd]:
    """What runs a command with the arguments of a job, of which `index_now` tells which one it is; nothing that it has
    started is left then, unless the slot `is_ended`: then all of it has its grace. What calls left running in this
    process goes on."""
    extra = {b"PENSTOCK_ATTEMPT": b"%d" % head.attempt, b"PENSTOCK_SLOT": b"%d" % slot}

    def run(arguments: list[bytes]) -> CommandEnd:
        index = index_now()
        extra[b"PENSTOCK_JOB_ID"] = job_id(head.batch, index).encode()
        extra[b"PENSTOCK_INDEX"] = b"%d" % index
        argv = template.argv(arguments, index + 1, slot + 1)
        others = children(os.getpid()) if has_children() else ()
        end = CommandEnd.of(template, argv, extra, check=head.check)
        sweep_children(others, is_ended)  # else what it left behind could print into the next one's output
        return end

    return run
