# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The reply parser, fed with what a language model might write: right, decorated, cut off, damaged."""

from __future__ import annotations

import json
import time

import pytest
from examples import share
from hypothesis import example, given
from hypothesis import strategies as st

from llavaseg_ros.errors import BadReply
from llavaseg_ros.reasoning.parser import (
    KEYS,
    Fields,
    parse_attributes,
    parse_fields,
    parse_target,
    parse_targets,
)

PARSERS = (parse_fields, parse_target, parse_attributes)
NOTHING = ("none", "null", "nil", "n/a", "na", "nothing", "no target", "no object", "-", "", "None.", " NULL ")
UNKNOWN = (*NOTHING, "unknown", "unclear", "not sure", "not visible", "Unknown.")
YES, NO = ("yes", "true", "y", "1", "Yes, there", "TRUE"), ("no", "false", "n", "0", "none", "null", "not there", "No.")
# Words that mean nothing to the parser: no key, no "none", no article.
NOUNS = st.lists(
    st.sampled_from(["mug", "red", "wine glass", "fork", "grün", "杯子", "o'clock"]), min_size=1, max_size=3
)
NAMES = NOUNS.map(" ".join)


def fields_of(target: str, found: bool, answer: str, color: str, shape: str, location: str, several: bool) -> Fields:
    return Fields(target, found, answer, color, shape, location, several)


VALUES = st.builds(fields_of, NAMES, st.booleans(), NAMES, NAMES, NAMES, NAMES, st.booleans())


def texts(fields: Fields) -> dict[str, str]:
    """Every field as a model writes it."""
    return {key: {True: "yes", False: "no"}.get(value, value) for key, value in vars(fields).items()}  # type: ignore[call-overload]


