# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Putting words together: articles, verbs, noun phrases, frames, fillers, and sloppy writing."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from llavaseg_ros.training.language.lexicon import Lexicon
from llavaseg_ros.training.language.phrases import Picker
from llavaseg_ros.training.language.world import Head, Thing

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
AT = {
    "back left": "at the back left",
    "back": "at the back",
    "back right": "at the back right",
    "left": "on the left",
    "middle": "in the middle",
    "right": "on the right",
    "front left": "at the front left",
    "front": "at the front",
    "front right": "at the front right",
}


_NOT_VOWELS = ("one", "us", "uni", "eu", "ute")  # "a utensil"
_SINGULAR, _PLURAL = {"is": "is", "it": "it", "one": "one"}, {"is": "are", "it": "them", "one": "ones"}
_SENTENCE_START = re.compile(r"(?<=[.?!] )[a-z]")


class NounPhrase(NamedTuple):
    """A phrase without an article, its form with "a" or "some", and whether verbs and pronouns are in the plural."""

    bare: str
    a: str
    plural: bool

    @property
    def grammar(self) -> dict[str, str]:
        """What {is}, {it} and {one} in a phrase stand for."""
        return _PLURAL if self.plural else _SINGULAR


def with_article(words: str) -> str:
    """ "red mug" -> "a red mug", "apple" -> "an apple"; "one on the left" stays as it is."""
    if words.startswith("one"):
        return words
    vowel = words[0] in "aeiou" and not words.startswith(_NOT_VOWELS) or words.startswith("hour")
    return f"{'an' if vowel else 'a'} {words}"


def a(words: str, category: str, lexicon: Lexicon) -> str:
    """The words of a reply for one thing of a kind, with its article: "a red mug", "red scissors"."""
    return words if category and lexicon.nouns[category].plural_only else with_article(words)


def verb(category: str, lexicon: Lexicon) -> str:
    """ "is", or "are" for kinds such as scissors."""
    return "are" if category and lexicon.nouns[category].plural_only else "is"


def capital(text: str) -> str:
    """First letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def enumeration(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def listing(things: Sequence[Thing], lexicon: Lexicon) -> str:
    """First sentence of the reasoning: everything that can be a target, from left to right, and where it is.

    A small language model reads from its own words what it cannot yet look up in the image: "where is the red mug" is
    answered by the line that already says it.
    """
    if not things:
        return "I see no objects."
    return f"I see {enumeration([f'{a(t.name, t.category, lexicon)} {AT[t.location]}' for t in things])}."


def noun_phrase(head: Head, picker: Picker, lexicon: Lexicon, *, inner: bool = False) -> NounPhrase:
    """A phrase for `head`.

    inner: the phrase stands inside a longer one ("leftmost red thing"), where only the short form of a color is
    natural.
    """
    pattern = "{head}"
    if head.color:
        named = head.category or head.group
        pattern = (
            "{color} {head}" if inner else picker.pick(lexicon.named_color_phrases if named else lexicon.color_phrases)
        )
    plural, noun = False, ""
    if head.category:
        noun = picker.name(lexicon.nouns[head.category].names)
        plural = lexicon.nouns[head.category].plural_only and not noun.startswith("pair ")
    elif head.group:
        noun = picker.name(lexicon.groups[head.group].names)
    elif "{head}" in pattern:  # "red one" has its own word
        noun = picker.pick(lexicon.things)
    some = plural or noun in lexicon.some
    bare = pattern.format_map({"color": head.color, "head": noun, **(_PLURAL if plural else _SINGULAR)})
    if picker.rng.random() < lexicon.adjective_probability:
        bare = f"{picker.pick(lexicon.adjectives)} {bare}"
    return NounPhrase(bare, f"some {bare}" if some else with_article(bare), plural)


def request(phrase: NounPhrase, picker: Picker, lexicon: Lexicon, *, any_one: bool) -> str:
    """A request for "the" + phrase. any_one: it makes sense to ask for any such thing, too."""
    frame = picker.pick(lexicon.frames if any_one else lexicon.phrase_frames)
    return in_frame(frame, phrase)


def in_frame(frame: str, phrase: NounPhrase, **others: str) -> str:
    """The frame with the phrase and `others` in its places."""
    words = {"the": f"the {phrase.bare}", "bare": phrase.bare, "a": phrase.a}
    return frame.format_map({**words, **phrase.grammar, **others})


def reference(thing: Thing, with_color: bool, picker: Picker, lexicon: Lexicon) -> str:
    """How a command names the thing that another one stands beside: "the bowl", "the blue bowl"."""
    head = Head(category=thing.category, color=thing.color if with_color else "")
    return f"the {noun_phrase(head, picker, lexicon, inner=True).bare}"


def spoken(command: str, picker: Picker, lexicon: Lexicon) -> str:
    """The command as a person writes it: sometimes with fillers, without capitals or without punctuation."""
    rng = picker.rng
    command = command.strip()
    if command[-1] not in ".?!":
        command += "."
    if rng.random() < lexicon.filler_probability:
        filler = picker.filler(lexicon.fillers)
        own_capital = command.startswith(("I ", "I'"))
        inner = command if filler.startswith("{command}") or own_capital else command[0].lower() + command[1:]
        command = filler.format(command=inner)
    style = rng.random()
    if style < 0.30:
        return command.lower().rstrip(".?!")
    if style < 0.40:
        return command.lower()
    command = _SENTENCE_START.sub(lambda match: match[0].upper(), capital(command))
    return command.rstrip(".?!") if style < 0.50 else command


def with_typo(command: str, lexicon: Lexicon, rng: random.Random) -> str:
    """The command with one word of five or more letters mistyped, but for its first and last letter: one letter left
    out, doubled, or changed with the next. A slip that gives a word of the language file ("black", "back") is none.
    """
    words = command.split(" ")
    long = [k for k, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long:
        return command
    k = rng.choice(long)
    word = words[k]
    i = rng.randrange(1, len(word) - 2)
    rest = (word[i + 1 :], word[i] + word[i:], word[i + 1] + word[i] + word[i + 2 :])
    slip = word[:i] + rng.choice(rest)
    if slip.lower() in lexicon.words:
        return command
    words[k] = slip
    return " ".join(words)


def with_strange_words(command: str, rng: random.Random) -> str:
    """The command with one to three made-up words in it: people use words that no training set holds, and the rest of
    the sentence must still be understood.
    """
    words = command.split(" ")
    for _ in range(rng.randint(1, 3)):
        syllables = (rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
        words.insert(rng.randint(0, len(words)), "".join(syllables) + rng.choice(("", "d", "n", "r", "s", "t", "ng")))
    return " ".join(words)
