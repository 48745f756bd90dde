# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether a reply in words answers a plain question right.

What is right comes with the question, as {"kind": ..., "value": ...}:

- count: an int, the number of things.
- color: a color word, or a list of those that are right.
- yes_no: true for yes.
- place: "back left" and the like, one of the nine places of an image, or a list of those that are right.
- objects: a list of names, "red mug" or "mug". A reply is right when it names one of them, and no thing that is not
  among them. Two keys may stand beside it: "aside", names that are no answer and no mistake, such as what the question
  itself named; "least", how many different ones must be named. An empty list: no thing may be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.scenes.catalog import load_catalog

KINDS = ("count", "color", "yes_no", "objects", "place")

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
_NUMBERS = {word: number for number, word in enumerate(_UNITS + _TEENS)} | {
    "none": 0,
    "nothing": 0,
    "single": 1,
    "couple": 2,
    "dozen": 12,
}
_COLORS = {"grey": "gray", "violet": "purple", "golden": "yellow", "beige": "brown", "silver": "gray"}
_SHADES = {"light", "dark", "bright", "pale", "deep"}
_YES = {"yes", "yeah", "yep", "sure", "indeed", "certainly", "correct", "right", "true"}
_NO = {
    "no",
    "nope",
    "not",
    "none",
    "isn't",
    "aren't",
    "don't",
    "cannot",
    "can't",
    "without",
    "never",
    "false",
    "nothing",
}
_SIDES = {
    "left": "left",
    "right": "right",
    "back": "back",
    "rear": "back",
    "top": "back",
    "upper": "back",
    "background": "back",
    "front": "front",
    "bottom": "front",
    "lower": "front",
    "foreground": "front",
}
_MIDDLE = {"middle", "center", "centre", "central"}
_NO_PLACE = re.compile(r"\b(?:left of|right of|in front of|in back of) (?!the (?:table|picture|image|scene)\b)")
_COLOR_OF_ORANGE = re.compile(r"\borange (?=(?:is|looks|has|seems|appears)\b)")


class Named(NamedTuple):
    """A thing that a text names. color: "" where none is said."""

    color: str
    category: str

    def fits(self, others: Iterable[Named]) -> bool:
        """Whether it may be one of `others`: the same kind, and no other color."""
        return any(o.category == self.category and (not self.color or o.color in ("", self.color)) for o in others)


def answer_is_right(reply: str, expected: Mapping[str, Any]) -> bool:
    """Whether a reply says what a right answer to the question says. expected: see the module.

    Raises ValueError for a kind that is not known and for a value that does not fit its kind.
    """
    kind, value = expected.get("kind"), expected.get("value")
    text = " ".join(reply.lower().replace("\u2019", "'").split())
    if kind == "count" and isinstance(value, int) and not isinstance(value, bool):
        return numbers_in(text) == {value}
    if kind == "yes_no" and isinstance(value, bool):
        return yes_in(text) is value
    if kind == "color" and isinstance(value, str | list):
        said = colors_in(text)
        return len(said) == 1 and said <= {_COLORS.get(c, c) for c in _listed(value)}
    if kind == "place" and isinstance(value, str | list):
        return place_in(text) in _listed(value)
    if kind == "objects" and isinstance(value, list):
        return _names_objects(text, value, expected.get("aside") or (), int(expected.get("least") or 1))
    raise ValueError(
        f"expected: kind {kind!r} with value {value!r}; kinds are {list(KINDS)}, see evaluation/answers.py"
    )


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def numbers_in(text: str) -> set[int]:
    """The numbers that a text in small letters says, in digits or words. "no" counts as 0, "the red one" as none."""
    words = _WORD.findall(text)
    found = set()
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        if word.isdigit():
            found.add(int(word))
        elif word == "one" and (before in _all_colors() or before in {"the", "this", "that", "which", "no", "each"}):
            continue
        elif word in _NUMBERS:
            found.add(_NUMBERS[word])
        elif word in {"no", "any"}:
            found.add(0)
    # "I see no mugs" is 0; in "No, there are two mugs" the number counts.
    return found - {0} if len(found) > 1 and words[:1] == ["no"] else found


