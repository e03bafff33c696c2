"""What to do about a value that cannot be sent to a job, or a function that no job can run: for people.

Nothing here decides whether it can be sent: the serializer has said no by then, and its words are about pickles.
"""

from __future__ import annotations

import functools
import inspect
import io
import pickle
import queue
import socket
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any

from penstock.job.imported_modules import imported

ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
LOOKED_AT = 1_000
"""Values inside of a value that are looked at for the one that cannot be sent."""

LOCK = "a lock is of one process: make one in the job, or pass a multiprocessing.Manager()'s"
INHERITED = "it is only inherited by processes that are forked: pass a multiprocessing.Manager()'s instead"
THERE = "inside a job, make one there"
AWAITED = "a coroutine runs in one event loop: pass what it gives, asyncio.run(...) or await"

KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (Future, "pass future.result(), or give what comes next to batch(..., after=batch)"),
    (Executor, THERE),
    ((type(threading.Lock()), type(threading.RLock())), LOCK),
    ((threading.Condition, threading.Event, threading.Semaphore, threading.Barrier), LOCK),
    (threading.Thread, "it runs in this process: start one in the job"),
    ((queue.Queue, queue.SimpleQueue), "a queue is of one process: pass a multiprocessing.Manager()'s"),
    ((types.CoroutineType, types.AsyncGeneratorType), AWAITED),
    (types.GeneratorType, "a generator cannot be sent: pass a list of what it yields"),
    (io.IOBase, "an open file cannot be sent: pass its path, and open it in the job"),
    (socket.socket, "a connection cannot be sent: pass the address, and connect in the job"),
)
"""Of values that cannot be sent: what to do instead."""

LATER = (
    ("asyncio", ("Future",), "pass what it gives: await it first"),
    ("multiprocessing.synchronize", ("SemLock", "Condition", "Event", "Barrier"), INHERITED),
    ("multiprocessing.queues", ("Queue", "SimpleQueue"), INHERITED),
    ("multiprocessing.connection", ("Connection",), INHERITED),
    ("multiprocessing.sharedctypes", ("SynchronizedBase",), INHERITED),
    ("multiprocessing.pool", ("Pool",), THERE),
    ("penstock.adapters.pool", ("Pool",), THERE),
    ("penstock.client.batch", ("Batch",), "pass batch.id, and in the job attach it: Pipeline(url).attach(id)"),
)
"""The same of modules that may not be imported: nobody has such a value then."""


def advice_on(value: object) -> str:
    """What to do about the first value in it, itself included, of a kind that cannot be sent; empty: there is none that
    is known."""
    kinds = [*KINDS, *((_known(module, names), advice) for module, names, advice in LATER)]
    for one in _inside(value):
        for kind, advice in kinds:
            if isinstance(one, kind):
                return advice
    return ""


def explained(error: BaseException, value: object) -> BaseException:
    """The error of a serializer, with what to do about the value that it has refused, if that is known."""
    if type(error) is not pickle.PicklingError:
        return error
    try:
        advice = advice_on(value)
    except Exception:  # noqa: BLE001 - to look at a value may run its own code
        return error
    if not advice or advice in str(error):
        return error
    better = pickle.PicklingError(f"{error}: {advice}")
    better.__cause__ = error.__cause__ or error
    return better


def ensure_plain(function: object) -> None:
    """Raises TypeError: a job that calls it would make a coroutine that nobody runs."""
    while isinstance(function, functools.partial):
        function = function.func
    if _is_async(function if _is_function(function) else vars(type(function)).get("__call__")):
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        raise TypeError(
            f"{name} is an async def: a job that calls it makes a coroutine that nobody runs; submit a plain function,"
            f" like lambda *args: asyncio.run({name}(*args))"
        )


def _is_function(function: object) -> bool:
    return isinstance(function, types.FunctionType | types.BuiltinFunctionType | types.MethodType | type)


def _is_async(function: object) -> bool:
    function = getattr(function, "__func__", function)
    if isinstance(function, types.FunctionType):
        return bool(function.__code__.co_flags & ASYNC) or inspect.iscoroutinefunction(function)
    return False


def _known(module: str, names: tuple[str, ...]) -> tuple[type, ...]:
    """These classes, if somebody has imported them."""
    there = imported(module)
    return () if there is None else tuple(getattr(there, name) for name in names)


def _inside(value: object) -> Iterator[object]:
    """A value, and what is in it: nearest first, at most LOOKED_AT."""
    waiting: deque[object] = deque([value])
    seen: set[int] = set()
    for _ in range(LOOKED_AT):
        if not waiting:
            return
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.extend(islice(_parts(one), LOOKED_AT))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, str | bytes | int | float | type | types.ModuleType):
        return
    if isinstance(value, list | tuple | set | frozenset | deque):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        yield value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    else:
        held = getattr(value, "__dict__", None)
        yield from held.values() if isinstance(held, Mapping) else ()
        for name in getattr(type(value), "__slots__", ()):
            yield getattr(value, name, None)


def _parts_of_function(function: Callable[..., Any]) -> Iterator[Any]:
    assert isinstance(function, types.FunctionType)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty
            continue
    if function.__module__ == "__main__":  # whose globals go along
        yield from (function.__globals__.get(name) for name in function.__code__.co_names)
