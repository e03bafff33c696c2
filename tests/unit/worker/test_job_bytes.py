"""The bytes that a worker has of its jobs."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, Stamp
from penstock.wire.messages import FunctionPart, Jobs
from penstock.wire.records import BatchHead, Lease
from penstock.worker.job_bytes import JobBytes

F = b"f" * 16
B = b"b" * 16


def test_a_function_is_whole_by_its_last_part() -> None:
    """Parts come in order; one that is missing begins it anew, and what is here already is not changed."""
    functions = JobBytes()
    assert not functions.put(FunctionPart(F, 0, 6, 2), b"ab")
    assert not functions.put(FunctionPart(F, 4, 6, 2), b"ef"), "one is missing"
    assert not functions.put(FunctionPart(F, 0, 6, 4), b"abcd")
    assert functions.put(FunctionPart(F, 4, 6, 2), b"ef")
    assert bytes(functions.code(F)) == b"abcdef"
    assert not functions.put(FunctionPart(F, 0, 6, 6), b"xxxxxx")


def test_jobs_bring_their_arguments_and_small_functions() -> None:
    """What is here already is not changed by what comes again; what is freed is gone."""
    head = BatchHead(B, BatchSpec(), F, 2, 2)
    lease = Lease(7, B, 0, 1, 0, 1, Stamp(), 3)
    given = JobBytes()
    given.unpack(Jobs((head,), (lease,)), b"ffaaa")
    given.unpack(Jobs((head,), (lease,)), b"xxyyy")
    assert (bytes(given.code(F)), bytes(given.arguments(7))) == (b"ff", b"aaa")
    assert given.free(7)
    assert not given.free(7)
