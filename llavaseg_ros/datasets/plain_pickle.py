# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reads a pickle that holds nothing but plain data, without the machine that pickles are made for.

refCOCO's refs(unc).p are pickles, and a pickle is a program: loading one with `pickle` runs whatever its author wrote.
Here `pickletools.genops` only cuts the file into its instructions, and this file carries out those that build lists,
tuples, dictionaries, texts, numbers, True, False and None. No instruction here looks up or calls anything, so a file
that asks for it is refused at that place, whatever it asks for.

Data may still be a trap for whoever walks through it: nested so deep that it overflows a stack, or a few bytes that
stand for billions of values, by tuples of the same tuple. Such is refused, too.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llavaseg_ros.evaluation.dataset import DatasetError

_MARK = object()
_KEYS = (str, int, float, bytes, bool, type(None))  # hashing a tuple walks through all that it stands for
_MOST_DEPTH = 100
_MOST_SHARED = 64  # values that a byte of the file may stand for; files that share nothing have less than 1
_SHOWN = 80  # characters of what a refused instruction asks for

# Instructions that push their own argument, in every protocol from 0 to 5.
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}


def read_plain_pickle(path: Path) -> Any:
    """The data of a pickle file, of any protocol, that holds only plain data.

    Raises DatasetError when the file cannot be read, is cut short, or asks for anything but plain data.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return loads(data)
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error


def loads(data: bytes) -> Any:
    """The data of a pickle. Raises ValueError, which names the first instruction that is not allowed or not right."""
    reader = _Reader()
    steps = reader.steps
    name, place = "", 0
    try:
        for operation, argument, position in pickletools.genops(io.BytesIO(data)):
            name, place = operation.name, position or 0
            if name == "STOP":
                value = reader.stop()
                _check_extent(value, _MOST_SHARED * len(data) + 1000)
                return value
            if name not in steps:
                what = f" of {argument[:_SHOWN]!r}" if isinstance(argument, str) else ""
                raise _Refused(f"the instruction {name}{what} is refused; expected lists, dictionaries, texts, numbers")
            steps[name](argument)
    except _Refused as error:
        raise ValueError(f"byte {place}: {error}") from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        why = f"{name or 'at once'}: {str(error)[:200]}"
        raise ValueError(f"not a pickle, or cut short, after byte {place} ({why})") from error
    raise ValueError("a pickle that is cut short")


class _Refused(Exception):
    """The file asks for something that is not plain data."""


def _check_extent(value: Any, most: int) -> None:
    """Raise _Refused if a value is nested too deep, or stands for more than `most` values, with what is shared counted
    as often as it is met. A value that holds itself counts as once.

    Without recursion: it is what this protects from.
    """
    sizes: dict[int, tuple[int, int]] = {}  # of each container: values in it, depth
    opened: set[int] = set()
    todo = [value]
    while todo:
        one = todo[-1]
        if id(one) in sizes:
            todo.pop()
            continue
        inside = [x for x in _members(one) if isinstance(x, (list, tuple, dict))]
        if id(one) not in opened:
            opened.add(id(one))
            todo += [x for x in inside if id(x) not in opened]
            continue
        known = [sizes.get(id(x), (0, 0)) for x in inside]
        size = 1 + len(_members(one)) + sum(number for number, _ in known)
        depth = 1 + max((deep for _, deep in known), default=0)
        if depth > _MOST_DEPTH:
            raise _Refused(f"the data is nested more than {_MOST_DEPTH} deep")
        if size > most:
            raise _Refused("the data stands for more values than the file can hold")
        sizes[id(one)] = (size, depth)
        todo.pop()


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


class _Reader:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        # One call an instruction: files have millions of them.
        push = self.stack.append
        self.steps: dict[str, Callable[[Any], Any]] = dict.fromkeys(_VALUES, push)
        self.steps |= {name: self._maker(make) for name, make in _CONSTANTS.items()}
        for name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.steps[name] = self._put
        for name in ("GET", "BINGET", "LONG_BINGET"):
            self.steps[name] = lambda key: push(self.memo[key])
        self.steps |= {
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
            "MEMOIZE": lambda _: self._put(len(self.memo)),
            "POP": lambda _: self.stack.pop(),
            "POP_MARK": lambda _: self._items(),
            "DUP": lambda _: push(self._top()),
            "LIST": lambda _: push(self._items()),
            "TUPLE": lambda _: push(tuple(self._items())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "DICT": lambda _: push(self._pairs(self._items())),
            "APPEND": self._append,
            "APPENDS": self._appends,
            "SETITEM": self._set_item,
            "SETITEMS": self._set_items,
        }

    def stop(self) -> Any:
        """The one value that is left."""
        value = self._top()
        if len(self.stack) != 1:
            raise ValueError(f"{len(self.stack)} values are left over")
        return value

    def _top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise ValueError("a value is missing")
        return self.stack[-1]

    def _maker(self, make: Callable[[], Any]) -> Callable[[Any], None]:
        return lambda _: self.stack.append(make())

    def _put(self, key: int) -> None:
        self.memo[key] = self._top()

    def _items(self) -> list[Any]:
        """Everything above the newest mark; the mark goes, too."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _tuple(self, count: int) -> None:
        items = self.stack[-count:]
        if len(items) < count or any(x is _MARK for x in items):
            raise ValueError("a value is missing")
        self.stack[-count:] = [tuple(items)]

    @staticmethod
    def _pairs(items: list[Any]) -> dict[Any, Any]:
        return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}

    def _container(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"expected a {kind.__name__}, got {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self._container(list).append(value)

    def _appends(self, _: Any) -> None:
        items = self._items()
        self._container(list).extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._container(dict)[_key(key)] = value

    def _set_items(self, _: Any) -> None:
        items = self._items()
        self._container(dict).update(self._pairs(items))


def _key(key: Any) -> Any:
    if not isinstance(key, _KEYS):
        raise _Refused(f"a {type(key).__name__} as a key is refused; expected texts and numbers")
    return key
