"""The embedded default's SAM: segment_anything's own classes at a small size, around the pretrained backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD, STRIDES, Backbone, shared_backbone
from llavaseg_ros.segmentation.pyramid import FeaturePyramid
from llavaseg_ros.segmentation.sam_import import import_segment_anything


@dataclass(frozen=True)
class SmallSamConfig:
    """Sizes of the small SAM. img_size: side of the padded square input in pixels; the embedding has stride 8."""

    backbone: str = "efficientnet-lite2"
    img_size: int = 384
    pyramid_width: int = 192
    embed_dim: int = 128
    decoder_depth: int = 2
    decoder_heads: int = 4
    decoder_mlp: int = 512
    mask_in_chans: int = 16

    @property
    def grid(self) -> int:
        """Side of the image embedding."""
        return self.img_size // min(STRIDES)


class PyramidEncoder(nn.Module):
    """Image encoder for `Sam`: frozen pretrained backbone, trained pyramid. `levels` are the taps of the adapters."""

    def __init__(self, config: SmallSamConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.img_size = config.img_size
        self.config = config
        self.pyramid = FeaturePyramid(channels, config.pyramid_width, config.embed_dim)
        self.tap_channels = (config.pyramid_width, config.pyramid_width, config.embed_dim)

    @property
    def backbone(self) -> Backbone:
        """The shared instance: a dependency, so that it stays out of this module's state dict."""
        device = next(self.pyramid.parameters()).device
        return shared_backbone(self.config.backbone, self.img_size, str(device))

    def levels(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """float [B, 3, S, S] normalised RGB -> pyramid levels at strides 32, 16, 8."""
        return self.pyramid(self.backbone(pixels))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, 3, S, S] -> image embedding, float [B, embed_dim, S/8, S/8]."""
        return self.levels(pixels)[-1]


def build_small_sam(config: SmallSamConfig | None = None) -> Any:
    """A `segment_anything.modeling.Sam` of the given sizes, randomly initialised but for its backbone."""
    config = config or SmallSamConfig()
    sa = import_segment_anything()
    modeling = sa.modeling
    channels = shared_backbone(config.backbone, config.img_size, "cpu").channels
    sam = modeling.Sam(
        image_encoder=PyramidEncoder(config, channels),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=config.embed_dim,
            image_embedding_size=(config.grid, config.grid),
            input_image_size=(config.img_size, config.img_size),
            mask_in_chans=config.mask_in_chans,
        ),
        mask_decoder=modeling.MaskDecoder(
            # One mask a prompt: the scenes' objects are whole things, so part-or-whole doubt is rare.
            num_multimask_outputs=1,
            transformer=modeling.TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=config.embed_dim,
                mlp_dim=config.decoder_mlp,
                num_heads=config.decoder_heads,
            ),
            transformer_dim=config.embed_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=config.embed_dim,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )
    return sam.eval()
