"""joblib's ``Parallel`` gives on the backend ``penstock`` what it gives on threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
import pytest

import penstock.joblib
from contract_jobs import inner, thirds
from jobs import square


def plain(parallel: Callable[..., Any]) -> object:
    """Values in order."""
    return parallel()(joblib.delayed(square)(n) for n in range(200))


def generated(parallel: Callable[..., Any]) -> object:
    """As a generator."""
    return list(parallel(return_as="generator")(joblib.delayed(square)(n) for n in range(20)))


def nested(parallel: Callable[..., Any]) -> object:
    """Inside of a job."""
    return parallel()(joblib.delayed(inner)(n) for n in range(4))


def reused(parallel: Callable[..., Any]) -> object:
    """Twice in one block."""
    with parallel() as some:
        return [some(joblib.delayed(pow)(n, 2) for n in range(5)) for _ in range(2)]


def failing(parallel: Callable[..., Any]) -> object:
    """The error of a call is raised as itself."""
    try:
        parallel()(joblib.delayed(thirds)(n) for n in (1, 2, 3, 4))
    except KeyError as error:
        return error.args
    return None


@pytest.fixture(scope="module", params=["local", "connected"])
def url(request: pytest.FixtureRequest) -> str:
    """Embedded, and running with two workers."""
    return "local" if request.param == "local" else str(request.getfixturevalue("running"))


@pytest.mark.parametrize("case", [plain, generated, nested, reused, failing])
def test_parallel_does_the_same(case: Callable[[Callable[..., Any]], object], url: str) -> None:
    """What the case sees."""

    def parallel(**options: Any) -> Any:
        return joblib.Parallel(n_jobs=-1, **options)

    expected = case(lambda **options: joblib.Parallel(n_jobs=2, backend="threading", **options))
    with joblib.parallel_config(backend="penstock", url=url):
        assert case(parallel) == expected


def test_all_slots_are_counted_at_the_call(url: str) -> None:
    """-1 is all of them, -2 one fewer, at least one."""
    backend = penstock.joblib.Backend(url)
    assert backend.effective_n_jobs(-1) == backend.effective_n_jobs(-2) + 1 or backend.effective_n_jobs(-1) == 1
    with pytest.raises(ValueError, match="no meaning"):
        backend.effective_n_jobs(0)
