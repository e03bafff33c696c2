"""Functions travel as they are at each submit, and are serialized once where nothing can have changed since."""

from __future__ import annotations

import math
import pickle
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.client import functions as module
from penstock.client import remembered_functions
from penstock.client.functions import Function, Functions
from penstock.client.module_shipping import Shipper
from penstock.job import payload
from penstock.job.bundle import Bundle
from penstock.job.main_module import ScriptSource
from penstock.job.wrappers import Initializer, Prepared, Surroundings

Main = Callable[[str], types.ModuleType]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    """Runs a script as ``__main__``."""
    made = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", made)

    def run(script: str) -> types.ModuleType:
        exec(script, made.__dict__)
        return made

    return run


@pytest.fixture
def known() -> Functions:
    """Of a client whose workers are elsewhere."""
    return Functions(Shipper())


@pytest.mark.parametrize("function", [pow, math.sqrt, len, payload.dumps, dict, str.upper])
def test_what_has_a_name_is_its_name(known: Functions, function: Callable[..., Any]) -> None:
    """Nothing goes along with it, and it is the same each time."""
    made = known.serialized(function, "pickle")
    assert made == known.serialized(function, "pickle")
    assert pickle.loads(made.code) == function


def test_a_plain_function_of_main_is_serialized_once(main: Main, known: Functions) -> None:
    """Also one that calls itself, or another one, or reads a constant, or makes an object."""
    script = main(
        "import math\nN = 3\nclass A:\n  def b(self): return N\ndef half(x): return x / N + A().b()\n"
        "def f(x, y=2): return f(x - 1) if x else half(math.pi)"
    )
    first = known.serialized(script.f, "pickle")
    payload.dumps(script.A())  # pickling an instance leaves something in its class
    assert known.serialized(script.f, "pickle") is first
    names = {name for one in unbundled(first).definitions for name in one.names}
    assert names == {"math", "N", "A", "half", "f"}


def unbundled(function: Function) -> Bundle:
    """What a function is sent with."""
    found = pickle.loads(function.code)
    assert isinstance(found, Bundle)
    return found


@pytest.mark.parametrize(
    "change",
    [
        "N = 4",
        "def half(x): return x",
        "half.__defaults__ = (1,)",
        "half.__code__ = (lambda x: x).__code__",
        "A.number = 2",
        "A.b = lambda self: 3",
        "data.append(1)",
        "class A: pass",
        "def f(x): return half(x)",
    ],
)
def test_what_changed_is_sent_anew(main: Main, known: Functions, change: str) -> None:
    """A constant, a function it calls, a default, a class, a list: what is sent is what is there now; and what has
    not changed is the same again."""
    script = main(
        "N = 3\ndata = []\nclass A:\n  number = 1\n  def b(self): return data\n"
        "def half(x): return x / N + A().b()\ndef f(x, y=2): return half(x)"
    )
    before = known.serialized(script.f, "pickle")
    assert known.serialized(script.f, "pickle").digest == before.digest
    main(change)
    assert known.serialized(script.f, "pickle").digest != before.digest


@pytest.mark.parametrize("change", ["f.__defaults__ = (3,)", "f.__kwdefaults__ = {'z': 1}", "f.note = 1"])
def test_a_changed_function_is_sent_anew(main: Main, known: Functions, change: str) -> None:
    """What is submitted is looked at, too."""
    script = main("def f(x, y=2): return x")
    before = known.serialized(script.f, "pickle")
    main(change)
    assert known.serialized(script.f, "pickle").digest != before.digest


def test_a_closure_is_what_its_cells_are(known: Functions) -> None:
    """A cell that holds another number now; a list in it that has grown."""
    number, data = 1, [1]

    def closure() -> Any:
        return number, data

    before = known.serialized(closure, "pickle").digest
    assert known.serialized(closure, "pickle").digest == before
    number = 2
    after = known.serialized(closure, "pickle").digest
    data.append(2)
    assert len({before, after, known.serialized(closure, "pickle").digest}) == 3


def test_a_partial_is_serialized_at_each_use(known: Functions) -> None:
    """What is bound to it may have changed; the same bytes have the same digest."""
    bound = partial(sorted, [2, 1])
    before = known.serialized(bound, "pickle")
    assert known.serialized(bound, "pickle") == before
    bound.args[0].append(0)
    assert known.serialized(bound, "pickle").digest != before.digest


