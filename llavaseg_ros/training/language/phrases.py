# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ways to say one thing: phrases with choices in them, pools of phrases, and drawing from pools.

A phrase of the language file may hold choices: "(hand|give) me {the}( now|)" stands for four phrases, and "<take>" for
the list of that name under `slots:`. Lists may use lists.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

Phrasing = Literal["known", "held_out"]
Part = str | tuple["Parts", ...]
Parts = tuple[Part, ...]

_SLOT = re.compile(r"<([^<>]*)>")
_SPACE_BEFORE_MARK = re.compile(r" +(?=[,.?!;:])")
_PARENTHESIS, _BAR, _END = "(", "|", ")"


def with_slots(text: str, slots: Mapping[str, list[str]]) -> str:
    """The phrase with every <name> written out as the choice of its list.

    Raises ValueError for a name that `slots` does not have, and for lists that hold each other.
    """
    for _ in range(9):
        if "<" not in text:
            return text
        text = _SLOT.sub(lambda match: f"({'|'.join(_slot(match[1], slots))})", text)
    raise ValueError(f"{text[:60]!r}...: lists under `slots` hold each other")


def _slot(name: str, slots: Mapping[str, list[str]]) -> list[str]:
    if name not in slots:
        raise ValueError(f"<{name}> is no list under `slots`; there are {sorted(slots)}")
    return slots[name]


def parse(text: str) -> Parts:
    """A phrase as fixed texts and choices. Raises ValueError when its parentheses do not match."""
    tokens = re.split(r"([()|])", text)
    parts, rest = _sequence(tokens, 0, inside=False)
    if rest != len(tokens):
        raise ValueError(f"{text!r}: parentheses do not match")
    return parts


def _sequence(tokens: list[str], i: int, *, inside: bool) -> tuple[Parts, int]:
    parts: list[Part] = []
    while i < len(tokens):
        token = tokens[i]
        if token == _PARENTHESIS:
            choices = []
            while token != _END:
                choice, i = _sequence(tokens, i + 1, inside=True)
                if i >= len(tokens):
                    raise ValueError(f"{''.join(tokens)!r}: parentheses do not match")
                choices.append(choice)
                token = tokens[i]
            parts.append(tuple(choices))
        elif token in (_BAR, _END):
            if not inside:
                raise ValueError(f"{''.join(tokens)!r}: {token!r} outside of parentheses")
            return tuple(parts), i
        elif token:
            parts.append(token)
        i += 1
    return tuple(parts), i


def tidy(text: str) -> str:
    """Single spaces, and none before a comma or a full stop: what empty choices leave behind."""
    return _SPACE_BEFORE_MARK.sub("", " ".join(text.split()))


def _fill(parts: Parts, rng: random.Random, out: list[str]) -> None:
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        else:
            # int(random()) instead of choice(): this runs for every word of every command.
            _fill(part[int(rng.random() * len(part))], rng, out)


def _all(parts: Parts) -> Iterator[str]:
    options = [[part] if isinstance(part, str) else [t for choice in part for t in _all(choice)] for part in parts]
    return ("".join(texts) for texts in product(*options))


def _cover(parts: Parts) -> list[str]:
    """Texts in which every choice occurs."""
    columns = [[part] if isinstance(part, str) else [t for choice in part for t in _cover(choice)] for part in parts]
    rows = max((len(column) for column in columns), default=1)
    return ["".join(column[i % len(column)] for column in columns) for i in range(rows)]


@dataclass(frozen=True)
class Pool:
    """Ways to say one thing: those that training may use, and those that only tests use. Held-out ones have no
    choices in them.
    """

    known: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    @cached_property
    def entries(self) -> tuple[str | Parts, ...]:
        """The known side, parsed. Raises ValueError for parentheses that do not match."""
        return tuple(parse(text) if _PARENTHESIS in text else text for text in self.known)

    def draw(self, rng: random.Random) -> str:
        """A known phrase: each entry as often as the others, then each choice."""
        entry = self.entries[int(rng.random() * len(self.known))]
        if isinstance(entry, str):
            return entry
        out: list[str] = []
        _fill(entry, rng, out)
        return tidy("".join(out))

    def all_known(self) -> Iterator[str]:
        """Every phrase that `draw` can give; an entry with many choices stands for thousands."""
        for entry in self.entries:
            yield from (entry,) if isinstance(entry, str) else map(tidy, _all(entry))

    def all_words(self) -> Iterator[str]:
        """Some of `all_known`: enough to meet every word."""
        for entry in self.entries:
            yield from (entry,) if isinstance(entry, str) else dict.fromkeys(map(tidy, _cover(entry)))

    def only(self, *placeholders: str) -> Pool:
        """The entries that hold one of `placeholders`."""

        def keep(entries: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(e for e in entries if any(p in e for p in placeholders))

        return Pool(keep(self.known), keep(self.held_out))


class Picker:
    """Draws from pools for one command. With phrasing "held_out", `used_held_out` tells whether any draw was from
    that side.
    """

    def __init__(self, rng: random.Random, phrasing: Phrasing) -> None:
        if phrasing not in ("known", "held_out"):
            raise ValueError(f"phrasing is {phrasing!r}; expected 'known' or 'held_out'")
        self.rng = rng
        self.phrasing = phrasing
        self.used_held_out = False

    def pick(self, pool: Pool) -> str:
        """One phrase; with phrasing "held_out" from that side in half of the draws."""
        if self.phrasing == "held_out" and pool.held_out and self.rng.random() < 0.5:
            self.used_held_out = True
            return self.rng.choice(pool.held_out)
        return pool.draw(self.rng)

    def name(self, pool: Pool) -> str:
        """One name of a kind: the usual one more often than its synonyms."""
        if self.rng.random() < 0.5:
            return pool.known[0]
        return self.pick(pool)

    def filler(self, pool: Pool) -> str:
        """Filler words do not make a phrasing a held-out one, so this draw is not noted."""
        if self.phrasing == "held_out" and self.rng.random() < 0.5:
            return self.rng.choice(pool.held_out)
        return pool.draw(self.rng)


def normalized(text: str) -> str:
    """Text without case and punctuation, to compare phrasings."""
    kept = "".join(c if c.isalnum() or c in "{}'" else " " for c in text.lower())
    return " ".join(kept.split())


def read_pool(entry: Any, where: str, slots: Mapping[str, list[str]]) -> Pool:
    """A pool of a data file: a mapping with the lists `known` and `held_out`.

    Raises ValueError, naming `where`, when a side is not a list of texts, when `known` is empty, or when a phrase is on
    both sides.
    """
    if not isinstance(entry, dict) or not entry.get("known"):
        raise ValueError(f"{where}: expected a mapping with a non-empty list `known` and a list `held_out`")
    known, held_out = tuple(entry["known"]), tuple(entry.get("held_out") or ())
    for text in known + held_out:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{where}: {text!r} is not a text; put it in quotes")
    try:
        pool = Pool(tuple(with_slots(text, slots) for text in known), held_out)
        plain = {normalized(t) for t in pool.entries if isinstance(t, str)}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    both = plain & {normalized(t) for t in held_out}
    if both:
        raise ValueError(f"{where}: {sorted(both)} is both known and held out")
    return pool
