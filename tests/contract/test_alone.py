"""Each job is alone, as in a process of its own: one table of programs, the same answers through every door.

The programs are in tests/pool_programs.py, which runs as a script, through one door at a time.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.contract import echo
from penstock import Pipeline, guide
from support import pool_programs
from support.object_graphs import ITEMS, NODES, Node, alone, build, look, look_at_all
from support.stations import LIMIT

SCRIPT = Path(pool_programs.__file__)

STANDARD = ("pool", "executor")
"""multiprocessing.Pool and ProcessPoolExecutor, forked."""
OURS = ("inline", "embedded", "running")

EXPECTED: dict[str, Any] = {
    # functions and their state
    "partial_submitted": [1, 1, 1, 1],
    "partial_mapped": 50,
    "partial_with_a_keyword": 30,
    "partial_of_a_partial": [1] * 6,
    "partial_of_what_is_not_the_users": [[0, 1]] * 5,
    "bound_method_submitted": [[1, 1, 1, 1], 0],
    "bound_method_mapped": [80, 0],
    "callable_object_mapped": 40,
    "bound_method_of_a_random_generator": 1,
    "bound_method_of_a_list": [[1] * 5, [1, 2, 3]],
    "an_iterator_as_an_argument": [[1, 1, 1], 1],
    "mutable_default": [[1] * 6, 0],
    "class_attribute": [1, 0],
    "closure_cell": [20, 1, 0],
    "lambda_with_a_mutable_default": 20,
    # arguments
    "argument_of_all_jobs": [True, {"seed": 100}],
    "argument_submitted_twice": [[1, 2, 3, 1, 2], {"seed": 1}],
    "list_in_a_tuple": [1],
    "object_with_slots": [1],
    "bytearray_of_all_jobs": [3],
    "one_object_in_two_iterables": [[True], True],
    "cyclic_argument": [[True] * 3, [True] * 3],
    "containers_in_containers": [[1, 1, 2, 3, 3]] * 3,
    "argument_changed_after_submit": True,
    "buffer_of_a_generator": True,
    "array_of_all_jobs": [[1.0], 0.0],
    "exception_as_an_argument": ["ValueError('a', 2)", ["noted"]],
    # results
    "one_buffer_returned_again": True,
    "one_array_returned_again": True,
    "results_are_objects_of_their_own": [[2] + [1] * 9, [0]],
    "sharing_within_a_result": True,
    # classes and functions of a script
    "enums": [True, True, True, [True, False]],
    "records": [True, True, ["Plain", "Slim", "Frozen", "Point", "Quick"]],
    "c_structure": [7, True, 3],
    "generic_and_abstract": [3, True, True, True],
    "classes_that_register_themselves": [["First", "Second"], True, ["First", "Second"]],
    "metaclass": [True, True],
    "class_with_what_cannot_be_pickled": [[5, 1, True], [5, 1, True], True],
    "lock_of_the_script": [3, [3, 3, 3]],
    "caches": [6765, [0, 1, 8, 27], [0, 1, 1, 2, 3]],
    "dispatch_by_type": ["int", "any", ["int", "any"]],
    "methods_of_all_kinds": [[[6, 9, 9, "Methods", 1, 8], 6, "Methods", 1], True],
    "decorated_function": [["called", 2], [["called", 2], ["called", 3]]],
    "functions_that_call_each_other": [True, [False, True, False, True]],
    "global_changed_before_submit": ["old", "new"],
    "function_defined_again": ["old", "new"],
    # initializers
    "global_set_by_the_initializer": ["yes"] * 4,
    "what_the_initializer_started": [["a", "b", "c"], 0],
    "state_set_by_the_initializer": [True, "0.33333"],
    # what jobs do
    "pickle_inside_of_a_job": [True] * 5,
    "copies_inside_of_a_job": [True] * 3,
    "pools_inside_of_a_job": [[0, 1, 4, 9], [0, 1, 4, 9], 0],
    "manager_proxies": [7, 8, {"a": 1}],
    "shared_memory": [[1, 2], 2],
    "thread_left_by_a_job": True,
    "fork_in_a_job": [3, 3],
    "fork_that_returns": ["parent", [0, 1, 4, 9, 16]],
    "environment_changed": ["changed", None],
    "folder_changed": ["/", True],
    "output_replaced": "printed",
    "signals_loops_and_commands": [True, 4, "5"],
    "deep_recursion": [500, 2000, "RecursionError"],
    # errors
    "exceptions_of_the_script": [3, "because", True, ["Refusal", "ValueError"]],
    "traceback_of_the_job": [True, True],
    "error_that_is_false": ["Falsy"],
    "error_that_refuses_a_cause": ["Fixed", 9],
    "job_that_exits": [3, 9],
    "what_cannot_be_pickled": [9, [0, 1, 4]],
    "result_that_cannot_be_rebuilt": [[0, 1, 2, 3, 4, "error", 6, 7], 9],
    # modules
    "module_of_ones_own": [5, True, True, True],
    "submodule_imported_inside_of_a_function": 2,
    "package_with_data": ["hello"] * 3,
    "namespace_package": 6,
    "module_in_a_zip": 7,
    "module_by_its_path": True,
    "module_without_a_file": 4,
    "modules_that_import_each_other": 5,
    "module_edited_and_not_reloaded": ["old"] * 3,
    "module_reloaded": ["old", "new one", "new one", "new one"],
    "module_that_came_later": [8, [8]],
    "module_by_value": [1, 2],
    "module_in_a_pool_inside_of_a_job": [9],
    "path_object_in_the_path": 9,
}

NOT_RUN = object()
"""The answer of a program that would hang, or end its process."""


class Difference(NamedTuple):
    """What some doors answer, and why: the words that stand in the guide."""

    doors: tuple[str, ...]
    answer: Any
    reason: str


AT_SUBMIT = "a name means what it means in the client at submit"
ARGUMENTS = "arguments are what they are at submit"
BY_VALUE = "lambdas, closures and functions inside of functions travel"
STAYS = "what a job leaves in a default or a cell stays with that job"
INLINE = "`inline` runs jobs in this very process"
ALONE = "a job that exits, forks, or returns what cannot be rebuilt disturbs no other"
NESTED = "jobs may have pools of their own"

NO_FILE = "a module that has no file stays where it was made, unless `cloudpickle.register_pickle_by_value` was told"

DIFFERENT: dict[str, list[Difference]] = {
    "mutable_default": [Difference(STANDARD, [[1, 2, 3, 4, 5, 6], 0], STAYS)],
    "class_attribute": [Difference(("inline",), [1, 1], INLINE)],
    "module_without_a_file": [Difference(("embedded", "running"), NOT_RUN, NO_FILE)],
    "environment_changed": [Difference(("inline",), ["changed", "changed"], INLINE)],
    "folder_changed": [Difference(("inline",), ["/", False], INLINE)],
    "closure_cell": [Difference(STANDARD, NOT_RUN, BY_VALUE)],
    "lambda_with_a_mutable_default": [Difference(STANDARD, NOT_RUN, BY_VALUE)],
    "argument_changed_after_submit": [Difference(STANDARD, NOT_RUN, ARGUMENTS)],
    "buffer_of_a_generator": [Difference(STANDARD, NOT_RUN, ARGUMENTS)],
    "global_changed_before_submit": [Difference(STANDARD, ["old", "old"], AT_SUBMIT)],
    "function_defined_again": [Difference(STANDARD, ["old", "old"], AT_SUBMIT)],
    "module_reloaded": [Difference(STANDARD, ["old"] * 4, AT_SUBMIT)],
    "module_by_value": [Difference(STANDARD, [1, 1], AT_SUBMIT)],
    "module_that_came_later": [Difference(STANDARD, NOT_RUN, AT_SUBMIT)],
    "pools_inside_of_a_job": [Difference(("pool",), NOT_RUN, NESTED)],
    "module_in_a_pool_inside_of_a_job": [Difference(("pool",), NOT_RUN, NESTED)],
    "fork_that_returns": [Difference(STANDARD, NOT_RUN, ALONE), Difference(("inline",), NOT_RUN, INLINE)],
    "job_that_exits": [Difference(("pool",), NOT_RUN, ALONE)],
    "error_that_is_false": [Difference(("executor",), NOT_RUN, ALONE)],
    "error_that_refuses_a_cause": [Difference(STANDARD, NOT_RUN, ALONE)],
    "result_that_cannot_be_rebuilt": [Difference(STANDARD, NOT_RUN, ALONE)],
}


def expected_of(door: str) -> dict[str, Any]:
    """The answers that this door is to give."""
    answers = dict(EXPECTED)
    for name, differences in DIFFERENT.items():
        for one in differences:
            if door in one.doors:
                answers[name] = one.answer
    return answers


def answers_of(door: str, url: str, folder: Path) -> dict[str, Any]:
    """The answers that it gives."""
    out = folder / "answers"
    skipped = [name for name, answer in expected_of(door).items() if answer is NOT_RUN]
    environment = {**os.environ, "PYTHONPATH": ""}  # the script's folder is on its path, as that of every script
    subprocess.run(
        [sys.executable, str(SCRIPT), door, url, str(out), *skipped],
        cwd=folder,
        env=environment,
        timeout=6 * LIMIT,
        check=True,
    )
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.fixture(scope="module", params=[*STANDARD, *OURS])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A kind of door, and where it leads to."""
    return request.param, request.getfixturevalue("running") if request.param == "running" else ""


