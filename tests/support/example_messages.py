"""An example of any message of the protocol, made from its type: a new message is attacked with by itself."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.inspect import (
    BoolType,
    BytesType,
    CustomType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    TupleType,
    UnionType,
    VarTupleType,
    multi_type_info,
)

from penstock.wire.records import Message

STARTS = {"start": 0, "stop": 1, "index": 0, "first": 0, "count": 1, "offset": 0, "position": 0}
"""Numbers that name the first job; all others are 1, and sizes 0."""


def messages_of(union: Any) -> list[type[Message]]:
    """The messages of a union of messages.py."""
    assert isinstance(union, types.UnionType)
    return list(typing.get_args(union))


def example(kind: type[Any], named: Mapping[str, Any]) -> Any:
    """A message or record of this type, whose fields have what is `named` where it is of their type, in records within
    it too; a text is named as ``FIELD_text``."""
    (info,) = multi_type_info([kind])
    assert isinstance(info, StructType)
    return _example(info, "", named)


def _example(info: Any, name: str, named: Mapping[str, Any]) -> Any:
    if (given := _given(info, name, named)) is not None:
        return given
    match info:
        case Metadata():
            return _example(info.type, name, named)
        case StructType():
            values = {field.name: _example(field.type, field.name, named) for field in info.fields if field.required}
            wanted = {field.name: _given(field.type, field.name, named) for field in info.fields}
            return info.cls(**values | {name: value for name, value in wanted.items() if value is not None})
        case VarTupleType():
            return (_example(info.item_type, "", named),)
        case TupleType():
            return tuple(range(len(info.item_types)))  # of numbers: spans and cursors
        case IntType():
            return 0 if "size" in name or name == "inline" else STARTS.get(name, 1)
        case BytesType():
            return named["batch"] if info.min_length == 16 else b""
        case EnumType():
            return next(iter(info.cls))
        case UnionType():
            return (
                None if any(isinstance(one, NoneType) for one in info.types) else _example(info.types[0], name, named)
            )
        case FloatType() | CustomType():
            return 0.0
        case StrType() | BoolType() | DictType() | NoneType():
            return {StrType: "x", BoolType: True, DictType: {}, NoneType: None}[type(info)]
    raise TypeError(f"no example of {info} ({name}) is known: teach {__name__}")


def _given(info: Any, name: str, named: Mapping[str, Any]) -> Any:
    while isinstance(info, Metadata):
        info = info.type
    value = named.get(f"{name}_text" if isinstance(info, StrType) else name)
    if isinstance(value, bytes) and not isinstance(info, BytesType):
        return None
    if isinstance(info, VarTupleType) and isinstance(info.item_type, StructType) and value:
        return value if isinstance(value[0], info.item_type.cls) else None
    return value


def has_number(message: Message) -> bool:
    """Whether it is a request, which is answered under its number."""
    return any(field.name == "number" for field in msgspec.structs.fields(message))
