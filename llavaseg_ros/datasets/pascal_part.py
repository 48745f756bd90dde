# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pascal-Part: parts of the twenty things of Pascal VOC 2010 ("the beak of the bird").

Layout, that of LISA (vlpart/pascal_part) and of github.com/facebookresearch/VLPart, whose tools/pascal_part_mat2json.py
writes the JSON files from the published .mat files:

    ROOT/pascal_part/train.json
    ROOT/pascal_part/VOCdevkit/VOC2010/JPEGImages/2008_000003.jpg

The JSON files and not the .mat files are read: they are what the peers train on, and they have the 93 parts under names
that people say ("left front wheel" is a wheel).
"""

from __future__ import annotations

from pathlib import Path

from llavaseg_ros.datasets.base import SKIP, Problems, Reading, finish
from llavaseg_ros.datasets.coco import Instances
from llavaseg_ros.datasets.files import Need, Pictures
from llavaseg_ros.datasets.parts import referrals

SPLITS = ("train", "val")
FOLDERS = ("pascal_part/", "vlpart/pascal_part/", "")


def needs(split: str) -> tuple[Need, ...]:
    """Files of a split."""
    return (
        Need("annotations", tuple(f"{folder}{split}.json" for folder in FOLDERS)),
        Need("pictures", tuple(f"{folder}VOCdevkit/VOC2010/JPEGImages" for folder in FOLDERS)),
    )


def read(root: Path, split: str, *, name: str = "pascal-part", on_problem: str = SKIP) -> Reading:
    """Read a split of `SPLITS`. on_problem: as in `finish`. Raises DatasetError when a file is missing or broken."""
    annotations, pictures = (need.require(root) for need in needs(split))
    problems = Problems()
    found = referrals(name, split, Instances(annotations, problems), Pictures(pictures, problems), problems)
    return finish(name, split, found, problems, on_problem)
