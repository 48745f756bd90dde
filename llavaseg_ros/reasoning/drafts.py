# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Guesses at the next tokens of a reply, from what was said before: several are checked at the price of one.

Replies of a robot's language model repeat themselves: the fields of an answer, the words of the command, the same
objects on the same table. A guess never changes what is said, since only what greedy decoding says too is kept.
"""

from __future__ import annotations

_KEPT = 8192  # tokens that are remembered
_CONTEXTS = (4, 3, 2)  # how many tokens must agree, the longest first


class Drafts:
    """Remembers the tokens of earlier conversations and finds the place that looks most like now."""

    def __init__(self) -> None:
        self._said: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}

    def learn(self, ids: list[int]) -> None:
        """Remember a piece of text. What lies longest back is forgotten."""
        if len(self._said) + len(ids) > _KEPT:
            kept, self._said, self._after = self._said[_KEPT // 2 :], [], {}
            self._add(kept)
        self._add(ids[-_KEPT // 2 :])

    def guess(self, ids: list[int], count: int) -> list[int]:
        """At most `count` tokens that followed when the last tokens of `ids` were last said; [] if they never were.

        >>> drafts = Drafts()
        >>> drafts.learn([5, 6, 7, 8, 9])
        >>> drafts.guess([1, 6, 7], 2)
        [8, 9]
        """
        for length in _CONTEXTS:
            place = self._after.get(tuple(ids[-length:]))
            if place is not None:
                return self._said[place : place + count]
        return []

    def _add(self, ids: list[int]) -> None:
        for token in ids:
            place = len(self._said)
            for length in _CONTEXTS:
                if place >= length:
                    self._after[tuple(self._said[place - length :])] = place
            self._said.append(token)
