# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands that refer to the target before: the rules, what they find among what a model sees, and what they ask it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripted import ScriptedMLLM, ScriptedSegmenter
from seeing import BoxSegmenter, SeeingMLLM, mask_of

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.objects import SeenObject
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.reasoning.references import kind_of, reference_rules
from llavaseg_ros.types import Attributes, Referent, Result

MUG = Referent("red mug", Attributes("red", "cylinder", "left"), (0.1, 0.4, 0.25, 0.6))


@pytest.mark.parametrize(
    ("command", "means", "which", "say"),
    [
        ("now the one left of it", "side", "left of", "the thing left of the red mug"),
        ("And the thing to its right, please", "side", "right of", "the thing right of the red mug"),
        ("no, the other one", "other", "", "the other mug"),
        ("Not that one!", "other", "", "the other mug"),
        ("That is wrong.", "other", "", "the other mug"),
        ("give me another one", "other", "", "the other mug"),
        ("the other mug", "other", "", "the other mug"),
        ("the others", "rest", "", "the other mug"),
        ("the other two", "rest", "", "the other mug"),
        ("the red ones", "colored", "red", ""),
        ("all of them", "all", "", "the mug"),
        ("put it back", "same", "", "the red mug"),
        ("Give it to me again, please.", "same", "", "the red mug"),
        ("the blue one instead", "color", "blue", ""),
        ("no, the grey one", "color", "gray", ""),
        ("the bigger one", "size", "bigger", ""),
        ("the smallest one", "size", "smallest", ""),
        ("the left one", "place", "leftmost", ""),
        ("the one at the back", "place", "farthest", ""),
        ("the bowl next to it", "named", "next to", "the bowl next to the red mug"),
        ("and the bowl?", "new", "", "the bowl"),
        ("what about the green fork?", "new", "", "the green fork"),
        ("What is behind it?", "ask", "behind", "what is behind the red mug"),
        ("what color is it?", "ask", "", "what color is the red mug"),
    ],
)
def test_what_a_reference_means(command: str, means: str, which: str, say: str) -> None:
    reference = reference_rules()(command, MUG)
    assert reference is not None and (reference.means, reference.which, reference.say) == (means, which, say)


@pytest.mark.parametrize(
    "command",
    [
        "hand me the red mug",
        "the other fork",
        "the thing left of the bowl",
        "Find the candle first, then take the fork beyond it.",
        "the bowl with nothing to its left",
        "I am thirsty",
        "the red thing",
        "bring me an orange",
        "How many mugs are there?",
        "the one",
        "no",
        "pick up " * 200 + "x",
    ],
)
def test_commands_that_stand_by_themselves(command: str) -> None:
    assert reference_rules()(command, MUG) is None


def test_without_a_target_only_what_makes_no_sense_is_a_reference() -> None:
    for command in ("the other one", "now the one left of it", "give it back", "all of them", "the bowl next to it"):
        reference = reference_rules()(command, None)
        assert reference is not None and reference.always
    for command in ("the red one", "the bigger one", "the left one", "and the bowl?", "what is this?"):
        assert reference_rules()(command, None) is None


def test_kind() -> None:
    assert kind_of(Referent("orange", Attributes("orange"), (0, 0, 1, 1))) == "orange"
    assert kind_of(Referent("Blue toy car", Attributes(), (0, 0, 1, 1))) == "toy car"


# --- on what a model sees; the image is 64 wide and 48 high ---

RED = SeenObject("mug", "red", (6, 19, 16, 29), 0.9)
BLUE = SeenObject("mug", "blue", (30, 18, 46, 32), 0.8)
FORK = SeenObject("fork", "green", (20, 20, 26, 28), 0.7)
BOWL = SeenObject("bowl", "white", (6, 34, 18, 46), 0.7)
TABLE = (RED, BOWL, FORK, BLUE)


def make(*replies: str, seen: tuple[SeenObject, ...] = TABLE) -> Any:
    model = LLaVASeg(SeeingMLLM(*replies, seen=seen), BoxSegmenter(seen), load_style("embedded"))  # type: ignore[arg-type]
    model.set_image(np.zeros((48, 64, 3), np.uint8))
    return model


