# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The segmenter in half precision: nearly the same masks, and the single-precision one is not touched."""

from __future__ import annotations

import pytest
import torch

from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.segmentation import half
from llavaseg_ros.segmentation.following import overlap
from llavaseg_ros.segmentation.segmenter import Segmenter

LEAST_OVERLAP = 0.95  # the tolerance that docs/performance.md states


@pytest.fixture(scope="module")
def model() -> LLaVASeg:
    return LLaVASeg.from_pretrained("default")


def test_masks_in_half_precision(model: LLaVASeg) -> None:
    full, twin = model.segmenter, half.half_twin(model.segmenter)
    for frame in list(read_frames())[::20]:
        model.set_image(frame.rgb)
        encoded, quick = full.encode(frame.rgb), twin.encode(frame.rgb)
        assert quick.tapped.embedding.dtype == torch.bfloat16
        for command in ("Hand me the red mug.", "the purple book", "Give me the yellow banana."):
            found = model.segment(command)
            assert found.found
            thought = found.thought
            exact, presence = full.segment(encoded, thought.target, thought.attributes)
            near, quick_presence = twin.segment(quick, thought.target, thought.attributes)
            assert exact is not None
            assert near is not None
            assert overlap(exact.mask, near.mask) > LEAST_OVERLAP
            assert abs(presence - quick_presence) < 0.03
            by_box = [one.segment_prompt(e, box=box_of(exact.roi)) for one, e in ((full, encoded), (twin, quick))]
            assert overlap(by_box[0].mask, by_box[1].mask) > LEAST_OVERLAP
    assert all(weight.dtype == torch.float32 for weight in full.sam.parameters())


def box_of(roi: tuple[int, int, int, int]) -> object:
    x, y, width, height = roi
    return torch.tensor([x, y, x + width, y + height], dtype=torch.float32).numpy()


@pytest.mark.parametrize("twin_is_faster", [True, False])
def test_the_faster_one_serves(model: LLaVASeg, monkeypatch: pytest.MonkeyPatch, twin_is_faster: bool) -> None:
    def seconds(segmenter: Segmenter) -> float:
        return 1.0 if (segmenter is model.segmenter) == twin_is_faster else 0.5

    monkeypatch.setattr(half, "_once", seconds)
    assert (half.quick_segmenter(model.segmenter) is not model.segmenter) == twin_is_faster


def test_only_followed_frames_are_quick(model: LLaVASeg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llavaseg_ros.pipeline.quick_segmenter", half.half_twin)
    model.warm_up()
    frames = list(read_frames())
    model.set_image(frames[0].rgb)
    assert model._image.encoding().result().tapped.embedding.dtype == torch.float32
    found = model.segment("Hand me the red mug.")
    model.set_image(frames[1].rgb, quick=True)
    assert model._image.encoding().result().tapped.embedding.dtype == torch.bfloat16
    assert model.follow(found).found
    assert model.segment("Hand me the red mug.").found  # a command about a followed frame is answered all the same
