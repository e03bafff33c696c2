"""Small programs of people who use pools of processes, run as a script: what each one sees.

``python pool_programs.py KIND URL OUT [SKIP ...]`` runs all but those of the names to SKIP through one kind of door
and writes their answers to the file OUT, as JSON. A program is right if it sees what it would see had each function,
argument and result been pickled on its own, at submit and when the job ended. tests/contract/test_alone.py has the
table.
"""

from __future__ import annotations

import abc
import asyncio
import builtins
import concurrent.futures
import contextlib
import contextvars
import copy
import ctypes
import dataclasses
import decimal
import enum
import functools
import importlib
import importlib.util
import io
import itertools
import json
import logging
import multiprocessing
import multiprocessing.shared_memory
import operator
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import types
import typing
import weakref
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

LIMIT = 15.0
"""Seconds a program waits for an answer."""

PROGRAMS: dict[str, Callable[[Door], object]] = {}


def program(run: Callable[[Door], object]) -> Callable[[Door], object]:
    """One more."""
    PROGRAMS[run.__name__] = run
    return run


# ------------------------------------------------------------------------------------- doors


class Door:
    """One process of a kind, to which jobs are given."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self._made: Any = None

    def _make(self, slots: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> Any:
        if self.kind == "pool":
            return multiprocessing.get_context("fork").Pool(slots, initializer, initargs)
        if self.kind == "executor":
            return ProcessPoolExecutor(slots, multiprocessing.get_context("fork"), initializer, initargs)
        from penstock import Pipeline

        where = {"embedded": "local", "running": self.url}.get(self.kind, self.kind)
        made = Pipeline(where, slots=slots if where == "local" else None)
        if initializer is None:
            return made
        view = made.options(initializer=initializer, initargs=initargs)
        view.made = made  # type: ignore[attr-defined]  # lives as long
        return view

    @contextlib.contextmanager
    def fresh(
        self, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = (), slots: int = 1
    ) -> Iterator[Door]:
        """A door of its own."""
        door = Door(self.kind, self.url)
        door._made = self._make(slots, initializer, initargs)
        try:
            yield door
        finally:
            door.end()

    @property
    def made(self) -> Any:
        """Made at the first use."""
        if self._made is None:
            self._made = self._make(1, None, ())
        return self._made

    def end(self) -> None:
        """End it, whatever runs there."""
        made, self._made = self._made, None
        if made is None:
            return
        if self.kind == "pool":
            made.terminate()
        elif self.kind == "executor":
            processes = list((made._processes or {}).values())
            made.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
        else:
            getattr(made, "made", made)._engine.terminate()

    def start(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[], Any]:
        """Submit a job; what is returned waits for its value."""
        if self.kind == "pool":
            result = self.made.apply_async(function, args, kwargs)
            return functools.partial(result.get, LIMIT)
        future = self.made.submit(function, *args, **kwargs)
        return functools.partial(future.result, LIMIT)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The value of a job."""
        return self.start(function, *args, **kwargs)()

    def map(self, function: Callable[..., Any], *iterables: Iterable[Any]) -> list[Any]:
        """The values of many; a pool of the standard library is told not to pickle them together."""
        if self.kind == "pool":
            return list(self.made.starmap_async(function, zip(*iterables), 1).get(LIMIT))  # noqa: B905 - as `map`
        return list(self.made.map(function, *iterables, timeout=LIMIT))

    def error(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
        """What a job raises."""
        try:
            value = self.call(function, *args, **kwargs)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is what is asked for
            return error
        raise AssertionError(f"no error but {value!r}")


# ------------------------------------------------------------------------------------- functions and their state


def collect(seen: list[Any], x: Any) -> int:
    """Fills its first argument."""
    seen.append(x)
    return len(seen)


def gather(x: Any, *, into: list[Any]) -> int:
    """Fills its keyword."""
    into.append(x)
    return len(into)


class Adder:
    """Has state."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def add(self, x: int) -> int:
        """Changes it."""
        self.total += x
        return self.total

    __call__ = add


@program
def partial_submitted(door: Door) -> object:
    function = functools.partial(collect, [])
    return [door.call(function, 1) for _ in range(4)]


@program
def partial_mapped(door: Door) -> object:
    return Counter(door.map(functools.partial(collect, []), range(50)))[1]


@program
def partial_with_a_keyword(door: Door) -> object:
    return Counter(door.map(functools.partial(gather, into=[]), range(30)))[1]


@program
def partial_of_a_partial(door: Door) -> object:
    inner = functools.partial(collect, [])
    return door.map(functools.partial(inner), range(4)) + [door.call(functools.partial(inner), 1) for _ in range(2)]


@program
def partial_of_what_is_not_the_users(door: Door) -> object:
    return door.map(functools.partial(operator.iadd, [0]), [[1]] * 5)


@program
def bound_method_submitted(door: Door) -> object:
    adder = Adder()
    return [door.call(adder.add, 1) for _ in range(4)], adder.total


@program
def bound_method_mapped(door: Door) -> object:
    adder = Adder()
    return Counter(door.map(adder.add, [1] * 40) + door.map(adder.add, [1] * 40))[1], adder.total


@program
def callable_object_mapped(door: Door) -> object:
    return Counter(door.map(Adder(), [1] * 40))[1]


@program
def bound_method_of_a_random_generator(door: Door) -> object:
    return len({door.call(random.Random(7).random), *(door.call(one) for one in [random.Random(7).random] * 3)})


@program
def bound_method_of_a_list(door: Door) -> object:
    values = [1, 2, 3]
    return door.map(values.pop, [0] * 5), values


@program
def an_iterator_as_an_argument(door: Door) -> object:
    iterator = iter([1, 2, 3])
    return [door.call(next, iterator) for _ in range(3)], next(iterator)


def remember(x: int, _seen: list[int] = []) -> int:  # noqa: B006 - what it is about
    """A mutable default."""
    _seen.append(x)
    return len(_seen)


@program
def mutable_default(door: Door) -> object:
    with door.fresh() as one:
        found = [one.call(remember, 1) for _ in range(3)] + one.map(remember, [1] * 3)
    return found, len((remember.__defaults__ or ("",))[0])


class Counting:
    """A class attribute that jobs change."""

    calls = 0


def count_call() -> int:
    """Changes it."""
    Counting.calls += 1
    return Counting.calls


@program
def class_attribute(door: Door) -> object:
    with door.fresh() as one:
        found = one.call(count_call), Counting.calls
    Counting.calls = 0
    return found


@program
def closure_cell(door: Door) -> object:
    seen: list[int] = []

    def note(x: int) -> int:
        seen.append(x)
        return len(seen)

    return door.map(note, range(20)).count(1), door.call(note, 1), len(seen)


@program
def lambda_with_a_mutable_default(door: Door) -> object:
    return door.map(lambda x, _seen=[]: _seen.append(x) or len(_seen), range(20)).count(1)


# ------------------------------------------------------------------------------------- arguments


def take(config: dict[str, int], x: int) -> int:
    """Empties its argument."""
    return config.pop("seed") + x


@program
def argument_of_all_jobs(door: Door) -> object:
    config = {"seed": 100}
    return door.map(take, itertools.repeat(config), range(50)) == list(range(100, 150)), config


@program
def argument_submitted_twice(door: Door) -> object:
    config = {"seed": 1}
    starts = [door.start(take, config, n) for n in range(3)] + [door.start(take, config=config, x=n) for n in range(2)]
    return [get() for get in starts], config


def first_and_all(values: tuple[list[int], ...], x: int) -> int:
    """Changes what a tuple holds."""
    values[0].append(x)
    return len(values[0])


@program
def list_in_a_tuple(door: Door) -> object:
    return set(door.map(first_and_all, itertools.repeat(([],)), range(30)))


@program
def object_with_slots(door: Door) -> object:
    return set(door.map(Adder.add, itertools.repeat(Adder()), [1] * 30))


def fill_bytes(data: bytearray, x: int) -> int:
    """Changes its argument."""
    data.append(x)
    return len(data)


@program
def bytearray_of_all_jobs(door: Door) -> object:
    return set(door.map(fill_bytes, itertools.repeat(bytearray(b"ab")), range(30)))


def is_same(one: list[int], other: list[int]) -> bool:
    """Whether two arguments are one object."""
    one.append(1)
    return one is other and other[-1] == 1 and len(one) == 1


@program
def one_object_in_two_iterables(door: Door) -> object:
    objects: list[list[int]] = [[] for _ in range(20)]
    return set(door.map(is_same, objects, objects)), door.call(is_same, objects[0], objects[0])


def shape(value: list[Any]) -> list[bool]:
    """What a list that holds itself, and one thing twice, is like."""
    return [value[0] is value, value[1] is value[2], value[3]["self"] is value[3]]


@program
def cyclic_argument(door: Door) -> object:
    value: list[Any] = []
    twice: list[int] = []
    inner: dict[str, Any] = {}
    inner["self"] = inner
    value.extend([value, twice, twice, inner])
    return door.call(shape, value), door.map(shape, [value] * 5)[4]


def grow(value: Any) -> list[int]:
    """Sizes of containers after they were changed."""
    value["d"]["k"].append(1)
    value["o"]["x"] = 1
    value["q"].append(1)
    value["s"].add(9)
    value["c"]["a"] += 1
    return [len(value["d"]["k"]), len(value["o"]), len(value["q"]), len(value["s"]), value["c"]["a"]]


@program
def containers_in_containers(door: Door) -> object:
    value = {
        "d": defaultdict(list),
        "o": OrderedDict(),
        "q": deque([1], maxlen=5),
        "s": {1, 2},
        "c": Counter("aa"),
    }
    return [door.map(grow, [value] * 10)[n] for n in (0, 9)] + [door.call(grow, value)]


@program
def argument_changed_after_submit(door: Door) -> object:
    buffer = [0]
    starts = []
    for n in range(20):
        buffer[0] = n
        starts.append(door.start(sum, buffer))
    return [get() for get in starts] == list(range(20))


@program
def buffer_of_a_generator(door: Door) -> object:
    def rows() -> Iterator[list[int]]:
        row = [0]
        for n in range(50):
            row[0] = n
            yield row

    return door.map(sum, rows()) == list(range(50))


def double_first(array: Any) -> float:
    """Writes into its argument."""
    array[0] += 1
    return float(array[0])


@program
def array_of_all_jobs(door: Door) -> object:
    array = np.zeros(100_000)
    seen = {door.call(double_first, array) for _ in range(3)} | set(door.map(double_first, [array] * 5))
    return seen, float(array[0])


@program
def exception_as_an_argument(door: Door) -> object:
    error = ValueError("a", 2)
    error.add_note("noted")
    return door.call(repr, error), door.call(operator.attrgetter("__notes__"), error)


# ------------------------------------------------------------------------------------- results


def fill(n: int, _kept: dict[str, list[int]] = {}) -> list[int]:  # noqa: B006 - what it is about
    """Gives back one buffer again and again."""
    buffer = _kept.setdefault("buffer", [0])
    buffer[0] = n
    return buffer


@program
def one_buffer_returned_again(door: Door) -> object:
    values = [get()[0] for get in [door.start(fill, n) for n in range(100)]] + [
        one[0] for one in door.map(fill, range(100))
    ]
    return values == [*range(100), *range(100)]


def fill_array(n: int) -> Any:
    """Gives back a view of one array again and again."""
    if not hasattr(builtins, "kept_array"):
        builtins.kept_array = np.zeros(1000)  # type: ignore[attr-defined]
    builtins.kept_array[:] = n  # type: ignore[attr-defined]
    return builtins.kept_array[10:20]  # type: ignore[attr-defined]


@program
def one_array_returned_again(door: Door) -> object:
    return [float(one[0]) for one in door.map(fill_array, range(60))] == list(range(60))


SHARED_LIST = [0]


def give(_: object = None) -> list[int]:
    """Always the same list."""
    return SHARED_LIST


@program
def results_are_objects_of_their_own(door: Door) -> object:
    values = door.map(give, range(10))
    values[0].append(1)
    return [len(one) for one in values], SHARED_LIST


def pair_of_one() -> tuple[list[int], list[int]]:
    """One list, twice."""
    one: list[int] = []
    return one, one


@program
def sharing_within_a_result(door: Door) -> object:
    one, other = door.call(pair_of_one)
    return one is other


# ------------------------------------------------------------------------------------- classes of a script


class Color(enum.Enum):
    """Members are one of a kind."""

    RED = 1
    BLUE = "b"


class Flags(enum.IntFlag):
    """These too."""

    A = 1
    B = 2


def same(value: Any) -> Any:
    """What it was given."""
    return value


def is_red(color: Color) -> bool:
    """By identity."""
    return color is Color.RED


@program
def enums(door: Door) -> object:
    back = [door.call(same, one) for one in (Color.RED, Flags.A | Flags.B)]
    return back[0] is Color.RED, back[1] == Flags.A | Flags.B, door.call(is_red, Color.RED), door.map(is_red, Color)


@dataclasses.dataclass
class Plain:
    """A dataclass."""

    x: int
    more: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slim:
    """With slots."""

    x: int


@dataclasses.dataclass(frozen=True, order=True)
class Frozen:
    """Frozen."""

    x: int


class Point(typing.NamedTuple):
    """A namedtuple."""

    x: int
    y: int = 5


class Quick(msgspec.Struct):
    """A Struct."""

    x: int


class Raw(ctypes.Structure):
    """A Structure."""

    _fields_ = (("x", ctypes.c_int),)


def make(kind: type[Any]) -> Any:
    """One of its kind."""
    return kind(3)


@program
def records(door: Door) -> object:
    kinds = (Plain, Slim, Frozen, Point, Quick)
    made = [door.call(make, kind) for kind in kinds]
    back = [door.call(same, kind(4)) for kind in kinds]
    return [
        made == [kind(3) for kind in kinds],
        back == [kind(4) for kind in kinds],
        [type(one).__name__ for one in made],
    ]


@program
def c_structure(door: Door) -> object:
    back = door.call(same, Raw(7))
    return back.x, type(back) is Raw, door.call(make, Raw).x


T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    """Generic."""

    def __init__(self, value: T) -> None:
        self.value = value


class Shape(abc.ABC):
    """Abstract."""

    @abc.abstractmethod
    def area(self) -> float:
        """Of the inner of it."""


class Square(Shape):
    """Calls its parent's."""

    def __init__(self, side: float = 2.0) -> None:
        super().__init__()
        self.side = side

    def area(self) -> float:
        """Of a square."""
        return self.side**2


@program
def generic_and_abstract(door: Door) -> object:
    back = door.call(same, Box[int](3))
    square = door.call(same, Square(3.0))
    return back.value, type(back) is Box, door.map(Square.area, [square]) == [9.0], isinstance(square, Shape)


class Registered:
    """Knows its subclasses."""

    known: typing.ClassVar[list[str]] = []

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.known.append(cls.__name__)


class First(Registered):
    """One."""


class Second(Registered):
    """Two."""


def known() -> list[str]:
    """In the process."""
    return Registered.known


@program
def classes_that_register_themselves(door: Door) -> object:
    return door.call(known), type(door.call(make_first)) is First, Registered.known


def make_first() -> First:
    """One of them."""
    return First()


class Naming(type):
    """A metaclass that counts."""

    made: typing.ClassVar[list[str]] = []

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Naming:
        """Made once."""
        cls.made.append(name)
        return super().__new__(cls, name, bases, body)


class Made(metaclass=Naming):
    """By it."""


@program
def metaclass(door: Door) -> object:
    return type(door.call(make_made)) is Made, type(type(door.call(same, Made()))) is Naming


def make_made() -> Made:
    """One."""
    return Made()


VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=5)


