# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""COCO-Stuff: every pixel of COCO 2017 as a thing or as stuff ("grass", "ceiling").

Layout, that of github.com/nightrome/cocostuff (section Setup), or LISA's (coco/train2017 and cocostuff/train2017):

    ROOT/labels.txt                              from the same repository
    ROOT/images/train2017/000000000009.jpg
    ROOT/annotations/train2017/000000000009.png  stuffthingmaps_trainval2017.zip

A map's value is the number in labels.txt less one; 255 is unlabeled. Classes with a hyphen ("wall-brick",
"floor-other") cut one everyday word into several, so that no such word names what is marked; they give no commands, as
in LISA.
"""

from __future__ import annotations

from pathlib import Path

from llavaseg_ros.datasets.base import SKIP, Problems, Reading, finish
from llavaseg_ros.datasets.files import Need, read_lines
from llavaseg_ros.datasets.label_maps import referrals
from llavaseg_ros.evaluation.dataset import DatasetError

SPLITS = ("train", "val")


def needs(split: str) -> tuple[Need, ...]:
    """Files of a split."""
    return (
        Need("names of the classes", ("labels.txt", "cocostuff/labels.txt")),
        Need("COCO 2017 pictures", (f"images/{split}2017", f"coco/{split}2017", f"dataset/images/{split}2017")),
        Need(
            "label maps",
            (f"annotations/{split}2017", f"cocostuff/{split}2017", f"dataset/annotations/{split}2017"),
        ),
    )


def read(root: Path, split: str, *, name: str = "coco-stuff", on_problem: str = SKIP) -> Reading:
    """Read a split of `SPLITS`. on_problem: as in `finish`. Raises DatasetError when a folder or file is missing."""
    labels, pictures, maps = (need.require(root) for need in needs(split))
    problems = Problems()
    found = referrals(name, split, pictures, maps, read_names(labels), range(182), problems)
    return finish(name, split, found, problems, on_problem)


def read_names(path: Path) -> dict[int, str]:
    """Value in a map -> name, from labels.txt with lines such as "47: cup"; without "unlabeled" and hyphened ones."""
    names: dict[int, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        label, colon, text = line.partition(":")
        if not colon or not label.strip().isdecimal() or not text.strip():
            raise DatasetError(f"{path} line {number}: expected a number, a colon and a name, got {line!r}")
        if int(label) and "-" not in text:
            names[int(label) - 1] = text.strip()
    return names
