"""What a job is to be given, serialized; what cannot be is named, with what to do about it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from penstock import payload
from penstock.advice import ensure_plain, explained
from penstock.client.functions import Function, Functions
from penstock.limited import Limited
from penstock.prepared import Initializer, Prepared


def serialized(functions: Functions, target: Callable[..., Any], serializer: str) -> Function:
    """The function as it travels. Raises what `Functions.serialized` does, TypeError for an async def."""
    inner = target
    while isinstance(inner, Prepared | Limited):
        inner = vars(inner)["__wrapped__"]
    ensure_plain(inner)
    try:
        return functions.serialized(target, serializer)
    except pickle.PicklingError as error:
        initializer = target.parts[1] if isinstance(target, Prepared) else None
        found = None if initializer is None else _initializer_error(initializer, serializer)
        raise found or explained(error, inner) from error.__cause__


def call_blob(args: Sequence[Any], kwargs: dict[str, Any], serializer: str) -> bytes:
    """As payload has it."""
    try:
        return payload.call_blob(args, kwargs, serializer)
    except pickle.PicklingError as error:
        raise explained(error, [args, kwargs]) from error.__cause__


def chunk_blob(form: str, items: Sequence[Any], serializer: str, first: int = 0) -> bytes:
    """As payload has it."""
    try:
        return payload.chunk_blob(form, items, serializer, first)
    except pickle.PicklingError as error:
        raise explained(error, items) from error.__cause__


def _initializer_error(initializer: Initializer, serializer: str) -> BaseException | None:
    """What of it cannot be serialized; None: it is not to blame."""
    name = getattr(initializer.function, "__qualname__", None) or repr(initializer.function)
    try:
        payload.function_blob(initializer.function, serializer)
    except pickle.PicklingError as error:
        text = str(error).removeprefix("the function ")
        return explained(pickle.PicklingError(f"the initializer {text}"), initializer.function)
    for number, (argument, reason) in enumerate(_refusals(initializer.arguments, serializer), 1):
        if reason:
            text = f"argument {number} of the initializer {name} ({type(argument).__name__}) cannot be serialized by"
            return explained(pickle.PicklingError(f"{text} {serializer}: {reason}"), argument)
    return None


def _refusals(values: Sequence[Any], serializer: str) -> list[tuple[Any, str]]:
    reasons = payload.unpicklable(values, serializer)
    return [(value, reasons.get(place, "")) for place, value in enumerate(values)]
