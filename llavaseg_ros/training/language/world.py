# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A scene as language sees it: which things are in view, where, how big, and which one a phrase can mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llavaseg_ros.places import location_name
from llavaseg_ros.training.language.lexicon import Lexicon
from llavaseg_ros.training.language.photographs import shape_of


@dataclass(frozen=True)
class Thing:
    """One object in the image. Lengths are in units of the image's width, x to the right, y down (towards the camera).

    area and bbox_area: px. visible: share of the object that is not hidden. cut_off: touches the image's edge.
    listed: big and free enough to be a target.
    """

    id: int
    category: str
    color: str
    x0: float
    y0: float
    x1: float
    y1: float
    area: float
    bbox_area: float
    visible: float
    cut_off: bool
    listed: bool
    location: str
    shape: str

    @property
    def cx(self) -> float:
        """Centre of the box."""
        return (self.x0 + self.x1) / 2

    @property
    def cy(self) -> float:
        """Centre of the box."""
        return (self.y0 + self.y1) / 2

    @property
    def name(self) -> str:
        """The name that the replies use: "red mug"."""
        return f"{self.color} {self.category}"


@dataclass(frozen=True)
class Head:
    """What a noun phrase says of its object: its kind, its group, its color, or nothing ("the thing")."""

    category: str = ""
    color: str = ""
    group: str = ""

    def may_mean(self, thing: Thing, lexicon: Lexicon) -> bool:
        """True when a person could mean `thing`, also by a looser use of the word; such things make a phrase
        ambiguous.
        """
        if self.color and thing.color != self.color:
            return False
        if self.category:
            return thing.category == self.category or thing.category in lexicon.nouns[self.category].covers
        if self.group:
            group = lexicon.groups[self.group]
            return thing.category in group.of or thing.category in group.also
        return True

    def means(self, thing: Thing, lexicon: Lexicon) -> bool:
        """True when the phrase properly names `thing`."""
        if self.color and thing.color != self.color:
            return False
        if self.category:
            return thing.category == self.category
        return thing.category in lexicon.groups[self.group].of if self.group else True

    @property
    def says(self) -> str:
        """The words of the replies: "mug", "red mug", "red object", "fruit", "object"."""
        return f"{self.color} {self.category or self.group or 'object'}".strip()


class World:
    """The things of one scene dict (contract of `scenes.jsonl`).

    listed: possible targets, from left to right by the centre of the box. shown: those of which any pixel is in view,
    listed or not: a phrase must single out its target among these. present: all things of the scene, hidden ones too:
    only what is in none of these is called absent. complete: `present` is all that a person would see in the image. A
    record can say that it is not ("complete": false), as for a photograph of a full shelf of which it lists one thing;
    records with kinds that only photographs show need not say so. What the rest of the image decides, such as a count,
    is not asked then.
    """

    def __init__(self, scene: dict[str, Any], lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        width, height = int(scene["width"]), int(scene["height"])
        self.aspect = height / width
        self.present: list[Thing] = []
        for entry in scene["objects"]:
            x0, y0, x1, y1 = (float(v) for v in entry.get("bbox") or (0, 0, 0, 0))
            category = entry["category"]
            if category not in lexicon.nouns:
                raise ValueError(
                    f"scene {scene.get('image')}: kind {category!r} has no entry under `nouns` of the language file"
                )
            area = float(entry.get("area") or 0)
            self.present.append(
                Thing(
                    int(entry["id"]),
                    category,
                    entry["color"],
                    x0 / width,
                    y0 / width,
                    x1 / width,
                    y1 / width,
                    area,
                    (x1 - x0) * (y1 - y0),
                    float(entry.get("visible", 1.0)),
                    x0 <= 1 or y0 <= 1 or x1 >= width - 2 or y1 >= height - 2,
                    bool(entry.get("listed", True)) and area > 0,
                    location_name((x0 + x1) / 2, (y0 + y1) / 2, width, height),
                    shape_of(category),
                )
            )
        photograph = any(t.category in lexicon.photograph_only for t in self.present)
        self.complete = bool(scene.get("complete", not photograph))
        self.shown = [t for t in self.present if t.area > 0]
        self.listed = sorted((t for t in self.shown if t.listed), key=lambda t: (t.cx, t.id))

    def matching(self, head: Head) -> list[Thing]:
        """The things in view that a phrase could mean."""
        return [t for t in self.shown if head.may_mean(t, self.lexicon)]

    def only(self, head: Head) -> Thing | None:
        """The one listed thing that a phrase names, or None when there is none or the phrase is ambiguous."""
        matches = self.matching(head)
        if len(matches) == 1 and matches[0].listed and head.means(matches[0], self.lexicon):
            return matches[0]
        return None

    def describable(self, thing: Thing) -> bool:
        """True when color, kind and location together single `thing` out, as the attributes of the reply must."""
        mine = (thing.color, thing.category, thing.location)
        return sum((t.color, t.category, t.location) == mine for t in self.shown) == 1

    def absent_kinds(self) -> list[str]:
        """The kinds that can be asked for in vain: those that training shows, here or in another picture. In an
        incomplete photograph of food there may be other food.
        """
        if self.complete:
            return list(self.lexicon.rendered)
        return [k for k in self.lexicon.rendered if k not in self.lexicon.photographed]

    def heads(self) -> list[Head]:
        """Phrases that several things in view share, by kind or color: "the leftmost mug" is said where there are two
        mugs.
        """
        found: list[Head] = []
        if not self.complete:
            return found
        for category in sorted({t.category for t in self.listed}):
            if len(self.matching(Head(category=category))) > 1:
                found.append(Head(category=category))
        for color in sorted({t.color for t in self.listed}):
            if len(self.matching(Head(color=color))) > 1:
                found.append(Head(color=color))
        return found
