# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeps text inside its turn: no command may open a new turn, end one, or ask for an image of its own.

A chat model reads its conversation as one run of tokens. "<image>", "</s>" or "<|im_end|>" in a command would become
the very tokens that structure it, and "ASSISTANT:" is how LLaVA's template marks a turn in plain letters. Such strings
are taken out of every message's text before the chat template sees it; all other text passes unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

# Control tokens of the common families, also where the tokenizer at hand does not know them (a served model's might).
_MARKUP = re.compile(
    r"""<[|｜][^<>|｜]{0,60}[|｜]>              # <|im_start|>, <|endoftext|>, with blanks, too
      | <(?=[^<>\s]{0,60}[^\W\d_])[^<>\s]{1,61}>  # <image>, </s>, <global-img>, <|turn>, <seed:bos>: a word in brackets
      | \[/?INST\] | <</?SYS>> | \[/?IMG\] | \|SPEAKER\|
      """,
    re.IGNORECASE | re.VERBOSE,
)
# Role names that chat templates write out in letters; only the colon makes them a marker.
_ROLE = re.compile(
    r"(?:user|assistant|system|human|gpt|bot|developer|instruction|response|\bai)\s{0,4}(?P<colon>[:：])", re.IGNORECASE
)
# Of tokenizers that write control tokens as plain words in brackets; a command may well hold other such words.
_BRACKETED = (
    "IMG_BREAK", "IMG_END", "AUDIO", "BEGIN_AUDIO", "SYSTEM_PROMPT", "MODEL_SETTINGS", "THINK", "ARGS", "CALL_ID",
    "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_CONTENT", "TOOL_RESULTS", "PREFIX", "MIDDLE", "SUFFIX",
    "CLS", "SEP", "MASK", "PAD", "UNK", "BOS", "EOS", "gMASK", "sMASK", "sop", "eop",
)  # fmt: skip
_ZERO_WIDTH_NON_JOINER = "\u200c"  # a letter's form in Persian depends on it
_MARKUP_SIGNS = "<>[]{}|"
_MOST_PASSES = 16
# Letters of other scripts that look like Latin ones. A model that is used to misspelt text reads them as such.
_LOOKALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеіјорсухѕԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧοı\u2581",
    "ABESIJKMHOPCTYXaeijopcyxsdhqwABEZHIKMNOPTYXoi ",
)


class TextGuard:
    """Neutralises control strings in text.

    markers: exact strings to take out besides the common ones: a tokenizer's special tokens, a processor's image token.
    holds_control: says whether text would still tokenize to a control token; then the text is reduced to plain letters,
    digits and simple punctuation, which no tokenizer's control tokens are made of.
    """

    def __init__(self, markers: Iterable[str] = (), holds_control: Callable[[str], bool] | None = None) -> None:
        unique = sorted({marker for marker in markers if marker.strip()}, key=len, reverse=True)
        self._markers = re.compile("|".join(map(re.escape, unique)), re.IGNORECASE) if unique else None
        self._holds_control = holds_control

    def clean(self, text: str) -> str:
        """The text without control characters, control tokens and role markers; unchanged if it holds none.

        Full-width letters, letters with accents, look-alikes of other scripts and joiners between letters do not hide a
        marker: some tokenizers take them for the plain letters, and some models read them so.
        """
        cleaned = self._strip(printable(text))
        if self._holds_control is not None and self._holds_control(cleaned):
            # A tokenizer that normalises in its own way may see a control token that is not spelled out.
            cleaned = self._strip(re.sub(r"[^\w\s.,;!?'-]", " ", cleaned))
        return cleaned

    def _strip(self, text: str) -> str:
        # Again until nothing is left: taking one marker out may join the halves of another.
        for _ in range(_MOST_PASSES):
            stripped = self._without_markers(text)
            if stripped == text:
                return text
            text = stripped
        # Markers within markers within markers: somebody is at play, and each pass costs time.
        return self._without_markers(text.translate(dict.fromkeys(map(ord, _MARKUP_SIGNS + ":："), " ")))

    def _without_markers(self, text: str) -> str:
        folded, places = _folded(text)
        cuts = [(m.start(), m.end(), " ") for m in _MARKUP.finditer(folded)]
        if self._markers is not None:
            cuts += [(m.start(), m.end(), " ") for m in self._markers.finditer(folded)]
        cuts += [(*m.span("colon"), "") for m in _ROLE.finditer(folded)]
        kept, done = [], 0
        for start, end, instead in sorted(cuts):
            first, last = places[start], places[end - 1] + 1
            if first >= done:
                kept += [text[done:first], instead]
                done = last
        return "".join((*kept, text[done:]))


def strict_guard() -> TextGuard:
    """A guard for a tokenizer that is not at hand: it may have any family's tokens."""
    return TextGuard([f"[{slash}{name}]" for name in _BRACKETED for slash in ("", "/")])


def is_markup(token: str) -> bool:
    """Whether a token that a tokenizer knows as a whole looks like structure ("<think>") rather than like a word."""
    return any(sign in token for sign in _MARKUP_SIGNS)


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """The text in plain letters, and for each of its characters the place in `text` that it comes from."""
    if text.isascii():
        return text, range(len(text))
    chars: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        if char == _ZERO_WIDTH_NON_JOINER:
            continue
        for plain in unicodedata.normalize("NFKD", char).translate(_LOOKALIKES):
            if unicodedata.category(plain) != "Mn":
                chars.append(plain)
                places.append(place)
    return "".join(chars), places


def printable(text: str) -> str:
    """The text without control, surrogate and invisible formatting characters; line breaks stay, tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for char in text.replace("\r\n", "\n").replace("\r", "\n"):
        if char == "\n" or char == _ZERO_WIDTH_NON_JOINER or unicodedata.category(char) not in ("Cc", "Cf", "Cs"):
            kept.append(char)
        elif unicodedata.category(char) == "Cc":
            kept.append(" ")
    return "".join(kept)
