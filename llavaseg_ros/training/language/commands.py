# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands whose target is in view: by name, color, use, place, relation and size.

Each `*_drafts` function yields drafts in random order. Every draft singles out one listed object; `Draft.say` puts it
in words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llavaseg_ros.training.language.lexicon import PLACES, RELATIONS, SIZES, Use
from llavaseg_ros.training.language.phrases import Picker, Pool
from llavaseg_ros.training.language.places import at_place, nearest_in_relation, of_size, one_in_relation
from llavaseg_ros.training.language.words import (
    AT,
    a,
    capital,
    in_frame,
    listing,
    noun_phrase,
    reference,
    request,
    verb,
)
from llavaseg_ros.training.language.world import Head, Thing, World

ANY = Head()
# How the replies name a place: before the target ("On the left is the red mug.") and after a noun ("the mug on the
# left").
PLACE_WORDS = {
    "leftmost": ("the leftmost", "leftmost {head}"),
    "rightmost": ("the rightmost", "rightmost {head}"),
    "nearest": ("the nearest", "nearest {head}"),
    "farthest": ("the farthest", "farthest {head}"),
    "middle": ("in the middle", "{head} in the middle"),
    "left side": ("on the left", "{head} on the left"),
    "right side": ("on the right", "{head} on the right"),
    "front side": ("at the front", "{head} at the front"),
    "back side": ("at the back", "{head} at the back"),
    "back left": ("at the back left", "{head} at the back left"),
    "back right": ("at the back right", "{head} at the back right"),
    "front left": ("at the front left", "{head} at the front left"),
    "front right": ("at the front right", "{head} at the front right"),
}


@dataclass(frozen=True)
class Draft:
    """A command before it is put in words.

    evidence: what the reasoning looks at first: where the reference of a relation is, or all the mugs of which one is
    the leftmost. decide: the sentence of the reasoning that names the target. beside: the relation, as an attribute.
    expected: see `Dialogue`.
    """

    kind: str
    target: str
    thing: Thing | None
    decide: str
    answer: str
    say: Callable[[Picker], str]
    meaning: tuple[str, ...] = field(default=())
    beside: str = ""
    evidence: str = ""
    expected: dict[str, Any] = field(default_factory=dict)


def meaning(kind: str, what: str, head: Head = ANY, ref: Thing | None = None) -> tuple[str, ...]:
    """The machine words of a command, see `Dialogue.meaning`."""
    return (kind, what, head.category, head.color, head.group, "" if ref is None else str(ref.id))


def _is(thing: Thing, world: World) -> str:
    return f"The {thing.name} {verb(thing.category, world.lexicon)}"


def whereabouts(thing: Thing, world: World) -> str:
    """ "The red mug is on the left."."""
    return f"{_is(thing, world)} {AT[thing.location]}."


def candidates(head: Head, world: World) -> str:
    """ "I see a red mug on the left and a blue mug at the back.": what a phrase leaves to choose from."""
    return listing([t for t in world.listed if head.means(t, world.lexicon)], world.lexicon)


def ask(head: Head, world: World) -> Callable[[Picker], str]:
    """Words that request what `head` names."""

    def say(picker: Picker) -> str:
        phrase = noun_phrase(head, picker, world.lexicon)
        return request(phrase, picker, world.lexicon, any_one=bool(head.category or head.group))

    return say


def name_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the mug", "the red mug", "the fruit"."""
    options: list[tuple[Thing, Head]] = []
    for thing in world.listed:
        plain, colored = Head(category=thing.category), Head(category=thing.category, color=thing.color)
        groups = [Head(group=g) for g, group in world.lexicon.groups.items() if thing.category in group.of]
        heads = [plain] * 4 + [colored] * 3 + groups
        options += [(thing, h) for h in heads if world.only(h) is thing]
    rng.shuffle(options)
    for thing, head in options:
        sentence = whereabouts(thing, world)
        yield Draft("name", thing.name, thing, sentence, sentence, ask(head, world), meaning("name", "", head))


def color_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the red one"."""
    options = [t for t in world.listed if world.only(Head(color=t.color)) is t]
    rng.shuffle(options)
    for thing in options:
        head = Head(color=thing.color)
        what = a(thing.category, thing.category, world.lexicon)
        decide, answer = f"The {thing.color} one is the {thing.name}.", f"The {thing.color} object is {what}."
        yield Draft("color", thing.name, thing, decide, answer, ask(head, world), meaning("color", "", head))


def say_use(use: Use, color: str, world: World) -> Callable[[Picker], str]:
    """Words that tell a purpose, and a color where that decides."""

    def say(picker: Picker) -> str:
        lexicon = world.lexicon
        way = picker.rng.random()
        if way < 0.35:
            text = picker.pick(use.say)
        elif way < 0.65:
            text = picker.pick(lexicon.use_frames_to).format(to=picker.pick(use.to))
        else:
            text = picker.pick(lexicon.use_frames_goal).format(goal=picker.pick(use.goal))
        if not color:
            return text
        text = capital(text if text[-1] in ".?!" else f"{text}.")
        return picker.pick(lexicon.use_color).format(say=text, color=color)

    return say


