# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Phrases with choices, typing slips, and the wall between known and held-out wording."""

from __future__ import annotations

import random
import re
from itertools import islice

import pytest

from llavaseg_ros.training.language import load_lexicon, make_dialogues, random_photograph, random_scene
from llavaseg_ros.training.language.phrases import Picker, Pool, parse, read_pool, tidy, with_slots
from llavaseg_ros.training.language.words import spoken, with_article, with_typo
from llavaseg_ros.training.scenes.catalog import load_catalog

MOST = 5000  # phrases of a pool that are all looked at; of larger pools as many random ones
_MARKS = str.maketrans({mark: " " for mark in '.,?!;:-"()'})
_ARTICLE = re.compile(r"\b(?:a|an|the|please) ")


def plain(text: str) -> str:
    """Small letters, no punctuation, singular grammar."""
    text = text.replace("{is}", "is").replace("{it}", "it").replace("{one}", "one")
    return " ".join(text.lower().translate(_MARKS).split())


def test_choices_are_drawn_and_listed() -> None:
    pool = Pool(("(hand|give) me {the}( now|, please|).", "Find {the}."))
    every = set(pool.all_known())
    assert every == {f"{v} me {{the}}{t}." for v in ("hand", "give") for t in (" now", ", please", "")} | {
        "Find {the}."
    }
    rng = random.Random(0)
    drawn = [pool.draw(rng) for _ in range(400)]
    assert set(drawn) == every
    assert 150 < drawn.count("Find {the}.") < 250, "an entry counts once, however many choices it has"
    words = " ".join(pool.all_words())
    assert all(word in words for word in ("hand", "give", "now", "please", "Find"))
    assert len(list(pool.all_words())) < len(every)


def test_nested_choices_and_lists() -> None:
    slots = {"ask": ["<can> you", "please"], "can": ["can", "could"]}
    pool = Pool((with_slots("(<ask> |)take {the}", slots),))
    assert set(pool.all_known()) == {f"{a}take {{the}}" for a in ("can you ", "could you ", "please ", "")}
    assert tidy("  a  cup , please ?") == "a cup, please?"


@pytest.mark.parametrize("text", ["(a|b", "a)b", "a|b", "((a)"])
def test_bad_parentheses_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse(text)
    with pytest.raises(ValueError, match="here"):
        read_pool({"known": ["(a|b", "c"]}, "here", {})


def leak(phrase: str, held_out: dict[str, str], pattern: re.Pattern[str]) -> str | None:
    """The held-out phrase that a known one holds, or is but for articles."""
    words = plain(phrase)
    inside = pattern.search(words)
    return inside[0] if inside else held_out.get(_ARTICLE.sub("", words))


def test_no_known_phrase_holds_a_held_out_one_or_respells_it() -> None:
    rng, looked_at = random.Random(0), 0
    for name, pool in load_lexicon().pools():
        assert pool.held_out, f"{name} has nothing to test with"
        held_out = {_ARTICLE.sub("", plain(h)): h for h in pool.held_out}
        pattern = re.compile("(?<![^ ])(?:" + "|".join(re.escape(plain(h)) for h in pool.held_out) + ")(?![^ ])")
        phrases = list(islice(pool.all_known(), MOST + 1))
        if len(phrases) > MOST:
            phrases = [pool.draw(rng) for _ in range(4 * MOST)]
        for phrase in phrases:
            assert leak(phrase, held_out, pattern) is None, (name, phrase)
        looked_at += len(phrases)
    assert looked_at > 60_000
    # The check itself: what it must catch.
    pattern = re.compile(r"(?<![^ ])(?:grasp \{the\}|wash table)(?![^ ])")
    assert leak("Can you grasp {the}, please?", {}, pattern) and leak("wash the table", {"wash table": "x"}, pattern)
    assert leak("grasping {the}", {}, pattern) is None


def frame_pattern(frames: tuple[str, ...]) -> re.Pattern[str]:
    """Sentences that any of the frames gives."""
    stands_for = {
        "{the}": r"the \w.*",
        "{a}": r"(?:a|an|some) \w.*",
        "{bare}": r"(?!the |a |an |some |me |it |them |my ).*",
        "{to}": r"\w.*",
        "{goal}": r"\w.*",
    }
    parts = []
    for frame in map(plain, frames):
        for placeholder, words in stands_for.items():
            frame = frame.replace(placeholder, words)
        parts.append(frame)
    return re.compile(rf"(?<![^ ])(?:{'|'.join(parts)})(?![^ ])")


