# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One parser for every structured reply: a JSON object anywhere in the text, or "key: value" pairs.

Language models decorate what they are asked for: code fences, lists, bold keys, a sentence before, an object cut off at
the token limit. The parser takes the fields wherever they can be read without guessing, and raises BadReply otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llavaseg_ros.errors import BadReply

KEYS = ("target", "found", "several", "answer", "color", "shape", "location")

_ALIASES = {"colour": "color"}
_NAMES = "|".join((*KEYS, *_ALIASES))
_NONE = {"", "none", "null", "nil", "n/a", "na", "nothing", "no target", "no object", "-"}
_UNKNOWN = _NONE | {"unknown", "unclear", "not sure", "not visible"}
_YES = {"yes", "true", "y", "1"}
_NO = {"no", "false", "n", "0", "none", "null", "not"}
_ARTICLE = re.compile(r"^(?:the|an?) ", re.IGNORECASE)
_MAX_OBJECTS = 32
_MAX_TEXT = 20_000

# A key counts at the start of the text, of a line, after ';' or '{', or, when it is quoted, after ','.
# Every repetition is bounded, so that hostile text costs linear time.
_PAIR = re.compile(
    rf"""(?: (?:^|[\n;{{]) [\s>*\-•"'`]{{0,16}} | , \s{{0,16}} ["'] )
         ({_NAMES})
         [\s*"'`]{{0,8}} [:=] """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Fields:
    """The fields of one reply. None: the key was not there. An empty string: it was there, and says "none"."""

    target: str | None = None
    found: bool | None = None
    answer: str | None = None
    color: str | None = None
    shape: str | None = None
    location: str | None = None
    several: bool | None = None


def parse_fields(text: str) -> Fields:
    """Read the known fields out of a reply. At least one must be there.

    Raises BadReply, with the raw text, if there is none or if `found` is neither yes nor no.
    """
    if not isinstance(text, str):
        raise BadReply(f"the reply is {type(text).__name__}, expected text", repr(text))
    values = _from_json(text[:_MAX_TEXT]) or _from_pairs(text[:_MAX_TEXT])
    if not values:
        raise BadReply(f"no field of {', '.join(KEYS)} in the reply {_shorten(text)}", text)
    return _fields(values, text)


def _fields(values: dict[str, str], text: str) -> Fields:
    found = None
    if "found" in values:
        found = _as_bool(values["found"])
        if found is None:
            got = _shorten(values["found"])
            raise BadReply(f'"found" is {got}, expected yes or no, in the reply {_shorten(text)}', text)
    return Fields(
        target=_ARTICLE.sub("", _unless(values["target"], _NONE)) if "target" in values else None,
        found=found,
        answer=values.get("answer"),
        color=_unless(values["color"], _UNKNOWN) if "color" in values else None,
        shape=_unless(values["shape"], _UNKNOWN) if "shape" in values else None,
        location=_unless(values["location"], _UNKNOWN) if "location" in values else None,
        # Not worth a second question: who does not say so clearly means one.
        several=_as_bool(values["several"]) if "several" in values else None,
    )


def parse_target(text: str) -> Fields:
    """The fields of a reply that names the target: `target` is there, and `found` unless the target is none."""
    fields = parse_fields(text)
    if fields.target is None:
        raise BadReply(f'no "target" in the reply {_shorten(text)}', text)
    if fields.target and fields.found is None:
        raise BadReply(f'no "found" in the reply {_shorten(text)}', text)
    return fields


def parse_attributes(text: str) -> Fields:
    """The fields of a reply that describes the target: at least one of color, shape, location is there."""
    fields = parse_fields(text)
    if fields.color is None and fields.shape is None and fields.location is None:
        raise BadReply(f"none of color, shape, location in the reply {_shorten(text)}", text)
    return fields


def parse_targets(text: str) -> tuple[Fields, ...]:
    """The fields of a reply that lists targets, in its order: a JSON object each, in an array or one after the other,
    or a line of "key: value" pairs each. Repetitions are left out, and lists end at 32.

    Raises BadReply, with the raw text, if nothing in it names a target.
    """
    if not isinstance(text, str):
        raise BadReply(f"the reply is {type(text).__name__}, expected text", repr(text))
    found: dict[Fields, None] = {}
    values = [_known(value) for value in _objects(text[:_MAX_TEXT], nested=False)]
    if not any("target" in value for value in values):
        values = [_from_pairs(line) for line in text[:_MAX_TEXT].splitlines()[:_MAX_OBJECTS]]
    for value in values:
        fields = _fields({key: item for key, item in value.items() if key != "found"}, text) if value else Fields()
        if fields.target:
            found.setdefault(fields)
    if not found:
        raise BadReply(f"no list of targets in the reply {_shorten(text)}", text)
    return tuple(found)


def _from_json(text: str) -> dict[str, str]:
    """The known fields of the first JSON object that has any; an empty dict if there is none."""
    return next((known for value in _objects(text) if (known := _known(value))), {})


def _known(value: dict[str, Any]) -> dict[str, str]:
    """The known fields of one JSON object."""
    known: dict[str, str] = {}
    for key, item in value.items():
        name = key.strip().lower()
        name = _ALIASES.get(name, name)
        if name in KEYS and not isinstance(item, dict):
            known.setdefault(name, _as_text(item))
    return known


def _objects(text: str, *, nested: bool = True) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text, at most 32 of them. nested: those inside of others that
    name a target, too."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_MAX_OBJECTS):
        if start < 0:
            return
        end = start + 1
        try:
            value, after = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
            if not nested and "target" in _known(value):
                end = after
        start = text.find("{", end)


def _from_pairs(text: str) -> dict[str, str]:
    """The known "key: value" pairs; a value reaches to the next pair, so it may hold ':', ';' and ','."""
    matches = list(_PAIR.finditer(text))
    values: dict[str, str] = {}
    ends = [*(match.start() for match in matches[1:]), len(text)]
    for match, end in zip(matches, ends, strict=False):  # no match at all: the one end is left over
        name = match.group(1).lower()
        # The first of a repeated key wins: a small model that does not stop says it all again.
        values.setdefault(_ALIASES.get(name, name), _strip(text[match.end() : end]))
    return values


def _strip(value: str) -> str:
    value = value.strip().rstrip(",;").strip().strip("`*{}").strip().rstrip(",;").strip()
    for quote in ('"', "'"):
        if value.startswith(quote):
            value = value[1:]
            if value.endswith(quote):
                value = value[:-1]
    return value.strip()


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(filter(None, (_as_text(item) for item in value if not isinstance(item, (list, dict)))))
    return str(value).strip()


def _as_bool(value: str) -> bool | None:
    match = re.match(r"[a-z0-9]+", value.strip().lower())
    word = match.group() if match else ""
    if word in _YES:
        return True
    if word in _NO:
        return False
    return None


def _unless(value: str, empty: set[str]) -> str:
    value = " ".join(value.split()).rstrip(".").strip()
    return "" if value.lower() in empty else value


def _shorten(text: str, limit: int = 200) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")
