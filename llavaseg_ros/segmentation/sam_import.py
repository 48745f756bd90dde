# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Import `segment_anything` where torchvision has no working build.

`segment_anything` imports torchvision for `resize`, `to_pil_image`, `batched_nms` and `box_area`. On machines with a
CPU build of torch there is no matching torchvision (importing the CUDA one fails). This module steps aside where
torchvision works; elsewhere it lends `segment_anything` those few functions during its import and takes them away
again, so that no other library is led to believe that torchvision is there.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

_STANDINS = (
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.boxes",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


def torchvision_works() -> bool:
    """True if torchvision imports; a build for another torch raises RuntimeError or OSError instead."""
    try:
        importlib.import_module("torchvision.ops.boxes")
        importlib.import_module("torchvision.transforms.functional")
    except (ImportError, RuntimeError, OSError, AttributeError):
        for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
            del sys.modules[name]
        return False
    return True


def _resize(image: Image.Image, size: list[int] | tuple[int, int], *_: Any, **__: Any) -> Image.Image:
    """Bilinear resize of a PIL image to (height, width)."""
    return image.resize((int(size[1]), int(size[0])), Image.Resampling.BILINEAR)


def _to_pil_image(array: np.ndarray, *_: Any, **__: Any) -> Image.Image:
    return Image.fromarray(array)


def _box_area(boxes: torch.Tensor) -> torch.Tensor:
    """float [N, 4] xyxy -> float [N]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _batched_nms(boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression within each group of `idxs`; indices kept, best score first."""
    order = scores.argsort(descending=True)
    keep: list[int] = []
    area = _box_area(boxes)
    while order.numel():
        i = int(order[0])
        keep.append(i)
        rest = order[1:]
        low = torch.maximum(boxes[i, :2], boxes[rest, :2])
        high = torch.minimum(boxes[i, 2:], boxes[rest, 2:])
        inter = (high - low).clamp(min=0).prod(dim=1)
        overlap = inter / (area[i] + area[rest] - inter).clamp(min=1e-9)
        order = rest[(overlap <= iou_threshold) | (idxs[rest] != idxs[i])]
    return torch.tensor(keep, dtype=torch.long, device=boxes.device)


def import_segment_anything() -> ModuleType:
    """The `segment_anything` package, ready to use. ImportError if it is not installed."""
    if "segment_anything" in sys.modules or torchvision_works():
        return importlib.import_module("segment_anything")
    modules = {name: ModuleType(name) for name in _STANDINS}
    modules["torchvision.ops.boxes"].__dict__.update(batched_nms=_batched_nms, box_area=_box_area)
    modules["torchvision.transforms.functional"].__dict__.update(resize=_resize, to_pil_image=_to_pil_image)
    sys.modules.update(modules)
    try:
        return importlib.import_module("segment_anything")
    finally:
        for name in _STANDINS:
            sys.modules.pop(name, None)
