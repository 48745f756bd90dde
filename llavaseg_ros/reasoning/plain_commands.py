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

Words = tuple[str, ...]


@dataclass(frozen=True)
class PlainCommands:
    """See the text of the data file. Phrases are words in lower case; the longest come first."""

    courtesies: tuple[Words, ...]
    requests: tuple[Words, ...]
    articles: frozenset[str]
    colors: frozenset[str]
    but: frozenset[str]
    most_words: int

    def __call__(self, command: str) -> bool:
        """True if the command names its target and asks for nothing else.

        >>> rule = plain_commands()
        >>> rule("Could you hand me the red mug, please?"), rule("the mug left of the bowl"), rule("I am thirsty")
        (True, False, False)
        """
        words = tuple(re.findall(r"[\w'-]+", command.lower()))
        words = self._stripped(words)
        request = next((phrase for phrase in self.requests if words[: len(phrase)] == phrase), ())
        name = self._stripped(words[len(request) :])
        article = bool(name) and name[0] in self.articles
        name = name[article:]
        if not 1 <= len(name) <= self.most_words or not self.but.isdisjoint(name):
            return False
        return bool(request) or article or name[0] in self.colors

    def _stripped(self, words: Words) -> Words:
        """The words without courtesies before and after them."""
        changed = True
        while changed:
            changed = False
            for phrase in self.courtesies:
                size = len(phrase)
                if words[:size] == phrase:
                    words, changed = words[size:], True
                if words[-size:] == phrase:
                    words, changed = words[:-size], True
        return words


@lru_cache(maxsize=1)
def plain_commands() -> PlainCommands:
    """The rule that ships."""
    data = yaml.safe_load(RULE_FILE.read_text(encoding="utf-8"))
    phrases = {
        key: tuple(sorted((tuple(phrase.split()) for phrase in data[key]), key=len, reverse=True))
        for key in ("courtesies", "requests")
    }
    words = {key: frozenset(data[key]) for key in ("articles", "colors", "but")}
    return PlainCommands(**phrases, **words, most_words=data["most_words"])