def test_each_job_is_alone(place: tuple[str, str], folder: Path) -> None:
    """What each program sees is what it would see if each of its jobs had a process of its own."""
    door, url = place
    found = answers_of(door, url, folder)
    expected = {name: answer for name, answer in expected_of(door).items() if answer is not NOT_RUN}
    wrong = [
        f"{name}: {found.get(name)}, should be {answer}"
        for name, answer in expected.items()
        if found.get(name) != answer
    ]
    assert not wrong, "\n".join(["", *wrong])
    assert found.keys() == expected.keys()


def test_graphs_of_objects_through_a_pipeline() -> None:
    """Through map, batch and submit, with whatever cuts: functions, arguments and results as if pickled one by one."""
    with Pipeline("local", slots=2) as pipeline:

        @settings(max_examples=10)
        @given(NODES, ITEMS, st.integers(1, 9))
        @example([("list", [0, 1]), ("dict", [0]), ("slots", [0, 1]), ("tuple", [0])], [0, 0, 1, 2, 3, 0], 3)
        def check(nodes: list[Node], places: list[int], chunksize: int) -> None:
            made = build(nodes)
            items = [made[place % len(made)] for place in places]
            expected = alone(items)
            assert list(pipeline.map(look, items, chunksize=chunksize)) == expected
            assert list(pipeline.batch(look, items).values()) == expected
            assert [future.result(LIMIT) for future in [pipeline.submit(look, item) for item in items]] == expected
            assert [look(value) for value in pipeline.map(echo, items, chunksize=chunksize)] == expected
            with_first = alone(items, lambda item: look_at_all(pickle.loads(pickle.dumps(made[0])), item))
            assert list(pipeline.map(partial(look_at_all, made[0]), items, chunksize=chunksize)) == with_first

        check()


def test_every_difference_stands_in_the_guide() -> None:
    """With its reason; and the table has every program."""
    said = " ".join(guide.page("from-multiprocessing").text.split())
    assert [one.reason for some in DIFFERENT.values() for one in some if one.reason not in said] == []
    assert EXPECTED.keys() == pool_programs.PROGRAMS.keys()