def result_box(roi: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x, y, width, height = roi
    return x, y, x + width, y + height


def one(result: Result) -> str:
    assert result.found and len(result.segments) == 1
    return result.thought.target


@pytest.mark.parametrize(
    ("command", "name", "box"),
    [
        ("now the one right of it", "blue mug", BLUE.box),  # "one" takes up "mug", although the fork is nearer
        ("the one in front of it", "white bowl", BOWL.box),
        ("no, the other one", "blue mug", BLUE.box),
        ("the blue one", "blue mug", BLUE.box),
        ("the bigger one", "blue mug", BLUE.box),
        ("the right one", "blue mug", BLUE.box),
        ("the left one", "red mug", RED.box),
        ("give it to me again", "red mug", RED.box),
        ("the fork next to it", "green fork", FORK.box),
    ],
)
def test_what_is_meant_is_segmented_without_the_model(command: str, name: str, box: tuple[float, ...]) -> None:
    model = make()
    result = model.segment(command, last=MUG)
    assert one(result) == name and np.array_equal(result.segments[0].mask, mask_of(box))
    assert result.thought.reasoning.startswith('"') and "refers to the red mug" in result.thought.reasoning
    assert model.mllm.asked == []


def test_several_that_are_meant() -> None:
    assert len(make().segment("both of them", last=MUG).segments) == 2
    assert one(make().segment("the others", last=MUG)) == "blue mug"
    second = SeenObject("mug", "blue", (50, 2, 60, 12), 0.6)
    blues = make(seen=(*TABLE, second)).segment("all the blue ones", last=MUG)
    assert {result_box(s.roi) for s in blues.segments} == {BLUE.box, second.box}


def test_the_last_target_may_have_moved() -> None:
    moved = SeenObject("mug", "red", (10, 21, 20, 31), 0.9)
    assert one(make(seen=(moved, FORK, BLUE)).segment("no, the other one", last=MUG)) == "blue mug"


def test_the_last_target_listed_twice_is_no_other_one() -> None:
    twin = SeenObject("mug", "red", (6, 22, 16, 32), 0.5)
    assert not make(seen=(RED, twin)).segment("no, the other one", last=MUG).found
    assert one(make(seen=(RED, twin, FORK)).segment("the thing next to it", last=MUG)) == "green fork"


def test_no_other_one() -> None:
    result = make(seen=(RED, FORK)).segment("no, the other one", last=MUG)
    assert not result.found and result.error_code == ErrorCode.NOT_FOUND and result.answer == "I see no other mug."


def test_the_model_is_asked_in_full_where_the_list_does_not_say() -> None:
    replies = ("A bowl.", "target: none; found: no; answer: Behind it is nothing.")
    model = make(*replies)
    result = model.segment("and the one behind it", last=MUG)
    assert model.mllm.asked[0][-1] == Message("user", "the thing behind the red mug")
    assert 'asked as "the thing behind the red mug"' in result.thought.reasoning and not result.found
    plain = make(*replies)
    plain.segment("the biggest one", last=Referent("green fork", Attributes("green"), (0.3, 0.4, 0.4, 0.6)))
    assert plain.mllm.asked[0][-1].text == "the biggest one"  # there is one fork: a command by itself


def test_a_model_without_a_list_is_asked_in_full() -> None:
    mllm = ScriptedMLLM("A mug.", "target: blue mug; found: yes; answer: Here.", "color: blue")
    model = LLaVASeg(mllm, ScriptedSegmenter(mask_of(BLUE.box)), load_style("embedded"))  # type: ignore[arg-type]
    model.set_image(np.zeros((48, 64, 3), np.uint8))
    assert one(model.segment("no, the other one", last=MUG)) == "blue mug"
    assert mllm.asked[0][-1].text == "the other mug"


def test_nothing_was_said_before() -> None:
    model = make()
    result = model.segment("no, the other one")
    assert not result.found and result.error_code == ErrorCode.NOT_FOUND and model.mllm.asked == []
    assert result.thought.unclear and result.answer.endswith("What do you mean?")


def test_a_model_that_remembers_gets_the_history_and_the_words_as_they_are() -> None:
    named = '{"target": "blue mug", "found": "yes", "several": "no", "answer": "Here."}'
    mllm = SeeingMLLM("The other one.", named, '{"color": "blue"}', seen=TABLE)
    model = LLaVASeg(mllm, ScriptedSegmenter(mask_of(BLUE.box)), load_style("generic"))  # type: ignore[arg-type]
    model.set_image(np.zeros((48, 64, 3), np.uint8))
    history = [Message("user", "the red mug"), Message("assistant", "Here it is.")]
    assert one(model.segment("no, the other one", history=history, last=MUG)) == "blue mug"
    assert mllm.asked[0][:2] == history and '"no, the other one"' in mllm.asked[0][2].text


def test_referent_of_a_result() -> None:
    found = make().segment("both of them", last=MUG)
    referent = Referent.of(found)
    assert referent is not None and (referent.label, referent.attributes.color) == ("red mug", "red")
    assert referent.box == (6 / 64, 19 / 48, 16 / 64, 29 / 48)
    assert Referent.of(make().segment("no, the other one")) is None
