"""joblib's ``Parallel`` gives on the backend ``penstock`` what it gives on threads."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

import penstock.joblib
from jobs.common import overlapping, square
from jobs.contract import (
    add_to,
    array_kind,
    backend_inside,
    blas_threads,
    inner,
    nap,
    process,
    put,
    tell,
    thirds,
    threads_wanted,
    told,
)
from penstock import Pipeline
from penstock.adapters import reused_pipelines
from penstock.station.capacity import default_slots
from support.stations import LIMIT, Stations, at_once, embedded_pids, until


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """A pipeline that is kept for the next call goes with the test."""
    yield
    penstock.joblib.shutdown()


def plain(parallel: Callable[..., Any]) -> object:
    """Values in order."""
    return parallel()(joblib.delayed(square)(n) for n in range(200))


def generated(parallel: Callable[..., Any]) -> object:
    """As a generator."""
    return list(parallel(return_as="generator")(joblib.delayed(square)(n) for n in range(20)))


def unordered(parallel: Callable[..., Any]) -> object:
    """As a generator, in any order."""
    return sorted(parallel(return_as="generator_unordered")(joblib.delayed(square)(n) for n in range(20)))


def two_at_once(parallel: Callable[..., Any]) -> object:
    """One that is read while others come and go, and one of these fails."""
    read = parallel(return_as="generator")(joblib.delayed(square)(n) for n in range(40))
    first = next(read)
    within = parallel()(joblib.delayed(abs)(-n) for n in range(10))
    return first, within, failing(parallel), list(read)


def breaking_off(parallel: Callable[..., Any]) -> object:
    """The error of the input is raised, and it can be used again."""

    def calls() -> Iterator[Any]:
        yield joblib.delayed(square)(1)
        raise LookupError("no more")

    with parallel() as some:
        with pytest.raises(LookupError, match="no more"):
            some(calls())
        return some(joblib.delayed(square)(n) for n in range(3))


def nested(parallel: Callable[..., Any]) -> object:
    """Inside of a job."""
    return parallel()(joblib.delayed(inner)(n) for n in range(4))


def again(parallel: Callable[..., Any]) -> object:
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


@pytest.mark.parametrize("case", [plain, generated, unordered, two_at_once, nested, again, failing, breaking_off])
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
    assert kinds == ["InSlot"] * 3


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


# ------------------------------------------------------------------------------------- what is kept for the next call


def test_the_next_call_finds_the_pipeline_there(place: str) -> None:
    """Whatever number of jobs it wants at once, with a backend of its own; one that was left is not used again."""
    seen = []
    for n_jobs in (2, -1, 2):
        backend = penstock.joblib.Backend(place)
        joblib.Parallel(n_jobs=n_jobs, backend=backend)(joblib.delayed(square)(n) for n in range(4))
        seen += reused_pipelines._shelf.kept
    if default_slots() > 1 or place != "local":
        assert len(set(seen)) == 1
        seen[0].pipeline.shutdown()
    with joblib.parallel_config(backend="penstock", url=place):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(square)(n) for n in range(4)) == [0, 1, 4, 9]
    assert len(reused_pipelines._shelf.kept) == 1
    assert seen[0] not in reused_pipelines._shelf.kept


def test_it_goes_when_it_is_not_used() -> None:
    """After the time that joblib's own backend has a word for."""
    with joblib.parallel_config(backend="penstock", idle_worker_timeout=0.1):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(square)(n) for n in range(4)) == [0, 1, 4, 9]
    until(lambda: not reused_pipelines._shelf.kept, what="it is kept no longer")


def test_one_job_at_a_time_needs_no_pipeline(folder: Path) -> None:
    """Nothing is started for it, nor to know how many jobs can run at once."""
    with joblib.parallel_config(backend="penstock"):
        parallel = joblib.Parallel(n_jobs=1)
        assert parallel(joblib.delayed(process)() for _ in range(3)) == [process()] * 3
        assert joblib.effective_n_jobs(-1) == default_slots()
    assert not embedded_pids(folder)


def test_more_jobs_than_cores_run_at_once(folder: Path) -> None:
    """As many as are asked for, as soon as their processes have started."""
    wanted = default_slots() + 1
    trace = folder / "trace"

    def most() -> int:
        joblib.Parallel(batch_size=1)(joblib.delayed(overlapping)(str(trace)) for _ in range(4 * wanted))
        return at_once(trace)

    with joblib.parallel_config(backend="penstock", n_jobs=wanted):
        until(lambda: most() == wanted)


def test_an_initializer_has_run_in_each_process(place: str) -> None:
    """Once, also over calls; with another one jobs do not find what the first one left."""

    def seen(word: str) -> set[tuple[object, ...]]:
        with joblib.parallel_config(backend="penstock", url=place, initializer=tell, initargs=(word,)):
            calls = [joblib.Parallel(n_jobs=2, batch_size=1)(joblib.delayed(told)() for _ in range(6)) for _ in "12"]
        return {tuple(one) for call in calls for one in call}

    assert seen("one") == {("one",)}
    if place == "local":  # there its processes are new, as those of joblib's own
        assert seen("two") == {("two",)}
    found = joblib.Parallel(n_jobs=2, backend=penstock.joblib.Backend(place), initializer=tell, initargs=("three",))(
        joblib.delayed(told)() for _ in range(4)
    )
    assert all(one[-1] == "three" for one in found)


