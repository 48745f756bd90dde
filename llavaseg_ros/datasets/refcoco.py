# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""refCOCO, refCOCO+ and refCOCOg: expressions for single objects in COCO train2014 pictures.

Layout, that of github.com/lichengunc/refer (data/README.md) and of LISA's refer_seg folder:

    ROOT/refcoco/instances.json       images, annotations and categories in COCO's format
    ROOT/refcoco/refs(unc).p          a pickled list of refs; refcocog has refs(umd).p and refs(google).p
    ROOT/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg

A ref is {ref_id, ann_id, category_id, image_id, split, sentences: [{sent_id, sent, raw, tokens}]}; its own file_name is
to be ignored. Every sentence is one command, as in the published figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llavaseg_ros.datasets.base import SKIP, Problems, Reading, Referral, finish
from llavaseg_ros.datasets.coco import Instances
from llavaseg_ros.datasets.files import Need, Pictures, read_json
from llavaseg_ros.datasets.plain_pickle import read_plain_pickle
from llavaseg_ros.evaluation.dataset import DatasetError

TRAIN2014 = Need(
    "COCO's train2014 pictures",
    ("images/mscoco/images/train2014", "images/train2014", "train2014", "coco/train2014"),
)


def needs(folder: str, split_by: str) -> tuple[Need, ...]:
    """Files of a set. folder: "refcoco", "refcoco+" or "refcocog". split_by: "unc", "umd" or "google"."""
    return (
        Need("annotations", (f"{folder}/instances.json",)),
        Need("expressions", (f"{folder}/refs({split_by}).p",)),
        TRAIN2014,
    )


def read(root: Path, split: str, *, name: str, folder: str, split_by: str, on_problem: str = SKIP) -> Reading:
    """Read a split. name: of the set in the registry; folder, split_by: as in `needs`. on_problem: as in `finish`.

    Raises DatasetError when a file is missing or broken as a whole.
    """
    return read_refs(RefReader, root, needs(folder, split_by), name, split, on_problem)


def read_refs(
    kind: type[RefReader], root: Path, needed: tuple[Need, ...], name: str, split: str, on_problem: str
) -> Reading:
    """Read any set of the family. kind: how its refs are read. needed: annotations, expressions and pictures."""
    problems = Problems()
    annotations, expressions, pictures = (need.require(root) for need in needed)
    refs = read_plain_pickle(expressions) if expressions.suffix == ".p" else read_json(expressions, list)
    if not isinstance(refs, list):
        raise DatasetError(f"{expressions}: expected a list of refs, got {type(refs).__name__}")
    reader = kind(name, split, Instances(annotations, problems), Pictures(pictures, problems), problems)
    for place, ref in enumerate(refs):
        reader.add(ref, f"{expressions}: ref {place}")
    return finish(name, split, reader.found, problems, on_problem)


class RefReader:
    """Turns refs of the refer family into referrals, one a sentence. found: those so far."""

    kind = "expression"

    def __init__(self, name: str, split: str, instances: Instances, pictures: Pictures, problems: Problems) -> None:
        self.name = name
        self.split = split
        self.instances = instances
        self.pictures = pictures
        self.problems = problems
        self.found: list[Referral] = []

    def add(self, ref: Any, where: str) -> None:
        """Add the sentences of a ref if it is of the split. where: names the record in problems."""
        if not isinstance(ref, dict) or "split" not in ref:
            self.problems.add(f"{where}: expected a dictionary with a split")
            return
        if ref["split"] != self.split:
            return
        try:
            self._add(ref)
        except (KeyError, TypeError) as error:
            self.problems.add(f"{where}: {f'no {error}' if isinstance(error, KeyError) else error}")

    def targets(self, ref: dict[str, Any]) -> list[Any]:
        """Ids of the annotations that are meant."""
        return [ref["ann_id"]]

    def kind_of(self, targets: list[Any]) -> str:
        """The kind of the command."""
        return self.kind

    def category(self, ref: dict[str, Any]) -> str:
        """The class of the target, "" when it is not one."""
        return self.instances.categories.get(ref["category_id"], "")

    def _add(self, ref: dict[str, Any]) -> None:
        image = self.instances.image(ref["image_id"])
        if image is None:
            return
        path = self.pictures.find(image[0])
        targets = self.targets(ref)
        region = self.instances.shapes(targets, ref["image_id"])
        if path is None or region is None:
            return
        for sentence in ref["sentences"]:
            text = sentence["sent"]
            if not isinstance(text, str) or not text.strip():
                self.problems.add(f"{self.name}: sentence {sentence['sent_id']} of ref {ref['ref_id']} has no words")
                continue
            self.found.append(
                Referral(
                    dataset=self.name,
                    split=self.split,
                    id=f"{ref['ref_id']}-{sentence['sent_id']}",
                    image_path=path,
                    command=text.strip(),
                    region=region,
                    target=self.category(ref),
                    kind=self.kind_of(targets),
                    absent=not targets,
                )
            )
