# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one parser of structured replies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llavaseg_ros.errors import BadReply
from llavaseg_ros.reasoning.parser import KEYS, Fields, parse_attributes, parse_fields, parse_target

MUG = Fields(target="red mug", found=True, answer="The red mug can be used to drink.")


@pytest.mark.parametrize(
    "text",
    [
        "target: red mug; found: yes; answer: The red mug can be used to drink.",
        "target: red mug\nfound: yes\nanswer: The red mug can be used to drink.",
        "TARGET: the red mug ; Found: YES ; Answer: The red mug can be used to drink.",
        " Target = red mug; found = true; answer = The red mug can be used to drink.",
        "- **Target:** red mug\n- **Found:** yes\n- **Answer:** The red mug can be used to drink.",
        "> target: `red mug`\n> found: yes\n> answer: The red mug can be used to drink.",
        '{"target": "red mug", "found": "yes", "answer": "The red mug can be used to drink."}',
        '{"Target": "a red mug", "FOUND": true, "answer": "The red mug can be used to drink.", "extra": [1, {"a": 2}]}',
        'Sure! Here it is:\n```json\n{\n "target": "red mug",\n "found": "yes",\n'
        ' "answer": "The red mug can be used to drink."\n}\n```\nAnything else?',
        'Look {here}: {"result": {"target": "red mug", "found": true, "answer": "The red mug can be used to drink."}}',
        "{'target': 'red mug', 'found': True, 'answer': 'The red mug can be used to drink.'}",
        '{"target": "red mug", "found": "yes", "answer": "The red mug can be used to drink.',
        "target: red mug; found: yes; answer: The red mug can be used to drink.; target: blue cup; found: no",
    ],
)
def test_target_in_many_shapes(text: str) -> None:
    assert parse_target(text) == MUG


def test_answer_may_hold_colons_semicolons_and_commas() -> None:
    fields = parse_target("target: cup; found: yes; answer: Two things: a cup, white; and a saucer.")
    assert fields.answer == "Two things: a cup, white; and a saucer."


def test_fast_reply_has_all_fields() -> None:
    fields = parse_target(
        "target: red mug; found: yes; color: red; shape: cylinder with a handle; location: front left; answer: It: mug."
    )
    assert fields == Fields("red mug", True, "It: mug.", "red", "cylinder with a handle", "front left")


@pytest.mark.parametrize("none", ["none", "None", "null", '""', "", "N/A", "none.", "-", "no target"])
def test_no_target_is_a_question(none: str) -> None:
    fields = parse_target(f"target: {none}; found: no; answer: There are three cups.")
    assert fields.target == "" and fields.found is False and fields.answer == "There are three cups."


def test_json_null_target_needs_no_found() -> None:
    fields = parse_target('{"target": null, "answer": "There are three cups."}')
    assert fields.target == "" and fields.found is None


@pytest.mark.parametrize(
    ("word", "value"),
    [("yes", True), ("Yes, it is", True), ("true", True), ("no", False), ("No.", False), ("FALSE", False)],
)
def test_found_words(word: str, value: bool) -> None:
    assert parse_target(f"target: mug; found: {word}").found is value


def test_attributes() -> None:
    assert parse_attributes("color: red; shape: round; location: front left") == Fields(
        color="red", shape="round", location="front left"
    )
    assert parse_attributes("Colour: dark red") == Fields(color="dark red")
    assert parse_attributes('{"color": ["red", "white"], "shape": null, "location": "unknown"}') == Fields(
        color="red, white", shape="", location=""
    )


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (parse_fields, "", "no field"),
        (parse_fields, "I see a red mug. The target: unclear", "no field"),
        (parse_fields, '["target", "mug"]', "no field"),
        (parse_target, "found: yes; answer: here", '"target"'),
        (parse_target, "target: mug; answer: here", '"found"'),
        (parse_target, "target: mug; found: perhaps", "perhaps"),
        (parse_attributes, "target: mug; found: yes", "color, shape, location"),
    ],
)
def test_bad_replies_say_what_is_missing_and_keep_the_raw_text(parse, text: str, says: str) -> None:
    with pytest.raises(BadReply, match=says) as caught:
        parse(text)
    assert caught.value.raw == text


def test_hostile_sizes_are_quick() -> None:
    for text in (
        "{" * 100_000,
        "\n" * 100_000,
        "target" * 50_000,
        '{"a":' * 50_000,
        "; target: " * 20_000,
        "[" * 100_000,
    ):
        try:
            parse_target(text)
        except BadReply as error:
            assert error.raw == text


WORDS = st.sampled_from(
    [
        *KEYS,
        "TARGET",
        "colour",
        ":",
        ";",
        "=",
        "\n",
        "{",
        "}",
        '"',
        "'",
        ",",
        "yes",
        "no",
        "none",
        "[",
        "]",
        "**",
        "- ",
        " ",
    ]
)
MIXED = st.lists(st.one_of(WORDS, st.text(max_size=5)), max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), MIXED))
def test_any_text_parses_or_is_a_bad_reply(text: str) -> None:
    for parse in (parse_fields, parse_target, parse_attributes):
        try:
            fields = parse(text)
        except BadReply as error:
            assert error.raw == text
        else:
            assert isinstance(fields, Fields)


PLAIN = st.text("abcdefgh ", min_size=1, max_size=12).map(lambda s: " ".join(["x", *s.split()]))


@settings(max_examples=150, deadline=None)
@given(PLAIN, st.booleans(), PLAIN, st.sampled_from(["json", "pairs", "lines"]))
def test_what_is_written_is_read_back(target: str, found: bool, answer: str, shape: str) -> None:
    values = {"target": target, "found": "yes" if found else "no", "answer": answer}
    text = (
        json.dumps(values)
        if shape == "json"
        else {"pairs": "; ", "lines": "\n"}[shape].join(f"{key}: {value}" for key, value in values.items())
    )
    assert parse_target(text) == Fields(target=target, found=found, answer=answer)
