# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Questions about how many there are, and reasoning that counts one thing after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llavaseg_ros.training.language.commands import ANY, Draft, meaning
from llavaseg_ros.training.language.phrases import Picker
from llavaseg_ros.training.language.words import AT, NUMBERS
from llavaseg_ros.training.language.world import Head, Thing, World
from llavaseg_ros.training.scenes.catalog import held_out_pairs

MAX_COUNT = 5


def may_be_absent(head: Head, world: World) -> bool:
    """True when nothing in the scene, hidden or not, comes near to what `head` says.

    A mug is near to a cup, and an orange box near to a red one: a person might mean it, so the other is not called
    absent. Pairs of kind and color that training never shows are left out, or the model would learn that they never
    exist.
    """
    lexicon = world.lexicon
    if head.category and head.color and (head.category, head.color) in held_out_pairs():
        return False
    for thing in world.present:
        near_kind = (
            not head.category or thing.category == head.category or thing.category in lexicon.nouns[head.category].like
        )
        near_color = (
            not head.color or thing.color == head.color or frozenset((thing.color, head.color)) in lexicon.near_colors
        )
        if near_kind and near_color:
            return False
    return True


def countable(head: Head, world: World) -> int | None:
    """How many there are, or None where a half-hidden thing, a loose use of the word, or what the record does not list
    makes that a matter of taste.
    """
    lexicon = world.lexicon
    matches = world.matching(head)
    limit = MAX_COUNT if head != ANY else len(NUMBERS) - 1
    if not world.complete or not all(t.listed and head.means(t, lexicon) for t in matches) or len(matches) > limit:
        return None
    if not matches:
        return 0 if not (head.category or head.color) or may_be_absent(head, world) else None
    hidden = sum(head.may_mean(t, lexicon) for t in world.present) > len(matches)
    return None if hidden else len(matches)


def numbered(things: Sequence[Thing], *, places: bool) -> str:
    """ "1 red mug on the left, 2 blue mug at the back": things from left to right with running numbers.

    The last number is the answer: a small language model counts along, and does not have to count in its head.
    """
    return ", ".join(f"{n} {t.name}{f' {AT[t.location]}' if places else ''}" for n, t in enumerate(things, 1))


def _plural(head: Head, world: World) -> str:
    """ "mugs", "red things"; the commonest word, as counting is hard enough."""
    if head.category:
        noun = world.lexicon.nouns[head.category].plural
    else:
        noun = world.lexicon.groups[head.group].plural if head.group else "objects"
    return f"{head.color} {noun}".strip()


def _counted_head(world: World, rng: random.Random) -> Head:
    """What to count: everything, a color, or a kind; where it can be, a kind of which there are several."""
    way = rng.random()
    several = [h for h in world.heads() if h.category]
    if way < 0.28:
        return ANY
    if way < 0.49 and world.listed:
        return Head(color=rng.choice(world.listed).color)
    if way < 0.70 and several:
        return rng.choice(several)
    if way < 0.83 and world.listed:
        thing = rng.choice(world.listed)
        return Head(category=thing.category, color=thing.color if rng.random() < 0.4 else "")
    if way < 0.90:
        return Head(group=rng.choice(list(world.lexicon.groups)))
    return Head(category=rng.choice(world.absent_kinds()))


def count_question(world: World, rng: random.Random) -> Draft | None:
    """ "How many mugs are there?": none to five; "how many objects?": all of them."""
    lexicon = world.lexicon
    head = _counted_head(world, rng)
    if head.category and lexicon.nouns[head.category].plural_only:
        return None
    number = countable(head, world)
    if number is None or (head.group and number == 0 and any(head.may_mean(t, lexicon) for t in world.present)):
        return None
    many = _plural(head, world)
    one = head.says
    if head.group:
        one = many.replace(lexicon.groups[head.group].plural, lexicon.groups[head.group].names.known[0])
    answer = f"There is one {one}." if number == 1 else f"There are {NUMBERS[number]} {many}."
    # Things of one kind differ by where they are; of others the name is enough.
    counted = [t for t in world.listed if head.means(t, lexicon)]
    evidence = f"{numbered(counted, places=bool(head.category))}." if number else ""

    def say(picker: Picker) -> str:
        asked = many
        if not head.category and not head.group:
            asked = f"{head.color} {rng.choice(('objects', 'objects', 'things', 'items'))}".strip()
        return picker.pick(lexicon.questions["count"]).format(plural=asked)

    expected = {"kind": "count", "value": number}
    means = meaning("question", "count", head)
    return Draft("question", "", None, answer, answer, say, means, evidence=evidence, expected=expected)
