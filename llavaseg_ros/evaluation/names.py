# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparing names, and what was taken for what."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llavaseg_ros import places

# The eleven basic color terms of English, neighbours beside each other.
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "gray", "white")
LOCATIONS = tuple(place for row in places.LOCATIONS for place in row)
NONE = "(none)"
OTHER = "(other)"
_ARTICLES = {"a", "an", "the"}

Pair = tuple[str, str]
"""(the true word, the word that was said); "" = none."""


def normalise_name(name: str | None) -> str:
    """A name for comparing: lower case, single spaces, articles and the punctuation around words dropped.

    >>> normalise_name(" The  Red mug. ")
    'red mug'
    """
    words = (word.strip(string.punctuation) for word in (name or "").lower().split())
    return " ".join(word for word in words if word and word not in _ARTICLES)


def same_name(predicted: str | None, truth: str | None) -> bool | None:
    """Whether two names agree after `normalise_name`; None when the truth names nothing."""
    expected = normalise_name(truth)
    return normalise_name(predicted) == expected if expected else None


def without_color(name: str) -> str:
    """A normalised name without the color at its front; a fruit called orange keeps its name.

    >>> without_color("The orange toy car"), without_color("orange")
    ('toy car', 'orange')
    """
    first, _, rest = normalise_name(name).partition(" ")
    return rest if rest and first in COLORS else f"{first} {rest}".strip()


@dataclass(frozen=True)
class Confusion:
    """What was said (columns) for what was true (rows): counts[row][column]. Columns are the rows' words, then, where
    they occur, OTHER for words that no row has and NONE for no word.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def as_json(self) -> dict[str, object]:
        """{"true": [...], "said": [...], "counts": [[...], ...]}."""
        return {"true": list(self.rows), "said": list(self.columns), "counts": [list(row) for row in self.counts]}


def confusion_matrix(pairs: Iterable[Pair], order: Sequence[str] = (), most: int = 40) -> Confusion:
    """Count pairs of normalised words; pairs without a true word are left out.

    order: these words come first, also those that nothing is called by, unless no true word is among them at all;
    others follow in the alphabet. most: keep the commonest true words only, the rest is OTHER.
    """
    known = [(normalise_name(t), normalise_name(s)) for t, s in pairs if normalise_name(t)]
    frequent = {word for word, _ in Counter(t for t, _ in known).most_common(most)}
    first = tuple(order) if frequent & set(order) else ()
    labels = (*first, *sorted(frequent - set(first)))
    places = set(labels)
    counts = Counter((t if t in places else OTHER, (s if s in places else OTHER) if s else NONE) for t, s in known)
    rows = (*labels, *([OTHER] if any(t == OTHER for t, _ in counts) else []))
    columns = (*labels, *(word for word in (OTHER, NONE) if any(s == word for _, s in counts)))
    return Confusion(rows, columns, tuple(tuple(counts[t, s] for s in columns) for t in rows))


def confused(pairs: Iterable[Pair]) -> list[tuple[str, str, int]]:
    """Pairs that differ after `normalise_name`, most frequent first: (truth, said, times)."""
    counts = Counter((normalise_name(t), normalise_name(s)) for t, s in pairs)
    wrong = [(t, s, n) for (t, s), n in counts.items() if t and t != s]
    return sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))
