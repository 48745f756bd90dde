# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A reading as our own DATA.jsonl with masks as PNG, so that `llavaseg evaluate` runs on it; and the thorough check,
which draws every mask."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from llavaseg_ros.datasets.base import Problems, Reading, Referral
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.evaluation.dataset import DatasetError, write_jsonl
from llavaseg_ros.images import picture_size, write_mask

DATA, MASKS = "data.jsonl", "masks"


def export(reading: Reading, out: Path, *, names_targets: bool = False, limit: int = 0) -> tuple[Path, Problems]:
    """Write out/data.jsonl and out/masks. Pictures stay where they are; the lines have their paths from `out`.

    names_targets: write the targets' names, too; where they are only classes ("person" for "the man in white"), an
    evaluation would take other names for wrong. limit: the first so many, 0 = all. Returns the file and the problems of
    referrals that could not be drawn, which have no line. Raises DatasetError when no referral could.
    """
    problems = Problems()
    sizes: dict[Path, tuple[int, int]] = {}
    files: dict[int, dict[str, str]] = {}
    rows: list[dict[str, Any]] = []
    for referral in reading.referrals[: limit or None]:
        try:
            # Sentences about one thing share its region, and so its files.
            if id(referral.region) not in files:
                files[id(referral.region)] = _write(referral, out, sizes)
        except (DatasetError, BadRequest) as error:
            problems.add(str(error))
            continue
        row: dict[str, Any] = {
            "id": referral.id,
            "image": os.path.relpath(referral.image_path, out),
            "command": referral.command,
            "mask": None,
            **files[id(referral.region)],
        }
        if names_targets:
            row["target"] = referral.target
        if referral.kind:
            row["kind"] = referral.kind
        rows.append(row)
    if not rows:
        raise DatasetError(f"{reading.dataset} {reading.split}: nothing to write\n{problems.text()}")
    write_jsonl(out / DATA, rows)
    return out / DATA, problems


def examine(reading: Reading) -> Problems:
    """Draw every mask and compare it with the size of its picture. Returns what is wrong, one problem a region."""
    problems = Problems()
    sizes: dict[Path, tuple[int, int]] = {}
    seen: set[int] = set()
    for referral in reading:
        if id(referral.region) in seen:
            continue
        seen.add(id(referral.region))
        try:
            _drawn(referral, sizes)
        except (DatasetError, BadRequest) as error:
            problems.add(str(error))
    return problems


def _drawn(referral: Referral, sizes: dict[Path, tuple[int, int]]) -> Any:
    mask = referral.mask()
    if referral.image_path not in sizes:
        sizes[referral.image_path] = picture_size(referral.image_path)
    where = f"{referral.dataset} {referral.split} {referral.id}"
    if mask.shape != sizes[referral.image_path]:
        size = list(sizes[referral.image_path])
        raise DatasetError(f"{where}: a mask of {list(mask.shape)}; its picture {referral.image_path} has {size}")
    if not referral.absent and not mask.any():
        raise DatasetError(f"{where}: the mask has no pixel, but the target is said to be there")
    return mask


def _write(referral: Referral, out: Path, sizes: dict[Path, tuple[int, int]]) -> dict[str, str]:
    """Write the masks of a referral; their keys and paths in DATA.jsonl."""
    mask, ignored = _drawn(referral, sizes), referral.ignored()
    name = re.sub(r"[^\w.-]", "_", referral.id)
    written = {}
    for key, ending, pixels in (("mask", "", None if referral.absent else mask), ("ignore", "_ignore", ignored)):
        if pixels is not None:
            written[key] = f"{MASKS}/{name}{ending}.png"
            write_mask(out / written[key], pixels)
    return written
