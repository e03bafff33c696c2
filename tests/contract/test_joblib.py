"""joblib's ``Parallel`` gives on the backend ``penstock`` what it gives on threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

import penstock.joblib
from contract_jobs import backend_inside, inner, thirds
from jobs import overlapping, square
from penstock import Pipeline
from support import Stations, at_once, until


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
def place(request: pytest.FixtureRequest) -> str:
    """Embedded, and running with two workers."""
    return "local" if request.param == "local" else str(request.getfixturevalue("running"))


@pytest.mark.parametrize("case", [plain, generated, nested, reused, failing])
def test_parallel_does_the_same(case: Callable[[Callable[..., Any]], object], place: str) -> None:
    """What the case sees."""

    def parallel(**options: Any) -> Any:
        return joblib.Parallel(n_jobs=-1, **options)

    expected = case(lambda **options: joblib.Parallel(n_jobs=2, backend="threading", **options))
    with joblib.parallel_config(backend="penstock", url=place):
        assert case(parallel) == expected


def test_all_slots_are_counted_at_the_call(place: str) -> None:
    """-1 is all of them, -2 one fewer, at least one."""
    backend = penstock.joblib.Backend(place)
    assert backend.effective_n_jobs(-1) == backend.effective_n_jobs(-2) + 1 or backend.effective_n_jobs(-1) == 1
    with pytest.raises(ValueError, match="no meaning"):
        backend.effective_n_jobs(0)


def test_grid_search_scores_as_on_threads(place: str) -> None:
    """scikit-learn's n_jobs=-1 runs here: the same scores, the same best parameters."""
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    features, classes = load_iris(return_X_y=True)

    def searched() -> Any:
        grid = {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]}
        return GridSearchCV(SVC(random_state=0), grid, cv=3, n_jobs=-1).fit(features, classes)

    with joblib.parallel_config(backend="threading"):
        expected = searched()
    with joblib.parallel_config(backend="penstock", url=place):
        found = searched()
    assert found.best_params_ == expected.best_params_
    for name in ("split0_test_score", "mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(found.cv_results_[name], expected.cv_results_[name])


def test_calls_inside_of_a_job_run_one_after_the_other(place: str) -> None:
    """A slot is one processor: whatever n_jobs is asked for there."""
    with joblib.parallel_config(backend="penstock", url=place):
        kinds = joblib.Parallel(n_jobs=2)(joblib.delayed(backend_inside)() for _ in range(3))
    assert kinds == ["SequentialBackend"] * 3


def test_a_worker_that_comes_is_counted_at_the_next_call(stations: Stations, folder: Path) -> None:
    """All slots are counted when a call begins, not once for all; and fewer may be asked for."""
    stations.start("ventilator", "sink", "one")
    with Pipeline(stations.url) as pipeline, joblib.parallel_config(backend="penstock", url=stations.url):
        for count, name in ((1, ""), (3, "two")):
            if name:
                stations.start(name, slots=2)
            until(lambda: pipeline.status().slots == count, what=f"{count} slots are there")  # noqa: B023 - called at once
            with joblib.Parallel(n_jobs=-1) as parallel:
                assert parallel(joblib.delayed(pow)(n, 2) for n in range(5)) == [n * n for n in range(5)]
                assert parallel._effective_n_jobs() == count
        trace = folder / "trace"
        joblib.Parallel(n_jobs=2)(joblib.delayed(overlapping)(str(trace)) for _ in range(6))
        assert at_once(trace) <= 2
