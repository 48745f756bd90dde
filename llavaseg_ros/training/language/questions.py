# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands whose target is not there, plain questions, and small talk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from llavaseg_ros.training.language.commands import Draft, ask, meaning, references, say_use, whereabouts
from llavaseg_ros.training.language.counting import count_question, may_be_absent
from llavaseg_ros.training.language.lexicon import RELATIONS
from llavaseg_ros.training.language.phrases import Picker, Pool
from llavaseg_ros.training.language.places import clearly, nearest_in_relation
from llavaseg_ros.training.language.words import (
    AT,
    a,
    capital,
    enumeration,
    in_frame,
    listing,
    noun_phrase,
    reference,
    verb,
)
from llavaseg_ros.training.language.world import Head, Thing, World
from llavaseg_ros.training.scenes.catalog import load_catalog

EDGE_OF_PLACE = 0.02  # of the image's width or height: nobody disputes the place of a thing so far from the next one


def _absent_head(world: World, rng: random.Random) -> Head:
    """A random thing to ask for, rather near to what is there: only `may_be_absent` says whether it can be used."""
    catalog, nouns = load_catalog(), world.absent_kinds()
    # Beside one listed mango there may be others, of any color.
    there = rng.choice(world.listed) if world.listed and world.complete else None
    way = rng.random() if world.complete else 1.0
    if way < 0.35 and there is not None:
        # The right kind in a wrong color.
        colors = (
            catalog.categories[there.category].colors if there.category in catalog.categories else list(catalog.colors)
        )
        return Head(category=there.category, color=rng.choice(list(colors)))
    if way < 0.55 and there is not None:
        # A wrong kind in a color that is there.
        kinds = [c for c in nouns if c not in catalog.categories or there.color in catalog.categories[c].colors]
        return Head(category=rng.choice(kinds), color=there.color)
    if way < 0.65:
        return Head(color=rng.choice(list(catalog.colors)))
    return Head(category=rng.choice(nouns))


