# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A frozen SAM with taps: the official ViT-B, ViT-L and ViT-H checkpoints, and the small one of the embedded
default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llavaseg_ros.checkpoints import check_sam
from llavaseg_ros.errors import BundleError
from llavaseg_ros.segmentation.sam_import import import_segment_anything
from llavaseg_ros.segmentation.small_sam import EyeEncoder


def decode_masks(
    sam: Any, embedding: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor, *, all_masks: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """SAM's own mask decoder on a batch in which every prompt has its own image.

    embedding: float [N, C, h, w]. sparse: float [N, P, C]. dense: float [N, C, h, w]. Returns mask logits [N, M, 4h,
    4w] and predicted IoU [N, M]; M is 1 unless all_masks.
    """
    # The decoder repeats one image over all prompts and adds the dense prompt. A zero image and "dense + image" give
    # the same sum for every prompt by itself, with the decoder's code untouched.
    nothing = torch.zeros_like(embedding[:1])
    h, w = embedding.shape[-2:]
    place = sam.prompt_encoder.get_dense_pe()[..., :h, :w].to(embedding.dtype)
    masks, quality = sam.mask_decoder.predict_masks(
        image_embeddings=nothing,
        image_pe=place,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=embedding + dense,
    )
    return (masks, quality) if all_masks else (masks[:, :1], quality[:, :1])


@dataclass
class Tapped:
    """What the image encoder gives for a frame. embedding: float [1, C, h, w]; taps: float [1, C_s, h_s, w_s]."""

    embedding: torch.Tensor
    taps: list[torch.Tensor]


class TappedSam(nn.Module):
    """SAM, frozen, whose image encoder also gives the taps that the adapters climb.

    sam: a `segment_anything.modeling.Sam` with either the official ViT encoder or the small EyeEncoder.
    """

    def __init__(self, sam: Any) -> None:
        super().__init__()
        self.sam = sam.requires_grad_(False).eval()
        encoder = sam.image_encoder
        if isinstance(encoder, EyeEncoder):
            self.tap_channels: tuple[int, ...] = encoder.tap_channels
            self.multiple = 32  # a convolutional encoder takes any size of whole strides: no time for padding
        else:
            self.tap_blocks = [i for i, block in enumerate(encoder.blocks) if block.window_size == 0]
            width = encoder.patch_embed.proj.out_channels
            self.tap_channels = (width,) * len(self.tap_blocks)
            self.multiple = encoder.img_size  # its position embedding is tied to the full square
        self.img_size = int(encoder.img_size)
        self.embed_dim = int(sam.mask_decoder.transformer_dim)
        # Of the decoder's mask logits, in input pixels: 4 for the official encoders, 2 for the small one.
        self.mask_stride = self.img_size // (4 * int(sam.prompt_encoder.image_embedding_size[0]))

    def encode(self, pixels: torch.Tensor) -> Tapped:
        """float [B, 3, h, w] normalised and padded RGB, see `preprocess`; h = w = img_size for the ViT encoders."""
        encoder = self.sam.image_encoder
        if isinstance(encoder, EyeEncoder):
            levels = encoder.levels(pixels)
            return Tapped(levels[-1], levels)
        x = encoder.patch_embed(pixels)
        if encoder.pos_embed is not None:
            x = x + encoder.pos_embed
        taps = []
        for i, block in enumerate(encoder.blocks):
            x = block(x)
            if i in self.tap_blocks:
                taps.append(x.permute(0, 3, 1, 2))
        return Tapped(encoder.neck(x.permute(0, 3, 1, 2)), taps)


def load_official_sam(kind: str, checkpoint: Path) -> Any:
    """A `.pth` checkpoint through segment_anything's registry, checked first where it bears an official name. kind:
    vit_b, vit_l or vit_h. Raises BundleError."""
    registry = import_segment_anything().sam_model_registry
    if kind not in registry:
        raise BundleError(f"unknown SAM {kind!r}; expected one of {', '.join(sorted(registry))}")
    check_sam(kind, checkpoint)
    try:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
        sam = registry[kind]()
        sam.load_state_dict(weights)
    except Exception as error:  # unpickling a cut-off file raises many kinds of error
        raise BundleError(f"SAM checkpoint {checkpoint} does not load as {kind}: {error}") from error
    return sam
