# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Losses of the training stages; all take logits."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def mask_bce(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy a mask: float [N, h, w] logits and {0, 1} masks -> float [N]."""
    return F.binary_cross_entropy_with_logits(logits, masks, reduction="none").flatten(1).mean(1)


def dice_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice a mask: float [N, h, w] -> float [N]. Balances small objects against the background."""
    p = logits.sigmoid().flatten(1)
    t = masks.flatten(1)
    return 1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)


def centre_loss(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Focal loss of a centre heat map (as in CornerNet): 1 at object centres, less near them. [B, h, w] -> scalar,
    per object."""
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = heat == 1.0
    positive = ((1 - p) ** 2 * p.log())[centre].sum()
    negative = ((1 - heat) ** 4 * p**2 * (1 - p).log())[~centre].sum()
    return -(positive + negative) / centre.sum().clamp(min=1)
