"""Commands as jobs of a slot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from penstock.job.command import CommandTemplate
from penstock.job.originals import os, select, threading
from penstock.job.spec import job_id
from penstock.slot.job_report import CommandEnd
from penstock.slot.job_spans import trace_variables
from penstock.slot.process_tree import children, has_children, sweep_children
from penstock.slot.protocol import LoadChunk


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

    def run(words: list[bytes]) -> CommandEnd:
        index = index_now()
        extra = job_variables(head.batch, index, head.attempt, slot) | trace_variables(head)
        number, arguments, block = template.given(words, index + 1)
        argv = template.argv(arguments, number, slot + 1)
        others = children(os.getpid()) if has_children() else ()
        with standard_input(block):
            end = at_niceness(template.nice, lambda: CommandEnd.of(template, argv, extra, check=head.check))
            # else what it left behind could print into the next one's output
            sweep_children(others, is_ended)
        return end

    return run


def job_variables(batch: bytes, index: int, attempt: int, slot: int) -> dict[bytes, bytes]:
    """What a command finds in its environment about the job that it is."""
    return {
        b"PENSTOCK_JOB_ID": job_id(batch, index).encode(),
        b"PENSTOCK_INDEX": b"%d" % index,
        b"PENSTOCK_ATTEMPT": b"%d" % attempt,
        b"PENSTOCK_SLOT": b"%d" % slot,
    }


@contextlib.contextmanager
def standard_input(block: bytes | None) -> Iterator[None]:
    """Commands started meanwhile read this on their standard input, from a pipe: whether they read all of it is their
    own affair. None: they read what they always do."""
    if block is None:
        yield
        return
    reading, writing = os.pipe()
    stop, stopping = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    thread = threading.Thread(target=_feed, args=(writing, block, stop), name="penstock-stdin")
    thread.start()
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(stopping)
        thread.join()
        os.close(stop)


def _feed(writing: int, block: bytes, stop: int) -> None:
    """Write the block to a pipe, until it is all written, nobody reads any more, or `stop` is closed elsewhere: a
    process that should be gone could keep the reading end open for ever."""
    left = memoryview(block)
    os.set_blocking(writing, False)
    poll = select.poll()
    poll.register(writing, select.POLLOUT)
    poll.register(stop, select.POLLIN)
    with contextlib.suppress(BrokenPipeError):
        while left and stop not in dict(poll.poll()):
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(writing, left) :]
    os.close(writing)


def at_niceness(niceness: int | None, run: Callable[[], CommandEnd]) -> CommandEnd:
    """What `run` returns; what it starts has this niceness. That is a thread's (Linux), and children have that of the
    thread that starts them: this process's own threads keep theirs, which they might not be allowed to take back."""
    if niceness is None:
        return run()
    ends: list[CommandEnd] = []

    def run_nicely() -> None:
        with contextlib.suppress(OSError):  # one below what this user may have: it runs at the worker's, as ever
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        ends.append(run())

    thread = threading.Thread(target=run_nicely, name="penstock-nice")
    thread.start()
    thread.join()
    return ends[0]
