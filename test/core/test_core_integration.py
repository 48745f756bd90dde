# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole core on a bundle of the embedded profile's own classes with random weights: loads, runs, stays frozen."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_core_local import plain_reply

from llavaseg_ros.bundle import write_bundle
from llavaseg_ros.errors import BadReply, BundleError, Cancelled, NoImage
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.object_tower import ObjectTower, ObjectTowerConfig
from llavaseg_ros.segmentation.adapters import AdapterConfig, AttributeAdapters
from llavaseg_ros.segmentation.sam import TappedSam
from llavaseg_ros.segmentation.segmenter import save_segmenter
from llavaseg_ros.segmentation.small_sam import SmallSamConfig, build_small_sam
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.llava import build_llava, build_processor
from llavaseg_ros.training.tokenizer import make_tokenizer
from llavaseg_ros.types import Attributes, Stage, Thought


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the embedded profile's architecture and random weights."""
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    tower = ObjectTower(
        ObjectTowerConfig(
            padded=False,
        )
    ).eval()
    texts = ["target: red mug; found: yes; answer: I see a red mug. Name the target."] * 4
    tokenizer = make_tokenizer(texts, ["robot", "table"])
    llava = build_llava(tower, tokenizer, width=64, depth=2)
    llava.generation_config.suppress_tokens = tokenizer.all_special_ids  # or random weights may stop at once
    llava.save_pretrained(folder / "mllm")
    build_processor(tower, tokenizer).save_pretrained(folder / "mllm")
    config = SmallSamConfig()
    sam = build_small_sam(config)
    tapped = TappedSam(sam)
    adapters = AttributeAdapters(AdapterConfig(tapped.tap_channels, tapped.embed_dim, TextEncoder().dim))
    save_segmenter(folder / "segmenter", sam, config, adapters)
    write_bundle(folder, "random", "embedded")
    return folder


@pytest.fixture(scope="module")
def model(bundle: Path) -> Any:
    return LLaVASeg.from_pretrained(bundle, device="cpu")


@pytest.fixture
def photo() -> np.ndarray:
    """uint8 [120, 160, 3]: a red disc on gray."""
    y, x = np.mgrid[:120, :160]
    picture = np.full((120, 160, 3), 128, np.uint8)
    picture[(x - 60) ** 2 + (y - 50) ** 2 < 900] = (200, 20, 20)
    return picture


def weights(model: Any) -> dict[str, torch.Tensor]:
    modules = {"mllm": model.mllm.model, "sam": model.segmenter.sam, "adapters": model.segmenter.adapters}
    return {f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()}


def test_everything_runs_and_no_weight_moves(bundle: Path, model: Any, photo: np.ndarray) -> None:
    before = {name: value.clone() for name, value in weights(model).items()}
    model.set_image(photo)
    limit = model._chain.style.max_new_tokens["chat"]
    expected = plain_reply(bundle / "mllm", photo, [("user", "What do you see?")], limit)
    assert expected and model.chat("What do you see?") == expected
    with pytest.raises(BadReply) as caught:  # random weights do not speak in fields
        model.segment("the red mug")
    assert isinstance(caught.value.raw, str)
    result = model.segment_thought(Thought("red mug", Attributes("red"), "Here.", found=True))
    assert 0 <= result.presence <= 1 and result.found == bool(result.segments)
    segment = model.segment_prompt(points=np.array([[60.0, 50.0]]))
    assert segment.mask.shape == (120, 160) and segment.mask.dtype == bool
    after = weights(model)
    assert len(before) > 100 and all(torch.equal(before[name], after[name]) for name in before)
    for module in (model.mllm.model, model.segmenter.sam.sam, model.segmenter.adapters):
        assert not module.training and not any(p.requires_grad for p in module.parameters())


def test_warm_up_leaves_no_image(model: Any) -> None:
    model.warm_up()
    assert model.image_shape is None
    with pytest.raises(NoImage):
        model.segment("the red mug")


def test_cancel_and_stream_on_the_real_thing(model: Any, photo: np.ndarray) -> None:
    model.set_image(photo)
    seen: list[tuple[Stage, str]] = []
    with pytest.raises(Cancelled):
        model.segment("the red mug", on_progress=lambda *step: seen.append(step), should_cancel=lambda: len(seen) >= 4)
    assert len(seen) == 4 and {stage for stage, _ in seen} == {Stage.REASONING}
    assert model.chat("What do you see?")


def test_describe_is_plain_json(model: Any) -> None:
    import json

    told = json.loads(json.dumps(model.describe()))
    assert told["name"] == "random" and told["mllm"]["family"] == "llava" and told["segmenter"]["sam"] == "small"


@pytest.mark.parametrize(
    "name", ["mllm/model.safetensors", "segmenter/sam.safetensors", "segmenter/adapters.safetensors"]
)
def test_damaged_weights_never_load(tmp_path: Path, bundle: Path, name: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bundle, folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-100])
    with pytest.raises(BundleError, match=name):
        LLaVASeg.from_pretrained(folder, device="cpu")
    (folder / name).write_bytes(content[:-100] + bytes(100))
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        LLaVASeg.from_pretrained(folder, device="cpu")
    # also when the manifest was written after the damage
    (folder / name).write_bytes(content[:-100])
    write_bundle(folder, "damaged", "embedded")
    with pytest.raises(BundleError, match=name.split("/")[0]):
        LLaVASeg.from_pretrained(folder, device="cpu")
