# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes as training samples: pixels as the models see them, instance ids, and the scene's record."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from llavaseg_ros.images import read_ids, read_rgb
from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD
from llavaseg_ros.segmentation.preprocess import Fit, fit_to
from llavaseg_ros.training.scenes.dataset import read_index

TURNED = 0.3  # of the augmented views: their hues are turned, so that a name is learned for any color of its kind
IDS_STRIDE = 2  # instance ids are kept at this stride of SAM's input: that of the decoder's mask logits


@dataclass
class Sample:
    """One scene, ready to train on. rgb: uint8 [H, W, 3] RGB, padded to whole strides; the padding is the mean color.
    ids: uint8 [H/2, W/2], the values are object ids. extent: part of the input that holds image (x, y). scene: its
    line of scenes.jsonl. colors_hold: false where the picture no longer has the colors of the record."""

    rgb: np.ndarray
    ids: torch.Tensor
    extent: tuple[float, float]
    scene: dict[str, Any]
    colors_hold: bool = True


def laid_in(rgb: np.ndarray, fit: Fit) -> np.ndarray:
    """uint8 [H, W, 3] RGB -> the same, resized and padded as `fit` says."""
    resized = cv2.resize(rgb, fit.active[::-1], interpolation=cv2.INTER_AREA)
    out = np.empty((*fit.padded, 3), np.uint8)
    out[:] = np.round(PIXEL_MEAN)
    out[: fit.active[0], : fit.active[1]] = resized
    return out


class SceneSet:
    """The scenes of one or several folders. img_size: longer side of the models' input."""

    def __init__(self, folders: Sequence[Path | str] | Path | str, img_size: int, limit: int | None = None) -> None:
        self.img_size = img_size
        self.rows: list[tuple[Path, dict[str, Any]]] = []
        for folder in [folders] if isinstance(folders, (str, Path)) else folders:
            found = read_index(Path(folder))
            if not found:
                raise FileNotFoundError(f"{folder}: no scenes; run: llavaseg train scenes --out {folder}")
            self.rows += [(Path(folder), scene) for scene in found]
        self.rows = self.rows[:limit]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def scenes(self) -> list[dict[str, Any]]:
        """The records, in order."""
        return [scene for _, scene in self.rows]

    def __getitem__(self, i: int) -> Sample:
        return self.read(i)

    def read(self, i: int, rng: random.Random | None = None) -> Sample:
        """Scene i; with rng as another camera might have seen it: mirrored, nearer, lit otherwise, or in other colors.
        The record's places and boxes do not follow the mirror or the nearer view; its names hold."""
        folder, scene = self.rows[i]
        rgb, ids = read_rgb(folder / scene["image"]), read_ids(folder / scene["instances"])
        fit = fit_to(rgb.shape[0], rgb.shape[1], self.img_size, 32)
        if rng is not None:
            rgb, ids = _elsewhere(rgb, ids, rng)
        size = (fit.active[1] // IDS_STRIDE, fit.active[0] // IDS_STRIDE)
        half = np.zeros((fit.padded[0] // IDS_STRIDE, fit.padded[1] // IDS_STRIDE), np.uint8)
        half[: size[1], : size[0]] = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT)
        rgb, turn = laid_in(rgb, fit), False
        if rng is not None:
            turn = rng.random() < TURNED
            rgb = turned(relit(rgb, rng), rng) if turn else relit(rgb, rng)
        return Sample(rgb, torch.from_numpy(half), fit.extent, scene, colors_hold=not turn)


def _elsewhere(rgb: np.ndarray, ids: np.ndarray, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """A mirrored or nearer view of the same scene, both arrays alike."""
    if rng.random() < 0.5:
        rgb, ids = rgb[:, ::-1], ids[:, ::-1]
    if rng.random() < 0.5:
        h, w = ids.shape
        part = rng.uniform(0.7, 1.0)
        height, width = round(h * part), round(w * part)
        y, x = rng.randint(0, h - height), rng.randint(0, w - width)
        rgb, ids = rgb[y : y + height, x : x + width], ids[y : y + height, x : x + width]
    return np.ascontiguousarray(rgb), np.ascontiguousarray(ids)


def relit(rgb: np.ndarray, rng: random.Random) -> np.ndarray:
    """uint8 [H, W, 3] under another light: exposure, tint and gamma, as mild as words for colors bear."""
    if rng.random() < 0.2:
        return rgb
    gamma = rng.uniform(0.8, 1.25)
    gains = [rng.uniform(0.85, 1.15) * rng.gauss(1.0, 0.03) for _ in range(3)]
    ramp = (np.arange(256, dtype=np.float32) / 255.0) ** gamma
    table = np.stack([np.clip(255.0 * g * ramp + 0.5, 0, 255) for g in gains], axis=-1).astype(np.uint8)
    return cv2.LUT(rgb, table[:, None].transpose(1, 0, 2))


def turned(rgb: np.ndarray, rng: random.Random) -> np.ndarray:
    """uint8 [H, W, 3] with all hues turned by one angle and another saturation, none at all in one of four."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL)  # hue runs over all of uint8, so that it wraps by itself
    hsv[..., 0] += np.uint8(rng.randrange(256))
    gain = 0.0 if rng.random() < 0.25 else rng.uniform(0.5, 1.3)
    hsv[..., 1] = np.clip(hsv[..., 1] * gain, 0, 255).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def stacked(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 [H, W, 3] RGB each -> uint8 [B, H, W, 3]."""
    return torch.from_numpy(np.stack(pictures))


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 [B, H, W, 3] RGB -> float [B, 3, H, W], normalised, on the same device."""
    pixels = pictures.permute(0, 3, 1, 2).float()
    mean, std = (pixels.new_tensor(v).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def to_batch(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 [H, W, 3] RGB each -> float [B, 3, H, W], normalised."""
    return normalised(stacked(pictures))


def collate(samples: list[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """-> pictures, uint8 [B, H, W, 3]; extent, float [B, 2]."""
    return stacked([s.rgb for s in samples]), torch.tensor([s.extent for s in samples])
