# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What PACO and Pascal-Part have in common: a file in COCO's format whose categories are things and parts of things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llavaseg_ros.datasets.base import Problems, Referral
from llavaseg_ros.datasets.coco import Instances
from llavaseg_ros.datasets.files import Pictures
from llavaseg_ros.datasets.templates import command_for

OBJECT, PART = "object", "part"


def spoken(category: str) -> tuple[str, str]:
    """Name and kind of a category: "laptop_computer:base_panel" is a part, "base panel of the laptop computer"; what
    stands in brackets ("car_(automobile)") is not said.

    >>> spoken("car_(automobile):wheel")
    ('wheel of the car', 'part')
    """
    words = [piece.split("_(")[0].replace("_", " ").strip() for piece in category.split(":")]
    if len(words) == 1:
        return words[0], OBJECT
    return f"{words[1]} of the {words[0]}", PART


def referrals(
    name: str,
    split: str,
    instances: Instances,
    pictures: Pictures,
    problems: Problems,
    counts: Callable[[dict[str, Any], int], bool] = lambda image, category: True,
) -> list[Referral]:
    """One referral for each category of each image: all annotations of it together, because the command names them all.

    counts: whether a category of an image may be used, from the image's record.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for number, row in instances.annotations.items():
        image, category = row.get("image_id"), row.get("category_id")
        if not isinstance(image, int) or not isinstance(category, int) or not instances.categories.get(category):
            problems.add(
                f"{instances.path}: annotation {number}: image {image!r}, category {category!r}: no such thing"
            )
            continue
        groups.setdefault((image, category), []).append(number)
    found: list[Referral] = []
    for (image, category), numbers in groups.items():
        record = instances.image(image)
        if record is None or not counts(instances.images[image], category):
            continue
        path = pictures.find(record[0])
        region = instances.shapes(numbers, image)
        if path is None or region is None:
            continue
        thing, kind = spoken(instances.categories[category])
        key = f"{image}-{category}"
        command = command_for(thing, f"{name} {key}")
        found.append(Referral(name, split, key, path, command, region, target=thing, kind=kind))
    return found
