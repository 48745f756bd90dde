# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a scene to dialogues: `make_dialogues`, and a corpus of all texts for training a tokenizer."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llavaseg_ros.training.language import commands, questions
from llavaseg_ros.training.language.commands import Draft
from llavaseg_ros.training.language.dialogue import Dialogue, dialogue_turns, fast_turn
from llavaseg_ros.training.language.lexicon import KINDS, Lexicon, load_lexicon
from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.language.phrases import Phrasing, Picker
from llavaseg_ros.training.language.quiz import quiz_turns
from llavaseg_ros.training.language.synthetic import random_photograph, random_scene
from llavaseg_ros.training.language.words import AT, spoken, verb, with_typo
from llavaseg_ros.training.language.world import World
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
_PHOTOGRAPHS = 0.1


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


def _worded(
    draft: Draft, world: World, rng: random.Random, phrasing: Phrasing, relative: float, typos: float
) -> Dialogue | None:
    for _ in range(_WORDINGS):
        picker = Picker(rng, phrasing)
        text = draft.say(picker)
        if phrasing == "known" or picker.used_held_out:
            break
    else:
        return None
    command = spoken(text, picker, world.lexicon)
    if rng.random() < typos:
        command = with_typo(command, world.lexicon, rng)
    thing = draft.thing
    steps = [draft.evidence, draft.decide]
    if thing and not draft.decide.endswith(f" {AT[thing.location]}."):
        steps.append(f"{'They are' if verb(thing.category, world.lexicon) == 'are' else 'It is'} {AT[thing.location]}.")
    location = thing.location if thing else ""
    if draft.beside and rng.random() < relative:
        location = f"{location}, {draft.beside}"
    return Dialogue(
        kind=draft.kind,
        command=command,
        target_id=thing.id if thing else None,
        reasoning=" ".join(filter(None, steps)),
        target=draft.target,
        found=thing is not None,
        answer=draft.answer,
        color=thing.color if thing else "",
        shape=thing.shape if thing else "",
        location=location,
        phrasing=phrasing,
        meaning=draft.meaning,
        expected=draft.expected,
    )


def make_dialogues(
    scene: dict[str, Any],
    rng: random.Random,
    *,
    phrasing: Phrasing,
    count: int,
    shares: Mapping[str, float] | None = None,
    relative_location: float = 0.0,
    typos: bool = True,
    lexicon: Lexicon | None = None,
) -> list[Dialogue]:
    """Up to `count` dialogues about a scene, all with different commands, each with a target that its command singles
    out.

    scene: one line of `scenes.jsonl`. shares: weight of each kind, by default those of the language file; a kind that
    the scene does not permit gives its share to the others. relative_location: share of relation commands whose
    location attribute also says the relation ("front left, left of the blue bowl"). typos: a few known commands hold a
    mistyped word. lexicon: by default the package's language file. Returns fewer than `count` only when the scene has
    no more to say. The same rng state gives the same dialogues.
    """
    world = World(scene, lexicon or load_lexicon())
    weights = dict(shares or world.lexicon.shares)
    unknown = sorted(set(weights) - set(KINDS))
    if unknown:
        raise ValueError(f"shares names {unknown}; expected kinds of {list(KINDS)}")
    weights = {k: w for k, w in weights.items() if w > 0}
    sources = {k: _Source(k, world, rng) for k in weights}
    wanted = dict.fromkeys(weights, 0)
    typo_share = world.lexicon.typo_probability if typos and phrasing == "known" else 0.0
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
        dialogue = _worded(draft, world, rng, phrasing, relative_location, typo_share)
        if dialogue is None or dialogue.command in seen:
            continue
        seen.add(dialogue.command)
        wanted[kind] += 1
        dialogues.append(dialogue)
    return dialogues


def corpus(n: int, *, seed: int = 0) -> Iterator[str]:
    """`n` texts in known phrasings, for training a tokenizer without any scene on disk.

    First every word of the known phrases, in some of them, and every shape, so that no rare word is missed; then
    commands, replies and extra turns about random scenes and photographs. Kinds that are held out are not named.
    """
    rng, lexicon = random.Random(seed), load_lexicon()
    for_tests = {f"nouns.{kind}" for kind in lexicon.tests_only}
    pools = [pool for name, pool in lexicon.pools() if name not in for_tests]
    texts = [re.sub(r"\{\w+\}", "mug", text) for pool in pools for text in pool.all_words()]
    shapes = {c.name: c.shape for c in load_catalog().categories.values()} | load_photographs().shapes
    texts += [f"{kind}: {shape}" for kind, shape in shapes.items()]
    made = 0
    while True:
        yield from texts[: n - made]
        made += len(texts)
        if made >= n:
            return
        scene = random_photograph(rng) if rng.random() < _PHOTOGRAPHS else random_scene(rng)
        texts = []
        for d in make_dialogues(scene, rng, phrasing="known", count=8):
            texts += [text for turn in (*dialogue_turns(d), fast_turn(d)) for text in turn]
        texts += [text for turn in quiz_turns(scene, rng) for text in turn]
