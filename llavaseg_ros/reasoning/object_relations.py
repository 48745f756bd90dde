# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relations between the objects that the tower sees, as tokens of their own: "right of the bowl is the mug".

To find the nearest thing on one side of another takes a small language model two look-ups and a comparison of
distances, which it learns late or never. A relation token says the outcome: the words for one object, which side, and
the words for the object there. Reading it is one look-up, like all that such a model does well.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

SIDES = ("left", "right", "front", "behind", "next")  # of the first object; "next": on any side
# A little wider than what people would call clear: the boxes are read off the image and a bit wrong.
_RATIO = 1.2  # of the second nearest's distance to the nearest's
_REACH = (0.47, 0.47, 0.47, 0.47, 0.32)  # longest distance by side, in widths of the picture
_ALONG = 0.045  # shortest way to the side itself
_CONE = 1.5  # across by along, of what is on a side at all
_SURE_CONE = 1.2  # and of what is so clearly


def nearest_by_side(centres: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest object on each side of each object.

    centres: float [B, N, 2], x to the right and y to the front, in widths of the picture. found: bool [B, N], which
    places hold an object. Returns its index, long [B, N, 5], by SIDES; and how much farther the next one is, as a
    ratio, float [B, N, 5]: 0 where there is none or where it is not clear.
    """
    away = centres[:, None] - centres[:, :, None]
    dx, dy = away.unbind(-1)
    distance = away.norm(dim=-1)
    other = found[:, None] & found[:, :, None] & ~torch.eye(found.shape[1], dtype=torch.bool, device=found.device)
    along = torch.stack([-dx, dx, dy, -dy, distance], dim=2)
    across = torch.stack([dy.abs(), dy.abs(), dx.abs(), dx.abs(), torch.zeros_like(dx)], dim=2)
    on_side = other[:, :, None] & (along > 0) & (across < _CONE * along)
    near, index = distance[:, :, None].where(on_side, torch.inf).topk(2, dim=-1, largest=False)
    first = index[..., :1]
    straight = along.gather(-1, first)[..., 0], across.gather(-1, first)[..., 0]
    clear = (near[..., 0] < near.new_tensor(_REACH)) & (straight[0] > _ALONG)
    clear &= straight[1] <= _SURE_CONE * straight[0]
    ratio = (near[..., 1] / near[..., 0].clamp(min=1e-6)).clamp(max=9.0)
    return first[..., 0], ratio.where(clear & (ratio > _RATIO), 0.0)


def relation_tokens(
    words: torch.Tensor, centres: torch.Tensor, found: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `count` clearest relations of each picture, in the order of their first objects; zero beyond the last.

    words: float [B, N, W], what each object is. centres, found: see `nearest_by_side`. Returns the words of the first
    object, float [B, count, W], those of the second, and the side, float [B, count, 5].
    """
    index, ratio = nearest_by_side(centres, found)
    sides = len(SIDES)
    clearest, place = ratio.flatten(1).topk(min(count, ratio[0].numel()), dim=1)
    kept = clearest > 0
    place, order = place.masked_fill(~kept, ratio[0].numel()).sort(dim=1)
    kept = kept.gather(1, order)
    place = place.where(kept, 0)
    there = kept[..., None].to(words.dtype)
    pick = lambda which: words.gather(1, which[..., None].expand(-1, -1, words.shape[-1])) * there  # noqa: E731
    side = F.one_hot(place % sides, sides).to(words.dtype) * there
    parts = (pick(place // sides), pick(index.flatten(1).gather(1, place)), side)
    first, second, side = (F.pad(part, (0, 0, 0, count - part.shape[1])) for part in parts)
    return first, second, side