def test_what_has_a_state_travels_with_its_arguments(known: Functions) -> None:
    """Each submit of a small partial, bound method or new lambda is one more job of the same function: no batch of its
    own. A large one, and a function that has a name, are sent once."""

    def function(target: Callable[..., Any], *args: Any) -> bytes:
        return known.call(target, args, {}, "pickle")[0].digest

    bound = {function(partial(pow, number), 2) for number in range(3)} | {function([].append, 2)}
    assert bound == {known.serialized(payload.call, "pickle").digest}
    assert function(pow, 2, 3) == known.serialized(pow, "pickle").digest
    assert len({function(partial(len, bytes([number]) * 20_000)) for number in range(3)} & bound) == 0
    digests = [function(lambda number=number: number) for number in range(4)]
    assert digests[0] != digests[1] == digests[2] == digests[3]
    _, item = known.call(partial(pow, 2), (5,), {}, "pickle")
    (args, kwargs) = pickle.loads(item)
    assert payload.call(*args, **kwargs) == 32


def test_what_cannot_be_called_or_serialized_is_an_error() -> None:
    """TypeError, and PicklingError that names the function."""
    known = Functions()
    with pytest.raises(TypeError, match="5 is not callable"):
        known.serialized(5, "pickle")  # type: ignore[arg-type]  # the point
    with pytest.raises(pickle.PicklingError, match=r"the function .*lambda"):
        known.serialized(lambda: None, "msgpack")


def test_a_function_too_large_for_a_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how large it is and what to do."""
    monkeypatch.setattr(module, "MAX_PART_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="the function: 2 MB when serialized, at most 1 MB"):
        Functions().serialized(partial(len, bytes(2 << 20)), "pickle")


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch, main: Main, known: Functions) -> None:
    """The oldest is forgotten, with all that it holds."""
    monkeypatch.setattr(remembered_functions, "CACHED", 2)
    script = main("def f(): pass\ndef g(): pass\ndef h(): pass")
    first = known.serialized(script.f, "pickle")
    assert known.serialized(script.f, "pickle") is first
    for function in (script.g, script.h):
        known.serialized(function, "pickle")
    again = known.serialized(script.f, "pickle")
    assert (again is first, again) == (False, first)


def test_the_culprit_is_named(main: Main, known: Functions, tmp_path: Path) -> None:
    """A global of the script that cannot be sent, with the reason; and what to do where the script has no guard."""
    text = "import socket\nconn = socket.socket()\ndef f(): return conn\nconn.close()"
    script = main(text)
    with pytest.raises(pickle.PicklingError, match=r"'conn' of the script \(socket\) cannot be sent: "):
        known.serialized(script.f, "pickle")

    (tmp_path / "script.py").write_text(text)
    script.__file__ = str(tmp_path / "script.py")
    with pytest.raises(pickle.PicklingError, match=rf"put what runs in {tmp_path}/script.py under `if __name__"):
        known.serialized(script.f, "pickle")


def test_a_script_with_a_guard_goes_whole_where_it_must(main: Main, known: Functions, tmp_path: Path) -> None:
    """What cannot travel by value is made by the script itself, run as a module there."""
    text = "import socket\nconn = socket.socket()\ndef f(): return conn\nif __name__ == '__main__':\n    conn.close()\n"
    (tmp_path / "script.py").write_text(text)
    script = main(text)
    script.__file__ = str(tmp_path / "script.py")
    bundle = unbundled(known.serialized(script.f, "pickle"))
    assert (bundle.definitions, bundle.source) == ((), ScriptSource(script.__file__, "", text))


def test_a_call_is_known_again_though_it_is_prepared_anew() -> None:
    """The key of an initializer is new each time; another initializer, or another environment, is another call."""
    functions = Functions(Shipper())

    def prepared(initializer: Callable[..., Any], key: bytes, **variables: str) -> Function:
        return functions.serialized(
            Prepared(len, Initializer(key, initializer, ()), Surroundings(None, variables)), "pickle"
        )

    first, again = prepared(abs, b"1"), prepared(abs, b"2")
    assert first.digest != again.digest
    assert first.call == again.call
    others = {prepared(max, b"1").call, prepared(abs, b"1", X="1").call, functions.serialized(len, "pickle").call}
    assert len(others | {first.call}) == 4
