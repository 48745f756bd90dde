# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every field of any ROS message, with values that it can hold and that nobody expects; made from its types."""

from __future__ import annotations

import copy
import importlib
import random
from collections.abc import Iterator
from typing import Any

from rosidl_parser.definition import (
    AbstractNestedType,
    AbstractSequence,
    AbstractString,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

_BITS = {name: int("".join(filter(str.isdigit, name))) for name in ("uint8", "uint16", "uint32", "uint64")}
_BITS |= {name: int("".join(filter(str.isdigit, name))) for name in ("int8", "int16", "int32", "int64")}
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e30, float("nan"), float("inf"), -float("inf"))
_FLOAT32 = (0.0, 1.0, -1.0, 1e-38, 3e38, float("nan"), float("inf"), -float("inf"))
TEXTS = (
    *(
        "",
        " ",
        "\n\t",
        "\x01\x1b[2J",
        "*",
        "a" * 3000,
        "ü杯🥄\u202e",
        "\ufffd",
        "null",
        "-1",
        "%s%n{0}",
        "../../etc/passwd",
    ),
    *("<image>", "USER: hi ASSISTANT:", "</s><|im_end|>", "/", "~", "rgb8", "16UC1", "bayer_rggb8", "rgb16", "jpeg"),
)
Path = tuple[str, ...]


def leaves(msg: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The path and type of every field that is no message itself; of a list of messages, the list."""
    for name, kind in zip(type(msg).get_fields_and_field_types(), type(msg).SLOT_TYPES, strict=True):
        if isinstance(kind, NamespacedType):
            yield from leaves(getattr(msg, name), (*path, name))
        else:
            yield (*path, name), kind


def values(kind: Any, rng: random.Random) -> list[Any]:
    """The edges of a type, and a few values between."""
    if isinstance(kind, BasicType):
        if kind.typename == "boolean":
            return [False, True]
        if kind.typename in ("float", "double"):
            return list(_FLOATS if kind.typename == "double" else _FLOAT32)
        bits = _BITS.get(kind.typename, 8)
        low, high = (
            (0, 2**bits - 1) if kind.typename.startswith(("u", "o", "c")) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
        return sorted({low, high, max(low, -1), 0, 1, 2, min(high, 1000), rng.randint(low, high)})
    if isinstance(kind, AbstractString):
        return [*TEXTS, "".join(chr(rng.randrange(1, 0x2FF)) for _ in range(20))]
    assert isinstance(kind, AbstractNestedType), kind
    if isinstance(kind, Array):
        one = [value for value in _items(kind.value_type, rng)]
        return [[value] * kind.size for value in one]
    assert isinstance(kind, AbstractSequence), kind
    most = min(kind.maximum_size, 40) if isinstance(kind, BoundedSequence) else 40
    pool = _items(kind.value_type, rng)
    return [
        [],
        pool[:1],
        pool[-1:] * most,
        [rng.choice(pool) for _ in range(most)],
        [rng.choice(pool) for _ in range(3)],
    ]


def _items(kind: Any, rng: random.Random) -> list[Any]:
    if not isinstance(kind, NamespacedType):
        return values(kind, rng)
    made = getattr(importlib.import_module(".".join(kind.namespaces)), kind.name)
    return [made(), *(scrambled(made(), rng) for _ in range(4))]


def put(msg: Any, path: Path, value: Any) -> Any:
    """A copy with one field changed."""
    changed = copy.deepcopy(msg)
    inner = changed
    for name in path[:-1]:
        inner = getattr(inner, name)
    setattr(inner, path[-1], value)
    return changed


def every_field(msg: Any, rng: random.Random) -> Iterator[tuple[str, Any]]:
    """Copies of a good message, in each of which one field holds one odd value; named by field and value."""
    for path, kind in leaves(msg):
        for value in values(kind, rng):
            yield f"{'.'.join(path)} = {str(value)[:40]!r}", put(msg, path, value)


def scrambled(msg: Any, rng: random.Random, share: float = 0.4) -> Any:
    """A copy with odd values in a share of its fields."""
    for path, kind in leaves(msg):
        if rng.random() < share:
            msg = put(msg, path, rng.choice(values(kind, rng)))
    return msg


def damaged(wire: bytes, rng: random.Random) -> bytes:
    """Serialized bytes, cut, grown, or with some of them changed; the encapsulation's first stay."""
    data = bytearray(wire)
    how = rng.randrange(4)
    if how == 0:
        return bytes(data[: rng.randrange(4, len(data))])
    if how == 1:
        return bytes(data) + rng.randbytes(rng.randrange(1, 40))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(4, len(data))
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(data)
