"""A feature pyramid over the frozen backbone: the trained part of the small SAM's image encoder.

The same pyramid also feeds the small LLaVA's vision tower: what one pretraining learned about objects serves both
halves.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


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
    """Fuses strides 32, 16 and 8 from coarse to fine.

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
        self.mix8 = nn.Sequential(ConvBlock(out), LayerNorm2d(out))

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """[stride 8, 16, 32] -> [stride 32, 16, 8]: float [B, width, S/32, S/32], [B, width, S/16, S/16], [B, out,
        S/8, S/8]."""
        f8, f16, f32 = features
        p32 = self.in32(f32)
        up = F.interpolate(p32, scale_factor=2.0, mode="bilinear", align_corners=False)
        p16 = self.mix16(self.in16(f16) + up)
        up = F.interpolate(self.down16(p16), scale_factor=2.0, mode="bilinear", align_corners=False)
        return [p32, p16, self.mix8(self.in8(f8) + up)]