def use_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "I am thirsty"; where several things would do, with a color: "I am thirsty. Give me the red one."."""
    options: list[tuple[str, Thing, str]] = []
    for name, use in world.lexicon.uses.items():
        fit = [t for t in world.shown if t.category in use.serves or t.category in use.also]
        for thing in fit:
            if not thing.listed or thing.category not in use.serves:
                continue
            if len(fit) == 1:
                options.append((name, thing, ""))
            elif sum(t.color == thing.color for t in fit) == 1:
                options.append((name, thing, thing.color))
    # Purposes that several kinds serve fit nearly every scene; each target gets the same chance instead.
    by_target: dict[int, list[tuple[str, Thing, str]]] = {}
    for option in options:
        by_target.setdefault(option[1].id, []).append(option)
    for left in by_target.values():
        rng.shuffle(left)
    while by_target:
        ids = list(by_target)
        rng.shuffle(ids)
        for key in ids:
            name, thing, color = by_target[key].pop()
            if not by_target[key]:
                del by_target[key]
            use = world.lexicon.uses[name]
            decide, answer = f"You can {use.can} the {thing.name}.", f"The {thing.name} can be used to {use.used_to}."
            yield Draft(
                "use",
                thing.name,
                thing,
                decide,
                answer,
                say_use(use, color, world),
                meaning("use", name, Head(color=color)),
            )


def _wrapped(pool: Pool, head: Head, world: World) -> Callable[[Picker], str]:
    def say(picker: Picker) -> str:
        inner = noun_phrase(head, picker, world.lexicon, inner=True)
        bare = picker.pick(pool).format_map({"head": inner.bare, **inner.grammar})
        return request(inner._replace(bare=bare), picker, world.lexicon, any_one=False)

    return say


def place_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the leftmost object", "the mug on the left side"."""
    # Without a kind or color the place alone decides: the harder and commoner case, so it comes first more often.
    # What else is in an incomplete picture may stand further left than everything that is listed.
    free = [ANY, ANY] if world.complete else []
    options = [(place, head) for head in [*free, *world.heads()] for place in PLACES]
    rng.shuffle(options)
    for place, head in dict.fromkeys(options):
        thing = at_place(world.matching(head), place, world.aspect)
        if thing is None or not thing.listed or not head.means(thing, world.lexicon):
            continue
        lead, noun = PLACE_WORDS[place]
        decide = (
            f"{capital(lead)} is the {thing.name}."
            if head == ANY
            else f"The {noun.format(head=head.says)} is the {thing.name}."
        )
        answer = f"{_is(thing, world)} the {noun.format(head=head.says)}."
        yield Draft(
            "place",
            thing.name,
            thing,
            decide,
            answer,
            _wrapped(world.lexicon.places[place], head, world),
            meaning("place", place, head),
            evidence="" if head == ANY else candidates(head, world),
        )


def size_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the biggest object", "the small mug"."""
    free = [ANY] if world.complete else []
    options = [(size, head) for head in [*free, *world.heads()] for size in SIZES]
    rng.shuffle(options)
    for size, head in options:
        thing = of_size(world.matching(head), size)
        if thing is None or not thing.listed or not head.means(thing, world.lexicon):
            continue
        decide = f"The {size}{'' if head == ANY else ' ' + head.says} is the {thing.name}."
        answer = f"{_is(thing, world)} the {size} {head.says}."
        say = _wrapped(world.lexicon.sizes[size], head, world)
        means = meaning("size", size, head)
        evidence = "" if head == ANY else candidates(head, world)
        yield Draft("size", thing.name, thing, decide, answer, say, means, evidence=evidence)


def references(world: World) -> list[tuple[Thing, bool]]:
    """Things that a relation can refer to, and whether their color has to be said."""
    found = []
    for thing in world.listed:
        if world.only(Head(category=thing.category)) is thing:
            found.append((thing, False))
        elif world.only(Head(category=thing.category, color=thing.color)) is thing:
            found.append((thing, True))
    return found


def _say_relation(relation: str, head: Head, ref: Thing, with_color: bool, world: World) -> Callable[[Picker], str]:
    def say(picker: Picker) -> str:
        lexicon, rng = world.lexicon, picker.rng
        inner = noun_phrase(head, picker, lexicon, inner=True)
        named = reference(ref, with_color or rng.random() < 0.3, picker, lexicon)
        rel = picker.pick(lexicon.relations[relation])
        if rng.random() < lexicon.relation_request_probability:
            return in_frame(picker.pick(lexicon.relation_requests), inner, head=inner.bare, rel=rel, ref=named)
        words = picker.pick(lexicon.how).format_map({"head": inner.bare, "rel": rel, "ref": named, **inner.grammar})
        return request(inner._replace(bare=words), picker, lexicon, any_one=False)

    return say


def relation_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the thing left of the bowl", "the mug next to the red plate"."""
    options = [(ref, colored, relation) for ref, colored in references(world) for relation in RELATIONS]
    rng.shuffle(options)
    heads = world.heads()
    singles = [Head(color=t.color) for t in world.listed] + [Head(category=t.category) for t in world.listed]
    for ref, colored, relation in options:
        head = ANY
        thing = nearest_in_relation(world.shown, relation, ref)
        shared = thing is None or not world.complete or rng.random() < 0.3
        if shared:
            # Of several mugs or red things, the one beside the reference; now and then also a kind that stands alone
            # in the scene.
            head = rng.choice(heads if heads and rng.random() < 0.8 else singles)
            thing = one_in_relation(world.matching(head), relation, ref)
        if thing is None or not thing.listed or thing.id == ref.id or not head.means(thing, world.lexicon):
            continue
        beside = f"{relation} the {ref.name}"
        decide = (
            f"{capital(beside)} is the {thing.name}."
            if head == ANY
            else f"The {head.says} {beside} is the {thing.name}."
        )
        say = _say_relation(relation, head, ref, colored, world)
        answer = f"{_is(thing, world)} {beside}."
        means = meaning("relation", relation, head, ref)
        yield Draft("relation", thing.name, thing, decide, answer, say, means, beside, whereabouts(ref, world))
