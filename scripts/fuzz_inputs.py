"""What fuzz gives to decoders: valid messages of every type, as their types say, and damage done to their bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

MOST = 4
"""Items of a list, and fields of a map: a record nests a few levels."""
ODD = (
    b"",
    b"\x00",
    b"\xff" * 9,
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 2000,
    b"[" * 2000,
)
"""Put into the middle: lengths that are not there, nesting, what msgpack never has."""


def valid(kind: Any) -> st.SearchStrategy[Any]:
    """Objects of a type that msgspec decodes, within the bounds it has, and often at them."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            return st.fixed_dictionaries({one.name: _of(one.type) for one in fields}).map(lambda all_: cls(**all_))
        case inspect.UnionType(types=types):
            return st.one_of([_of(one) for one in types])
        case inspect.IntType(ge=low, le=high, lt=end):
            high = 2**63 - 1 if high is None else high
            return st.integers(-(2**63) if low is None else low, high if end is None else end - 1)
        case inspect.FloatType(ge=low, lt=high):
            return st.floats(low, high, exclude_max=high is not None, allow_nan=False)
        case inspect.BytesType(min_length=low, max_length=high):
            return st.binary(min_size=low or 0, max_size=min(high or 40, 40))
        case inspect.StrType(max_length=high):
            return st.text(max_size=min(high or 40, 40))
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_of, items))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return st.lists(_of(item), max_size=MOST).map(tuple if isinstance(info, inspect.VarTupleType) else list)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=MOST)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.Metadata(type=inner) | inspect.CustomType(cls=inner):
            return _of(inner) if isinstance(inner, inspect.Type) else st.from_type(inner)
        case _:
            raise AssertionError(f"fuzz knows no {info}")


def plain() -> st.SearchStrategy[Any]:
    """Anything that msgpack has a form for."""
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | st.text()
    return st.recursive(leaves, lambda some: st.lists(some) | st.dictionaries(st.text(), some), max_leaves=30)


def packed(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """In msgpack."""
    return strategy.map(msgspec.msgpack.encode)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The same with a few bytes changed, taken out, repeated or put in."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(found)), rng.randint(0, 8)
        match rng.randrange(5):
            case 0 if found:
                found[at % len(found)] ^= 1 << rng.randrange(8)
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = found[at : at + length] * rng.randint(1, 4)
            case 3:
                found[at:at] = rng.choice(ODD)
            case _:
                found[at : at + length] = rng.randbytes(length)
    return bytes(found)


Decode = Callable[[bytes], object]
