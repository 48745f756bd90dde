# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands that ask for several things: "all the cups", "both red mugs". For models that name one target a command.

The rule is data (`prompts/several.yaml`). A model that can list its targets is asked for the list instead
(`PromptStyle.several`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from llavaseg_ros.reasoning.objects import SeenObject
from llavaseg_ros.reasoning.prompt_style import PROMPT_FOLDER

RULE_FILE = PROMPT_FOLDER / "several.yaml"
_LONGEST = 4  # words of a noun phrase
_SIBILANTS = ("ches", "shes", "xes", "sses", "zes", "oes")


@dataclass(frozen=True)
class Several:
    """What a command for several things says.

    command: the same for one thing ("the red mug"), which any model understands. noun: "mug". color: "" if none is
    said. place: "left", "right", "front", "back", "middle" or "". number: how many, None for all.
    """

    command: str
    noun: str
    color: str = ""
    place: str = ""
    number: int | None = None

    def among(self, seen: Iterable[SeenObject], size: tuple[int, int], kinds: frozenset[str]) -> list[SeenObject]:
        """The objects of these kinds that have the color and the place. size: width and height of the image, px."""
        return [
            one
            for one in seen
            if one.kind in kinds
            and self.color in ("", one.color)
            and self.place in ("", *one.location(size).split())
        ]


class SeveralRule:
    """See the text of the data file."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._questions = _any_of(data["questions"])
        numbers = {str(n): n for n in range(2, 11)} | data["numbers"]
        self._numbers: dict[str, int] = numbers
        beside = f"(?:{_choice(data['beside_numbers'])})"
        self._everything = re.compile(
            rf"\beverything\b(?: (?:(?:that|which) is )?(?P<color>{_choice(data['colors'])})\b)?"
        )
        self._request = _any_of(data["requests"])
        self._start = re.compile(
            rf"\b(?:(?P<all>{_choice(data['all'])})|(?:{beside} )?(?P<number>{_choice(numbers)})(?: {beside})?"
            rf"|(?P<the>{_choice(data['the'])}))\s+(?P<rest>.+)"
        )
        self._stop = re.compile(rf"\b(?:{_choice(data['stops'])})\b")
        self._harmless = _any_of(data["harmless"])
        self._places = {words: place for place, many in data["places"].items() for words in many}
        self._colored = {
            pattern.replace("{color}", word): color
            for pattern in data["colored"]
            for word, color in data["colors"].items()
        }
        self.colors: dict[str, str] = data["colors"]
        self._single = frozenset(data["single"])
        self._irregular: dict[str, str] = data["irregular"]
        self.groups = {name: frozenset(kinds) for name, kinds in data["groups"].items()}
        self.things = frozenset(data["things"])
        self._empty = frozenset(data["empty"])
        self._telling = frozenset(data["telling"])

    def __call__(self, command: str) -> Several | None:
        """What the command asks for, if it asks for several things of a kind, and for no more than that; else None.

        >>> several_rule()("Give me all the red mugs on the left.")
        Several(command='give me the red mug on the left', noun='mug', color='red', place='left', number=None)
        >>> several_rule()("the mug left of the bowls") is None
        True
        """
        text = self._everything.sub(_all_things, plain_words(command))
        start = self._start.search(text)
        if start is None or self._request.sub("", text[: start.start()]).strip():
            return None
        if self._questions.search(text[: start.end("rest")]):
            return None
        rest = start["rest"]
        stop = self._stop.search(rest)
        phrase = (rest if stop is None else rest[: stop.start()]).split()
        if not phrase or len(phrase) > _LONGEST:
            return None
        one = self.singular(phrase[-1])
        # "every mug" and "all the fruit" speak of several, "the fruit" may be one.
        each = start["all"] and (start["all"].startswith(("every", "each")) or phrase[-1] in self.groups)
        if one is None and not each:
            return None
        phrase[-1] = one or phrase[-1]
        after = "" if stop is None else rest[stop.start() :].strip()
        said = self._after(after)
        if said is None:
            return None
        place, color, after = said
        *before, last = phrase
        colors = {self.colors[word] for word in before if word in self.colors} | ({color} if color else set())
        if len(colors) > 1 or not self._telling.isdisjoint(before):
            return None
        color = next(iter(colors), "")
        words = [word for word in before if word not in self.colors and word not in self._empty] + [last]
        number = self._numbers[start["number"]] if start["number"] else None
        request = text[: start.start()].replace("where are", "where is")
        single = " ".join(f"{request} the {color} {' '.join(words)} {after}".split())
        return Several(single, " ".join(words), color, place, number)

    def kinds(self, noun: str, known: Iterable[str]) -> frozenset[str]:
        """The kinds that a noun means, of those that a model knows by name; empty if it names none of them.

        >>> sorted(several_rule().kinds("coffee mug", ["mug", "fork", "knife"]))
        ['mug']
        """
        known = frozenset(known)
        words = noun.split()
        tails = [" ".join(words[first:]) for first in range(len(words))]
        for tail in tails:
            if tail in known:
                return frozenset([tail])
            if tail in self.groups:
                return self.groups[tail] & known
        return known if noun in self.things else frozenset()

    def singular(self, word: str) -> str | None:
        """The singular of a noun in the plural; None for another word.

        >>> [several_rule().singular(word) for word in ("mugs", "knives", "boxes", "batteries", "scissors", "mug")]
        ['mug', 'knife', 'box', 'battery', None, None]
        """
        if word in self._single or word.endswith(("ss", "us", "is", "'s")) or len(word) < 4:
            return None
        if word in self._irregular:
            return self._irregular[word]
        if not word.endswith("s"):
            return None
        if word.endswith("ies"):
            return f"{word[:-3]}y"
        return word[:-2] if word.endswith(_SIBILANTS) else word[:-1]

    def _after(self, text: str) -> tuple[str, str, str] | None:
        """Place and color that the words after the noun phrase say, and the words without that of the color; None if
        they say something else."""
        rest, place, color = text, "", ""
        for words in sorted([*self._places, *self._colored], key=len, reverse=True):
            if re.search(rf"\b{words}\b", rest):
                rest = re.sub(rf"\b{words}\b", " ", rest, count=1)
                place = place or self._places.get(words, "")
                if words in self._colored:
                    color, text = self._colored[words], text.replace(words, "")
        return None if self._harmless.sub("", " ".join(rest.split())).strip() else (place, color, text)


def plain_words(text: str) -> str:
    """Lower case, words and single spaces only.

    >>> plain_words("No -- the OTHER one, please!")
    'no the other one please'
    """
    return " ".join(re.findall(r"[\w'-]*\w[\w'-]*", text.lower()))


def enumeration(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _all_things(match: re.Match[str]) -> str:
    return f"all the {match['color']} things" if match["color"] else "all the things"


def _choice(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_choice(words)})\b")


@lru_cache(maxsize=1)
def several_rule() -> SeveralRule:
    """The rule that ships."""
    return SeveralRule(yaml.safe_load(RULE_FILE.read_text(encoding="utf-8")))