def absent_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the banana" or "the blue mug" where there is none; "drive a nail" without a hammer. Endless but for crowded
    scenes.
    """
    lexicon = world.lexicon
    kinds, absent_kinds = {t.category for t in world.present}, world.absent_kinds()
    for _ in range(60):
        if rng.random() < 0.12:
            name = rng.choice(list(lexicon.uses))
            use = lexicon.uses[name]
            head = Head(category=use.serves[0])
            if len(use.serves) > 1 or head.category not in absent_kinds or not may_be_absent(head, world):
                continue
            if kinds & use.also:
                continue
            say, what = say_use(use, "", world), name
        else:
            head, what = _absent_head(world, rng), ""
            if not may_be_absent(head, world):
                continue
            say = ask(head, world)
        asked = a(head.says, head.category, lexicon)
        none = f"There {verb(head.category, lexicon)} no {head.says}."
        missing = f"I do not see {'any ' + asked if asked == head.says else asked}."
        yield Draft("absent", head.says, None, none, missing, say, meaning("absent", what, head))


def _question(what: str, answer: str, say: Callable[[Picker], str], head: Head, expected: dict[str, Any]) -> Draft:
    return Draft("question", "", None, answer, answer, say, meaning("question", what, head), expected=expected)


def color_question(world: World, rng: random.Random) -> Draft | None:
    """ "What color is the mug?"."""
    lexicon = world.lexicon
    options = [t for t in world.listed if world.only(Head(category=t.category)) is t]
    if not options:
        return None
    thing = rng.choice(options)
    head = Head(category=thing.category)
    answer = f"The {thing.category} {verb(thing.category, lexicon)} {thing.color}."
    say = _about(lexicon.questions["color"], head, world)
    return _question("color", answer, say, head, {"kind": "color", "value": thing.color})


def _about(pool: Pool, head: Head, world: World) -> Callable[[Picker], str]:
    def say(picker: Picker) -> str:
        phrase = noun_phrase(head, picker, world.lexicon, inner=True)
        return in_frame(picker.pick(pool), phrase)

    return say


def is_there_question(world: World, rng: random.Random) -> Draft | None:
    """ "Is there a mug?": yes and no in equal parts."""
    lexicon = world.lexicon
    pool = lexicon.questions["is there"]
    if rng.random() < 0.5:
        for thing in rng.sample(world.listed, len(world.listed)):
            heads = [Head(t, c) for t, c in ((thing.category, ""), (thing.category, thing.color), ("", thing.color))]
            heads = [h for h in heads if world.only(h) is thing]
            if heads:
                head = rng.choice(heads)
                answer = f"Yes, there {verb(thing.category, lexicon)} {a(thing.name, thing.category, lexicon)}."
                expected = {"kind": "yes_no", "value": True}
                return _question("is there", answer, _about(pool, head, world), head, expected)
        return None
    for _ in range(20):
        head = _absent_head(world, rng)
        if may_be_absent(head, world):
            answer = f"No, there {verb(head.category, lexicon)} no {head.says}."
            return _question("is there", answer, _about(pool, head, world), head, {"kind": "yes_no", "value": False})
    return None


def beside_question(world: World, rng: random.Random) -> Draft | None:
    """ "What is left of the bowl?"."""
    lexicon = world.lexicon
    if not world.complete:
        return None
    options = [(ref, colored, relation) for ref, colored in references(world) for relation in RELATIONS]
    rng.shuffle(options)
    for ref, colored, relation in options:
        thing = nearest_in_relation(world.shown, relation, ref)
        if thing is None or not thing.listed:
            continue

        def say(picker: Picker, ref: Thing = ref, colored: bool = colored, relation: str = relation) -> str:
            named = reference(ref, colored or picker.rng.random() < 0.3, picker, lexicon)
            return picker.pick(lexicon.questions["beside"]).format(
                rel=picker.pick(lexicon.relations[relation]), ref=named
            )

        answer = f"{capital(relation)} the {ref.name} {verb(thing.category, lexicon)} the {thing.name}."
        # The nearest one is meant, but nobody calls it wrong to name another one that clearly stands there.
        others = [] if relation == "next to" else [t for t in world.shown if clearly(t, relation, ref)]
        names = list(dict.fromkeys(t.name for t in (thing, *others)))
        return Draft(
            "question",
            "",
            None,
            answer,
            answer,
            say,
            ("question", "beside", "", "", "", str(ref.id), relation, str(thing.id)),
            evidence=whereabouts(ref, world),
            expected={"kind": "objects", "value": names, "aside": [ref.name]},
        )
    return None


def _well_inside(thing: Thing, world: World) -> bool:
    """The middle of the thing is not near a border between two of the nine places."""
    away = (abs(v - border) for v in (thing.cx, thing.cy / world.aspect) for border in (1 / 3, 2 / 3))
    return min(away) > EDGE_OF_PLACE


def where_question(world: World, rng: random.Random) -> Draft | None:
    """ "On which side is the mug?": one of nine places."""
    lexicon = world.lexicon
    options = [(t, colored) for t, colored in references(world) if _well_inside(t, world)]
    if not options:
        return None
    thing, colored = rng.choice(options)
    head = Head(category=thing.category, color=thing.color if colored or rng.random() < 0.5 else "")
    answer = f"The {thing.name} {verb(thing.category, lexicon)} {AT[thing.location]}."
    say = _about(lexicon.questions["where"], head, world)
    return _question("where", answer, say, head, {"kind": "place", "value": thing.location})


def list_question(world: World, rng: random.Random) -> Draft | None:
    """ "What do you see?": the reasoning says where everything is, the answer only names it."""
    del rng
    if not world.complete:
        return None
    lexicon = world.lexicon
    where = listing(world.listed, lexicon)
    named = enumeration([a(t.name, t.category, lexicon) for t in world.listed]) if world.listed else "no objects"
    # Half of the different things will do: more than a glance, and still a right answer.
    names = list(dict.fromkeys(t.name for t in world.shown))
    expected = {"kind": "objects", "value": names, "least": (len({t.name for t in world.listed}) + 1) // 2}
    means = meaning("question", "list")
    say = lambda picker: picker.pick(lexicon.questions["list"])  # noqa: E731
    return Draft("question", "", None, where, f"I see {named}.", say, means, expected=expected)


def talk_question(world: World, rng: random.Random) -> Draft | None:
    """Small talk; the image does not matter."""
    name = rng.choice(list(world.lexicon.talk))
    talk = world.lexicon.talk[name]
    return Draft(
        "question",
        "",
        None,
        talk.reply,
        talk.reply,
        lambda p: p.pick(talk.says),
        ("question", "talk", "", "", "", "", name),
    )


QUESTION_MAKERS: dict[str, Callable[[World, random.Random], Draft | None]] = {
    "count": count_question,
    "color": color_question,
    "is there": is_there_question,
    "beside": beside_question,
    "where": where_question,
    "list": list_question,
    "talk": talk_question,
}


def question_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """Questions of all sorts by their shares."""
    shares = world.lexicon.question_shares
    sorts, weights = list(shares), list(shares.values())
    for _ in range(60):
        draft = QUESTION_MAKERS[rng.choices(sorts, weights)[0]](world, rng)
        if draft is not None:
            yield draft
