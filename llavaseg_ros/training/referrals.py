# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Words for the targets of a scene, as the adapters learn from them: true, dropped, wrong, or misread."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from llavaseg_ros.places import LOCATIONS, location_name
from llavaseg_ros.training.images import Sample
from llavaseg_ros.training.language.photographs import load_photographs, shape_of
from llavaseg_ros.training.photographs import Mosaic
from llavaseg_ros.training.scenes.catalog import load_catalog
from llavaseg_ros.types import Attributes

MIN_VISIBLE = 20  # pixels of the half-resolution id map; smaller targets teach nothing


@dataclass(frozen=True)
class Referral:
    """Words for one target of a scene. object_id None: the target is not there."""

    object_id: int | None
    target: str
    attributes: Attributes

    def phrases(self) -> tuple[str, ...]:
        """In the order of ATTRIBUTE_KINDS."""
        a = self.attributes
        return self.target, a.color, a.shape, a.location


def place_of(item: dict[str, Any], scene: dict[str, Any]) -> str:
    """One of the nine places, from the centre of the object's box."""
    x0, y0, x1, y1 = item["bbox"]
    return location_name((x0 + x1) / 2, (y0 + y1) / 2, scene["width"], scene["height"])


def true_referral(item: dict[str, Any], scene: dict[str, Any]) -> Referral:
    """Every attribute, and every one right."""
    shape = shape_of(item["category"])
    name = f"{item['color']} {item['category']}"
    return Referral(item["id"], name, Attributes(item["color"], shape, place_of(item, scene)))


def singled_out(item: dict[str, Any], scene: dict[str, Any], *, color: bool, place: bool) -> bool:
    """True if name, with color and place where they are said, fits no other object of the scene."""
    for other in scene["objects"]:
        if other["id"] == item["id"] or other["category"] != item["category"]:
            continue
        if color and other["color"] != item["color"]:
            continue
        if place and place_of(other, scene) != place_of(item, scene):
            continue
        return False
    return True


def draw_present(sample: Sample, seen: dict[int, tuple[str, str]], rng: random.Random) -> Referral | None:
    """Words for a random object, some of them dropped, sometimes one of them wrong; None if none can be singled out.

    seen: by object id, the name and color that the eye would give it: what the language model will say.
    """
    scene = sample.scene
    items = [o for o in scene["objects"] if o.get("listed", True)]
    rng.shuffle(items)
    places = [name for row in LOCATIONS for name in row]
    for item in items:
        if int((sample.ids == item["id"]).sum()) < MIN_VISIBLE:
            continue
        full = true_referral(item, scene)
        say_color, say_place = rng.random() < 0.85, rng.random() < 0.75
        if not singled_out(item, scene, color=say_color, place=say_place):
            say_color = say_place = True
            if not singled_out(item, scene, color=True, place=True):
                continue
        target = full.target if say_color and rng.random() < 0.8 else item["category"]
        color = item["color"] if say_color and (target == item["category"] or rng.random() < 0.85) else ""
        shape = full.attributes.shape if rng.random() < 0.75 else ""
        place = full.attributes.location if say_place else ""
        if say_place and rng.random() < 0.2 and singled_out(item, scene, color=say_color, place=False):
            place = rng.choice(places)
        if rng.random() < 0.05:
            shape = rng.choice(list(load_catalog().categories.values())).shape
        referral = Referral(item["id"], target, Attributes(color, shape, place))
        return misread(referral, item, scene, seen[item["id"]]) if rng.random() < 0.5 else referral
    return None


def misread(referral: Referral, item: dict[str, Any], scene: dict[str, Any], seen: tuple[str, str]) -> Referral:
    """The same words with the eye's name and color in place of the true ones, unless they then fit another object."""
    name, color = seen
    others = {(o["category"], o["color"]) for o in scene["objects"] if o["id"] != item["id"]}
    if seen in others or (name, color) == (item["category"], item["color"]):
        return referral
    words = referral.attributes
    target = f"{color} {name}" if referral.target != item["category"] else name
    shape = shape_of(name) if words.shape else ""
    return Referral(referral.object_id, target, replace(words, color=color if words.color else "", shape=shape))


def draw_named(mosaic: Mosaic, rng: random.Random, *, absent: bool) -> Referral:
    """Words for a photograph of a mosaic, by the number of its tile; absent: for none of them."""
    there = {photograph.word for _, photograph in mosaic.tiles}
    if absent:
        words = load_photographs()
        word = rng.choice(sorted({*words.names.values(), *load_catalog().categories} - there))
        color = rng.choice(words.colors.get(word) or load_catalog().categories[word].colors)
        number, place = None, rng.choice(rng.choice(LOCATIONS))
    else:
        number = rng.randrange(len(mosaic.tiles)) + 1
        (x0, y0, x1, y1), photograph = mosaic.tiles[number - 1]
        word, color = photograph.word, photograph.color
        place = location_name((x0 + x1) / 2, (y0 + y1) / 2, mosaic.rgb.shape[1], mosaic.rgb.shape[0])
    said = color if rng.random() < 0.7 else ""
    shape = shape_of(word) if rng.random() < 0.75 else ""
    return Referral(number, f"{said} {word}".strip(), Attributes(said, shape, place if rng.random() < 0.6 else ""))


def draw_absent(sample: Sample, rng: random.Random) -> Referral:
    """Words that fit no object of the scene: often the right name in a wrong color, or the right color on a wrong
    name."""
    catalog = load_catalog()
    objects = sample.scene["objects"]
    there = {(o["category"], o["color"]) for o in objects}
    while True:
        some = rng.choice(objects) if objects and rng.random() < 0.7 else None
        name, color = rng.choice(list(catalog.categories)), rng.choice(list(catalog.colors))
        if some is not None and rng.random() < 0.5:
            name = some["category"]
        elif some is not None:
            color = some["color"]
        if (name, color) in there or color not in catalog.categories[name].colors:
            continue
        bare = name not in {n for n, _ in there} and rng.random() < 0.3
        shape = catalog.categories[name].shape if rng.random() < 0.75 else ""
        place = rng.choice(rng.choice(LOCATIONS)) if rng.random() < 0.7 else ""
        if some is not None and place:
            place = place_of(some, sample.scene)
        return Referral(None, name if bare else f"{color} {name}", Attributes("" if bare else color, shape, place))
