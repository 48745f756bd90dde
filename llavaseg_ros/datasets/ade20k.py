# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ADE20K as the scene parsing benchmark has it: 150 classes in every picture.

Layout, that of ADEChallengeData2016.zip (github.com/CSAILVision/sceneparsing); LISA calls the folder ade20k:

    ROOT/ADEChallengeData2016/objectInfo150.txt
    ROOT/ADEChallengeData2016/images/training/ADE_train_00000001.jpg
    ROOT/ADEChallengeData2016/annotations/training/ADE_train_00000001.png

A map's values are 1 to 150, 0 is "other objects". Of several names of a class ("building, edifice") the first is used.
"""

from __future__ import annotations

from pathlib import Path

from llavaseg_ros.datasets.base import SKIP, Problems, Reading, finish
from llavaseg_ros.datasets.files import Need, read_lines
from llavaseg_ros.datasets.label_maps import referrals
from llavaseg_ros.evaluation.dataset import DatasetError

SPLITS = {"train": "training", "val": "validation"}
FOLDERS = ("ADEChallengeData2016/", "ade20k/", "")


def needs(split: str) -> tuple[Need, ...]:
    """Files of a split."""
    return tuple(
        Need(what, tuple(folder + place for folder in FOLDERS))
        for what, place in (
            ("names of the classes", "objectInfo150.txt"),
            ("pictures", f"images/{SPLITS[split]}"),
            ("label maps", f"annotations/{SPLITS[split]}"),
        )
    )


def read(root: Path, split: str, *, name: str = "ade20k", on_problem: str = SKIP) -> Reading:
    """Read a split of `SPLITS`. on_problem: as in `finish`. Raises DatasetError when a folder or file is missing."""
    info, pictures, maps = (need.require(root) for need in needs(split))
    problems = Problems()
    found = referrals(name, split, pictures, maps, read_names(info), range(151), problems)
    return finish(name, split, found, problems, on_problem)


def read_names(path: Path) -> dict[int, str]:
    """Value in a map -> first name, from objectInfo150.txt: tab-separated Idx, Ratio, Train, Val, Name."""
    names: dict[int, str] = {}
    for number, line in enumerate(read_lines(path)[1:], 2):
        cells = line.split("\t")
        if len(cells) != 5 or not cells[0].strip().isdecimal() or not cells[4].strip():
            raise DatasetError(
                f"{path} line {number}: expected Idx, Ratio, Train, Val and Name with tabs, got {line!r}"
            )
        names[int(cells[0])] = cells[4].split(",")[0].strip()
    return names
