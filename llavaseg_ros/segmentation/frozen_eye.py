# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The eye as it runs in the pipeline: the same numbers up to rounding as `pyramid.Eye`, in half the time, and once a
frame for both models that look through it.

Batch normalisation is folded into the convolutions before it, channels come last in memory, and the levels of the last
picture are kept: SAM and the language model's vision tower see the same pixels.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from llavaseg_ros.segmentation.pyramid import Eye


class FoldedBlock(nn.Module):
    """An inverted bottleneck of EfficientNet-Lite (no squeeze and excitation, ReLU6), three convolutions."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        args = block._block_args
        if block.has_se:
            raise ValueError("squeeze and excitation cannot be folded")
        expands = args.expand_ratio != 1
        self.expand = fuse_conv_bn_eval(block._expand_conv, block._bn0) if expands else None
        self.depthwise = fuse_conv_bn_eval(block._depthwise_conv, block._bn1)
        self.project = fuse_conv_bn_eval(block._project_conv, block._bn2)
        stride = block._depthwise_conv.stride
        self.skips = bool(block.id_skip and max(stride) == 1 and args.input_filters == args.output_filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else self.expand(x).clamp_(0, 6)
        y = self.project(self.depthwise(y).clamp_(0, 6))
        return y + x if self.skips else y


class FrozenEye(nn.Module):
    """Made of an eye whose weights change no more. Calls from several threads wait for each other."""

    def __init__(self, eye: Eye) -> None:
        super().__init__()
        early = copy.deepcopy(eye.early)
        self.config = eye.config
        self.stem = fuse_conv_bn_eval(early.stem, early.norm)
        stages = (early.blocks, eye.late.to16, eye.late.to32)
        self.to8, self.to16, self.to32 = (nn.Sequential(*map(FoldedBlock, stage)) for stage in stages)
        self.pyramid = copy.deepcopy(eye.pyramid)
        self.eval().requires_grad_(False)
        for weight in self.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self._lock = threading.Lock()
        self._seen: tuple[torch.Tensor, list[torch.Tensor]] | None = None

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """As `pyramid.Eye`: float [B, 3, H, W] normalised RGB -> levels at strides 32, 16, 8. Nobody may change what
        comes out: it is kept for the next call with equal pixels."""
        with self._lock:
            if self._seen is None or not _equal(pixels, self._seen[0]):
                self._seen = None  # frees the last frame's before the next one's are made
                self._seen = (pixels, self._levels(pixels))
            return list(self._seen[1])

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenEye:
        """A copy that has seen nothing yet: locks cannot be copied, and a kept picture need not be."""
        twin = FrozenEye.__new__(FrozenEye)
        nn.Module.__init__(twin)
        twin.config = self.config
        for name, module in self._modules.items():
            twin.add_module(name, copy.deepcopy(module, memo))
        twin._lock, twin._seen = threading.Lock(), None
        return twin.eval()

    def forget(self) -> None:
        """Free what is kept of the last picture."""
        with self._lock:
            self._seen = None

    def _levels(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        x = pixels.contiguous(memory_format=torch.channels_last)
        f8 = self.to8(self.stem(x).clamp_(0, 6))
        f16 = self.to16(f8)
        levels: list[torch.Tensor] = self.pyramid(x, f8, f16, self.to32(f16))
        return levels


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b))


def share_eye(encoder: Any, tower: Any) -> bool:
    """Freeze the eyes of SAM's image encoder and of the language model's vision tower, in place: one for both where
    their weights are equal, so that a frame passes through it once. Anything that has no eye is left as it is.

    Returns True if one eye serves both.
    """
    owners = [owner for owner in (encoder, tower) if isinstance(getattr(owner, "eye", None), Eye)]
    eyes = [owner.eye for owner in owners]
    same = len(eyes) == 2 and _same_weights(*eyes)
    frozen = [FrozenEye(eyes[0])] * 2 if same else [FrozenEye(eye) for eye in eyes]
    for owner, eye in zip(owners, frozen, strict=False):
        owner.eye = eye
    return same


def _same_weights(first: Eye, second: Eye) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return first.config == second.config and all(_equal(a[key], b[key]) for key in a)
