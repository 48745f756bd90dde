"""Keeps text inside its turn: no command may open a new turn, end one, or ask for an image of its own.

A chat model reads its conversation as one run of tokens. "<image>", "</s>" or "<|im_end|>" in a command would become
the very tokens that structure it, and "ASSISTANT:" is how LLaVA's template marks a turn in plain letters. Such strings
are taken out of every message's text before the chat template sees it; all other text passes unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

# Control tokens of the common families, also where the tokenizer at hand does not know them (a served model's might).
_MARKUP = re.compile(
    r"""<\|[^<>|]{0,60}\|>                 # <|im_start|>, <|endoftext|>
      | <｜[^<>｜]{0,60}｜>
      | </?[a-z_][a-z0-9_]{0,60}>          # <image>, </s>, <end_of_utterance>
      | \[/?INST\] | <</?SYS>> | \[/?IMG\]
      """,
    re.IGNORECASE | re.VERBOSE,
)
# Role names that chat templates write out in letters; only the colon makes them a marker.
_ROLE = re.compile(r"(user|assistant|system|human|gpt|bot)(\s{0,4})[:：]", re.IGNORECASE)
# Of tokenizers that write control tokens as plain words in brackets; a command may well hold other such words.
_BRACKETED = ("IMG_BREAK", "IMG_END", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "gMASK", "sop")
_ZERO_WIDTH_NON_JOINER = "\u200c"  # a letter's form in Persian depends on it


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
        """The text without control characters, control tokens and role markers; unchanged if it holds none."""
        cleaned = self._strip(printable(text))
        if self._holds_control is not None and self._holds_control(cleaned):
            # A tokenizer that normalises (full-width letters, say) may see a control token that is not spelled out.
            cleaned = self._strip(unicodedata.normalize("NFKC", cleaned))
            if self._holds_control(cleaned):
                cleaned = re.sub(r"[^\w\s.,;!?'-]", " ", cleaned)
        return cleaned

    def _strip(self, text: str) -> str:
        # Again until nothing is left: taking one marker out may join the halves of another.
        while True:
            stripped = _MARKUP.sub(" ", text)
            if self._markers is not None:
                stripped = self._markers.sub(" ", stripped)
            stripped = _ROLE.sub(r"\1\2", stripped)
            if stripped == text:
                return text
            text = stripped


def strict_guard() -> TextGuard:
    """A guard for a tokenizer that is not at hand: it may have any family's tokens, and may normalise letters."""
    markers = [f"[{slash}{name}]" for name in _BRACKETED for slash in ("", "/")]
    plain = TextGuard(markers)

    def holds_control(text: str) -> bool:
        normal = unicodedata.normalize("NFKC", text)
        return plain.clean(normal) != normal

    return TextGuard(markers, holds_control)


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