class Holding:
    """What cannot be pickled, at class level."""

    lock = threading.Lock()
    living: typing.ClassVar[Any] = weakref.WeakValueDictionary()
    context = VARIABLE
    here = threading.local()
    pattern = re.compile("a+")
    log = logging.getLogger("alone")

    def use(self) -> tuple[int, int, bool]:
        """All of it."""
        with self.lock:
            self.living["me"] = self
            self.here.x = 1
            return self.context.get(), len(self.living), bool(self.pattern.match("aa"))


def use_holding() -> tuple[int, int, bool]:
    """By the class's name."""
    return Holding().use()


@program
def class_with_what_cannot_be_pickled(door: Door) -> object:
    return door.call(use_holding), door.call(Holding().use), type(door.call(same, Holding())) is Holding


LOCK = threading.Lock()
CALLS = threading.local()


def use_lock() -> int:
    """Of the script."""
    with LOCK:
        CALLS.x = 3
        return int(CALLS.x)


@program
def lock_of_the_script(door: Door) -> object:
    return door.call(use_lock), door.map(use_lock_in_a_map, range(3))


def use_lock_in_a_map(_: int) -> int:
    """For a map."""
    return use_lock()


@functools.cache
def fibonacci(n: int) -> int:
    """Calls itself."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@functools.lru_cache(maxsize=10)
def cubed(x: int) -> int:
    """Bounded."""
    return x**3


@functools.singledispatch
def kind_of(_: object) -> str:
    """Anything."""
    return "any"


@kind_of.register
def _(_: int) -> str:
    return "int"


class Methods:
    """Decorated ones."""

    def __init__(self, x: int) -> None:
        self.x = x

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033 - what it is about
    def doubled(self) -> int:
        """Cached by the object."""
        return 2 * self.x

    @functools.cached_property
    def squared(self) -> int:
        """Cached in the object."""
        return self.x**2

    @functools.singledispatchmethod
    def kind(self, _: object) -> str:
        """Anything."""
        return "any"

    @kind.register
    def _(self, _: int) -> str:
        return "int"

    @classmethod
    def named(cls) -> str:
        """Of the class."""
        return cls.__name__

    @staticmethod
    def plain() -> int:
        """Of nobody."""
        return 1

    @property
    def tripled(self) -> int:
        """A property."""
        return 3 * self.x

    class Inner:
        """Nested."""

        def value(self) -> int:
            """Zero-argument super."""
            return 8


@program
def caches(door: Door) -> object:
    return door.call(fibonacci, 20), door.map(cubed, range(4)), door.map(fibonacci, range(5))


@program
def dispatch_by_type(door: Door) -> object:
    return (
        door.call(kind_of, 1),
        door.call(kind_of, "a"),
        [door.call(kind_by_method, Methods(1), one) for one in (1, "")],
    )


def kind_by_method(one: Methods, value: object) -> str:
    """In a job, where the method is bound."""
    return one.kind(value)


def read_methods(one: Methods) -> list[Any]:
    """All of them."""
    return [one.doubled(), one.squared, one.tripled, one.named(), one.plain(), one.Inner().value()]


@program
def methods_of_all_kinds(door: Door) -> object:
    one = Methods(3)
    found = door.call(read_methods, one), door.call(one.doubled), door.call(Methods.named), door.call(Methods.plain)
    return found, type(door.call(Methods.Inner)) is Methods.Inner


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return "called", function(*args)

    return wrapper


@logged
def decorated(x: int) -> int:
    """With it."""
    return x + 1


@program
def decorated_function(door: Door) -> object:
    return door.call(decorated, 1), door.map(decorated, [1, 2])


def even(n: int) -> bool:
    """By the other one."""
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    """By the other one."""
    return n != 0 and even(n - 1)


@program
def functions_that_call_each_other(door: Door) -> object:
    return door.call(even, 10), door.map(odd, range(4))


SETTING = "old"


def setting() -> str:
    """A global of the script."""
    return SETTING


@program
def global_changed_before_submit(door: Door) -> object:
    global SETTING  # noqa: PLW0603 - what it is about
    SETTING = "old"
    seen = [door.call(setting)]
    SETTING = "new"
    seen.append(door.call(setting))
    return seen


def call_by_name() -> str:
    """By the name it has when it is called."""
    return redefined()


def redefined() -> str:
    """Version one."""
    return "old"


@program
def function_defined_again(door: Door) -> object:
    global redefined  # noqa: PLW0603 - what it is about
    seen = [door.call(call_by_name)]
    before = redefined

    def redefined() -> str:
        return "new"

    try:
        return [*seen, door.call(call_by_name)]
    finally:
        redefined = before


# ------------------------------------------------------------------------------------- initializers


READY = "no"


def get_ready(word: str) -> None:
    """Sets a global of the script."""
    global READY  # noqa: PLW0603 - what it is about
    READY = word


def readiness(_: object = None) -> str:
    """Reads it."""
    return READY


@program
def global_set_by_the_initializer(door: Door) -> object:
    with door.fresh(get_ready, ("yes",)) as one:
        found = [one.call(readiness), *one.map(readiness, range(3))]
    get_ready("no")  # inline it is this process's
    return found


def start_cat() -> None:
    """A process to talk to."""
    builtins.cat = subprocess.Popen(["cat"], stdin=-1, stdout=-1, text=True)  # type: ignore[attr-defined]


def ask_cat(word: str) -> str:
    """Talks to it."""
    cat = builtins.cat  # type: ignore[attr-defined]
    cat.stdin.write(f"{word}\n")
    cat.stdin.flush()
    return str(cat.stdout.readline().strip())


def stop_cat() -> int:
    """Ends it."""
    cat = builtins.cat  # type: ignore[attr-defined]
    cat.stdin.close()
    cat.stdout.close()
    return int(cat.wait())


@program
def what_the_initializer_started(door: Door) -> object:
    with door.fresh(start_cat) as one:
        return [one.call(ask_cat, word) for word in ("a", "b", "c")], one.call(stop_cat)


def seed() -> None:
    """State of the process."""
    random.seed(7)
    decimal.getcontext().prec = 5


def use_seed() -> tuple[float, str]:
    """What was set."""
    return random.random(), str(decimal.Decimal(1) / 3)


@program
def state_set_by_the_initializer(door: Door) -> object:
    with door.fresh(seed) as one:
        expected, third = one.call(use_seed)
    return expected == random.Random(7).random(), third


# ------------------------------------------------------------------------------------- what jobs do


def dump_things() -> list[bool]:
    """Pickles the script's things."""
    back = [pickle.loads(pickle.dumps(one)) for one in (Plain(1), Color.RED, Point(1), Square(2.0), square)]
    return [back[0] == Plain(1), back[1] is Color.RED, back[2] == Point(1), back[3].area() == 4, back[4](3) == 9]


