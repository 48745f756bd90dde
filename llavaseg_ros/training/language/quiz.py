# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Short questions in fixed words, many to an image: what a small language model learns to look things up from.

A dialogue asks for one choice in a hundred tokens; a quiz asks for twenty. Nobody speaks its words ("? place of red
mug"), so that a person's question never gets a quiz's bare reply.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from llavaseg_ros.training.language.commands import ANY, references
from llavaseg_ros.training.language.counting import countable, numbered
from llavaseg_ros.training.language.lexicon import PLACES, RELATIONS, SIZES, Lexicon, load_lexicon
from llavaseg_ros.training.language.places import SIZE_MARGIN, at_place, nearest_in_relation, of_size
from llavaseg_ros.training.language.words import NUMBERS
from llavaseg_ros.training.language.world import Head, Thing, World
from llavaseg_ros.training.scenes.catalog import load_catalog

Fact = tuple[str, str]
MAX_NAMES = 4
PAIR_MARGIN = 0.08  # of the image's width: nobody confuses which of two things is further left


def _names(things: list[Thing]) -> str:
    return ", ".join(t.name for t in things) or "nothing"


def _phrase(head: Head) -> str:
    return "thing" if head == ANY else head.says


def _look_up(world: World, rng: random.Random) -> Fact | None:
    """One property of a thing by another."""
    if not world.listed:
        return None
    thing = rng.choice(world.listed)
    way = rng.random()
    if way < 0.4:
        head = Head(category=thing.category, color=thing.color if rng.random() < 0.6 else "")
        return (f"place of {head.says}", thing.location) if world.only(head) is thing else None
    if way < 0.6:
        plain = Head(category=thing.category)
        return (f"color of {thing.category}", thing.color) if world.only(plain) is thing else None
    if way < 0.75:
        return (f"what is {thing.color}", thing.category) if world.only(Head(color=thing.color)) is thing else None
    if not world.complete:
        return None
    there = [t for t in world.listed if t.location == thing.location]
    whole = len(there) == sum(t.location == thing.location for t in world.shown)
    return (f"what at {thing.location}", _names(there)) if whole and len(there) <= MAX_NAMES else None


def _extreme(world: World, rng: random.Random) -> Fact | None:
    """The thing that is first by place or size, of all or of a kind or color."""
    heads = world.heads()
    head = rng.choice(heads) if heads and rng.random() < 0.4 else ANY
    if not world.complete:
        return None
    what = rng.choice((*PLACES, *SIZES, *SIZES))
    among = world.matching(head)
    thing = of_size(among, what) if what in SIZES else at_place(among, what, world.aspect)
    if thing is None or not thing.listed or not head.means(thing, world.lexicon):
        return None
    return f"{what} {_phrase(head)}", thing.name


def _beside(world: World, rng: random.Random) -> Fact | None:
    """The nearest thing on one side of another."""
    named = references(world)
    if not named or not world.complete:
        return None
    ref, _ = rng.choice(named)
    relation = rng.choice(RELATIONS)
    thing = nearest_in_relation(world.shown, relation, ref)
    return (f"{relation} {ref.name}", thing.name) if thing is not None and thing.listed else None


def _pair(world: World, rng: random.Random) -> Fact | None:
    """Which of two things is bigger, or more to a side."""
    named = [thing for thing, _ in references(world)]
    if len(named) < 2:
        return None
    first, second = rng.sample(named, 2)
    by_side: dict[str, Callable[[Thing], float]] = {
        "left": lambda t: -t.cx,
        "right": lambda t: t.cx,
        "front": lambda t: t.cy,
        "back": lambda t: -t.cy,
    }
    side = rng.choice((*by_side, "big"))
    if side == "big":
        bigger = max(first, second, key=lambda t: t.bbox_area)
        if bigger.bbox_area < SIZE_MARGIN * min(first.bbox_area, second.bbox_area):
            return None
        return f"bigger of {first.name}, {second.name}", bigger.name
    key = by_side[side]
    if abs(key(first) - key(second)) < PAIR_MARGIN:
        return None
    return f"more {side} of {first.name}, {second.name}", max(first, second, key=key).name


def _presence(world: World, rng: random.Random) -> Fact | None:
    """How many there are of a kind or color: none, when nothing comes near it."""
    catalog = load_catalog()
    there = rng.choice(world.listed) if world.listed and rng.random() < 0.7 else None
    category = there.category if there and rng.random() < 0.6 else rng.choice(list(catalog.categories))
    color = there.color if there and rng.random() < 0.6 else rng.choice(list(catalog.colors))
    head = rng.choice((Head(category=category), Head(color=color), Head(category=category, color=color)))
    number = countable(head, world)
    return (f"count {head.says}", NUMBERS[number]) if number is not None and number <= MAX_NAMES else None


def _numbered(world: World, rng: random.Random) -> Fact | None:
    """Everything, or all of a color or kind, from left to right with running numbers: how a count is found."""
    heads = world.heads()
    head = rng.choice(heads) if heads and rng.random() < 0.6 else ANY
    number = countable(head, world)
    if not number:
        return None
    counted = [t for t in world.listed if head.means(t, world.lexicon)]
    return f"number {_phrase(head)}", numbered(counted, places=bool(head.category))


def _all(world: World, rng: random.Random) -> Fact | None:
    """Everything, from left to right."""
    del rng
    return ("all", _names(world.listed)) if world.complete else None


SHARES: dict[Callable[[World, random.Random], Fact | None], float] = {
    _look_up: 0.22,
    _extreme: 0.22,
    _beside: 0.24,
    _pair: 0.12,
    _presence: 0.11,
    _numbered: 0.06,
    _all: 0.03,
}


def quiz_turns(
    scene: dict[str, Any], rng: random.Random, *, count: int = 16, lexicon: Lexicon | None = None
) -> list[tuple[str, str]]:
    """Up to `count` different (question, reply) turns of one conversation about a scene (a line of `scenes.jsonl`).

    Questions with no clear answer in this scene are never asked; the margins are those of the commands. The same rng
    state gives the same quiz.
    """
    world = World(scene, lexicon or load_lexicon())
    facts: dict[str, str] = {}
    makers, weights = list(SHARES), list(SHARES.values())
    for _ in range(4 * count):
        fact = rng.choices(makers, weights)[0](world, rng)
        if fact is not None:
            facts.setdefault(*fact)
        if len(facts) == count:
            break
    return [(f"? {question}", reply) for question, reply in facts.items()]
