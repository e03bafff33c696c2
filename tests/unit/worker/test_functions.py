"""The functions that a worker has, and which it forgets."""

from __future__ import annotations

import pytest

from penstock.worker import functions as module
from penstock.worker.contract import FreeFunction
from penstock.worker.functions import Functions

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


def test_what_no_lease_needs_is_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was used longest ago first; what leases need stays, whatever its size, and so does the newest."""
    monkeypatch.setattr(module, "UNUSED_BYTES", 10)
    functions = Functions()
    for function in (ONE, TWO, THREE):
        functions.arrived(function, 9)
        functions.use(function, 9)
        functions.check()
    assert (functions.forget(), functions.used_bytes) == ([], 27)
    functions.let_go(TWO)
    functions.let_go(ONE)
    assert (functions.forget(), functions.here) == ([FreeFunction(TWO)], {ONE, THREE})
    functions.let_go(THREE)
    assert (functions.forget(), functions.here, functions.used_bytes) == ([FreeFunction(ONE)], {THREE}, 0)
    functions.check()


def test_a_function_is_needed_until_the_last_lease_is_gone() -> None:
    """It may be on its way meanwhile, and arrive for nobody."""
    functions = Functions()
    functions.use(ONE, 5)
    functions.use(ONE, 5)
    functions.let_go(ONE)
    assert (functions.is_used(ONE), functions.used_bytes) == (True, 5)
    functions.let_go(ONE)
    assert (functions.is_used(ONE), functions.used_bytes) == (False, 0)
    functions.arrived(ONE, 5)
    functions.check()