def square(x: int) -> int:
    """The usual one."""
    return x * x


@program
def pickle_inside_of_a_job(door: Door) -> object:
    return door.call(dump_things)


def copy_things() -> list[bool]:
    """Copies them."""
    return [
        copy.deepcopy(Plain(1, [2])) == Plain(1, [2]),
        copy.copy(Point(1)) == Point(1),
        copy.deepcopy(Color.RED) is Color.RED,
    ]


@program
def copies_inside_of_a_job(door: Door) -> object:
    return door.call(copy_things)


def nested_executor() -> list[int]:
    """A pool of its own."""
    with ProcessPoolExecutor(2) as executor:
        return list(executor.map(square, range(4)))


def nested_pool() -> list[int]:
    """And one of the other kind."""
    with multiprocessing.Pool(2) as pool:
        return pool.map(square, range(4))


def nested_process() -> int | None:
    """A process."""
    process = multiprocessing.Process(target=square, args=(3,))
    process.start()
    process.join()
    return process.exitcode


@program
def pools_inside_of_a_job(door: Door) -> object:
    return door.call(nested_executor), door.call(nested_pool), door.call(nested_process)


def put_into(queue: Any, value: Any) -> None:
    """Through a proxy."""
    queue.put(value)


@program
def manager_proxies(door: Door) -> object:
    with multiprocessing.Manager() as manager:
        queue, numbers = manager.Queue(), manager.dict()
        door.call(put_into, queue, 7)
        door.call(operator.setitem, numbers, "a", 1)
        with door.fresh(put_into, (queue, 8)) as one:
            one.call(abs, 1)
        return queue.get(timeout=LIMIT), queue.get(timeout=LIMIT), dict(numbers)


