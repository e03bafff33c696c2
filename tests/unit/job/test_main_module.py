"""A client's script in the process of a slot: what was defined there means the same here, and comes back as itself."""

from __future__ import annotations

import pickle
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from penstock.client.functions import Functions
from penstock.client.module_shipping import Shipper
from penstock.job import current_job, main_module, payload
from penstock.job.bundle import LoadedFunction
from penstock.job.main_module import Stale


class Both:
    """A client with a script, and the process of one of its slots."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.main = types.ModuleType("__main__")
        self.known = Functions(Shipper())
        self._here: dict[str, Any] = {"digests": {}, "source": None, "module": None}

    def define(self, text: str) -> None:
        """Run something as the script."""
        with self._patch.context() as patch:
            patch.setitem(sys.modules, "__main__", self.main)
            exec(compile(text, "<script>", "exec", dont_inherit=True), vars(self.main))

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Be the slot for a while."""
        with self._patch.context() as patch:
            for name, value in self._here.items():
                patch.setattr(main_module._Here, name, value)
            module = self._here["module"] or types.ModuleType("__main__")
            patch.setitem(sys.modules, "__main__", module)
            patch.setitem(sys.modules, "__mp_main__", module)
            patch.setattr(current_job, "in_slot", lambda: True)
            yield
            self._here = {name: getattr(main_module._Here, name) for name in self._here}

    def run(self, expression: str, *args: Any) -> Any:
        """What a call of the script's comes to."""
        with self._patch.context() as patch:
            patch.setitem(sys.modules, "__main__", self.main)
            function, item = self.known.call(eval(expression, vars(self.main)), args, {}, "pickle")
        with self.slot():
            value = LoadedFunction(function.code, "pickle").runner("blob")(item)
            blob = payload.dumps(value)
        with self._patch.context() as patch:
            patch.setitem(sys.modules, "__main__", self.main)
            return pickle.loads(blob)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both:
    """A new client with a new slot."""
    return Both(monkeypatch)


