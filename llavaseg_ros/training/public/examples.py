# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From commands of the public sets to batches: SAM's input, words with some dropped, and masks."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from llavaseg_ros.datasets.base import Referral
from llavaseg_ros.datasets.mix import Mix
from llavaseg_ros.datasets.registry import entry
from llavaseg_ros.images import read_rgb
from llavaseg_ros.segmentation.preprocess import Fit, fit_to
from llavaseg_ros.training.public.thoughts import Kept, key_of

TRIES = 16  # draws for one example, until one has words
Phrases = tuple[str, str, str, str]
"""Target, color, shape, location: the order of ATTRIBUTE_KINDS."""


@dataclass
class Example:
    """picture: uint8 [H, W, 3] RGB, resized as `fit` says. mask, valid: bool [h, w] at the stride of SAM's mask logits;
    valid is false where the set says nothing. present: the phrases mean something in the picture."""

    picture: np.ndarray
    fit: Fit
    phrases: Phrases
    mask: torch.Tensor
    valid: torch.Tensor
    present: bool
    image: str


def words_of(referral: Referral, thoughts: Mapping[str, Kept]) -> Phrases | None:
    """What the language model said, or the name that the set itself gives; None where there is neither.

    A target that is there and that the model did not see has no words to be found by.
    """
    kept = thoughts.get(key_of(referral))
    if kept is not None and kept.target and (kept.found or referral.absent):
        return kept.target, kept.color, kept.shape, kept.location
    if referral.target and entry(referral.dataset).names_targets:
        return referral.target, "", "", ""
    return None


def dropped(phrases: Phrases, rng: random.Random, share: float) -> Phrases:
    """Some of the attributes gone, never the target: the mask has to bear a model that says less."""
    target, *rest = phrases
    color, shape, location = (word if rng.random() >= share else "" for word in rest)
    return target, color, shape, location


def laid_out(mask: np.ndarray, fit: Fit, stride: int) -> torch.Tensor:
    """bool [H, W] of the picture -> bool [h, w] at `stride` of the padded input, False in the padding."""
    active = (max(1, fit.active[0] // stride), max(1, fit.active[1] // stride))
    small = cv2.resize(mask.astype(np.float32), active[::-1], interpolation=cv2.INTER_AREA) >= 0.5
    out = np.zeros((fit.padded[0] // stride, fit.padded[1] // stride), bool)
    out[: active[0], : active[1]] = small
    return torch.from_numpy(out)


class Examples(Dataset):  # type: ignore[type-arg]
    """Example k of an endless stream: it depends on the seed and on k alone, whoever asks.

    img_size, mask_stride: of SAM; every picture is laid into a square of img_size, so that any of them fit in one
    batch. drop: share of the attributes that are left out. absent: share of the examples whose words belong to
    another picture.
    """

    def __init__(
        self,
        mix: Mix,
        thoughts: Mapping[str, Kept],
        img_size: int,
        mask_stride: int,
        *,
        drop: float = 0.25,
        absent: float = 0.2,
    ) -> None:
        self.mix, self.thoughts = mix, thoughts
        self.img_size, self.mask_stride = img_size, mask_stride
        self.drop, self.absent = drop, absent
        self.named: dict[str, set[str]] = {}
        for reading in mix.readings:
            for referral in reading:
                words = words_of(referral, thoughts)
                if words is not None and not referral.absent:
                    self.named.setdefault(str(referral.image_path), set()).add(words[0].lower())

    def __getitem__(self, k: int) -> Example:
        rng = random.Random(f"{self.mix.seed}/example/{k}")
        referral, phrases = self._drawn(k, 0)
        if not referral.absent and rng.random() < self.absent:
            _, others = self._drawn(k, TRIES)
            if others[0].lower() not in self.named.get(str(referral.image_path), set()):
                return self.example(referral, dropped(others, rng, self.drop), present=False)
        return self.example(referral, dropped(phrases, rng, self.drop), present=not referral.absent)

    def example(self, referral: Referral, phrases: Phrases, *, present: bool) -> Example:
        """A referral with given words."""
        rgb = read_rgb(referral.image_path)
        fit = fit_to(rgb.shape[0], rgb.shape[1], self.img_size, self.img_size)
        mask = referral.mask() if present else np.zeros(rgb.shape[:2], bool)
        ignored = referral.ignored() if present else None
        valid = np.ones(rgb.shape[:2], bool) if ignored is None else ~ignored
        picture = cv2.resize(rgb, fit.active[::-1], interpolation=cv2.INTER_AREA)
        shown, counts = laid_out(mask, fit, self.mask_stride), laid_out(valid, fit, self.mask_stride)
        seen = present and bool(shown.any())
        return Example(picture, fit, phrases, shown, counts, seen, str(referral.image_path))

    def _drawn(self, k: int, skip: int) -> tuple[Referral, Phrases]:
        """The first referral with words, of those that belong to k."""
        for attempt in range(skip, skip + TRIES):
            referral = self.mix.draw(k * 2 * TRIES + attempt)
            words = words_of(referral, self.thoughts)
            if words is not None:
                return referral, words
        raise ValueError(
            f"none of {TRIES} commands drawn has words: run `llavaseg train thoughts` over these sets, and give its "
            "file as --thoughts"
        )