def write_shared(name: str) -> int:
    """Into memory that others see."""
    memory = multiprocessing.shared_memory.SharedMemory(name)
    view: Any = memory.buf
    view[0] += 1
    value = int(view[0])
    del view
    memory.close()
    return value


@program
def shared_memory(door: Door) -> object:
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=16)
    try:
        return [door.call(write_shared, memory.name) for _ in range(2)], bytes(memory.buf or b"")[0]
    finally:
        memory.close()
        memory.unlink()


def leave_a_thread(path: str) -> None:
    """It writes when the job has ended."""

    def write() -> None:
        time.sleep(0.3)
        Path(path).touch()

    threading.Thread(target=write, daemon=True).start()


@program
def thread_left_by_a_job(door: Door) -> object:
    path = Path(tempfile.mkdtemp()) / "written"
    door.call(leave_a_thread, str(path))
    end = time.monotonic() + LIMIT
    while not path.exists() and time.monotonic() < end:
        door.call(time.sleep, 0.01)
    return path.exists()


def fork_and_wait() -> int:
    """The child ends by itself."""
    child = os.fork()
    if child == 0:
        os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@program
def fork_in_a_job(door: Door) -> object:
    return [door.call(fork_and_wait) for _ in range(2)]


def fork_and_return() -> str:
    """Both return."""
    return "parent" if os.fork() else "child"


