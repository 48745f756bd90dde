# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frozen parts of a training run, what they make of a batch, and the loss of the adapters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from llavaseg_ros.segmentation.adapters import AdapterOutput, AttributeAdapters, batch_text
from llavaseg_ros.segmentation.preprocess import to_pixels
from llavaseg_ros.segmentation.sam import Tapped
from llavaseg_ros.segmentation.segmenter import Segmenter, steered_masks
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.loop import Metrics
from llavaseg_ros.training.losses import dice_loss, mask_bce
from llavaseg_ros.training.public.examples import Example


@dataclass
class Batch:
    """What the frozen parts make of examples, all on one device. taps: float [B, C_s, h_s, w_s]. words: see
    `batch_text`. extent: float [B, 2]. masks, valid: float [B, h, w]. present: float [B]."""

    embedding: torch.Tensor
    taps: list[torch.Tensor]
    words: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    extent: torch.Tensor
    masks: torch.Tensor
    valid: torch.Tensor
    present: torch.Tensor


class Frozen:
    """SAM and the text encoder. keep: pictures whose encoding stays in memory, for sets of few pictures."""

    def __init__(self, segmenter: Segmenter, text: TextEncoder, *, keep: int = 0) -> None:
        self.segmenter, self.sam, self.device = segmenter, segmenter.sam, segmenter.device
        self.text, self.keep = text, keep
        self._kept: OrderedDict[str, Tapped] = OrderedDict()

    @torch.no_grad()
    def batch(self, examples: Sequence[Example]) -> Batch:
        """Encode pictures and words."""
        looks = [self._look(example) for example in examples]
        stacked = lambda maps: torch.cat([m.to(self.device) for m in maps])  # noqa: E731
        to = lambda tensors: torch.stack(tensors).float().to(self.device)  # noqa: E731
        return Batch(
            embedding=stacked([look.embedding for look in looks]),
            taps=[stacked(level) for level in zip(*(look.taps for look in looks), strict=True)],
            words=batch_text([[(k, self.text(p)) for k, p in enumerate(e.phrases)] for e in examples]),
            extent=torch.tensor([e.fit.extent for e in examples], device=self.device),
            masks=to([e.mask for e in examples]),
            valid=to([e.valid for e in examples]),
            present=torch.tensor([float(e.present) for e in examples], device=self.device),
        )

    def _look(self, example: Example) -> Tapped:
        if example.image in self._kept:
            self._kept.move_to_end(example.image)
            return self._kept[example.image]
        sam = self.sam.sam
        pixels = to_pixels(example.picture, example.fit, sam.pixel_mean.flatten(), sam.pixel_std.flatten())
        look = self.segmenter.encoder.run(self.sam, pixels.to(self.device))
        if self.keep:
            self._kept[example.image] = look
            while len(self._kept) > self.keep:
                self._kept.popitem(last=False)
        return look


def masks_of(frozen: Frozen, batch: Batch, out: AdapterOutput) -> torch.Tensor:
    """Mask logits, float [B, h, w], of SAM steered by the adapters."""
    return steered_masks(frozen.sam.sam, batch.embedding, out)[0][:, 0].float()


def steering_loss(
    frozen: Frozen, adapters: AttributeAdapters | torch.nn.Module, batch: Batch
) -> tuple[torch.Tensor, Metrics]:
    """2.0 BCE + 0.5 Dice on the masks of targets that are there (LISA's weights) + 1.0 BCE on presence.

    Pixels that a set leaves out count as the adapters see them, so that nothing pulls at them.
    """
    out = adapters(batch.taps, *batch.words, batch.extent)
    logits = masks_of(frozen, batch, out)
    masks = torch.where(batch.valid > 0.5, batch.masks, logits.detach().sigmoid())
    each = 2.0 * mask_bce(logits, masks) + 0.5 * dice_loss(logits, masks)
    there = batch.present.sum().clamp(min=1)
    loss = (each * batch.present).sum() / there
    seen = F.binary_cross_entropy_with_logits(out.presence, batch.present)
    inter, union = overlap(logits, batch)
    iou = (inter / union.clamp(min=1)) * batch.present
    right = ((out.presence > 0) == (batch.present > 0.5)).float().mean()
    metrics = {"mask": loss.item(), "presence": seen.item(), "iou": (iou.sum() / there).item(), "right": right.item()}
    return loss + seen, metrics


def overlap(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels in both masks and in either, float [B] each, where the set says something."""
    said, true = logits > 0, batch.masks > 0.5
    counts = batch.valid > 0.5
    return (said & true & counts).flatten(1).sum(1).float(), ((said | true) & counts).flatten(1).sum(1).float()
