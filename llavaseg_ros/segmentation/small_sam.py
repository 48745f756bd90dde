# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The embedded default's SAM: segment_anything's own classes at a small size, around the eye."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD
from llavaseg_ros.segmentation.pyramid import Eye, EyeConfig
from llavaseg_ros.segmentation.sam_import import import_segment_anything


@dataclass(frozen=True)
class SmallSamConfig:
    """Sizes of the small SAM. Its embedding is the eye's finest level, at stride 8."""

    eye: EyeConfig = field(default_factory=EyeConfig)
    decoder_depth: int = 2
    decoder_heads: int = 4
    decoder_mlp: int = 512
    mask_in_chans: int = 16

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SmallSamConfig:
        """From what `dataclasses.asdict` makes of one. KeyError or TypeError if an entry is missing or unknown."""
        return cls(**{**values, "eye": EyeConfig(**values["eye"])})


class EyeEncoder(nn.Module):
    """Image encoder for `Sam`. `levels` are the taps of the adapters."""

    def __init__(self, config: EyeConfig) -> None:
        super().__init__()
        self.img_size = config.img_size
        self.eye = Eye(config)
        self.tap_channels = config.level_channels

    def levels(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """float [B, 3, H, W] normalised RGB -> levels at strides 32, 16, 8."""
        return self.eye(pixels)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W] -> image embedding, float [B, out, H/8, W/8]."""
        return self.levels(pixels)[-1]


def build_small_sam(config: SmallSamConfig | None = None) -> Any:
    """A `segment_anything.modeling.Sam` of the given sizes, random but for the backbone's early stages."""
    config = config or SmallSamConfig()
    eye = config.eye
    modeling = import_segment_anything().modeling
    sam = modeling.Sam(
        image_encoder=EyeEncoder(eye),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=eye.out,
            image_embedding_size=(eye.grid, eye.grid),
            input_image_size=(eye.img_size, eye.img_size),
            mask_in_chans=config.mask_in_chans,
        ),
        mask_decoder=modeling.MaskDecoder(
            # One mask a prompt: the scenes' objects are whole things, so part-or-whole doubt is rare.
            num_multimask_outputs=1,
            transformer=modeling.TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=eye.out,
                mlp_dim=config.decoder_mlp,
                num_heads=config.decoder_heads,
            ),
            transformer_dim=eye.out,
            iou_head_depth=3,
            iou_head_hidden_dim=eye.out,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )
    return sam.eval()
