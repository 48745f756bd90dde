"""From a scene to dialogues: `make_dialogues`, `describe_turns`, and a corpus of all texts for training a tokenizer."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llavaseg_ros.training.language import commands, questions
from llavaseg_ros.training.language.commands import Draft
from llavaseg_ros.training.language.dialogue import Dialogue, dialogue_turns, fast_turn
from llavaseg_ros.training.language.lexicon import KINDS, Lexicon, Phrasing, Picker, load_lexicon
from llavaseg_ros.training.language.synthetic import random_scene
from llavaseg_ros.training.language.words import AT, enumeration, listing, spoken, verb
from llavaseg_ros.training.language.world import Head, Thing, World
from llavaseg_ros.training.scenes.catalog import load_catalog

DRAFTERS: dict[str, Callable[[World, random.Random], Iterator[Draft]]] = {
    "name": commands.name_drafts,
    "color": commands.color_drafts,
    "use": commands.use_drafts,
    "place": commands.place_drafts,
    "relation": commands.relation_drafts,
    "size": commands.size_drafts,
    "absent": questions.absent_drafts,
    "question": questions.question_drafts,
}
_RESTARTS = 3
_WORDINGS = 24


class _Source:
    """Drafts of one kind for one scene; starts again when they run out, as one draft can be worded in many ways."""

    def __init__(self, kind: str, world: World, rng: random.Random) -> None:
        self.kind, self.world, self.rng = kind, world, rng
        self.restarts = 0
        self.drafts = DRAFTERS[kind](world, rng)

    def next(self) -> Draft | None:
        while self.restarts <= _RESTARTS:
            for draft in self.drafts:
                if draft.thing is None or self.world.describable(draft.thing):
                    return draft
            self.restarts += 1
            self.drafts = DRAFTERS[self.kind](self.world, self.rng)
        return None


def _worded(draft: Draft, world: World, rng: random.Random, phrasing: Phrasing, relative: float) -> Dialogue | None:
    for _ in range(_WORDINGS):
        picker = Picker(rng, phrasing)
        text = draft.say(picker)
        if phrasing == "known" or picker.used_held_out:
            break
    else:
        return None
    talk = draft.kind == "question" and draft.meaning[1] in ("talk", "list")
    reasoning = draft.answer if talk else f"{listing(world.listed, world.lexicon)} {draft.decide}"
    thing = draft.thing
    location = thing.location if thing else ""
    if draft.beside and rng.random() < relative:
        location = f"{location}, {draft.beside}"
    return Dialogue(
        kind=draft.kind,
        command=spoken(text, picker, world.lexicon),
        target_id=thing.id if thing else None,
        reasoning=reasoning,
        target=draft.target,
        found=thing is not None,
        answer=draft.answer,
        color=thing.color if thing else "",
        shape=thing.shape if thing else "",
        location=location,
        phrasing=phrasing,
        meaning=draft.meaning,
    )


def make_dialogues(
    scene: dict[str, Any],
    rng: random.Random,
    *,
    phrasing: Phrasing,
    count: int,
    shares: Mapping[str, float] | None = None,
    relative_location: float = 0.0,
    lexicon: Lexicon | None = None,
) -> list[Dialogue]:
    """Up to `count` dialogues about a scene, all with different commands, each with a target that its command singles
    out.

    scene: one line of `scenes.jsonl`. shares: weight of each kind, by default those of the language file; a kind that
    the scene does not permit gives its share to the others. relative_location: share of relation commands whose
    location attribute also says the relation ("front left, left of the blue bowl"). lexicon: by default the package's
    language file. Returns fewer than `count` only when the scene has no more to say. The same rng state gives the
    same dialogues.
    """
    world = World(scene, lexicon or load_lexicon())
    weights = dict(shares or world.lexicon.shares)
    unknown = sorted(set(weights) - set(KINDS))
    if unknown:
        raise ValueError(f"shares names {unknown}; expected kinds of {list(KINDS)}")
    weights = {k: w for k, w in weights.items() if w > 0}
    sources = {k: _Source(k, world, rng) for k in weights}
    wanted = dict.fromkeys(weights, 0)
    dialogues: list[Dialogue] = []
    seen: set[str] = set()
    while len(dialogues) < count and weights:
        # Kinds that are behind their share come first, so that even a few dialogues of one scene are of different
        # kinds.
        kind = rng.choices(list(weights), [w / (1 + wanted[k]) for k, w in weights.items()])[0]
        draft = sources[kind].next()
        if draft is None:
            del weights[kind]
            continue
        dialogue = _worded(draft, world, rng, phrasing, relative_location)
        if dialogue is None or dialogue.command in seen:
            continue
        seen.add(dialogue.command)
        wanted[kind] += 1
        dialogues.append(dialogue)
    return dialogues


def describe_turns(
    scene: dict[str, Any],
    rng: random.Random | None = None,
    *,
    count: int = 6,
    chained: bool = False,
    lexicon: Lexicon | None = None,
) -> list[tuple[str, str]]:
    """Extra supervision as (user, assistant) turns: "List the objects.", "Where is the red mug?", "What is at the
    front left?".

    Every turn stands for itself after the image, and each reply begins with the list, as the reasoning of a command
    does: the same words asked as a command or question get the same reply. chained: the turns are one conversation that
    starts with the list, and later replies are one short sentence; then use them together, in order.
    rng: draws `count` turns beside the list; without it, the first ones from left to right.
    """
    lexicon = lexicon or load_lexicon()
    world = World(scene, lexicon)
    facts: list[tuple[str, str]] = []
    for thing in world.listed:
        plain, colored = Head(category=thing.category), Head(category=thing.category, color=thing.color)
        is_ = verb(thing.category, lexicon)
        if world.only(colored) is thing:
            facts.append((f"Where {is_} the {thing.name}?", f"The {thing.name} {is_} {AT[thing.location]}."))
        if world.only(plain) is thing:
            facts.append((f"What color {is_} the {thing.category}?", f"The {thing.category} {is_} {thing.color}."))
        if world.only(Head(color=thing.color)) is thing:
            facts.append((f"What is {thing.color}?", f"The {thing.category} {is_} {thing.color}."))
    for location, at in AT.items():
        # "On the left" means the whole left third to a person, corners and all; "in the middle" only the middle.
        there = [t for t in world.listed if location in t.location]
        if len(there) == sum(location in t.location for t in world.shown):
            facts.append((f"What is {at}?", _whats_there(there, at, lexicon)))
    if rng is not None:
        rng.shuffle(facts)
    everything = listing(world.listed, lexicon)
    turns = [(q, r if chained else f"{everything} {r}") for q, r in facts[:count]]
    return [("List the objects.", everything), *turns]


def _whats_there(there: list[Thing], at: str, lexicon: Lexicon) -> str:
    if not there:
        return f"There is nothing {at}."
    is_ = verb(there[0].category, lexicon) if len(there) == 1 else "are"
    return f"{at[0].upper()}{at[1:]} {is_} {enumeration([f'the {t.name}' for t in there])}."


def corpus(n: int, *, seed: int = 0) -> Iterator[str]:
    """`n` texts in known phrasings, for training a tokenizer without any scene on disk.

    First every known phrase of the language file and every shape of the catalog, so that no rare word is missed; then
    commands, replies and extra turns about random scenes.
    """
    rng = random.Random(seed)
    phrases = [re.sub(r"\{\w+\}", "mug", text) for _, pool in load_lexicon().pools() for text in pool.known]
    texts = phrases + [f"{c.name}: {c.shape}" for c in load_catalog().categories.values()]
    made = 0
    while True:
        yield from texts[: n - made]
        made += len(texts)
        if made >= n:
            return
        scene = random_scene(rng)
        texts = []
        for d in make_dialogues(scene, rng, phrasing="known", count=8):
            texts += [text for turn in (*dialogue_turns(d), fast_turn(d)) for text in turn]
        texts += [text for turn in describe_turns(scene, rng) for text in turn]
