# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Real photographs that have a name and no mask: the eye learns real light and texture from them.

Several photographs are laid into one input. Somewhere within each there must be an object of its name; where, is
for the head to find.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from llavaseg_ros.images import read_rgb
from llavaseg_ros.training.images import relit
from llavaseg_ros.training.language.photographs import load_photographs

MARGIN = 0.15  # of a photograph's side: what is named is seldom at the very border


@dataclass(frozen=True)
class Photograph:
    """image: path within the folder. word: what people call it. color: "" where its kind comes in several."""

    image: str
    word: str
    color: str


Tile = tuple[tuple[int, int, int, int], Photograph]


@dataclass(frozen=True)
class Mosaic:
    """rgb: uint8 [H, W, 3]. tiles: x0, y0, x1, y1 in pixels, and what is in each."""

    rgb: np.ndarray
    tiles: list[Tile]


class PhotographSet:
    """The photographs of a folder with labels.jsonl (image, name, fine, split)."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
        words = load_photographs()
        self.rows = [
            Photograph(
                row["image"], words.names.get(row["name"], row["name"]), words.fine_colors.get(row.get("fine"), "")
            )
            for row in rows
            if row["split"] == split
        ]
        if not self.rows:
            raise ValueError(f"{folder / 'labels.jsonl'} has no photograph of split {split!r}")
        self.by_word: dict[str, list[Photograph]] = {}
        for row in self.rows:
            self.by_word.setdefault(row.word, []).append(row)

    def mosaic(self, height: int, width: int, rng: random.Random) -> Mosaic:
        """One, two or four photographs side by side; rare kinds as often as common ones."""
        columns, rows = rng.choice([(1, 1), (2, 1), (2, 2), (2, 2), (3, 2)])
        rgb = np.empty((height, width, 3), np.uint8)
        tiles = []
        for k in range(columns * rows):
            x0, x1 = (width * (k % columns + d) // columns for d in (0, 1))
            y0, y1 = (height * (k // columns + d) // rows for d in (0, 1))
            photograph = rng.choice(self.by_word[rng.choice(list(self.by_word))])
            picture = read_rgb(self.folder / photograph.image)
            rgb[y0:y1, x0:x1] = relit(_cut(picture, y1 - y0, x1 - x0, rng), rng)
            tiles.append(((x0, y0, x1, y1), photograph))
        return Mosaic(rgb, tiles)


def _cut(rgb: np.ndarray, height: int, width: int, rng: random.Random) -> np.ndarray:
    """A part of the photograph in the tile's format, resized to it; sometimes mirrored."""
    h, w = rgb.shape[:2]
    scale = min(h / height, w / width) * rng.uniform(0.8, 1.0)
    ch, cw = max(8, int(height * scale)), max(8, int(width * scale))
    y, x = rng.randint(0, h - ch), rng.randint(0, w - cw)
    part = rgb[y : y + ch, x : x + cw]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_LINEAR)


def naming_loss(
    maps: tuple[torch.Tensor, ...],
    mosaics: Sequence[list[Tile]],
    stride: float,
    label_index: dict[str, int],
    color_index: dict[str, int],
) -> tuple[torch.Tensor, float]:
    """Loss of the object head on mosaics, and the accuracy of its name at the best centre of each tile.

    maps: centre, label and color logits, [B, 1, h, w], [B, labels, h, w] and [B, colors, h, w], and more that is not
    used. mosaics: the tiles of each. stride: pixels of a mosaic a cell. The place is latent: the probability of a word
    is its mean over the tile, weighted by the head's own centres.
    """
    centre, label, color = (m.float() for m in maps[:3])
    losses, right = [], 0
    for k, tiles in enumerate(mosaics):
        for (x0, y0, x1, y1), photograph in tiles:
            dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
            rows = slice(round((y0 + dy) / stride), round((y1 - dy) / stride))
            columns = slice(round((x0 + dx) / stride), round((x1 - dx) / stride))
            heat, names, colors = (m[k, :, rows, columns].flatten(1) for m in (centre, label, color))
            where = heat[0].log_softmax(0)
            word = label_index[photograph.word]
            loss = -torch.logsumexp(where + names.log_softmax(0)[word], 0)
            if photograph.color:
                loss = loss - 0.5 * torch.logsumexp(where + colors.log_softmax(0)[color_index[photograph.color]], 0)
            # The best centre must also be sure that it is one.
            losses.append(loss + 0.2 * F.softplus(-heat.max()))
            right += int(names[:, heat.argmax()].argmax()) == word
    return torch.stack(losses).mean(), right / len(losses)
