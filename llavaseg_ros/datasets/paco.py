# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""PACO-LVIS: 75 things and their parts in COCO 2017 pictures ("the handle of the mug").

Layout, that of github.com/facebookresearch/paco, whose image root is COCO's, and LISA's (vlpart/paco, coco):

    ROOT/paco/annotations/paco_lvis_v1_train.json
    ROOT/coco/train2017/000000000009.jpg          an image's file_name is "train2017/000000000009.jpg"

As in LVIS, an image lists categories of which it may show more than is annotated (not_exhaustive_category_ids); those
give no command, since its mask would be wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llavaseg_ros.datasets.base import SKIP, Problems, Reading, finish
from llavaseg_ros.datasets.coco import Instances
from llavaseg_ros.datasets.files import Need, Pictures
from llavaseg_ros.datasets.parts import referrals

SPLITS = ("train", "val", "test")


def needs(split: str) -> tuple[Need, ...]:
    """Files of a split. Pictures of val and test come from COCO's train2017 and val2017, too."""
    file = f"annotations/paco_lvis_v1_{split}.json"
    return (
        Need("annotations", (f"paco/{file}", f"vlpart/paco/{file}", file)),
        Need("the folder with COCO's train2017 and val2017", ("coco", "images")),
    )


def read(root: Path, split: str, *, name: str = "paco", on_problem: str = SKIP) -> Reading:
    """Read a split of `SPLITS`. on_problem: as in `finish`. Raises DatasetError when a file is missing or broken."""
    annotations, pictures = (need.require(root) for need in needs(split))
    problems = Problems()
    instances = Instances(annotations, problems)
    found = referrals(name, split, instances, Pictures(pictures, problems), problems, _all_annotated)
    return finish(name, split, found, problems, on_problem)


def _all_annotated(image: dict[str, Any], category: int) -> bool:
    partial = image.get("not_exhaustive_category_ids")
    return not isinstance(partial, list) or category not in partial