@program
def fork_that_returns(door: Door) -> object:
    with door.fresh() as one:
        return one.call(fork_and_return), [one.call(square, n) for n in range(5)]


def change_environment() -> str | None:
    """In its process."""
    os.environ["ALONE"] = "changed"
    return os.environ.get("ALONE")


@program
def environment_changed(door: Door) -> object:
    with door.fresh() as one:
        found = one.call(change_environment), os.environ.get("ALONE")
    os.environ.pop("ALONE", None)
    return found


def change_folder() -> str:
    """In its process."""
    os.chdir("/")
    return os.getcwd()


@program
def folder_changed(door: Door) -> object:
    before = os.getcwd()
    with door.fresh() as one:
        found = one.call(change_folder), os.getcwd() == before
    os.chdir(before)
    return found


def replace_output() -> None:
    """For good."""
    sys.stdout = io.StringIO()


def print_something() -> str:
    """To whatever it is."""
    print("something")
    return "printed"


@program
def output_replaced(door: Door) -> object:
    before = sys.stdout
    with door.fresh() as one:
        one.call(replace_output)
        found = one.call(print_something)
    sys.stdout = before
    return found


def signals() -> bool:
    """A handler of its own: only a main thread may set one."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    return threading.current_thread() is threading.main_thread()


def run_a_loop() -> int:
    """An event loop."""

    async def main() -> int:
        await asyncio.sleep(0)
        return 4

    return asyncio.run(main())


def run_a_command() -> str:
    """A process."""
    return subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True, check=True).stdout.strip()


@program
def signals_loops_and_commands(door: Door) -> object:
    return door.call(signals), door.call(run_a_loop), door.call(run_a_command)


def deep(n: int) -> int:
    """Recursion."""
    return 0 if n == 0 else 1 + deep(n - 1)


def set_recursion(n: int) -> int:
    """Beyond the default."""
    sys.setrecursionlimit(max(5000, sys.getrecursionlimit()))
    return deep(n)


@program
def deep_recursion(door: Door) -> object:
    before = sys.getrecursionlimit()
    try:
        return door.call(deep, 500), door.call(set_recursion, 2000), type(door.error(deep, 10**6)).__name__
    finally:
        sys.setrecursionlimit(before)


# ------------------------------------------------------------------------------------- errors


class Refusal(Exception):  # noqa: N818
    """Of the script, with more than a text."""

    def __init__(self, code: int, *, why: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.why = why


def refuse(code: int) -> None:
    """Raises it."""
    error = Refusal(code, why="because")
    error.add_note("noted")
    raise error


def refuse_many() -> None:
    """In a group."""
    raise ExceptionGroup("several", [Refusal(1), ValueError(2)])


@program
def exceptions_of_the_script(door: Door) -> object:
    error, group = door.error(refuse, 3), door.error(refuse_many)
    assert isinstance(error, Refusal)
    assert isinstance(group, ExceptionGroup)
    return error.code, error.why, "noted" in error.__notes__, [type(one).__name__ for one in group.exceptions]


@program
def traceback_of_the_job(door: Door) -> object:
    error = door.error(refuse, 3)
    return "in refuse" in str(error.__cause__), "raise error" in str(error.__cause__)


class Falsy(Exception):  # noqa: N818
    """An error that is false."""

    def __len__(self) -> int:
        return 0


def raise_falsy(_: object = None) -> None:
    """It is one all the same."""
    raise Falsy


@program
def error_that_is_false(door: Door) -> object:
    found = [type(door.error(raise_falsy)).__name__]
    with contextlib.suppress(Falsy):
        found.append(f"swallowed: {door.map(raise_falsy, range(3))}")
    return found


@dataclasses.dataclass(frozen=True)
class Fixed(Exception):  # noqa: N818
    """Refuses a cause."""

    x: int = 1


def raise_fixed() -> None:
    """It."""
    raise Fixed


@program
def error_that_refuses_a_cause(door: Door) -> object:
    return type(door.error(raise_fixed)).__name__, door.call(square, 3)


def exit_with(code: int) -> None:
    """Wants its process to end."""
    sys.exit(code)


@program
def job_that_exits(door: Door) -> object:
    return getattr(door.error(exit_with, 3), "code", None), door.call(square, 3)


def give_a_lock() -> Any:
    """Cannot be pickled."""
    return threading.Lock()


@program
def what_cannot_be_pickled(door: Door) -> object:
    door.error(give_a_lock)
    door.error(same, threading.Lock())
    return door.call(square, 3), door.map(square, range(3))


class Fragile:
    """Cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return rebuild, ()


