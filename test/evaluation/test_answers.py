# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading replies to plain questions."""

from __future__ import annotations

from typing import Any

import pytest

from llavaseg_ros.evaluation.answers import answer_is_right

RIGHT: list[tuple[str, str, Any]] = [
    ("There are three mugs.", "count", 3),
    ("3", "count", 3),
    ("I count 12 objects on the table.", "count", 12),
    ("There is one red object.", "count", 1),
    ("There are no mugs.", "count", 0),
    ("None.", "count", 0),
    ("I do not see any.", "count", 0),
    ("There are two: a red one and a blue one.", "count", 2),
    ("No, there are two mugs.", "count", 2),
    ("The mug is red.", "color", "red"),
    ("It's grey", "color", "gray"),
    ("dark blue", "color", "blue"),
    ("The orange is orange.", "color", "orange"),
    ("The orange is green.", "color", "green"),
    ("The mug is pink.", "color", ["pink", "purple"]),
    ("Yes, there is a red mug.", "yes_no", True),
    ("There is a mug.", "yes_no", True),
    ("I see a mug on the right.", "yes_no", True),
    ("No, there is no red mug.", "yes_no", False),
    ("There is no mug.", "yes_no", False),
    ("I don\u2019t see one", "yes_no", False),
    ("The mug is at the back left.", "place", "back left"),
    ("in the upper left corner", "place", "back left"),
    ("On the right.", "place", "right"),
    ("In the center", "place", "middle"),
    ("In the middle, left of the bowl", "place", "middle"),
    ("At the front of the table", "place", "front"),
    ("in the middle on the left", "place", ["left", "back left"]),
    ("A red mug and a blue bowl.", "objects", ["red mug", "blue bowl"]),
    ("The mug.", "objects", ["red mug"]),
    ("an orange carrot", "objects", ["orange carrot"]),
    ("an orange", "objects", ["orange orange"]),
    ("two knives", "objects", ["red knife", "red knife"]),
    ("a strange gadget", "objects", ["strange gadget"]),
    ("I see no objects.", "objects", []),
]
WRONG: list[tuple[str, str, Any]] = [
    ("There are two mugs.", "count", 3),
    ("There are mugs.", "count", 0),
    ("Either two or three.", "count", 3),
    ("", "count", 0),
    ("The mug is red and blue.", "color", "red"),
    ("The mug.", "color", "red"),
    ("The orange is green.", "color", "orange"),
    ("No, there is no mug.", "yes_no", True),
    ("Yes.", "yes_no", False),
    ("Blue.", "yes_no", False),
    ("The mug is on the left.", "place", "back left"),
    ("left of the bowl", "place", "left"),
    ("left or right", "place", "left"),
    ("It is red.", "place", "middle"),
    ("A red mug and a knife.", "objects", ["red mug", "blue bowl"]),
    ("A blue mug.", "objects", ["red mug"]),
    ("a cereal box", "objects", ["red box"]),
    ("Nothing.", "objects", ["red mug"]),
    ("The red one.", "objects", ["red mug"]),
    ("A teapot.", "objects", []),
]


@pytest.mark.parametrize(("reply", "kind", "value"), RIGHT)
def test_right_replies(reply: str, kind: str, value: Any) -> None:
    assert answer_is_right(reply, {"kind": kind, "value": value})


@pytest.mark.parametrize(("reply", "kind", "value"), WRONG)
def test_wrong_replies(reply: str, kind: str, value: Any) -> None:
    assert not answer_is_right(reply, {"kind": kind, "value": value})


def test_what_the_question_names_is_no_answer_and_no_mistake() -> None:
    expected = {"kind": "objects", "value": ["red mug"], "aside": ["blue bowl"]}
    assert answer_is_right("Left of the blue bowl is the red mug.", expected)
    assert not answer_is_right("Left of the blue bowl is the green pen.", expected)
    assert not answer_is_right("The blue bowl.", expected)
    same_kind = {"kind": "objects", "value": ["red mug"], "aside": ["blue mug"]}
    assert answer_is_right("Next to the blue mug is the red mug.", same_kind)
    assert not answer_is_right("Next to the blue mug is the mug.", same_kind)


def test_a_list_must_name_enough() -> None:
    expected = {"kind": "objects", "value": ["red mug", "blue bowl", "green pen", "pink cup"], "least": 2}
    assert answer_is_right("I see a red mug, a green pen and more.", expected)
    assert not answer_is_right("I see a red mug, a red mug and a red mug.", expected)
    assert not answer_is_right("I see a red mug, a green pen and a hammer.", expected)


@pytest.mark.parametrize(
    "expected",
    [{}, {"kind": "shape", "value": "round"}, {"kind": "count", "value": "three"}, {"kind": "count", "value": True},
     {"kind": "yes_no", "value": 1}, {"kind": "objects", "value": "red mug"}, {"kind": "color", "value": None}],
)  # fmt: skip
def test_what_cannot_be_checked_is_named(expected: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="kind"):
        answer_is_right("Three.", expected)
