# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stop words in what was heard."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llavaseg_ros.errors import BadRequest

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Lower case, without punctuation: "Stop - now!" -> ["stop", "now"]."""
    return _WORD.findall(text.lower().replace("’", "'"))


class StopWords:
    """Words, or phrases of several words. Whole words count only: "stop" is not in "the stopwatch".

    Raises BadRequest when one of them has no letter. None at all is allowed: then nothing is found.
    """

    def __init__(self, phrases: Sequence[str]) -> None:
        self._phrases = [words_of(phrase) for phrase in phrases]
        for phrase, words in zip(phrases, self._phrases, strict=True):
            if not words:
                raise BadRequest(f"stop word {phrase!r}: expected a word or words of letters")

    def __bool__(self) -> bool:
        return bool(self._phrases)

    def find(self, text: str) -> str:
        """The first stop phrase in a text, "" if there is none."""
        said = words_of(text)
        for phrase in self._phrases:
            if any(said[first : first + len(phrase)] == phrase for first in range(len(said) - len(phrase) + 1)):
                return " ".join(phrase)
        return ""


# A command of nothing but these means stop, if one of the first is among them.
_STOPS = frozenset(["stop", "halt", "cancel", "abort", "freeze"])
_BESIDE = frozenset(
    ["please", "now", "it", "that", "this", "everything", "robot", "hey", "no", "wait", "the", "arm", "immediately"]
)


def only_stops(text: str) -> bool:
    """A whole command that says stop, and nothing else.

    >>> [only_stops(text) for text in ("Stop!", "no, stop now", "cancel that, please", "the bus stop", "please")]
    [True, True, True, False, False]
    """
    words = set(words_of(text))
    return bool(words & _STOPS) and words <= _STOPS | _BESIDE
