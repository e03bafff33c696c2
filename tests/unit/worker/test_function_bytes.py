"""The bytes of the functions that a worker has."""

from __future__ import annotations

from penstock.wire.messages import FunctionPart
from penstock.worker.function_bytes import FunctionBytes

F = b"f" * 16


def test_a_function_is_whole_by_its_last_part() -> None:
    """Parts come in order; one that is missing begins it anew, and what is here already is not changed."""
    functions = FunctionBytes()
    assert not functions.put(FunctionPart(F, 0, 6, 2), b"ab")
    assert not functions.put(FunctionPart(F, 4, 6, 2), b"ef"), "one is missing"
    assert not functions.put(FunctionPart(F, 0, 6, 4), b"abcd")
    assert functions.put(FunctionPart(F, 4, 6, 2), b"ef")
    assert bytes(functions.code(F)) == b"abcdef"
    assert not functions.put(FunctionPart(F, 0, 6, 6), b"xxxxxx")
    functions.add(F, b"yyyyyy")
    assert bytes(functions.code(F)) == b"abcdef"