def test_threads_of_libraries_are_as_many_as_is_said() -> None:
    """Their environment says so, and a library that reads it when it is imported has them."""
    with joblib.parallel_config(backend="penstock", inner_max_num_threads=2):
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(threads_wanted)() for _ in range(4))
        pools = joblib.Parallel(n_jobs=2)(joblib.delayed(blas_threads)() for _ in range(4))
    assert found == [("2", "2")] * 4
    assert pools == [[min(2, default_slots())]] * 4


def test_an_option_that_does_not_exist_is_refused(folder: Path) -> None:
    """By name, and nothing is started."""
    with pytest.raises(TypeError, match="initialiser"):
        joblib.Parallel(n_jobs=2, backend="penstock", initialiser=tell)(joblib.delayed(abs)(n) for n in range(2))
    with pytest.raises(TypeError, match="initialiser"):
        joblib.parallel_config(backend="penstock", initialiser=tell)
    assert not embedded_pids(folder)


def test_what_nobody_waits_for_any_more_is_ended(place: str) -> None:
    """A job that runs, too: a timeout and an error free the slots."""
    with joblib.parallel_config(backend="penstock", url=place, n_jobs=2):
        with pytest.raises(multiprocessing.TimeoutError):
            joblib.Parallel(timeout=1)(joblib.delayed(nap)(20 * LIMIT) for _ in range(4))
        with pytest.raises(KeyError):
            joblib.Parallel(batch_size=1)(joblib.delayed(one)(n) for one, n in [(thirds, 3), (nap, 20 * LIMIT)] * 2)
        unread = joblib.Parallel(return_as="generator")(joblib.delayed(nap)(n) for n in (0, 0, 20 * LIMIT, 20 * LIMIT))
        assert next(unread) == 0
        with pytest.warns(UserWarning, match="cancelled"):
            unread.close()
        assert joblib.Parallel()(joblib.delayed(square)(n) for n in range(4)) == [0, 1, 4, 9]


def test_a_backend_can_be_pickled() -> None:
    """With all that it was made with."""
    made = penstock.joblib.Backend("inline", initializer=tell, initargs=[1], inner_max_num_threads=3, nesting_level=2)
    copied = pickle.loads(pickle.dumps(made))
    assert (copied.__reduce__()[0].args, copied.__reduce__()[0].keywords) == (
        ("inline", None),
        made.__reduce__()[0].keywords,
    )
    assert (copied.nesting_level, copied.inner_max_num_threads) == (2, 3)


FORKING = """
import os, joblib, penstock.joblib
def squares():
    with joblib.parallel_config(backend="penstock", n_jobs=2):
        return joblib.Parallel()(joblib.delayed(pow)(n, 2) for n in range(4))
assert squares() == [0, 1, 4, 9]
child = os.fork()
if child == 0:
    assert squares() == [0, 1, 4, 9]
    raise SystemExit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert squares() == [0, 1, 4, 9]
print("done")
"""


def test_a_forked_child_has_a_pipeline_of_its_own(folder: Path) -> None:
    """The parent's goes on; and when both have ended nothing is left, though nobody said so."""
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING]
    ended = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=2 * LIMIT, check=False)
    assert (ended.stdout, ended.stderr) == ("done\n", "")


# ------------------------------------------------------------------------------------- arrays


def test_a_large_array_is_written_once(folder: Path) -> None:
    """All jobs map the one file; what one writes into it no other one sees, nor the caller; then the file is gone."""
    import numpy as np

    array = np.zeros(300_000)
    seen = set()
    with joblib.Parallel(n_jobs=2, backend="penstock", temp_folder=str(folder), batch_size=1) as parallel:
        for value in (0.0, 5.0):
            array[:] = value
            found = parallel(joblib.delayed(add_to)(array, 1.0) for _ in range(10))
            assert found == [value + 1.0] * 10
            seen.add(len(list(folder.glob("penstock-arrays-*/*"))))
        assert parallel(joblib.delayed(array_kind)(array) for _ in range(2)) == ["ndarray"] * 2
    assert seen == {1}
    assert array[0] == 5.0
    assert not list(folder.glob("penstock-arrays-*"))


def test_jobs_write_into_a_file_of_the_user_s(folder: Path) -> None:
    """An array that lies there is that array in the jobs too."""
    import numpy as np

    written = np.memmap(folder / "written", float, "w+", shape=(10,))
    with joblib.parallel_config(backend="penstock", n_jobs=2):
        joblib.Parallel()(joblib.delayed(put)(written, n) for n in range(10))
    assert written.tolist() == list(range(10))
