# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands that name their target plainly: no reasoning is needed to know what "hand me the red mug" is about.

The rule is data (`prompts/plain_commands.yaml`); mode `auto` goes by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import yaml

from llavaseg_ros.reasoning.prompt_style import PROMPT_FOLDER

RULE_FILE = PROMPT_FOLDER / "plain_commands.yaml"


@dataclass(frozen=True)
class PlainCommands:
    """See the text of the data file. request matches any of its requests, ignored are its regular expressions."""

    ignored: tuple[re.Pattern[str], ...]
    request: re.Pattern[str]
    articles: frozenset[str]
    colors: frozenset[str]
    think: frozenset[str]
    short: int

    def __call__(self, command: str) -> bool:
        """True if the command names its target and asks for nothing else.

        >>> rule = plain_commands()
        >>> rule("Could you hand me the red mug, please?"), rule("the mug left of the bowl"), rule("I am thirsty")
        (True, False, False)
        """
        text = command.lower()
        for pattern in self.ignored:
            text = pattern.sub(" ", text)
        bare, requests = self.request.subn(" ", text)
        words = _words(bare)
        if not words or not self.think.isdisjoint(words):
            return False
        named = words[0] in self.articles and len(words) <= self.short
        return bool(requests) or named or not self.colors.isdisjoint(words)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text)


@lru_cache(maxsize=1)
def plain_commands() -> PlainCommands:
    """The rule that ships."""
    data = yaml.safe_load(RULE_FILE.read_text(encoding="utf-8"))
    color = f"(?:{'|'.join(data['colors'])})"
    return PlainCommands(
        ignored=tuple(re.compile(pattern.replace("{color}", color)) for pattern in data["ignored"]),
        request=re.compile(rf"\b(?:{'|'.join(map(re.escape, data['requests']))})\b"),
        articles=frozenset(data["articles"]),
        colors=frozenset(data["colors"]),
        think=frozenset(data["think"]),
        short=data["short"],
    )
