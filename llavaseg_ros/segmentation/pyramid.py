# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The eye of the embedded default: pretrained backbone and feature pyramid, in the small SAM and in the small LLaVA.

What one training learned about objects serves both halves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from llavaseg_ros.segmentation.backbone import CHANNELS, STRIDES, EarlyStages, LateStages, shared_early_stages

DETAIL_CHANNELS = 32


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    """Depthwise 7x7 convolution, then a pointwise two-layer perceptron, with a residual connection."""

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.project(F.gelu(self.expand(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class FeaturePyramid(nn.Module):
    """Fuses strides 32, 16 and 8 from coarse to fine, and the colors of the picture itself into the finest.

    channels: those of the backbone at strides 8, 16, 32. width: of the two coarse levels. out: of the finest level.
    """

    def __init__(self, channels: tuple[int, ...], width: int, out: int) -> None:
        super().__init__()
        c8, c16, c32 = channels
        self.in32 = nn.Sequential(nn.Conv2d(c32, width, 1), ConvBlock(width), ConvBlock(width))
        self.in16 = nn.Sequential(LayerNorm2d(c16), nn.Conv2d(c16, width, 1))
        self.mix16 = nn.Sequential(ConvBlock(width), ConvBlock(width))
        self.in8 = nn.Sequential(LayerNorm2d(c8), nn.Conv2d(c8, out, 1))
        self.down16 = nn.Conv2d(width, out, 1)
        # A network trained to name things whatever their color has thrown much of the color away by stride 8.
        self.details = nn.Sequential(
            nn.Conv2d(3, DETAIL_CHANNELS, 4, stride=4), nn.GELU(), nn.Conv2d(DETAIL_CHANNELS, out, 2, stride=2)
        )
        self.mix8 = nn.Sequential(ConvBlock(out), ConvBlock(out), LayerNorm2d(out))

    def forward(
        self, pixels: torch.Tensor, f8: torch.Tensor, f16: torch.Tensor, f32: torch.Tensor
    ) -> list[torch.Tensor]:
        """pixels [B, 3, H, W] and features at strides 8, 16, 32 -> strides 32, 16, 8: float [B, width, H/32, W/32],
        [B, width, H/16, W/16], [B, out, H/8, W/8]."""
        p32 = self.in32(f32)
        up = F.interpolate(p32, scale_factor=2.0, mode="bilinear", align_corners=False)
        p16 = self.mix16(self.in16(f16) + up)
        up = F.interpolate(self.down16(p16), scale_factor=2.0, mode="bilinear", align_corners=False)
        return [p32, p16, self.mix8(self.in8(f8) + self.details(pixels) + up)]


@dataclass(frozen=True)
class EyeConfig:
    """Sizes. img_size: longer side of the input in pixels. width, out: channels of the coarse levels and the finest."""

    backbone: str = "efficientnet-lite2"
    img_size: int = 512
    width: int = 192
    out: int = 128

    @property
    def level_channels(self) -> tuple[int, int, int]:
        """Channels of the levels, coarse to fine."""
        return self.width, self.width, self.out

    @property
    def grid(self) -> int:
        """Longer side of the finest level, in cells."""
        return self.img_size // min(STRIDES)


class Eye(nn.Module):
    """From pixels to the levels of the pyramid. The frozen early stages are shared and stay out of the state dict."""

    def __init__(self, config: EyeConfig) -> None:
        super().__init__()
        self.config = config
        self.late = LateStages(config.backbone, config.img_size)
        self.pyramid = FeaturePyramid(CHANNELS[config.backbone], config.width, config.out)

    @property
    def early(self) -> EarlyStages:
        """The shared instance on this module's device."""
        device = next(self.pyramid.parameters()).device
        return shared_early_stages(self.config.backbone, self.config.img_size, str(device))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """float [B, 3, H, W] normalised RGB, sides multiples of 32 -> levels at strides 32, 16, 8, see
        `FeaturePyramid`."""
        with torch.no_grad():
            f8 = self.early(pixels.float()).to(pixels.dtype)  # the shared instance stays float32
        return self.pyramid(pixels, f8, *self.late(f8))
