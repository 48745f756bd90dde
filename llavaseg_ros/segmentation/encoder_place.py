# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where SAM's image encoder lives and in which precision it runs: the one large part of the segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from llavaseg_ros.segmentation.sam import Tapped, TappedSam


@dataclass(frozen=True)
class EncoderPlace:
    """dtype: of its weights and its arithmetic. offload: on the host between frames, so that
    its weights and the language model's need not fit on the device at the same time."""

    dtype: torch.dtype = torch.float32
    offload: bool = False

    def settle(self, encoder: torch.nn.Module) -> None:
        """Bring an encoder to its precision and to where it waits. In place."""
        encoder.to(self.dtype)
        if self.offload:
            encoder.to("cpu")

    def run(self, sam: TappedSam, pixels: torch.Tensor, dtype: torch.dtype = torch.float32) -> Tapped:
        """`sam.encode` of float32 [1, 3, h, w] on the device that the pixels are on; `dtype` comes out."""
        encoder: Any = sam.sam.image_encoder
        if self.offload:
            encoder.to(pixels.device)
        try:
            tapped = sam.encode(pixels.to(self.dtype))
        finally:
            if self.offload:
                encoder.to("cpu")
        return Tapped(tapped.embedding.to(dtype), [tap.to(dtype) for tap in tapped.taps])

    def describe(self) -> str:
        """For diagnostics."""
        return str(self.dtype).removeprefix("torch.") + (", on the host between frames" if self.offload else "")