@st.composite
def written(draw: st.DrawFn) -> tuple[Fields, str]:
    """A whole reply and how one of many models would write it."""
    fields = draw(VALUES)
    pairs = draw(st.permutations(list(texts(fields).items())))
    case = draw(st.sampled_from([str.lower, str.upper, str.title]))
    pairs = [(case(key), value) for key, value in pairs]
    article = draw(st.sampled_from(["", "the ", "a ", "an ", "The "]))
    pairs = [(key, article + value if key.lower() == "target" else value) for key, value in pairs]
    shape = draw(st.integers(0, 5))
    colon = draw(st.sampled_from([": ", ":", " = ", " :  "]))
    if shape == 0:
        body = json.dumps(dict(pairs), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    elif shape == 1:
        body = json.dumps({"note": [1, {"x": 2}], "reply": dict(pairs)})
    elif shape == 2:
        body = "; ".join(f"{key}{colon}{value}" for key, value in pairs)
    elif shape == 3:
        comma = draw(st.sampled_from(["", ",", ";"]))
        body = "\n".join(f"- **{key}**{colon}`{value}`{comma}" for key, value in pairs)
    elif shape == 4:
        body = "{" + ", ".join(f'"{key}"{colon}"{value}"' for key, value in pairs)  # cut off before the end
    else:
        body = "\n".join(f"> {key}{colon}{value}," for key, value in pairs)
    before = draw(st.sampled_from(["", "Sure! Here it is:\n", "```json\n", "{Look} here\n", "\n\n"]))
    after = draw(st.sampled_from(["", "\n```", "\n"])) if shape in (0, 1) else ""
    return fields, before + body + after


@share(2)
@given(written())
def test_what_a_model_writes_is_read_however_it_decorates_it(reply) -> None:
    fields, text = reply
    assert parse_fields(text) == fields
    assert parse_target(text) == fields and parse_attributes(text) == fields


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A valid reply, cut, doubled, spliced, with characters put in or taken out."""
    text = draw(written())[1]
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(text)))
        end = draw(st.integers(at, min(len(text), at + 20)))
        how = draw(st.integers(0, 6))
        if how == 0:
            text = text[:at]
        elif how == 1:
            text = text[:at] + text[end:]
        elif how == 2:
            text = text[:end] + text[at:]
        elif how == 3:
            text = (
                text[:at]
                + draw(st.sampled_from(['"', "{", "}", "[", ":", ";", ",", "\\", "\n", "\0", "*", "'"]))
                + text[at:]
            )
        elif how == 4:
            text = text[:at] + draw(st.text(max_size=6)) + text[end:]
        elif how == 5:
            text = text[:at] + draw(st.sampled_from(KEYS)) + ":" + text[end:]
        else:
            text = text[:at] + draw(written())[1] + text[end:]
    return text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NOTHING + YES + NO),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*KEYS, "colour", " Target ", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@share(3)
@given(damaged() | JSON.map(json.dumps) | st.text(max_size=80))
@example('{"ANSWER":[null,null]}')
def test_whatever_comes_is_fields_or_a_bad_reply_with_the_text(text) -> None:
    for parse in PARSERS:
        try:
            fields = parse(text)
        except BadReply as error:
            assert error.raw == text and str(error)
            continue
        check(fields, text)
        if parse is parse_target:
            assert fields.target is not None and (not fields.target or fields.found is not None)
        if parse is parse_attributes:
            assert {fields.color, fields.shape, fields.location} != {None}
    try:
        several = parse_targets(text)
    except BadReply as error:
        assert error.raw == text and str(error)
    else:
        assert 0 < len(several) == len(set(several)) and all(one.target and one.found is None for one in several)
        assert len(several) <= 32
        for one in several:
            check(one, text)


def check(fields: Fields, text: str) -> None:
    """What holds for the fields of any text: of the right types, no longer than it, "none" is said in one way."""
    assert any(value is not None for value in vars(fields).values()) or "several" in text.lower()
    for key in ("target", "answer", "color", "shape", "location"):
        value = getattr(fields, key)
        assert value is None or (isinstance(value, str) and len(value) <= len(text) + 64 and value == value.strip())
    for key in ("color", "shape", "location"):
        assert (getattr(fields, key) or "").lower() not in {word.lower() for word in UNKNOWN} - {""}
    assert fields.found in (True, False, None) and fields.several in (True, False, None)


@pytest.mark.parametrize("word", NOTHING)
def test_every_word_for_nothing_is_no_target(word: str) -> None:
    assert parse_target(f"target: {word}; answer: There are three.") == Fields(target="", answer="There are three.")
    assert parse_attributes(f"color: {word}; shape: round").color == ""


@pytest.mark.parametrize("word", UNKNOWN)
def test_every_word_for_not_knowing_is_no_attribute(word: str) -> None:
    for key in ("color", "shape", "location"):
        assert getattr(parse_attributes(json.dumps({key: word})), key) == ""
    if word not in NOTHING:
        assert parse_fields(json.dumps({"target": word})).target == word.rstrip("."), "a target may be called so"


@pytest.mark.parametrize(("words", "value"), [(YES, True), (NO, False)])
def test_every_yes_and_no_is_understood(words: tuple[str, ...], value: bool) -> None:
    for word in words:
        for key in ("found", "several"):
            assert getattr(parse_fields(f"{key}: {word}"), key) is value, word
            assert getattr(parse_fields(json.dumps({key: value})), key) is value


def test_found_must_be_clear_and_several_need_not() -> None:
    with pytest.raises(BadReply, match="'perhaps', expected yes or no"):
        parse_fields("target: mug; found: perhaps")
    assert parse_fields("target: mug; found: yes; several: perhaps") == Fields("mug", True)
    assert parse_fields("several: yes").several is True


@pytest.mark.parametrize("value", [None, 3, b"target: mug", ["target: mug"]])
@pytest.mark.parametrize("parse", [*PARSERS, parse_targets])
def test_what_is_no_text_is_a_bad_reply(parse, value) -> None:
    with pytest.raises(BadReply, match=f"the reply is {type(value).__name__}, expected text") as caught:
        parse(value)
    assert caught.value.raw == repr(value)


def test_lists_and_numbers_become_words() -> None:
    fields = parse_fields('{"color": ["red", null, 3, ["x"], {"y": 1}, true], "shape": 7.5, "location": {"x": 1}}')
    assert (fields.color, fields.shape, fields.location) == ("red, 3, yes", "7.5", None)


@share(1)
@given(st.lists(NAMES, min_size=1, max_size=50), st.integers(0, 3))
def test_lists_of_targets_keep_their_order_without_repetitions(names, shape) -> None:
    rows = [{"target": f"the {name}", "found": "perhaps", "color": name} for name in names]
    text = {
        0: json.dumps(rows),
        1: "Here they are:\n" + "\n".join(json.dumps(row) for row in rows),
        2: "\n".join(f"- target: the {name}; color: {name}" for name in names),
        3: json.dumps({"targets": rows, "comment": "all of them"}),
    }[shape]
    expected = tuple(dict.fromkeys(Fields(target=name, color=name) for name in names[: 31 if shape == 3 else 32]))
    assert parse_targets(text) == expected


@pytest.mark.parametrize(
    "text", ["", "no targets", '[{"target": null}]', "target: none\ntarget: -", '[{"color": "red"}]']
)
def test_a_list_without_a_target_is_a_bad_reply(text: str) -> None:
    with pytest.raises(BadReply, match="no list of targets") as caught:
        parse_targets(text)
    assert caught.value.raw == text


def test_an_object_inside_of_a_target_is_no_target_of_its_own() -> None:
    text = '[{"target": "mug", "near": {"target": "plate"}}, {"target": "fork"}]'
    assert [one.target for one in parse_targets(text)] == ["mug", "fork"]
    assert parse_fields('{"near": {"target": "plate"}, "x": 1}').target == "plate", "but a wrapped one is"


def test_only_so_much_of_a_reply_is_read() -> None:
    """32 objects or lines, 20,000 characters: a model that does not stop costs no more."""
    many = "\n".join(json.dumps({"target": f"thing {i}"}) for i in range(40))
    assert [one.target for one in parse_targets(many)] == [f"thing {i}" for i in range(32)]
    lines = "\n".join(f"target: thing {i}" for i in range(40))
    assert [one.target for one in parse_targets(lines)] == [f"thing {i}" for i in range(32)]
    last = "\ntarget: mug"
    assert parse_fields(" " * (20_000 - len(last)) + last).target == "mug"
    for parse in (parse_fields, parse_targets):
        with pytest.raises(BadReply):
            parse(" " * 20_000 + last)


def test_a_value_is_cut_where_reading_ends_and_braces_may_be_doubled() -> None:
    assert parse_fields("\n" * (20_000 - len("target: mu")) + "target: mug").target == "mu"
    assert parse_fields('{{"target": "mug", "found": true}}') == Fields("mug", True)


def test_only_decoration_is_taken_off_a_value() -> None:
    fields = parse_fields("target: `*X*`,;\ncolor: {X,}\nshape: 'X'\nanswer: X...")
    assert (fields.target, fields.color, fields.shape, fields.answer) == ("X", "X", "X", "X...")


@pytest.mark.parametrize(("length", "shown"), [(200, repr("?" * 200)), (201, repr("?" * 200 + "..."))])
def test_a_message_shows_the_start_of_the_reply(length: int, shown: str) -> None:
    with pytest.raises(BadReply) as caught:
        parse_fields("?" * length)
    assert str(caught.value).endswith(f"in the reply {shown}")


@pytest.mark.parametrize(
    "unit", ["{", "[", '{"a":', '"target": {', "; target: ", "\n- ", "target=", "`" * 9, "{}", "\\"]
)
def test_a_long_reply_of_one_thing_costs_little(unit: str) -> None:
    text = (unit * 200_000)[:200_000]
    begin = time.process_time()
    for parse in (*PARSERS, parse_targets):
        try:
            parse(text)
        except BadReply as error:
            assert len(str(error)) < 1000, "the message shows the start only"
    assert time.process_time() - begin < 20, "linear, not quadratic: the parser reads 20,000 characters"