def test_no_known_command_is_worded_in_a_held_out_way() -> None:
    """Whole commands, with what comes before and after: pieces from two pools may add up to a held-out frame."""
    lexicon = load_lexicon()
    frames, to = frame_pattern(lexicon.frames.held_out), frame_pattern(lexicon.use_frames_to.held_out)
    goal = frame_pattern(lexicon.use_frames_goal.held_out)
    names = [n for noun in lexicon.nouns.values() for n in noun.names.held_out]
    names += [n for group in lexicon.groups.values() for n in group.names.held_out]
    names += [*lexicon.adjectives.held_out, "thanks a lot", "be quick", "much appreciated"]
    words = re.compile(rf"(?<![^ ])(?:{'|'.join(map(re.escape, names))}|(?<!in one )piece(?! of))(?![^ ])")
    rng, count, forms = random.Random(1), 0, set()
    for _ in range(700):
        scene = random_photograph(rng) if rng.random() < 0.15 else random_scene(rng)
        for d in make_dialogues(scene, rng, phrasing="known", count=10):
            count += 1
            forms.add(plain(d.command))
            assert not d.command.lower().startswith(("listen,", "excuse me", "my friend,", "uh, ok")), d.command
            uses = d.kind == "use" or (d.kind == "absent" and d.meaning[1])
            for sentence in re.split(r"[.?!]", d.command):
                text = plain(sentence)
                assert not words.search(text), d.command
                if uses:
                    assert not to.search(text) and not goal.search(text), d.command
                elif d.kind != "question":
                    assert not frames.search(text), d.command
    assert count > 6000 and len(forms) > 0.9 * count, "commands must hardly ever repeat"
    for said in ("could you fetch me the red mug", "please look for the ball and pick it up", "would you get me a pen"):
        assert frames.search(said)
    assert not frames.search("give it to me") and frames.search("give red mug to me")


def test_known_phrases_name_no_color() -> None:
    """A color word says which thing is meant; where it is only a part of a name, it would mislead."""
    colors = set(load_catalog().colors)
    for name, pool in load_lexicon().pools():
        if name in ("uses.juice.to", "uses.juice.goal", "uses.juice.say", "nouns.orange"):
            continue  # orange juice, and the fruit
        for phrase in pool.all_words():
            if phrase != "make my coffee white with":
                assert not colors & set(plain(phrase).split()), (name, phrase)


def test_every_kind_has_many_names() -> None:
    for kind, noun in load_lexicon().nouns.items():
        names = list(noun.names.all_known())
        trained = kind in load_catalog().categories
        assert len(set(names)) == len(names) and len(names) >= (7 if trained else 3), (kind, names)


def test_names_mean_one_kind_only() -> None:
    """A name that two kinds share would make a command ambiguous; the kinds that a word covers are the exception."""
    lexicon = load_lexicon()
    owners: dict[str, str] = {}
    for kind, noun in lexicon.nouns.items():
        for name in (*noun.names.all_known(), *noun.names.held_out):
            other = owners.setdefault(plain(name), kind)
            assert other == kind, f"{name!r} is a {kind} and a {other}"


@pytest.mark.parametrize(
    ("words", "said"),
    [("red mug", "a red mug"), ("apple", "an apple"), ("usual mug", "a usual mug"), ("hourglass", "an hourglass"),
     ("one on the left", "one on the left"), ("utensil", "a utensil")],
)  # fmt: skip
def test_articles(words: str, said: str) -> None:
    assert with_article(words) == said


def test_a_typo_changes_one_letter_place_and_gives_no_other_word() -> None:
    lexicon, rng = load_lexicon(), random.Random(0)
    slips = 0
    for _ in range(500):
        command = "please hand me the black bottle on the right"
        typed = with_typo(command, lexicon, rng)
        changed = [(a, b) for a, b in zip(command.split(), typed.split(), strict=True) if a != b]
        assert len(changed) <= 1
        for before, after in changed:
            slips += 1
            assert len(before) >= 5 and after not in lexicon.words
            assert (before[0], before[-1]) == (after[0], after[-1]) and abs(len(before) - len(after)) <= 1
            assert set(after) <= set(before)
    assert slips > 100
    scene = random_scene(random.Random(3), objects=8, unlisted=0)

    def commands(typos: bool) -> list[str]:
        made = [make_dialogues(scene, random.Random(i), phrasing="known", count=1, typos=typos) for i in range(400)]
        return [d.command for ds in made for d in ds]

    assert 3 < sum(a != b for a, b in zip(commands(True), commands(False), strict=True)) < 40


def test_sentences_start_with_capitals_or_not_at_all() -> None:
    lexicon = load_lexicon()
    for seed in range(300):
        said = spoken("see the mug? take it.", Picker(random.Random(seed), "known"), lexicon)
        assert said == said.lower() or not re.search(r"[.?!] [a-z]", said), said
