# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""gRefCOCO: expressions for one, several or no objects in COCO train2014 pictures.

Layout, that of github.com/henghuiding/gRefCOCO and of ReLA (datasets/DATASET.md):

    ROOT/grefcoco/instances.json
    ROOT/grefcoco/grefs(unc).json     a list of refs; older copies are pickled, grefs(unc).p
    ROOT/images/train2014/COCO_train2014_000000000009.jpg

As refCOCO's refs, but ann_id and category_id are lists, and [-1] means that nothing in the picture is meant. Crowds
among the annotations of a ref are left out, as in ReLA.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llavaseg_ros.datasets.base import SKIP, Reading
from llavaseg_ros.datasets.files import Need
from llavaseg_ros.datasets.refcoco import TRAIN2014, RefReader, read_refs

NO_TARGET = -1
ONE, SEVERAL, NONE = "one target", "several targets", "absent"


def needs() -> tuple[Need, ...]:
    """Files of the set."""
    return (
        Need("annotations", ("grefcoco/instances.json",)),
        Need("expressions", ("grefcoco/grefs(unc).json", "grefcoco/grefs(unc).p")),
        TRAIN2014,
    )


def read(root: Path, split: str, *, name: str = "grefcoco", on_problem: str = SKIP) -> Reading:
    """Read a split. on_problem: as in `finish`. Raises DatasetError when a file is missing or broken as a whole."""
    return read_refs(GroupReader, root, needs(), name, split, on_problem)


class GroupReader(RefReader):
    """Refs with any number of targets."""

    def targets(self, ref: dict[str, Any]) -> list[Any]:
        """Ids of the annotations that are meant; none when nothing is."""
        ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
        if not ids or (NO_TARGET in ids and len(ids) > 1):
            raise TypeError(f"ann_id {ids!r}; expected ids of annotations, or [{NO_TARGET}] alone")
        if ids == [NO_TARGET]:
            return []
        rows = {one: self.instances.annotations.get(one, {}) for one in ids}
        return [one for one in ids if not rows[one].get("iscrowd")] or ids

    def kind_of(self, targets: list[Any]) -> str:
        """How many are meant."""
        return NONE if not targets else ONE if len(targets) == 1 else SEVERAL

    def category(self, ref: dict[str, Any]) -> str:
        """The class of the targets if they have one in common."""
        ids = ref["category_id"] if isinstance(ref["category_id"], list) else [ref["category_id"]]
        names = {self.instances.categories.get(one, "") for one in ids}
        return names.pop() if len(names) == 1 else ""