KINDS = {
    "a cached function": "import functools\n@functools.cache\n"
    "def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)\n"
    "def f(): return fib(9)\nexpected = 34",
    "a cached function itself": "import functools\n@functools.lru_cache(maxsize=3)\ndef f(): return 3\nexpected = 3",
    "a cached method": "import functools\nclass A:\n  @functools.lru_cache\n  def m(self): return 3\n"
    "  @functools.cached_property\n  def p(self): return 4\ndef f(): return A().m() + A().p\nexpected = 7",
    "a generic function": "import functools\n@functools.singledispatch\ndef sd(x): return 'any'\n@sd.register\n"
    "def _(x: int): return 'int'\ndef f(): return sd(1) + sd('a')\nexpected = 'intany'",
    "a generic method": "import functools\nclass A:\n  @functools.singledispatchmethod\n"
    "  def m(self, x): return 'any'\n"
    "  @m.register\n  def _(self, x: int): return 'int'\ndef f(): return A().m(1) + A().m('')\nexpected = 'intany'",
    "a dataclass with slots": "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass P:\n  x: int\n"
    "  y: int = 2\ndef f(): return P(3)\nexpected = P(3)",
    "a frozen dataclass": "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\nclass P:\n  x: int\n"
    "def f(): return P(3)\nexpected = P(3)",
    "private slots": "class P:\n  __slots__ = ('__x',)\n  def __init__(self): self.__x = 1\n"
    "  def __eq__(self, o): return self.__x == o.__x\ndef f(): return P()\nexpected = P()",
    "an enum": "import enum\nclass E(enum.Enum):\n  A = 1\n  B = 2\nclass F(enum.IntFlag):\n  X = 1\n  Y = 2\n"
    "def f(): return E.B, F.X | F.Y\nexpected = (E.B, F.X | F.Y)",
    "a lock, weak values and a context variable": "import threading, weakref, contextvars\nclass L:\n"
    "  lock = threading.RLock()\n  pool = weakref.WeakValueDictionary()\nlock = threading.Lock()\n"
    "var = contextvars.ContextVar('v', default=7)\nlocal = threading.local()\ncondition = threading.Condition()\n"
    "def f():\n  with L.lock, lock, condition: return len(L.pool), var.get(), vars(local)\nexpected = (0, 7, {})",
    "a struct": "import msgspec\nclass S(msgspec.Struct, frozen=True, order=True, tag='s'):\n  x: int\n  y: list = []\n"
    "  def twice(self): return 2 * self.x\ndef f(): return S(3), S(4).twice()\nexpected = (S(3), 8)",
    "a struct of a struct": "import msgspec\nclass A(msgspec.Struct):\n  x: int\nclass B(A):\n  y: int = 1\n"
    "def f(): return B(3, 4), B(5)\nexpected = (B(3, 4), B(5))",
    "a ctypes structure": "import ctypes\nclass C(ctypes.Structure):\n  _fields_ = [('x', ctypes.c_int)]\n"
    "def f(): return bytes(C(5))\nexpected = bytes(C(5))",
    "a generic class": "import typing\nT = typing.TypeVar('T')\nclass G(typing.Generic[T]):\n  def __init__(self, x): "
    "self.x = x\ndef f(): return type(G[int](3)), G(4).x\nexpected = (G, 4)",
    "a protocol and an abstract class": "import typing, abc\nclass Q(typing.Protocol):\n  def m(self): ...\n"
    "class A(abc.ABC):\n  @abc.abstractmethod\n  def m(self): ...\nclass B(A):\n  def m(self): return super().m()\n"
    "def f():\n  try: A()\n  except TypeError: return isinstance(B(), A), B().m()\nexpected = (True, None)",
    "a named tuple": "import typing, collections\nclass N(typing.NamedTuple):\n  x: int\n  y: int = 2\n"
    "M = collections.namedtuple('M', 'a b')\ndef f(): return N(1), M(1, 2)\nexpected = (N(1), M(1, 2))",
    "a typed dictionary": "import typing\nclass D(typing.TypedDict):\n  x: int\n"
    "def f(): return D(x=1)\nexpected = {'x': 1}",
    "classes that register themselves": "class Base:\n  kinds = {}\n  def __init_subclass__(cls, *, key, **kw):\n"
    "    Base.kinds[key] = cls\nclass A(Base, key='a'): pass\nclass B(A, key='b'): pass\n"
    "def f(): return sorted(Base.kinds), Base.kinds['b'] is B\nexpected = (['a', 'b'], True)",
    "classes in a registry of the script": "KINDS = {}\ndef register(cls):\n  KINDS[cls.__name__] = cls\n  return cls\n"
    "class Base:\n  def __init_subclass__(cls): register(cls)\nclass A(Base): pass\n@register\nclass C: pass\n"
    "def f(): return sorted(KINDS), KINDS['A'] is A\nexpected = (['A', 'C'], True)",
    "a metaclass": "class Meta(type):\n  def __call__(cls, *args): return super().__call__(*args)\n"
    "  def hello(cls): return cls.__name__\nclass A(metaclass=Meta): pass\ndef f(): return A.hello()\nexpected = 'A'",
    "a descriptor with __set_name__": "class D:\n  def __set_name__(self, owner, name): self.name = name\n"
    "  def __get__(self, obj, owner=None): return self.name\nclass A:\n  x = D()\n"
    "def f(): return A().x\nexpected = 'x'",
    "nested classes and properties": "class Outer:\n  class Inner:\n    value = 5\n  @property\n  def p(self): "
    "return self.Inner.value\n  @staticmethod\n  def s(): return 1\n  @classmethod\n  def c(cls): return cls.s()\n"
    "def f(): return Outer().p, Outer.c(), Outer.Inner\nexpected = (5, 1, Outer.Inner)",
    "classes that refer to each other": "class A: pass\nclass B:\n  a = A()\nA.b = B()\n"
    "def f(): return type(A().b) is B, type(B().a) is A\nexpected = (True, True)",
    "super and class cells": "class A:\n  def m(self): return 1\nclass B(A):\n  def m(self): return super().m() + "
    "(__class__ is B)\ndef f(): return B().m()\nexpected = 2",
    "an exception with arguments": "class Far(Exception):\n  def __init__(self, where, limit):\n"
    "    super().__init__(where)\n    self.limit = limit\n"
    "  def __reduce__(self): return Far, (self.args[0], self.limit)\n"
    "  def __eq__(self, o): return type(o) is Far and o.limit == self.limit\ndef f(): return Far(1, 2)\n"
    "expected = Far(1, 2)",
    "pickle in a job": "import pickle\nclass T: pass\ndef f(): return type(pickle.loads(pickle.dumps(T()))) is T\n"
    "expected = True",
    "a decorator": "import functools\ndef deco(fn):\n  @functools.wraps(fn)\n  def inner(*a): return fn(*a) + 1\n"
    "  return inner\n@deco\ndef f(): return 2\nexpected = 3",
    "names for annotations": "import typing\nP = typing.ParamSpec('P')\nN = typing.NewType('N', int)\n"
    "def g(x: N, *a: P.args) -> N: return x\ndef f(): return g(N(3)), g.__annotations__['x'] is N, N\n"
    "expected = (3, True, N)",
    "generators, recursion, comprehensions": "N = 2\ndef gen(n): yield from (i * N for i in range(n))\n"
    "def rec(n): return n and n + rec(n - 1)\ndef f(): return [x for x in gen(3)], rec(3)\nexpected = ([0, 2, 4], 6)",
}  # fmt: skip
"""Kinds of things that a script defines."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_script_defines_works_in_a_job(both: Both, kind: str) -> None:
    """Without a guard in the script; and what comes back is of the script's very own classes."""
    both.define(KINDS[kind])
    value = both.run("f")
    assert value == both.main.expected
    assert type(value) is type(both.main.expected)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no such statement here")
