# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands for several things: the rule, the list of a model that can make one, masks without shared pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scripted import ScriptedMLLM, ScriptedSegmenter
from seeing import BoxSegmenter, SeeingMLLM, mask_of

from llavaseg_ros.errors import BadReply, BadRequest, ErrorCode
from llavaseg_ros.grounding import Grounding, results_of
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.reasoning.objects import SeenObject, box_overlap, without_twins
from llavaseg_ros.reasoning.parser import parse_targets
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.reasoning.several import several_rule
from llavaseg_ros.types import Attributes, Segment, Thought

RED = SeenObject("mug", "red", (2, 2, 12, 12), 0.9)
BLUE = SeenObject("mug", "blue", (50, 30, 62, 44), 0.8)
GREEN = SeenObject("mug", "green", (26, 20, 36, 30), 0.4)
FORK = SeenObject("fork", "red", (26, 34, 36, 46), 0.7)
TABLE = (RED, GREEN, FORK, BLUE)


@pytest.mark.parametrize(
    ("command", "single", "noun", "color", "place", "number"),
    [
        ("all the cups", "the cup", "cup", "", "", None),
        ("Could you hand me ALL the red cups, please?", "could you hand me the red cup please", "cup", "red", "", None),
        ("both mugs", "the mug", "mug", "", "", 2),
        ("the three forks", "the fork", "fork", "", "", 3),
        ("pick up those 4 knives", "pick up the knife", "knife", "", "", 4),
        ("mark every spoon", "mark the spoon", "spoon", "", "", None),
        ("the wine glasses", "the wine glass", "wine glass", "", "", None),
        ("all the fruit on the left", "the fruit on the left", "fruit", "", "left", None),
        ("everything blue", "the blue thing", "thing", "blue", "", None),
        ("all oranges", "the orange", "orange", "", "", None),
        ("the orange oranges", "the orange orange", "orange", "orange", "", None),
        ("all mugs that are green", "the green mug", "mug", "green", "", None),
        ("where are the batteries?", "where is the battery", "battery", "", "", None),
    ],
)
def test_what_a_command_for_several_says(
    command: str, single: str, noun: str, color: str, place: str, number: int | None
) -> None:
    several = several_rule()(command)
    assert several is not None
    assert (several.noun, several.color, several.place, several.number) == (noun, color, place, number)
    assert several.command == single


@pytest.mark.parametrize(
    "command",
    [
        "the cup",
        "hand me the scissors",
        "the pliers, please",
        "How many cups are there?",
        "Count the mugs.",
        "What are the red things?",
        "the mug left of the bowls",
        "all the mugs left of the bowl",
        "it is bigger than all the others",
        "something to drink for all of us",
        "I squeeze orange juice every morning",
        "the fruit",
        "all of them",
        "the glass",
        "everybody is thirsty",
        "all the big mugs",
        "give me all the cups and all the plates",
    ],
)
def test_commands_that_are_about_one_thing_or_a_question(command: str) -> None:
    assert several_rule()(command) is None


def test_commands_of_the_language_file_are_about_one_thing() -> None:
    import json
    from pathlib import Path

    lines = (Path(__file__).parents[1] / "sample" / "commands.jsonl").read_text().splitlines()
    commands = [json.loads(line)["command"] for line in lines]
    assert len(commands) > 50 and [c for c in commands if several_rule()(c) is not None] == []


def test_kinds_of_a_noun() -> None:
    rule, known = several_rule(), ("mug", "fork", "knife", "apple")
    assert rule.kinds("coffee mug", known) == {"mug"}
    assert rule.kinds("cutlery", known) == {"fork", "knife"}
    assert rule.kinds("thing", known) == set(known)
    assert rule.kinds("unicorn", known) == set()


def make(*replies: str, seen: tuple[SeenObject, ...] = TABLE, style: str = "embedded", **scores: float) -> Any:
    model = LLaVASeg(SeeingMLLM(*replies, seen=seen), BoxSegmenter(seen, scores), load_style(style))  # type: ignore[arg-type]
    model.set_image(np.zeros((48, 64, 3), np.uint8))
    return model


def names(result: Any) -> list[str]:
    return [result.label_of(segment) for segment in result.segments]