def rebuild() -> Fragile:
    """Nowhere."""
    raise LookupError("not here")


def fragile_fifth(n: int) -> Any:
    """One of many."""
    return Fragile() if n == 5 else n


@program
def result_that_cannot_be_rebuilt(door: Door) -> object:
    starts = [door.start(fragile_fifth, n) for n in range(8)]
    found: list[Any] = []
    for get in starts:
        try:
            found.append(get())
        except Exception:  # noqa: BLE001 - one is expected
            found.append("error")
    return found, door.call(square, 3)


# ------------------------------------------------------------------------------------- modules


def write_module(name: str, text: str, folder: str | None = None) -> str:
    """A module of the user's, importable from now on."""
    if folder is None:
        folder = tempfile.mkdtemp()
        sys.path.insert(0, folder)
    path = Path(folder) / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    importlib.invalidate_caches()
    return folder


@program
def module_of_ones_own(door: Door) -> object:
    write_module(
        "alone_own",
        """
        import dataclasses, enum
        N = 1
        class E(enum.Enum): A = 1
        @dataclasses.dataclass
        class D: x: int
        class Oops(Exception): pass
        def number(): return N
        def oops(): raise Oops(1)
        def made(): return D(2), E.A
        """,
    )
    own: Any = importlib.import_module("alone_own")
    own.N = 5
    with door.fresh() as one:
        made, member = one.call(own.made)
        return one.call(own.number), made == own.D(2), member is own.E.A, isinstance(one.error(own.oops), own.Oops)