def yes_in(text: str) -> bool | None:
    """True for a text that says yes, False for one that says no, None for neither. The first word of it decides."""
    words = _WORD.findall(text)
    if words and words[0] in _YES:
        return True
    if any(word in _NO for word in words):
        return False
    said = {"there", "is"} <= set(words) or {"there", "are"} <= set(words) or "see" in words or bool(_YES & set(words))
    return True if said else None


def colors_in(text: str) -> set[str]:
    """The color words of a text in small letters. The fruit in "The orange is green" is none."""
    words = _raw_colors(text)
    if len(words) > 1:
        words = _raw_colors(_COLOR_OF_ORANGE.sub("", text))
    return {_COLORS.get(word, word) for word in words}


def _raw_colors(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word in _all_colors()]


def place_in(text: str) -> str:
    """The place of the image that a text in small letters names: "back left", "middle"; "" for none."""
    words = _WORD.findall(_NO_PLACE.sub("", text))
    sides = {_SIDES[word] for word in words if word in _SIDES}
    if len(sides) > 2 or {"left", "right"} <= sides or {"back", "front"} <= sides:
        return ""
    if sides:
        return " ".join(side for side in ("back", "front", "left", "right") if side in sides)
    return "middle" if _MIDDLE & set(words) else ""


@lru_cache(maxsize=1)
def _all_colors() -> frozenset[str]:
    return frozenset(load_catalog().colors) | frozenset(_COLORS)


@lru_cache(maxsize=256)
def _kinds(extra: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """Words of each name of a kind, in the singular and plural, and the kind."""
    catalog = load_catalog()
    names = {*catalog.categories, *catalog.held_out, *load_photographs().shapes, *extra}
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        words = tuple(name.split())
        last = words[-1]
        plurals = {last, f"{last}s", f"{last}es", re.sub("y$", "ies", last), re.sub("fe?$", "ves", last)}
        found |= {(*words[:-1], plural): name for plural in plurals}
    return found


def named_in(text: str, extra: tuple[str, ...] = ()) -> list[Named]:
    """The things that a text in small letters names, in its order. extra: kinds beside those of the catalog."""
    kinds, colors, words = _kinds(extra), _all_colors(), _WORD.findall(text)
    longest = max(len(name) for name in kinds)
    found: list[Named] = []
    i, color = 0, ""
    while i < len(words):
        # "orange carrot" is a color before a thing; "orange" alone is the fruit.
        matches = [n for n in range(longest, 0, -1) if tuple(words[i : i + n]) in kinds]
        color_first = words[i] in colors and any(
            tuple(words[i + 1 : i + 1 + n]) in kinds for n in range(1, longest + 1)
        )
        if matches and not (color_first and matches[0] == 1):
            found.append(Named(color, kinds[tuple(words[i : i + matches[0]])]))
            i, color = i + matches[0], ""
        else:
            color = _COLORS.get(words[i], words[i]) if words[i] in colors else color if words[i] in _SHADES else ""
            i += 1
    return found


def _name(words: str) -> Named:
    """ "red mug" -> its color and kind; a name without a color word is all kind."""
    first, _, rest = words.partition(" ")
    return Named(_COLORS.get(first, first), rest) if rest and first in _all_colors() else Named("", words)


def _names_objects(text: str, value: Sequence[str], aside: Sequence[str], least: int) -> bool:
    right, skipped = [_name(n.lower()) for n in value], [_name(n.lower()) for n in aside]
    extra = tuple(sorted({n.category for n in (*right, *skipped)}))
    hits = set()
    for named in named_in(text, extra):
        if named.fits(right) and not (not named.color and named.fits(skipped)):
            hits.add(named)
        elif not named.fits(skipped):
            return False
    return len(hits) >= least if value else not hits
