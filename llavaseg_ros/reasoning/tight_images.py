# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The image processor of the embedded default's small LLaVA: the very pixels that the small SAM sees.

LLaVA's own pads a picture to a square first. The object tower was trained on pictures as SAM gets them, and where both
see the same pixels one look serves both. Importing this module registers it with transformers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, BatchFeature
from transformers.image_processing_backends import PilBackend

from llavaseg_ros.reasoning.object_tower import ObjectTowerConfig
from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD
from llavaseg_ros.segmentation.preprocess import fit_to, to_pixels


class TightImageProcessor(PilBackend):
    """size: {"longest_edge": pixels}. Pads at the right and at the bottom to whole strides, with zeros."""

    size = {"longest_edge": 512}
    multiple = 32

    def preprocess(self, images: Any, *_: Any, **__: Any) -> BatchFeature:
        """One picture, RGB: a PIL image or uint8 [H, W, 3] -> pixel_values, float [1, 3, h, w]."""
        while isinstance(images, (list, tuple)):
            (images,) = images
        rgb = np.asarray(images)
        fit = fit_to(rgb.shape[0], rgb.shape[1], self.size["longest_edge"], self.multiple)
        return BatchFeature({"pixel_values": to_pixels(rgb, fit, torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD))})


AutoImageProcessor.register(ObjectTowerConfig, image_processor_classes={"pil": TightImageProcessor}, exist_ok=True)
