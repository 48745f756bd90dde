# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The chain of thought: a command in words becomes a target, its visual attributes and an answer.

`cot`: three turns in one conversation, as in the paper (reason freely, name the target, describe it); the third only
when there is a target in view, and a list in its place where the command means several. `fast`: one turn with the same
fields. `auto`: `fast` for commands that name their target plainly (`plain_commands.py`), else `cot`. All go through
one parser (`parser.py`); a reply that it cannot read is asked for once more, and then is an error with the raw text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from llavaseg_ros.errors import BadReply, BadRequest, Cancelled
from llavaseg_ros.reasoning.base import MLLM, ConversationTooLong, Message, OnToken, ShouldCancel
from llavaseg_ros.reasoning.parser import Fields, parse_attributes, parse_target, parse_targets
from llavaseg_ros.reasoning.plain_commands import plain_commands
from llavaseg_ros.reasoning.prompt_style import PromptStyle
from llavaseg_ros.types import Attributes, Thought

MODES = ("cot", "fast", "auto")
MAX_HISTORY_TEXT = 20_000  # characters of one turn

_T = TypeVar("_T")


class ChainOfThought:
    """Asks an MLLM the turns of a prompt style. Holds no state between commands."""

    def __init__(self, mllm: MLLM, style: PromptStyle, mode: str = "cot") -> None:
        if mode not in MODES:
            raise BadRequest(f"mode: got {mode!r}, expected one of {', '.join(MODES)}")
        self.mllm = mllm
        self.style = style
        self.mode = mode

    def think(
        self,
        command: str,
        *,
        history: Sequence[Message] = (),
        max_targets: int = 1,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> Thought:
        """What the model makes of a command on its image.

        history: earlier turns as text, user and assistant in alternation; the oldest are left out if the model's
        context is too small for all, and all of them if its style says that it does not understand them.
        max_targets: with more than one, a model whose style can ask for a list says which (`Thought.others`), when the
        command means several. on_token: called at every token with the text of all turns so far, a line a turn.

        Raises BadReply (twice unparsable), Cancelled, ConversationTooLong, BadRequest (history out of order).
        """

        fast = self.mode == "fast" or (self.mode == "auto" and plain_commands()(command))

        def run(kept: Sequence[Message]) -> Thought:
            talk = _Talk(self.mllm, self.style, kept, on_token, should_cancel)
            return (self._fast if fast else self._cot)(talk, command, max_targets)

        return _with_what_fits(self._kept(history), run)

    def chat(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """The model's own reply to a question about the image, exactly as it says it: nothing is added or taken."""
        text = self.style.chat.replace("{question}", question)

        def run(kept: Sequence[Message]) -> str:
            _poll(should_cancel)
            limit = self.style.max_new_tokens["chat"]
            messages = [*kept, Message("user", text)]
            return self.mllm.reply(messages, max_new_tokens=limit, on_token=on_token, should_cancel=should_cancel)

        return _with_what_fits(self._kept(history), run)

    def _kept(self, history: Sequence[Message]) -> tuple[Message, ...]:
        turns = check_history(history)
        return turns if self.style.history else ()

    def _cot(self, talk: _Talk, command: str, max_targets: int) -> Thought:
        reasoning = talk.say("reason", self.style.reason.replace("{command}", command)).strip()
        named = talk.ask("name", self.style.name, parse_target)
        seen = bool(named.target) and bool(named.found)
        if seen and self._means_several(named, max_targets):
            return self._listed(talk, named, reasoning, max_targets)
        described = talk.ask("describe", self.style.describe, parse_attributes) if seen else Fields()
        return _thought(named, described, reasoning, talk.raw)

    def _fast(self, talk: _Talk, command: str, max_targets: int) -> Thought:
        fields = talk.ask("fast", self.style.fast.replace("{command}", command), parse_target)
        if fields.target and fields.found and self._means_several(fields, max_targets):
            return self._listed(talk, fields, "", max_targets)
        return _thought(fields, fields, "", talk.raw)

    def _means_several(self, fields: Fields, max_targets: int) -> bool:
        return max_targets > 1 and bool(self.style.several) and bool(fields.several)

    def _listed(self, talk: _Talk, named: Fields, reasoning: str, max_targets: int) -> Thought:
        """One more turn, which lists the targets; each but the first is one of `others`."""
        text = self.style.several.replace("{max_targets}", str(max_targets))
        listed = talk.ask("several", text, parse_targets)[:max_targets]
        thoughts = [_thought(replace(named, target=one.target), one, reasoning, talk.raw) for one in listed]
        return replace(thoughts[0], others=tuple(thoughts[1:]))


class _Talk:
    """One conversation in progress."""

    def __init__(
        self,
        mllm: MLLM,
        style: PromptStyle,
        history: Sequence[Message],
        on_token: OnToken | None,
        should_cancel: ShouldCancel | None,
    ) -> None:
        self._mllm = mllm
        self._style = style
        system = [Message("system", style.system)] if style.system else []
        self._messages: list[Message] = [*system, *history]
        self._on_token = on_token
        self._should_cancel = should_cancel
        self.raw: list[str] = []

    def say(self, turn: str, text: str) -> str:
        """One user turn; the reply as it came. Both join the conversation."""
        self._messages.append(Message("user", text))
        reply = self._reply(turn)
        self._messages.append(Message("assistant", reply))
        return reply

    def ask(self, turn: str, text: str, parse: Callable[[str], _T]) -> _T:
        """One user turn with a structured reply, asked for again once if it does not parse."""
        reply = self.say(turn, text)
        try:
            return parse(reply)
        except BadReply:
            asked = len(self._messages)
            second = self.say(turn, self._style.retry[turn])
        try:
            fields = parse(second)
        except BadReply as error:
            raise BadReply(f"the model's reply could not be read, twice: {error}", second) from error
        # Later turns see the good reply in place of the bad one, as if it had been right at once.
        self._messages[asked - 1 :] = [Message("assistant", second)]
        return fields

    def _reply(self, turn: str) -> str:
        _poll(self._should_cancel)
        before = "".join(f"{text.strip()}\n" for text in self.raw)
        on_token = self._on_token

        def forward(partial: str) -> None:
            if on_token is not None:
                on_token(before + partial.lstrip())

        reply = self._mllm.reply(
            tuple(self._messages),
            max_new_tokens=self._style.max_new_tokens[turn],
            on_token=forward if on_token is not None else None,
            should_cancel=self._should_cancel,
        )
        self.raw.append(reply)
        return reply


def check_history(history: Sequence[Message]) -> tuple[Message, ...]:
    """The history as a tuple, once it is known to be user and assistant turns in alternation. BadRequest if not."""
    turns = tuple(history)
    for index, message in enumerate(turns):
        expected = "assistant" if index % 2 else "user"
        if not isinstance(message, Message) or not isinstance(message.text, str):
            raise BadRequest(f"history[{index}] is {type(message).__name__}, expected a Message with text")
        if len(message.text) > MAX_HISTORY_TEXT:
            raise BadRequest(
                f"history[{index}] has {len(message.text)} characters, expected at most {MAX_HISTORY_TEXT}"
            )
        if message.role != expected:
            raise BadRequest(f"history[{index}] is a turn of {message.role!r}, expected {expected!r}: turns alternate")
    if len(turns) % 2:
        raise BadRequest("history ends with a turn of the user, expected one of the assistant last")
    return turns


def _with_what_fits(history: tuple[Message, ...], run: Callable[[Sequence[Message]], _T]) -> _T:
    """Run with all of the history, or with as many of its latest exchanges as the model's context takes."""
    while True:
        try:
            return run(history)
        except ConversationTooLong:
            if not history:
                raise
            history = history[2:]


def _thought(named: Fields, described: Fields, reasoning: str, raw: Sequence[str]) -> Thought:
    target = named.target or ""
    found = bool(target) and bool(named.found)
    attributes = Attributes()
    if found:
        attributes = Attributes(described.color or "", described.shape or "", described.location or "")
    answer = named.answer or ""
    if not answer:
        absent = f"I do not see the {target}." if target else reasoning
        answer = f"Here is the {target}." if found else absent
    return Thought(target, attributes, answer, reasoning, found, tuple(raw))


def _poll(should_cancel: ShouldCancel | None) -> None:
    if should_cancel is not None and should_cancel():
        raise Cancelled("cancelled while reasoning")