def test_one_mask_each_best_first_and_disjoint() -> None:
    model = make(**{"blue mug front right": 0.9, "red mug back left": 0.7, "green mug middle": 0.3})
    result = model.segment("all the mugs")
    assert result.found and names(result) == ["blue mug", "red mug", "green mug"]
    assert [s.score for s in result.segments] == [0.9, 0.7, 0.3]
    assert [result.attributes_of(s).location for s in result.segments] == ["front right", "back left", "middle"]
    for segment, one in zip(result.segments, (BLUE, RED, GREEN), strict=True):
        assert np.array_equal(segment.mask, mask_of(one.box))
    assert result.thought.target == "blue mug" and "3" in result.answer and "fork" not in result.answer
    assert model.mllm.asked == []  # the words name a kind that the model lists: nothing to reason about


def test_most_targets_and_numbers() -> None:
    assert names(make().segment("all the mugs", max_targets=2)) == ["red mug", "blue mug"]  # the surest
    assert names(make().segment("the mugs", max_targets=1)) == ["red mug"]
    assert names(make().segment("two mugs")) == ["red mug", "blue mug"]
    assert names(make().segment("all red things")) == ["red mug", "red fork"]
    assert names(make().segment("all mugs on the right")) == ["blue mug"]
    with pytest.raises(BadRequest, match="max_targets"):
        make().segment("all the mugs", max_targets=0)


def test_what_the_segmenter_does_not_see_is_left_out() -> None:
    model = make()
    model.segmenter.absent.add("green mug")
    assert names(model.segment("all the mugs")) == ["red mug", "blue mug"]
    model.segmenter.absent |= {"red mug", "blue mug"}
    none = model.segment("all the mugs")
    assert not none.found and none.segments == () and none.error_code == ErrorCode.NOT_FOUND


def test_a_noun_that_only_the_model_knows() -> None:
    replies = ("A blue mug.", "target: blue mug; found: yes; answer: It is there.", "color: blue; shape: round")
    result = make(*replies).segment("all the beakers")
    assert sorted(names(result)) == ["blue mug", "green mug", "red mug"]
    assert {result.attributes_of(s).shape for s in result.segments} == {"round"}
    missing = make("None.", "target: beaker; found: no; answer: I see no beaker.").segment("all the beakers")
    assert not missing.found and missing.answer == "I see no beaker."
    talk = make("Goodbye.", "target: none; found: no; answer: Goodbye.").segment("all the unicorns")
    assert talk.error_code == ErrorCode.NOT_FOUND and talk.answer == "I do not see any unicorn."


def test_equal_things_in_one_place_are_told_apart() -> None:
    twins = (SeenObject("mug", "red", (2, 2, 8, 8), 0.9), SeenObject("mug", "red", (10, 2, 16, 8), 0.8))
    result = make(seen=twins).segment("all the mugs")
    assert [np.array_equal(s.mask, mask_of(t.box)) for s, t in zip(result.segments, twins, strict=True)] == [True, True]


def grounding(name: str, mask: np.ndarray, score: float, presence: float = 0.9) -> Grounding:
    thought = Thought(name, Attributes(location="left"), found=True)
    return Grounding(thought, Segment(mask, score, (0, 0, 1, 1)), presence)


def test_a_pixel_belongs_to_the_best_and_twins_go() -> None:
    wide, tall = mask_of((0, 0, 30, 10)), mask_of((25, 0, 35, 20))
    several = [grounding("a", tall, 0.4), grounding("b", wide, 0.8), grounding("c", wide, 0.6)]
    result = results_of("all", several, {}, 10)
    assert names(result) == ["b", "a"]
    first, second = (s.mask for s in result.segments)
    assert np.array_equal(first, wide) and np.array_equal(second, tall & ~wide)
    assert result.segments[1].roi == (25, 0, 10, 20) and result.segments[1].area_px == 150
    nothing = results_of("all", [grounding("a", tall, 0.4, 0.01)], {}, 10)
    assert not nothing.found and nothing.error_code == ErrorCode.NOT_FOUND


