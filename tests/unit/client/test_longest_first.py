"""`cost=`: the longest first, chunks by cost, values in the order of the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Pipeline
from penstock.client.functions import Function
from penstock.client.longest_first import LongestFirst, map_longest_first
from penstock.client.map import MapRequest
from penstock.client.results import Piece
from penstock.job.spec import BatchSpec


class Mapper:
    """Two slots; jobs come to their own argument, neighbours of a chunk in one piece, the last chunk first."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.is_closed = False

    def slots(self) -> int:
        return 2

    def start_map(self, request: MapRequest) -> Mapper:
        chunk = request.chunk
        assert chunk is not None
        (plan,) = request.iterables
        items = list(plan)
        first = 0
        while first < len(items):
            part = items[first : first + chunk(first)]
            self.pieces.append(Piece(first, len(part), part, None))
            first += len(part)
        return self

    def results(self) -> Iterator[Any]:
        raise AssertionError("it is read piece by piece")

    def next_piece(self, timeout: float | None = None) -> Piece | None:  # noqa: ARG002
        return self.pieces.pop() if self.pieces else None

    def watch(self, results: object) -> None:
        """Nothing runs on."""

    def close(self) -> None:
        self.is_closed = True


def run(mapper: Mapper, items: Any, cost: Any, *, ordered: bool = True) -> Iterator[Any]:
    return map_longest_first(mapper, MapRequest(BatchSpec(), Function.of(b"f"), [items], ordered=ordered), cost)


@given(st.lists(st.floats(0, 100)))
def test_values_come_in_the_order_of_the_input(costs: list[float]) -> None:
    """However they arrive; unordered, as they arrive; and the map is closed."""
    mapper = Mapper()
    assert list(run(mapper, range(len(costs)), costs)) == list(range(len(costs)))
    assert mapper.is_closed
    values = list(run(Mapper(), range(len(costs)), costs, ordered=False))
    assert sorted(values) == list(range(len(costs)))


@given(st.lists(st.floats(0, 100), min_size=1), st.integers(1, 200))
def test_the_longest_go_first_in_chunks_of_a_share_of_the_cost(costs: list[float], chunks: int) -> None:
    """A job leaves no later than a shorter one; without its last job no chunk has more than a share."""
    plan = LongestFirst([range(len(costs))], costs)
    assert [costs[place] for place in plan.order] == sorted(costs, reverse=True)
    assert list(plan) == plan.order
    first, cut = 0, plan.cutting(chunks)
    while first < len(costs):
        jobs = cut(first)
        assert 1 <= jobs <= max(1, -(-len(costs) // chunks))
        assert sum(costs[place] for place in plan.order[first : first + jobs - 1]) <= sum(costs) / chunks * (1 + 1e-9)
        first += jobs


def test_a_function_tells_the_cost_from_the_arguments() -> None:
    """All of them."""
    assert list(LongestFirst(["abc", [1, 2, 3]], lambda letter, size: size * (letter != "b"))) == [
        ("c", 3),
        ("a", 1),
        ("b", 2),
    ]


def test_an_error_of_the_input_comes_behind_what_it_gave() -> None:
    """As without a cost."""

    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("disk on fire")

    plan = iter(LongestFirst([items()], abs))
    assert [next(plan), next(plan)] == [2, 1]
    with pytest.raises(OSError, match="disk on fire"):
        next(plan)


@pytest.mark.parametrize(
    ("cost", "error", "text"),
    [
        ([1, 2], ValueError, "2 numbers for 3 jobs"),
        ([1, -1, 2], ValueError, "job 1"),
        ([1, 2, float("nan")], ValueError, "job 2"),
        ([1, "2", 3], ValueError, "job 1"),
        (7, TypeError, "a function or a list"),
        (lambda x: 1 / x, ZeroDivisionError, "zero"),
    ],
)
def test_a_wrong_cost_is_refused_before_anything_runs(cost: Any, error: type[Exception], text: str) -> None:
    """Too short, negative, no number, or a function that raises."""
    with pytest.raises(error, match=text):
        run(Mapper(), range(3), cost)


def test_cost_is_another_way_to_cut_than_chunksize() -> None:
    """Both at once contradict each other; inline pipelines take a cost as well."""
    with Pipeline("inline") as pipeline:
        assert list(pipeline.map(pow, [2, 3], [5, 2], cost=lambda _, power: power)) == [32, 9]
        with pytest.raises(ValueError, match="leave out chunksize"):
            pipeline.map(abs, [1], cost=abs, chunksize=2)