def import_late(x: int) -> int:
    """Imports where it is used."""
    import alone_late.sub  # type: ignore[import-not-found]  # there only when the program runs

    return int(alone_late.sub.add(x))


@program
def submodule_imported_inside_of_a_function(door: Door) -> object:
    folder = write_module("alone_late/__init__", "")
    write_module("alone_late/sub", "from . import other\ndef add(x): return other.add(x)\n", folder)
    write_module("alone_late/other", "def add(x): return x + 1\n", folder)
    with door.fresh() as one:
        return one.call(import_late, 1)


@program
def package_with_data(door: Door) -> object:
    text = """
    import importlib.resources, pkgutil, pathlib
    def read():
        return (importlib.resources.files(__package__).joinpath("w.txt").read_text(),
                pkgutil.get_data(__package__, "w.txt").decode(), pathlib.Path(__file__).with_name("w.txt").read_text())
    """
    folder = write_module("alone_data/__init__", text)
    (Path(folder) / "alone_data" / "w.txt").write_text("hello")
    package: Any = importlib.import_module("alone_data")
    with door.fresh() as one:
        return one.call(package.read)


@program
def namespace_package(door: Door) -> object:
    write_module("alone_space/inner/leaf", "from alone_space import twig\ndef f(): return twig.g()\n")
    write_module("alone_space/twig", "def g(): return 6\n")  # in another folder
    leaf: Any = importlib.import_module("alone_space.inner.leaf")
    with door.fresh() as one:
        return one.call(leaf.f)