def test_a_type_alias_of_a_script_works_in_a_job(both: Both) -> None:
    """Also as an annotation, and as a value."""
    both.define("type A = list[int]\ndef f(x: A) -> A: return x, A")
    assert both.run("f", [1]) == ([1], both.main.A)


def test_globals_have_one_state_in_a_process(both: Both) -> None:
    """Whatever function reads or sets them: as in the processes of a pool."""
    both.define("count = 0\nseen = []\ndef f():\n  global count\n  count += 1\n  seen.append(count)\n  return count\n"
                "def g(): return count, seen\n")  # fmt: skip
    assert [both.run("f"), both.run("f"), both.run("g")] == [1, 2, (2, [1, 2])]


def test_a_function_with_mutable_defaults_is_new_for_each_job(both: Both) -> None:
    """What it left there is not the next one's; a global is the process's."""
    both.define("seen = []\ndef f(x, acc=[]):\n  acc.append(x)\n  seen.append(x)\n  return len(acc), len(seen)")
    assert [both.run("f", 1), both.run("f", 1)] == [(1, 1), (1, 2)]


def test_a_changed_global_is_for_another_process(both: Both) -> None:
    """A process has one version of each name; a new name is no other version."""
    both.define("N = 1\ndef f(): return N\ndef g(): return 5, f()")
    assert [both.run("f"), both.run("g")] == [1, (5, 1)]
    both.define("N = 2")
    with pytest.raises(Stale):
        both.run("f")
    both.define("N = 1")
    assert both.run("f") == 1


def test_classes_of_arguments_are_the_functions_own(both: Both) -> None:
    """An argument's class is the one that the function knows, by name; a lambda's globals are the script's."""
    both.define("class A:\n  def __init__(self, x): self.x = x\ndef is_a(a): return isinstance(a, A) and a.x\n"
                "make = lambda x: A(x)")  # fmt: skip
    assert both.run("is_a", both.main.A(3)) == 3
    assert type(both.run("make", 1)) is both.main.A
    assert both.run("lambda a: type(a) is A", both.main.A(3)) is True


def test_a_traceback_shows_the_lines_of_a_notebook(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells are no files; their text goes along."""
    import linecache

    text = "def f():\n    raise LookupError('here')  # in a cell\n"
    linecache.cache["<cell 1>"] = (len(text), None, text.splitlines(keepends=True), "<cell 1>")
    exec(compile(text, "<cell 1>", "exec"), vars(both.main))
    monkeypatch.setitem(sys.modules, "__main__", both.main)
    function = both.known.serialized(both.main.f, "pickle")
    del linecache.cache["<cell 1>"]
    with both.slot(), pytest.raises(LookupError) as caught:
        LoadedFunction(function.code, "pickle").function()
    assert "raise LookupError('here')  # in a cell" in "".join(traceback.format_exception(caught.value))


GUARDED = """
import threading, socket
conn = socket.socket()
count = [0]
class P:
    pass
def f(p):
    conn.fileno()
    count[0] += 1
    return type(p) is P, count[0]
if __name__ == "__main__":
    raise AssertionError("the script's own work")
conn.close()
"""


def test_a_script_with_a_guard_is_run_as_a_module(both: Both, tmp_path: Any) -> None:
    """Where something of it cannot travel by value: then it is made there, as multiprocessing does it."""
    file = tmp_path / "script.py"
    file.write_text(GUARDED)
    both.main.__file__ = str(file)
    both.define(GUARDED.replace("if __name__", "if not __name__"))
    assert both.run("f", both.main.P()) == (True, 1)
    assert both.run("f", both.main.P()) == (True, 2)
