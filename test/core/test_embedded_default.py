# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The released weights, on the frames of the demo bag (objects and table that no training scene shows)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llavaseg_ros.bundle import default_bundle, verify
from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.evaluation.metrics import overlap
from llavaseg_ros.images import read_ids
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.places import location_name
from llavaseg_ros.segmentation.encoder_place import EncoderPlace
from llavaseg_ros.types import Attributes, Thought

FRAMES = (0, 30, 60)


@pytest.fixture(scope="module")
def model() -> LLaVASeg:
    return LLaVASeg.from_pretrained("default")


@pytest.fixture(scope="module")
def truth() -> list[tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]]:
    """rgb, instance ids and objects of three frames of the bag."""
    folder = DEMO_BAG.parent
    entries = {e["frame"]: e for e in json.loads((folder / "table_truth.json").read_text())["frames"]}
    pictures = {i: f.rgb for i, f in enumerate(islice(read_frames(DEMO_BAG), max(FRAMES) + 1)) if i in FRAMES}
    return [(pictures[i], read_ids(folder / entries[i]["instances"]), entries[i]["objects"]) for i in FRAMES]


def listed(objects: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    for item in objects:
        if item["listed"]:
            yield item, f"{item['color']} {item['category']}"


def test_files_are_whole_small_and_only_json_and_safetensors() -> None:
    bundle = verify(default_bundle(), deep=True)
    assert bundle.total_bytes <= 64e6
    allowed = {".json", ".jinja", ".safetensors"}
    assert {p.suffix for p in Path(bundle.folder).rglob("*") if p.is_file()} - {".py"} <= allowed


def test_every_object_of_the_bag_by_name(model: LLaVASeg, truth: list) -> None:
    right, ious = [], []
    for rgb, ids, objects in truth:
        model.set_image(rgb)
        for item, name in listed(objects):
            result = model.segment(f"hand me the {name}")
            right.append(result.thought.target == name)
            mask = result.segments[0].mask if result.segments else np.zeros(ids.shape, bool)
            inter, union = overlap(mask, ids == item["id"])
            ious.append(inter / union)
    # docs/training-log.md has the figures on the test set.
    assert np.mean(right) >= 0.70, f"right target {np.mean(right):.2f}"
    assert np.mean(ious) >= 0.45, f"mIoU end to end {np.mean(ious):.2f}"


def test_true_words_find_their_masks(model: LLaVASeg, truth: list) -> None:
    ious = []
    for rgb, ids, objects in truth:
        model.set_image(rgb)
        for item, name in listed(objects):
            x0, y0, x1, y1 = item["bbox"]
            place = location_name((x0 + x1) / 2, (y0 + y1) / 2, rgb.shape[1], rgb.shape[0])
            words = Attributes(color=item["color"], location=place)
            result = model.segment_thought(Thought(target=name, attributes=words, found=True))
            mask = result.segments[0].mask if result.segments else np.zeros(ids.shape, bool)
            inter, union = overlap(mask, ids == item["id"])
            ious.append(inter / union)
    assert np.mean(ious) >= 0.70, f"mIoU with true attributes {np.mean(ious):.2f}"


def test_what_is_not_there_is_not_found(model: LLaVASeg, truth: list) -> None:
    model.set_image(truth[0][0])
    absent = ("give me the flashlight", "hand me the blue fork", "pick up the white cup", "find the green candle")
    for command in absent:
        result = model.segment(command)
        assert not result.found and result.segments == () and result.answer
        assert result.error_code == ErrorCode.NOT_FOUND


def test_use_and_questions(model: LLaVASeg, truth: list) -> None:
    model.set_image(truth[0][0])
    drink = model.segment("I am thirsty, give me something to drink from")
    assert drink.found and "mug" in drink.thought.target
    cut = model.segment("I need something to cut paper with")
    assert cut.found and "scissors" in cut.thought.target and cut.segments[0].area_px > 0
    words = model.segment("What do you see?").answer.removeprefix("I see ").rstrip(".")
    seen = {" ".join(name.split()[:3]) for name in words.replace(" and ", ", ").split(", ")}
    assert len(seen) >= 5 and words.count(",") <= 2 * len(seen), words  # a list, and no endless one
    question = model.segment("what color is the mug?")
    assert question.answer == "The mug is red."
    assert not question.found and question.segments == () and question.thought.is_question and question.answer
    assert question.error_code == ErrorCode.NONE


def test_the_image_is_encoded_once_a_frame(model: LLaVASeg, truth: list, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"sam": 0, "tower": 0}
    segmenter, tower = model.segmenter, model.mllm.model.model.vision_tower
    encode, forward = segmenter.sam.encode, tower.forward

    def count(name: str, call: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return call(*args, **kwargs)

        return counted

    monkeypatch.setattr(segmenter.sam, "encode", count("sam", encode))
    monkeypatch.setattr(tower, "forward", count("tower", forward))
    model.set_image(truth[0][0])
    for command in ("the red mug", "the purple book", "what do you see?"):
        model.segment(command)
    assert calls == {"sam": 1, "tower": 1}


def test_every_frozen_weight_stays_bit_identical(model: LLaVASeg, truth: list) -> None:
    parts = {"mllm": model.mllm.model, "sam": model.segmenter.sam, "adapters": model.segmenter.adapters}
    before = {n: {k: v.clone() for k, v in p.state_dict().items()} for n, p in parts.items()}
    model.set_image(truth[0][0])
    model.segment("hand me the red mug")
    model.chat("what do you see?")
    for name, part in parts.items():
        assert not any(p.requires_grad for p in part.parameters())
        assert all(torch.equal(v, before[name][k]) for k, v in part.state_dict().items())


def test_a_real_photograph_runs_through(model: LLaVASeg) -> None:
    data = pytest.importorskip("skimage.data", reason="pip install scikit-image")
    photograph = data.coffee()
    model.set_image(photograph)
    result = model.segment("give me the cup")
    assert result.answer
    for segment in result.segments:
        assert segment.mask.shape == photograph.shape[:2]


@pytest.mark.parametrize("size", [(320, 640), (640, 320), (480, 360), (400, 400), (90, 500)])
def test_any_format_of_picture_is_answered(model: LLaVASeg, truth: list, size: tuple[int, int]) -> None:
    """Robots turn their cameras by 90 degrees, and stretch and crop pictures."""
    height, width = size
    rgb = np.ascontiguousarray(np.resize(truth[0][0], (height, width, 3)))
    model.set_image(rgb)
    result = model.segment("hand me the red mug")
    assert all(segment.mask.shape == (height, width) for segment in result.segments)
    seen = model.segment_prompt(points=np.array([[width / 2, height / 2]], np.float32), labels=np.array([1]))
    assert seen.mask.shape == (height, width)


class Cramped(EncoderPlace):
    """An encoder for which there is only memory at less than SAM's full size."""

    limit_px = 0

    def run(self, sam: Any, pixels: torch.Tensor, dtype: torch.dtype = torch.float32) -> Any:
        if max(pixels.shape[-2:]) > self.limit_px:
            torch.empty(2**60, dtype=torch.uint8)  # torch's own error
        return super().run(sam, pixels, dtype)


def test_out_of_memory_gives_a_coarser_mask_of_the_same_thing(
    model: LLaVASeg, truth: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb, _, objects = truth[0]
    name = next(name for _, name in listed(objects) if name == "red mug")
    thought = Thought(target=name, attributes=Attributes("red"), found=True)
    model.set_image(rgb)
    full = model.segment_thought(thought).segments[0]
    cramped = Cramped()
    object.__setattr__(cramped, "limit_px", 3 * model.segmenter.sam.img_size // 4)
    monkeypatch.setattr(model.segmenter, "encoder", cramped)
    before = model._image.made_smaller
    model.set_image(rgb)
    assert model._image.made_smaller == before + 1
    small = model.segment_thought(thought).segments[0]
    assert small.mask.shape == full.mask.shape == rgb.shape[:2] and small.mask.dtype == np.bool_
    both, either = overlap(small.mask, full.mask)
    assert both > 0.5 * either, "another thing, or elsewhere"
    # The language model, and the boxes of what its eye lists, are as they were.
    assert model.segment(f"hand me the {name}").thought.target == name
    assert model.describe()["images_made_smaller"] == before + 1