def test_twin_boxes() -> None:
    assert box_overlap((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    twin = replace(RED, box=(2, 2, 12, 11), score=0.5)
    assert without_twins((twin, RED, BLUE)) == (RED, BLUE)
    assert without_twins((replace(twin, kind="cup"), RED)) == (replace(twin, kind="cup"), RED)


# --- models that list their targets ---

LISTED = '[{"target": "red mug", "color": "red", "location": "left"}, {"target": "the blue mug", "color": "blue"}]'
SEVERAL = '{"target": "mugs", "found": "yes", "several": "yes", "answer": "There they are."}'
SINGLE = SEVERAL.replace('"several": "yes"', '"several": "no"')
DESCRIBED = '{"color": "red", "shape": "round", "location": "left"}'


def test_a_model_that_says_so_is_asked_for_the_list() -> None:
    mllm = ScriptedMLLM("Two mugs.", SEVERAL, LISTED)
    thought = ChainOfThought(mllm, load_style("generic")).think("all the mugs", max_targets=7)
    assert (thought.target, [other.target for other in thought.others]) == ("red mug", ["blue mug"])
    assert thought.attributes == Attributes("red", "", "left") and thought.others[0].found
    assert "7 at most" in mllm.asked[-1][-1].text and thought.answer == "There they are."
    fast = ScriptedMLLM(SEVERAL, LISTED)
    assert len(ChainOfThought(fast, load_style("generic"), "fast").think("all the mugs", max_targets=7).others) == 1


def test_one_target_is_no_list() -> None:
    mllm = ScriptedMLLM("One.", SINGLE, DESCRIBED)
    assert ChainOfThought(mllm, load_style("generic")).think("a mug", max_targets=7).others == ()
    limited = ScriptedMLLM("Two.", SEVERAL, DESCRIBED)
    assert ChainOfThought(limited, load_style("generic")).think("all the mugs", max_targets=1).target == "mugs"
    cut = ScriptedMLLM("Three.", SEVERAL, LISTED[:-1] + ', {"target": "fork"}]')
    assert len(ChainOfThought(cut, load_style("generic")).think("all", max_targets=2).others) == 1


def test_the_list_goes_through_the_pipeline() -> None:
    mllm = ScriptedMLLM("Two mugs.", SEVERAL, LISTED)
    model = LLaVASeg(mllm, ScriptedSegmenter(mask_of((0, 0, 9, 9))), load_style("generic"))  # type: ignore[arg-type]
    model.set_image(np.zeros((48, 64, 3), np.uint8))
    result = model.segment("all the mugs")
    # The segmenter gives both the same mask: one thing, told once.
    assert names(result) == ["red mug"] and model.segmenter.asked[1][0] == "blue mug"


@pytest.mark.parametrize(
    "text",
    [
        LISTED,
        f"Sure:\n```json\n{LISTED}\n```",
        f'{{"targets": {LISTED}}}',
        '{"target": "red mug", "color": "red"}\n{"target": "blue mug"}',
        "- target: red mug; color: red\n- target: blue mug; color: blue",
        LISTED[:-1] + ', {"target": "gre',
        LISTED[:-1] + ', {"target": "none"}, {"target": "blue mug", "color": "blue"}]',
    ],
)
def test_lists_in_every_dress(text: str) -> None:
    assert [fields.target for fields in parse_targets(text)] == ["red mug", "blue mug"]


def test_what_is_no_list() -> None:
    for text in ("I see two mugs.", "[]", "", '{"color": "red"}', '[{"target": "none"}]'):
        with pytest.raises(BadReply, match="list"):
            parse_targets(text)
    assert len(parse_targets(str([{"target": f"mug {n}"} for n in range(99)]).replace("'", '"'))) == 32


def test_a_style_must_fit_its_list(tmp_path: Any) -> None:
    import yaml

    from llavaseg_ros.errors import BundleError
    from llavaseg_ros.reasoning.prompt_style import PROMPT_FOLDER

    data = yaml.safe_load((PROMPT_FOLDER / "generic.yaml").read_text())
    for key, value, text in (("several", 3, "several"), ("history", "yes", "history")):
        path = tmp_path / "style.yaml"
        path.write_text(yaml.safe_dump(data | {key: value}))
        with pytest.raises(BundleError, match=text):
            load_style(path)
    del data["retry"]["several"]
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(BundleError, match="several"):
        load_style(path)
