# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The chain of thought: turns, retry, history, cancel; its logic with a scripted model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted import ScriptedMLLM

from llavaseg_ros.errors import BadReply, BadRequest, BundleError, Cancelled
from llavaseg_ros.reasoning.base import ConversationTooLong, Message
from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.reasoning.prompt_style import PromptStyle, load_style
from llavaseg_ros.types import Attributes

STYLE = load_style("embedded")
REMEMBERS = replace(STYLE, history=True)
REASON = "I see a red mug. You can drink from it."
NAME = "target: red mug; found: yes; answer: The red mug can be used to drink."
DESCRIBE = "color: red; shape: cylinder with a handle; location: front left"
RED_MUG = Attributes("red", "cylinder with a handle", "front left")


def think(
    *replies: str | Exception, mode: str = "cot", command: str = "I am thirsty", style: PromptStyle = STYLE, **options
):
    mllm = ScriptedMLLM(*replies)
    return mllm, ChainOfThought(mllm, style, mode).think(command, **options)


def test_three_turns_in_one_conversation() -> None:
    mllm, thought = think(REASON, NAME, DESCRIBE)
    assert thought.found and not thought.is_question
    assert (thought.target, thought.attributes) == ("red mug", RED_MUG)
    assert thought.answer == "The red mug can be used to drink." and thought.reasoning == REASON
    assert thought.raw == (REASON, NAME, DESCRIBE)
    assert mllm.asked[-1] == [
        Message("user", "I am thirsty"),
        Message("assistant", REASON),
        Message("user", "Name the target."),
        Message("assistant", NAME),
        Message("user", "Describe it."),
    ]
    assert mllm.limits == [STYLE.max_new_tokens[turn] for turn in ("reason", "name", "describe")]


def test_absent_target_is_not_described() -> None:
    mllm, thought = think("I see no fruit.", "target: banana; found: no; answer: I do not see a banana.")
    assert (thought.target, thought.found, thought.answer) == ("banana", False, "I do not see a banana.")
    assert thought.attributes == Attributes() and len(mllm.asked) == 2


def test_question_has_no_target() -> None:
    _, thought = think("Three.", "target: none; found: no; answer: There are three cups.")
    assert thought.is_question and not thought.found and thought.answer == "There are three cups."


def test_found_without_a_target_is_a_question() -> None:
    _, thought = think("Three.", "target: none; found: yes; answer: Three.")
    assert thought.is_question and not thought.found


def test_missing_answers_are_put_in_words() -> None:
    assert think(REASON, "target: red mug; found: yes", DESCRIBE)[1].answer == "Here is the red mug."
    assert think(REASON, "target: banana; found: no")[1].answer == "I do not see the banana."
    assert think("There are three cups.", "target: none; found: no")[1].answer == "There are three cups."


def test_fast_is_one_turn() -> None:
    mllm, thought = think(
        "target: red mug; found: yes; color: red; shape: cylinder with a handle; location: front left; answer: Here.",
        mode="fast",
    )
    assert (thought.target, thought.attributes, thought.answer) == ("red mug", RED_MUG, "Here.")
    assert mllm.asked == [[Message("user", "I am thirsty Answer in fields.")]]


def test_unreadable_reply_is_asked_again_once() -> None:
    mllm, thought = think(REASON, "the red mug", NAME, DESCRIBE)
    assert thought.found and thought.raw == (REASON, "the red mug", NAME, DESCRIBE)
    assert [m.text for m in mllm.asked[2]][-2:] == ["the red mug", STYLE.retry["name"]]
    # the third turn goes on as if the second had been right at once
    assert [m.text for m in mllm.asked[3]] == ["I am thirsty", REASON, "Name the target.", NAME, "Describe it."]


@pytest.mark.parametrize("replies", [(REASON, "a mug", "mug!"), (REASON, NAME, "it is red", "mug!")])
def test_unreadable_twice_is_an_error_with_the_raw_text(replies: tuple[str, ...]) -> None:
    with pytest.raises(BadReply, match="twice.*mug!") as caught:
        think(*replies)
    assert caught.value.raw == "mug!"


def test_braces_in_the_command_are_text() -> None:
    mllm, _ = think(REASON, NAME, DESCRIBE, command="the {command} {0} {question}")
    assert mllm.asked[0][-1].text == "the {command} {0} {question}"


def test_history_comes_first() -> None:
    history = [Message("user", "hello"), Message("assistant", "hi")]
    mllm, _ = think(REASON, NAME, DESCRIBE, history=history, style=REMEMBERS)
    assert all(asked[:2] == history for asked in mllm.asked)
    # A model that was never shown an earlier exchange does not get one.
    mllm, _ = think(REASON, NAME, DESCRIBE, history=history)
    assert mllm.asked[0] == [Message("user", "I am thirsty")]


def test_oldest_history_goes_when_the_context_is_too_small() -> None:
    history = [Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d")]
    replies = (REASON, ConversationTooLong("too long"), REASON, NAME, DESCRIBE)
    mllm, thought = think(*replies, history=history, style=REMEMBERS)
    assert thought.found and mllm.asked[-1][:2] == history[2:]
    with pytest.raises(ConversationTooLong):
        think(ConversationTooLong("too long"))


@pytest.mark.parametrize(
    "history",
    [
        [Message("user", "a")],
        [Message("assistant", "a"), Message("user", "b")],
        [Message("system", "a"), Message("assistant", "b")],
        ["a", "b"],
    ],
)
def test_history_out_of_order_is_refused(history: list) -> None:
    with pytest.raises(BadRequest, match="history"):
        think(REASON, history=history)


def test_progress_grows_over_the_turns() -> None:
    seen: list[str] = []
    think(REASON, NAME, DESCRIBE, on_token=seen.append)
    assert seen[0] == "I" and seen[-1] == "\n".join((REASON, NAME, DESCRIBE))
    assert all(len(a) < len(b) for a, b in zip(seen, seen[1:], strict=False))


def test_cancel_between_turns_and_at_tokens() -> None:
    for allowed in range(12):
        polls = iter([False] * allowed + [True] * 100)
        with pytest.raises(Cancelled):
            think(REASON, NAME, DESCRIBE, should_cancel=lambda polls=polls: next(polls))


def test_chat_says_what_the_model_says() -> None:
    mllm = ScriptedMLLM("  There are three: {cups}.\n")
    history = [Message("user", "hello"), Message("assistant", "hi")]
    assert ChainOfThought(mllm, REMEMBERS).chat("How many?", history=history) == "  There are three: {cups}.\n"
    assert mllm.asked == [[*history, Message("user", "How many?")]]


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(BadRequest, match="cot, fast"):
        ChainOfThought(ScriptedMLLM(), STYLE, "slow")


def test_generic_style_keeps_its_json() -> None:
    style = load_style("generic")
    mllm = ScriptedMLLM('{"target": "red mug", "found": "yes", "color": "red", "answer": "Here."}')
    thought = ChainOfThought(mllm, style, "fast").think("I am thirsty")
    text = mllm.asked[0][0].text
    assert '"I am thirsty"' in text and '{"target":' in text and "{command}" not in text
    assert thought.found and thought.attributes == Attributes(color="red")


@pytest.mark.parametrize(
    ("text", "says"),
    [("[1]", "list"), ("system: ''\n", "reason"), ("a: [", "cannot read"), (None, "cannot read")],
)
def test_broken_style_files(tmp_path, text: str | None, says: str) -> None:
    path = tmp_path / "style.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BundleError, match=says):
        load_style(path)
    with pytest.raises(BundleError, match="embedded, generic"):
        load_style("no_such_style")
