"""What a job is to be given, serialized; what cannot be is named, with what to do about it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from penstock.client.argument_pickling import ItemDumper
from penstock.client.functions import Function, Functions
from penstock.job import function_names, payload
from penstock.job.advice import ensure_plain, explained
from penstock.job.run_limit import Limited
from penstock.job.wrappers import Initializer, Prepared


def serialized(functions: Functions, target: Callable[..., Any], serializer: str) -> Function:
    """The function as it travels. Raises what `Functions.serialized` does, TypeError for an async def."""
    inner = bare(target)
    ensure_plain(inner)
    try:
        return functions.serialized(target, serializer)
    except pickle.PicklingError as error:
        raise _initializer_error(functions, target, serializer) or explained(error, inner) from error.__cause__


def call(
    functions: Functions, target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], serializer: str
) -> tuple[Function, bytes]:
    """One call as it travels. Raises what `Functions.call` does, TypeError for an async def."""
    inner = bare(target)
    ensure_plain(inner)
    try:
        return functions.call(target, args, kwargs, serializer)
    except pickle.PicklingError as error:
        raise _initializer_error(functions, target, serializer) or explained(error, [inner, args, kwargs]) from error


def chunk_blob(
    form: str, items: Sequence[Any], serializer: str, first: int = 0, dumper: payload.Dumper | None = None
) -> bytes:
    """As payload has it."""
    try:
        return payload.chunk_blob(form, items, serializer, first, dumper)
    except pickle.PicklingError as error:
        raise explained(error, items) from error.__cause__


def bare(target: Callable[..., Any]) -> Callable[..., Any]:
    """The user's own function."""
    while isinstance(target, Prepared | Limited):
        target = vars(target)["__wrapped__"]
    return target


def _initializer_error(functions: Functions, target: Callable[..., Any], serializer: str) -> BaseException | None:
    """What of an initializer cannot be serialized; None: there is none, or it is not to blame."""
    initializer: Initializer | None = target.parts[1] if isinstance(target, Prepared) else None
    if initializer is None:
        return None
    name = function_names.label(initializer.function)
    try:
        functions.serialized(initializer.function, serializer)
    except pickle.PicklingError as error:
        text = str(error).removeprefix("the function ")
        return explained(pickle.PicklingError(f"the initializer {text}"), initializer.function)
    reasons = payload.unpicklable(initializer.arguments, serializer, ItemDumper(functions.shipper))
    for place, reason in reasons.items():
        argument = initializer.arguments[place]
        text = f"argument {place + 1} of the initializer {name} ({type(argument).__name__}) cannot be serialized by"
        return explained(pickle.PicklingError(f"{text} {serializer}: {reason}"), argument)
    return None
