# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which commands skip the reasoning turn in mode `auto`, and that they do."""

from __future__ import annotations

import pytest
import yaml
from scripted import ScriptedMLLM

from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.reasoning.plain_commands import RULE_FILE, plain_commands
from llavaseg_ros.reasoning.prompt_style import load_style


@pytest.mark.parametrize(
    "command",
    [
        "Hand me the red mug.",
        "Please give me a banana!",
        "Could you pick up the milk carton, please?",
        "pick the green apple up",
        "Where is the hammer?",
        "red mug",
        "the scissors",
        "Give me the mug whose color is red.",
        "I would like to have the banana.",
        "Robot, fetch me the blue tape roll now.",
    ],
)
def test_a_name_is_plain(command: str) -> None:
    assert plain_commands()(command)


@pytest.mark.parametrize(
    "command",
    [
        "I am thirsty",
        "thirsty",
        "hand me something to drink from",
        "Give me the mug left of the bowl.",
        "the leftmost mug",
        "the biggest cup",
        "Give me the other one.",
        "What color is the mug?",
        "How many mugs are there?",
        "Give me the red mug and the blue bowl.",
        "the one that cuts paper",
        "mug",
        "please",
        "",
        "?!",
    ],
)
def test_what_takes_thought_is_not(command: str) -> None:
    assert not plain_commands()(command)


def test_every_word_of_the_data_is_text() -> None:
    data = yaml.safe_load(RULE_FILE.read_text(encoding="utf-8"))
    lists = [value for key, value in data.items() if isinstance(value, list) and key != "ignored"]
    assert all(isinstance(word, str) and word == word.lower() for words in lists for word in words)


FIELDS = "target: red mug; found: yes; color: red; shape: round; location: left; answer: Here it is."


def test_auto_asks_once_for_a_name_and_thinks_about_the_rest() -> None:
    style = load_style("embedded")
    mllm = ScriptedMLLM(FIELDS)
    thought = ChainOfThought(mllm, style, "auto").think("Hand me the red mug.")
    assert thought.target == "red mug"
    assert len(thought.raw) == 1
    mllm = ScriptedMLLM("The red mug holds a drink.", "target: red mug; found: yes; answer: a", "color: red")
    thought = ChainOfThought(mllm, style, "auto").think("I am thirsty.")
    assert thought.reasoning == "The red mug holds a drink."
    assert len(thought.raw) == 3
