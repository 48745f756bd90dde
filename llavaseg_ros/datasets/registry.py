# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""All sets by name: how they are read, what they are, where they come from, how they are laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import yaml

from llavaseg_ros.datasets import ade20k, coco_stuff, grefcoco, paco, pascal_part, reasonseg, refcoco
from llavaseg_ros.datasets.base import SKIP, Reading
from llavaseg_ros.datasets.files import Need
from llavaseg_ros.evaluation.dataset import DatasetError

SETS_FILE = Path(__file__).resolve().parent / "data" / "sets.yaml"
UNC = ("train", "val", "testA", "testB")


@dataclass(frozen=True)
class Entry:
    """A set. reader(root, split, on_problem=...) reads it; needs(split) are its files.

    names_targets: the target's name is the name in the command, and not only the class of what is meant.
    """

    name: str
    splits: tuple[str, ...]
    reader: Callable[..., Reading]
    needs: Callable[[str], tuple[Need, ...]]
    names_targets: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """Title, licence, places to get it from and layout, as texts of data/sets.yaml."""
        return _texts()[self.name]


def _refer(name: str, folder: str, split_by: str, splits: tuple[str, ...]) -> Entry:
    reader = partial(refcoco.read, name=name, folder=folder, split_by=split_by)
    return Entry(name, splits, reader, lambda split: refcoco.needs(folder, split_by))


SETS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _refer("refcoco", "refcoco", "unc", UNC),
        _refer("refcoco+", "refcoco+", "unc", UNC),
        _refer("refcocog", "refcocog", "umd", ("train", "val", "test")),
        _refer("refcoco-google", "refcoco", "google", ("train", "val", "test")),
        _refer("refcocog-google", "refcocog", "google", ("train", "val")),
        Entry("grefcoco", UNC, grefcoco.read, lambda split: grefcoco.needs()),
        Entry("reasonseg", reasonseg.SPLITS, reasonseg.read, reasonseg.needs),
        Entry("ade20k", tuple(ade20k.SPLITS), ade20k.read, ade20k.needs, names_targets=True),
        Entry("coco-stuff", coco_stuff.SPLITS, coco_stuff.read, coco_stuff.needs, names_targets=True),
        Entry("paco", paco.SPLITS, paco.read, paco.needs, names_targets=True),
        Entry("pascal-part", pascal_part.SPLITS, pascal_part.read, pascal_part.needs, names_targets=True),
    )
}


def entry(name: str, split: str | None = None) -> Entry:
    """The set of that name. Raises DatasetError, which lists the names, or the splits, when there is no such one."""
    if name not in SETS:
        raise DatasetError(f"there is no data set {name!r}; known are {', '.join(SETS)}")
    found = SETS[name]
    if split is not None and split not in found.splits:
        raise DatasetError(f"{name} has no split {split!r}; it has {', '.join(found.splits)}")
    return found


def read(name: str, root: Path, split: str, *, on_problem: str = SKIP) -> Reading:
    """Read a split of a set. on_problem: "skip" leaves broken records out and counts them, "refuse" raises.

    Raises DatasetError for an unknown name or split, for missing files with the text of `describe_missing`, for broken
    ones, and when no command is left.
    """
    found = entry(name, split)
    missing = describe_missing(name, root, split)
    if missing:
        raise DatasetError(missing)
    return found.reader(root, split, on_problem=on_problem)


def describe_missing(name: str, root: Path, split: str | None = None) -> str:
    """What of a set is not there under root, where to get it and how to lay it out; "" when all of it is there.

    split: only what this split needs, None = every split. Raises DatasetError for an unknown name or split.
    """
    found = entry(name, split)
    lacking: dict[str, None] = {}
    for one in found.splits if split is None else (split,):
        for need in found.needs(one):
            if need.find(root) is None:
                lacking[need.text()] = None
    if not lacking:
        return ""
    about = found.about
    parts = [
        f"{about['title']}: not all of it is under {root}. Missing:",
        *(f"  {text}" for text in lacking),
        "Where to get it:",
        *(f"  {place}" for place in about["get"]),
        "How to lay it out:",
        *(f"  {line}" for line in about["layout"].splitlines()),
        f"Licence: {about['licence']}",
    ]
    return "\n".join(parts)


@lru_cache(maxsize=1)
def _texts() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(SETS_FILE.read_text(encoding="utf-8"))
