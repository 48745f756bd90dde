# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What ADE20K and COCO-Stuff have in common: for every picture a PNG whose pixels are numbers of classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from llavaseg_ros.datasets.base import Problems, Referral
from llavaseg_ros.datasets.templates import command_for
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.images import picture_size

KIND = "class"


@dataclass(frozen=True)
class MapRegion:
    """The pixels of a label map that have one value."""

    map_path: Path
    value: int

    def mask(self) -> np.ndarray:
        """bool [H, W]. Raises ValueError when the map cannot be read."""
        try:
            return np.asarray(_last_map(self.map_path) == self.value)
        except BadRequest as error:
            raise ValueError(str(error)) from error

    def ignored(self) -> None:
        """There are none."""


def referrals(
    name: str, split: str, pictures: Path, maps: Path, classes: Mapping[int, str], known: range, problems: Problems
) -> list[Referral]:
    """One referral for each named class of each picture, in alphabetical order of files.

    pictures, maps: folders of X.jpg and X.png. classes: value in a map -> name; values without one give no command.
    known: the values that a map of this set may have besides 255.
    """
    jpegs, pngs = (
        {path.stem for path in folder.glob(f"*{end}")} for folder, end in ((pictures, ".jpg"), (maps, ".png"))
    )
    for stem in sorted(pngs - jpegs):
        problems.add(f"image {pictures / f'{stem}.jpg'}: no such file")
    for stem in sorted(jpegs - pngs):
        problems.add(f"label map {maps / f'{stem}.png'}: no such file")
    stems = sorted(pngs & jpegs)
    found: list[Referral] = []

    def values_of(stem: str) -> list[int] | str:
        return _values(maps / f"{stem}.png", pictures / f"{stem}.jpg", known)

    # Every map is opened once to see what is in it; decoding leaves the interpreter's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for stem, values in zip(stems, pool.map(values_of, stems), strict=True):
            if isinstance(values, str):
                problems.add(values)
                continue
            picture = pictures / f"{stem}.jpg"
            for value in values:
                if value in classes:
                    key, thing = f"{stem}-{value}", classes[value]
                    region = MapRegion(maps / f"{stem}.png", value)
                    command = command_for(thing, f"{name} {key}")
                    found.append(Referral(name, split, key, picture, command, region, target=thing, kind=KIND))
    return found


def _values(path: Path, picture: Path, known: range) -> list[int] | str:
    """The values of a map, or what is wrong with it."""
    try:
        ids = _read_map(path)
        size = picture_size(picture)
    except BadRequest as error:
        return str(error)
    if ids.shape != size:
        return f"label map {path}: {list(ids.shape)}; its picture has {list(size)}"
    values = np.flatnonzero(np.bincount(ids.reshape(-1), minlength=256)).tolist()
    strange = [value for value in values if value not in known and value != 255]
    if strange:
        return f"label map {path}: the value {strange[0]}; expected {known.start} to {known.stop - 1}, or 255"
    return values


@lru_cache(maxsize=2)
def _last_map(path: Path) -> np.ndarray:
    """Commands of one picture follow each other, so its map is read once for all of them."""
    ids = _read_map(path)
    ids.flags.writeable = False
    return ids


def _read_map(path: Path) -> np.ndarray:
    """uint8 [H, W]. Of a picture with a palette these are the palette's numbers, which OpenCV would turn into colors.

    Raises BadRequest when the file is missing or not such a picture.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "P"):
                raise BadRequest(f"label map {path}: expected one channel of 8 bits, got mode {picture.mode}")
            return np.array(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadRequest(f"label map {path}: cannot be read as a picture ({error})") from error
