# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands that refer to what was found before: "now the one left of it", "no, the other one", "and the bowl?".

A model that gets the earlier turns understands them by itself (`PromptStyle.history`). For one that does not, this
module finds out what they mean: which thing, where the model can list what it sees (`objects.py`), or else a command
that says the same in full. The rules are data (`prompts/references.yaml`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from llavaseg_ros.reasoning.prompt_style import PROMPT_FOLDER
from llavaseg_ros.reasoning.several import plain_words, several_rule
from llavaseg_ros.types import Referent

RULE_FILE = PROMPT_FOLDER / "references.yaml"
_LONGEST = 160  # characters of a command that refers to something


@dataclass(frozen=True)
class Reference:
    """What a command says of the target before.

    means: a rule's, see the data file. which: the side, color, size or place. words: the part that refers. say: the
    command in full, "" for one that is good by itself. always: it means nothing when nothing was found before. noun:
    what is named, with its article, in "the bowl next to it".
    """

    means: str
    which: str
    words: str
    say: str
    always: bool
    noun: str = ""


class ReferenceRules:
    """See the text of the data file."""

    def __init__(self, data: dict[str, Any]) -> None:
        it, one, the = (f"(?:{'|'.join(data[key])})" for key in ("it", "one", "the"))
        self._colors: dict[str, str] = data["colors"]
        self._sides = [
            (side, re.compile(rf"(?:{'|'.join(patterns)})".replace("{it}", it)))
            for side, patterns in data["sides"].items()
        ]
        side = "|".join(pattern.pattern for _, pattern in self._sides)
        known = {"{it}": it, "{one}": one, "{the}": the}
        known |= {"{side}": f"(?P<side>{side})", "{color}": f"(?P<color>{'|'.join(self._colors)})"}
        known |= {"{kind}": r"(?P<kind>\w+(?: \w+)?)", "{kinds}": r"(?P<kinds>\w+s)"}
        self._rules = [
            (rule, [re.compile(_filled(pattern, known)) for pattern in rule["match"]]) for rule in data["rules"]
        ]
        self._before, self._after = _starts(data["before"]), _ends(data["after"])
        self._lead = _starts(data["lead_ins"])
        noun = r"(?P<noun>(?:the|a|an|my)(?: (?!(?:with|of|first|then)\b)\w+){1,3}?)"
        self._named = re.compile(f"{noun} (?P<side>{side})")

    def __call__(self, command: str, last: Referent | None) -> Reference | None:
        """What the command refers to; None if it stands by itself.

        last: what was found before, None if nothing was. Without it only commands that make no sense by themselves
        are references.
        """
        text = plain_words(command)
        if len(text) > _LONGEST:
            return None
        kind = kind_of(last) if last is not None else ""
        name = last.label if last is not None else ""
        for words in self._cores(text):
            for rule, patterns in self._rules:
                match = next((m for p in patterns if (m := p.fullmatch(words))), None)
                if match is None or not self._of_kind(match, kind):
                    continue
                always = bool(rule.get("always"))
                if last is None and not always:
                    continue
                which = self._which(match)
                say = str(rule["say"]).format(kind=kind, name=name, side=which)
                return Reference(rule["means"], which, words, say, always)
            # "the bowl next to it": what is named is the model's to find, and "it" is put in words.
            named = self._named.fullmatch(words)
            if named is not None:
                side = self._side(named["side"])
                return Reference("named", side, words, f"{named['noun']} {side} the {name}", True, named["noun"])
        bare = self._lead.sub("", text)
        if last is not None and bare != text and re.fullmatch(r"(?:the|a|an|my)(?: \w+){1,4}", bare):
            return Reference("new", "", bare, self._after.sub("", bare), False)
        return None

    def _cores(self, text: str) -> Iterable[str]:
        """The command without what changes nothing, most of it kept first."""
        seen = set()
        for _ in range(8):
            for core in (text, self._after.sub("", text)):
                if core and core not in seen:
                    seen.add(core)
                    yield core
            shorter = self._before.sub("", text, count=1)
            if shorter == text:
                return
            text = shorter

    def _of_kind(self, match: re.Match[str], kind: str) -> bool:
        """True unless the command names another kind than the last target's ("the other fork" after a mug)."""
        groups = match.groupdict()
        said = groups.get("kind") or several_rule().singular(groups.get("kinds") or "")
        return not said or said == kind or kind.split()[-1:] == [said]

    def _which(self, match: re.Match[str]) -> str:
        for key, value in match.groupdict().items():
            if value and key == "side":
                return self._side(value)
            if value and key == "color":
                return self._colors[value]
            if value and key not in ("kind", "kinds"):
                return key.rstrip("2")
        return ""

    def _side(self, words: str) -> str:
        return next(side for side, pattern in self._sides if pattern.fullmatch(words))


def kind_of(last: Referent) -> str:
    """The last target's name without its color: "mug".

    >>> from llavaseg_ros.types import Attributes
    >>> kind_of(Referent("red wine glass", Attributes("red"), (0, 0, 1, 1)))
    'wine glass'
    """
    color = last.attributes.color.lower()
    name = last.label.lower()
    first, _, rest = name.partition(" ")
    return rest if rest and (first == color or first in several_rule().colors) else name


def _filled(pattern: str, known: dict[str, str]) -> str:
    for slot, value in known.items():
        pattern = pattern.replace(slot, value)
    return pattern


def _starts(patterns: Sequence[str]) -> re.Pattern[str]:
    many = "|".join(sorted(patterns, key=len, reverse=True))
    return re.compile(rf"^(?:(?:{many})\b ?)")


def _ends(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?: (?:{'|'.join(sorted(patterns, key=len, reverse=True))}))+$")


@lru_cache(maxsize=1)
def reference_rules() -> ReferenceRules:
    """The rules that ship."""
    return ReferenceRules(yaml.safe_load(RULE_FILE.read_text(encoding="utf-8")))
