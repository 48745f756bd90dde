# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Boxes that a language model writes: read, brought to the image, asked for, and used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedMLLM, ScriptedSegmenter

from llavaseg_ros.errors import BadReply, BundleError, Cancelled
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.boxes import BoxAsker, box_format, parse_box, to_image
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.types import Attributes, Thought

SIZE = (64, 48)
MUG = Thought("red mug", Attributes("red", "", "front left"), found=True)
TALK = (
    "I see a red mug.",
    "target: red mug; found: yes; answer: Here.",
    "color: red; shape: cylinder; location: front left",
)


@pytest.mark.parametrize(
    "reply",
    [
        "[10, 20, 30, 40]",
        "The red mug is at (10, 20, 30, 40).",
        '```json\n[{"bbox_2d": [10, 20, 30, 40], "label": "red mug"}, {"bbox_2d": [1, 2, 3, 4]}]\n```',
        '{"label": "mug [red]", "bbox_2d": [ 10.0,20 , 30.00, 40 ]}',
    ],
)
def test_four_numbers_in_brackets_are_a_box(reply: str) -> None:
    assert parse_box(reply) == (10, 20, 30, 40)


@pytest.mark.parametrize(
    "reply", ["", "I see no mug.", "[1, 2, 3]", "10, 20, 30, 40", "[a, b, c, d]", "[1, 2, 3, inf]"]
)
def test_anything_else_is_not(reply: str) -> None:
    with pytest.raises(BadReply, match="no box of four numbers"):
        parse_box(reply)


@given(st.text(alphabet="[](), .-0123456789\n", max_size=3000))
def test_no_reply_breaks_the_parser(reply: str) -> None:
    try:
        assert all(np.isfinite(parse_box(reply)))
    except BadReply as error:
        assert error.raw == reply


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("padded_square", (16 / 64, 20 / 64, 32 / 64, 44 / 64)),  # eight rows of padding above and below
        ("per_mille", (250, 250, 500, 750)),
        ("seen_pixels", (70, 35, 140, 105)),  # of 280 x 140
    ],
)
def test_each_unit_means_the_same_place(unit: str, values: tuple[float, ...]) -> None:
    assert to_image(values, unit, SIZE, (280, 140)) == pytest.approx((16, 12, 32, 36))


@given(
    box=st.tuples(*(st.floats(0, 0.45), st.floats(0, 0.45), st.floats(0.5, 1), st.floats(0.5, 1))),
    size=st.tuples(st.integers(32, 4000), st.integers(32, 4000)),
)
def test_padded_squares_of_any_format(box: tuple[float, ...], size: tuple[int, int]) -> None:
    """The way there and back: what LLaVA would write for a box in an image that was padded around its centre."""
    side = max(size)
    pixels = [b * s for b, s in zip(box, size * 2, strict=True)]
    written = [(p + (side - s) / 2) / side for p, s in zip(pixels, size * 2, strict=True)]
    assert to_image(written, "padded_square", size, None) == pytest.approx(pixels, abs=1e-6 * side)


def test_a_box_that_sticks_out_a_little_is_cut() -> None:
    assert to_image((-10, 0, 1010, 500), "per_mille", SIZE, None) == (0, 0, 64, 24)


@pytest.mark.parametrize("values", [(300, 200, 100, 400), (100, 100, 100, 400), (0, 0, 1, 1), (100, 100, 1500, 400)])
def test_what_is_no_box_is_not_guessed_at(values: tuple[float, ...]) -> None:
    """Swapped corners, no width, the wrong unit, far outside."""
    with pytest.raises(BadReply, match="is no box in per_mille of an image of 64 x 48 px"):
        to_image(values, "per_mille", SIZE, None)


def test_sizes_and_units_that_are_not_known() -> None:
    with pytest.raises(BundleError, match="does not say at which size"):
        to_image((1, 2, 3, 4), "seen_pixels", SIZE, None)
    with pytest.raises(BundleError, match="got 'inches'"):
        to_image((1, 2, 3, 4), "inches", SIZE, None)
    with pytest.raises(BundleError, match="box_format: got 'owl', expected one of llava, qwen2_5_vl, qwen3_vl"):
        box_format("owl")


def test_the_target_is_asked_for_in_the_words_of_the_family() -> None:
    mllm = ScriptedMLLM("[0.25, 0.3125, 0.5, 0.6875]")
    assert BoxAsker(mllm, box_format("llava")).ask(MUG, SIZE) == pytest.approx((16, 12, 32, 36))
    ((message,),) = mllm.asked
    assert message.text.endswith("describes: red mug, front left") and mllm.limits == [48]


def test_an_unreadable_box_is_asked_for_once_more() -> None:
    mllm = ScriptedMLLM("It is on the left.", "[250, 250, 500, 750]")
    asker = BoxAsker(mllm, box_format("qwen3_vl"))
    assert asker.ask(MUG, SIZE) == pytest.approx((16, 12, 32, 36)) and asker.last_reply == "[250, 250, 500, 750]"
    assert [m.role for m in mllm.asked[1]] == ["user", "assistant", "user"]
    mllm = ScriptedMLLM("It is on the left.", "[900, 250, 500, 750]")
    with pytest.raises(BadReply, match="could not be read, twice: .*900, 250, 500, 750") as error:
        BoxAsker(mllm, box_format("qwen3_vl")).ask(MUG, SIZE)
    assert error.value.raw == "[900, 250, 500, 750]"


def make(source: str, *replies: str) -> Any:
    mask = np.zeros((48, 64), bool)
    mask[10:20, 10:20] = True
    segmenter: Any = ScriptedSegmenter(mask)
    form = None if source == "adapters" else box_format("qwen3_vl")
    model = LLaVASeg(ScriptedMLLM(*replies), segmenter, load_style("generic"), prompt_source=source, form=form)
    model.set_image(np.zeros((48, 64, 3), np.uint8))
    return model


def test_sam_gets_the_box_alone() -> None:
    model = make("box", *TALK, "[250, 250, 500, 750]")
    result = model.segment("hand me the mug")
    assert result.found and result.thought.box == pytest.approx((16, 12, 32, 36))
    assert result.thought.attributes == Attributes("red", "cylinder", "front left")  # words come out all the same
    assert result.thought.raw[-1] == "[250, 250, 500, 750]"
    assert model.segmenter.asked == [] and model.segmenter.prompts[0]["box"].tolist() == [16, 12, 32, 36]


def test_sam_gets_the_box_and_the_words() -> None:
    model = make("both", *TALK, "[250, 250, 500, 750]")
    assert model.segment("hand me the mug").presence == 0.9
    assert model.segmenter.asked[0][0] == "red mug" and model.segmenter.boxes[0].tolist() == [16, 12, 32, 36]


def test_with_adapters_nobody_asks_for_a_box() -> None:
    model = make("adapters", *TALK)
    assert model.segment("hand me the mug").thought.box is None and model.segmenter.boxes == [None]


def test_what_is_not_there_has_no_box() -> None:
    model = make("box", "I see no banana.", "target: banana; found: no; answer: I see none.")
    assert not model.segment("the banana").found and len(model.mllm.asked) == 2


def test_asking_for_a_box_can_be_cancelled() -> None:
    model = make("box", *TALK, "[250, 250, 500, 750]")
    with pytest.raises(Cancelled):
        model.segment("hand me the mug", should_cancel=lambda: len(model.mllm.asked) == 4)


def test_a_thought_without_a_box_gives_no_mask() -> None:
    result = make("box").segment_thought(MUG)
    assert not result.found and result.error_code.name == "EMPTY_MASK"