@program
def module_in_a_zip(door: Door) -> object:
    path = Path(tempfile.mkdtemp()) / "lib.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("alone_zipped/__init__.py", "from . import part\ndef f(): return part.g()\n")
        file.writestr("alone_zipped/part.py", "def g(): return 7\n")
    sys.path.insert(0, str(path))
    zipped: Any = importlib.import_module("alone_zipped")
    with door.fresh() as one:
        return one.call(zipped.f)


@program
def module_by_its_path(door: Door) -> object:
    path = Path(tempfile.mkdtemp()) / "some file.py"
    path.write_text("class C: x = 3\ndef f(): return C()\n")
    spec = importlib.util.spec_from_file_location("alone_by_path", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["alone_by_path"] = module
    spec.loader.exec_module(module)
    with door.fresh() as one:
        return type(one.call(module.f)) is module.C


@program
def module_without_a_file(door: Door) -> object:
    module: Any = types.ModuleType("alone_made_up")
    sys.modules["alone_made_up"] = module
    exec("N = 4\ndef f(): return N\n", module.__dict__)
    with door.fresh() as one:
        return one.call(module.f)


@program
def modules_that_import_each_other(door: Door) -> object:
    folder = write_module("alone_one", "import alone_two\ndef f(n): return 0 if not n else alone_two.g(n - 1)\n")
    write_module("alone_two", "import alone_one\ndef g(n): return 1 + alone_one.f(n)\n", folder)
    one: Any = importlib.import_module("alone_one")
    with door.fresh() as other:
        return other.call(one.f, 5)


@program
def module_edited_and_not_reloaded(door: Door) -> object:
    folder = write_module("alone_edited", "def f(): return 'old'\n")
    module: Any = importlib.import_module("alone_edited")
    with door.fresh() as one:
        seen = [one.call(module.f)]
        write_module("alone_edited", "def f(): return 'new one'\n", folder)
        return [*seen, one.call(module.f), module.f()]


@program
def module_reloaded(door: Door) -> object:
    folder = write_module("alone_reloaded", "def f(): return 'old'\n")
    module: Any = importlib.import_module("alone_reloaded")
    with door.fresh() as one:
        seen = [one.call(module.f)]
        write_module("alone_reloaded", "def f(): return 'new one'\n", folder)
        importlib.reload(module)
        return [*seen, one.call(module.f), *one.map(call_it, [module.f] * 2)]


def call_it(function: Callable[[], Any]) -> Any:
    """A function as an argument."""
    return function()


@program
def module_that_came_later(door: Door) -> object:
    door.call(abs, 1)
    write_module("alone_later", "def f(): return 8\n")
    module: Any = importlib.import_module("alone_later")
    return door.call(module.f), door.map(call_it, [module.f])


@program
def module_by_value(door: Door) -> object:
    import cloudpickle

    write_module("alone_value", "N = 1\ndef f(): return N\n")
    module: Any = importlib.import_module("alone_value")
    cloudpickle.register_pickle_by_value(module)
    with door.fresh() as one:
        seen = [one.call(module.f)]
        module.N = 2
        return [*seen, one.call(module.f)]


def nested_with(function: Callable[..., Any]) -> list[Any]:
    """A pool inside of a job, of a module that was sent."""
    with ProcessPoolExecutor(1) as executor:
        return [executor.submit(function).result()]


@program
def module_in_a_pool_inside_of_a_job(door: Door) -> object:
    write_module("alone_inside", "def f(): return 9\n")
    module: Any = importlib.import_module("alone_inside")
    with door.fresh() as one:
        return one.call(nested_with, module.f)


@program
def path_object_in_the_path(door: Door) -> object:
    folder = Path(tempfile.mkdtemp())
    sys.path.insert(0, folder)  # type: ignore[arg-type]  # people do
    try:
        with door.fresh() as one:
            return one.call(square, 3)
    finally:
        sys.path.remove(folder)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------- all of them


def plain(value: Any) -> Any:
    """An answer as JSON has it."""
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return value if isinstance(value, str | int | float | None) else repr(value)


def answers(door: Door, skipped: list[str]) -> Iterator[tuple[str, Any]]:
    """What each program sees. One that failed has a new process after it."""
    for name, run in PROGRAMS.items():
        if name in skipped:
            continue
        try:
            yield name, plain(run(door))
        except (Exception, concurrent.futures.CancelledError) as error:  # noqa: BLE001 - it is the answer
            yield name, f"raised {type(error).__name__}: {error}".splitlines()[0][:150]
            door.end()


def main(kind: str, url: str, out: str, *skipped: str) -> None:
    """Run them through one kind of door."""
    door = Door(kind, url)
    only = os.environ.get("ALONE_ONLY", "").split()  # for whoever looks for the reason of one
    found = dict(answers(door, [name for name in PROGRAMS if name in skipped or (only and name not in only)]))
    door.end()
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
