"""Putting words together: articles, verbs, noun phrases, frames, fillers, and sloppy writing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llavaseg_ros.training.language.lexicon import Lexicon, Picker
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


def with_article(words: str) -> str:
    """ "red mug" -> "a red mug", "apple" -> "an apple"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


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


def noun_phrase(head: Head, picker: Picker, lexicon: Lexicon, *, inner: bool = False) -> tuple[str, str]:
    """A phrase for `head` without an article, and its form with "a" or "some".

    inner: the phrase stands inside a longer one ("leftmost red thing"), where only the short form of a color is
    natural.
    """
    if head.category:
        noun = picker.name(lexicon.nouns[head.category].names)
    elif head.group:
        noun = picker.name(lexicon.groups[head.group].names)
    else:
        noun = picker.pick(lexicon.things)
    if not head.color:
        bare = noun
    elif inner:
        bare = f"{head.color} {noun}"
    elif head.category or head.group:
        bare = picker.pick(lexicon.named_color_phrases).format(color=head.color, head=noun)
    else:
        bare = picker.pick(lexicon.color_phrases).format(color=head.color, head=noun)
    return bare, f"some {bare}" if noun in lexicon.some else with_article(bare)


def request(bare: str, a_form: str | None, picker: Picker, lexicon: Lexicon) -> str:
    """A request for "the" + bare. a_form: the phrase with its indefinite article, where it makes sense to ask for any
    such thing.
    """
    frame = picker.pick(lexicon.frames if a_form else lexicon.phrase_frames)
    return frame.format(the=f"the {bare}", bare=bare, a=a_form)


def reference(thing: Thing, with_color: bool, picker: Picker, lexicon: Lexicon) -> str:
    """How a command names the thing that another one stands beside: "the bowl", "the blue bowl"."""
    head = Head(category=thing.category, color=thing.color if with_color else "")
    return f"the {noun_phrase(head, picker, lexicon, inner=True)[0]}"


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
    command = capital(command)
    style = rng.random()
    if style < 0.30:
        return command.lower().rstrip(".?!")
    if style < 0.40:
        return command.lower()
    return command.rstrip(".?!") if style < 0.50 else command


def with_strange_words(command: str, rng: random.Random) -> str:
    """The command with one to three made-up words in it: people use words that no training set holds, and the rest of
    the sentence must still be understood.
    """
    words = command.split(" ")
    for _ in range(rng.randint(1, 3)):
        syllables = (rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
        words.insert(rng.randint(0, len(words)), "".join(syllables) + rng.choice(("", "d", "n", "r", "s", "t", "ng")))
    return " ".join(words)
