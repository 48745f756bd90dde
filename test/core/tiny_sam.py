# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A tiny, randomly initialised SAM of segment_anything's own classes."""

from __future__ import annotations

from functools import partial

import torch

from llavaseg_ros.segmentation.sam_import import import_segment_anything


def tiny_vit_sam() -> object:
    """segment_anything's own ViT classes at a tiny size; blocks 1 and 3 attend globally."""
    m = import_segment_anything().modeling
    return m.Sam(
        image_encoder=m.ImageEncoderViT(
            depth=4,
            embed_dim=32,
            img_size=64,
            mlp_ratio=2,
            num_heads=2,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            global_attn_indexes=[1, 3],
            window_size=2,
            out_chans=16,
        ),
        prompt_encoder=m.PromptEncoder(
            embed_dim=16, image_embedding_size=(4, 4), input_image_size=(64, 64), mask_in_chans=4
        ),
        mask_decoder=m.MaskDecoder(
            num_multimask_outputs=3,
            transformer_dim=16,
            iou_head_depth=2,
            iou_head_hidden_dim=16,
            transformer=m.TwoWayTransformer(depth=1, embedding_dim=16, mlp_dim=16, num_heads=2),
        ),
    ).eval()
