# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The eye as the pipeline runs it: the same levels as the trained one, one look a frame for both models."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from llavaseg_ros.bundle import default_bundle
from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.object_tower import picture_extent
from llavaseg_ros.reasoning.tight_images import TightImageProcessor
from llavaseg_ros.segmentation.frozen_eye import FrozenEye, share_eye
from llavaseg_ros.segmentation.preprocess import fit_to
from llavaseg_ros.segmentation.pyramid import Eye
from llavaseg_ros.segmentation.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load(default_bundle() / "segmenter")


def trained_eye(segmenter: Segmenter) -> Eye:
    eye = segmenter.sam.sam.image_encoder.eye
    assert isinstance(eye, Eye)
    return eye


def test_frozen_eye_gives_the_levels_of_the_trained_one(segmenter: Segmenter) -> None:
    eye = trained_eye(segmenter)
    frozen = FrozenEye(eye)
    for height, width in ((384, 512), (512, 320)):
        pixels = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.inference_mode():
            for ours, theirs in zip(frozen(pixels), eye(pixels), strict=True):
                assert ours.shape == theirs.shape
                assert float((ours - theirs).abs().max()) < 1e-3 * float(theirs.abs().max())


def test_a_frame_is_looked_at_once(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = FrozenEye(trained_eye(segmenter))
    looks = []
    inner = frozen._levels
    monkeypatch.setattr(frozen, "_levels", lambda pixels: looks.append(1) or inner(pixels))
    pixels = torch.randn(1, 3, 64, 96)
    first = frozen(pixels)
    assert all(a is b for a, b in zip(first, frozen(pixels.clone()), strict=True))
    assert len(looks) == 1
    frozen(pixels + 1e-3)
    assert len(looks) == 2
    frozen.forget()
    frozen(pixels + 1e-3)
    assert len(looks) == 3


def test_eyes_are_shared_only_if_their_weights_are_equal(segmenter: Segmenter) -> None:
    eye = trained_eye(segmenter)
    sam, tower = SimpleNamespace(eye=copy.deepcopy(eye)), SimpleNamespace(eye=copy.deepcopy(eye))
    assert share_eye(sam, tower)
    assert sam.eye is tower.eye
    sam, tower = SimpleNamespace(eye=copy.deepcopy(eye)), SimpleNamespace(eye=copy.deepcopy(eye))
    with torch.no_grad():
        tower.eye.pyramid.in8[1].weight[0, 0] += 0.01
    assert not share_eye(sam, tower)
    assert sam.eye is not tower.eye
    assert isinstance(sam.eye, FrozenEye)
    assert isinstance(tower.eye, FrozenEye)
    other = SimpleNamespace()
    assert not share_eye(other, None)


def test_processor_gives_the_pixels_that_sam_sees(segmenter: Segmenter) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((480, 640), (1080, 1920), (500, 333), (64, 64)):
        rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels = TightImageProcessor()([Image.fromarray(rgb)], return_tensors="pt")["pixel_values"]
        fit = fit_to(height, width, 512, 32)
        assert pixels.shape == (1, 3, *fit.padded)
        np.testing.assert_allclose(picture_extent(pixels)[0].numpy(), fit.extent, atol=1e-6)


def test_the_embedded_default_looks_once_a_frame() -> None:
    model = LLaVASeg.from_pretrained("default")
    eye = model.segmenter.sam.sam.image_encoder.eye
    assert eye is model.mllm.model.model.vision_tower.eye  # type: ignore[attr-defined]
    looks = []
    inner = eye._levels
    eye._levels = lambda pixels: looks.append(1) or inner(pixels)
    for frame in list(read_frames())[::30]:
        looks.clear()
        model.set_image(frame.rgb)
        model.segment("Hand me the red mug.")
        model.segment("Give me the yellow banana.")
        model.chat("What is on the table?")
        assert len(looks) == 1
