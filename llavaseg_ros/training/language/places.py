# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What "leftmost", "left of" or "biggest" mean in an image, with margins that make the answer clear to everybody.

Lengths are in units of the image's width, y points down, towards the camera. Each function returns None when nothing
fits clearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llavaseg_ros.training.language.world import Thing

SIZE_MARGIN = 1.3
EDGE_MARGIN = 0.05
DEPTH_MARGIN = 0.035
NEAR_RATIO = 1.35
MAX_DISTANCE = 0.45
MAX_BESIDE = 0.30

CORNERS = {"back left": (-1, -1), "back right": (1, -1), "front left": (-1, 1), "front right": (1, 1)}


def _first(things: Sequence[Thing], keys: Sequence[Callable[[Thing], float]], margin: float) -> Thing | None:
    """The thing that comes first by every key, by `margin` at least by the first key."""
    ranked = sorted(things, key=keys[0])
    best, second = ranked[0], ranked[1]
    if keys[0](second) - keys[0](best) < margin:
        return None
    return best if all(k(best) <= min(k(t) for t in ranked[1:]) for k in keys[1:]) else None


def _only(things: Sequence[Thing], inside: Callable[[Thing, float], bool]) -> Thing | None:
    """The one thing inside a zone shrunk by a margin, where no other is inside the zone grown by a margin."""
    within = [t for t in things if inside(t, 0.02)]
    if len(within) == 1 and sum(inside(t, -0.04) for t in things) == 1:
        return within[0]
    return None


def at_place(things: Sequence[Thing], place: str, aspect: float) -> Thing | None:
    """The thing at `place` (a key of `places:`) among two or more. aspect: image height / width."""
    if len(things) < 2:
        return None
    if place == "leftmost":
        return _first(things, (lambda t: t.cx, lambda t: t.x0), EDGE_MARGIN)
    if place == "rightmost":
        return _first(things, (lambda t: -t.cx, lambda t: -t.x1), EDGE_MARGIN)
    if place == "nearest":
        return _first(things, (lambda t: -t.y1, lambda t: -t.cy), DEPTH_MARGIN)
    if place == "farthest":
        return _first(things, (lambda t: t.y1, lambda t: t.cy), DEPTH_MARGIN)
    if place == "middle":
        return _middle(things, aspect)
    if place == "left side":
        return _only(things, lambda t, m: t.cx < 1 / 3 - m)
    if place == "right side":
        return _only(things, lambda t, m: t.cx > 2 / 3 + m)
    if place == "front side":
        return _only(things, lambda t, m: t.cy / aspect > 2 / 3 + m)
    if place == "back side":
        return _only(things, lambda t, m: t.cy / aspect < 1 / 3 - m)
    sx, sy = CORNERS[place]
    return _only(things, lambda t, m: sx * (t.cx - 0.5) > 1 / 6 + m and sy * (t.cy / aspect - 0.5) > 1 / 6 + m)


def _middle(things: Sequence[Thing], aspect: float) -> Thing | None:
    ranked = sorted(things, key=lambda t: (t.cx - 0.5) ** 2 + (t.cy - aspect / 2) ** 2)
    near, next_one = (((t.cx - 0.5) ** 2 + (t.cy - aspect / 2) ** 2) ** 0.5 for t in ranked[:2])
    clear = ranked[0].location == "middle" and near < 0.14 and next_one > 1.5 * near and next_one - near > 0.05
    return ranked[0] if clear else None


def of_size(things: Sequence[Thing], size: str) -> Thing | None:
    """The biggest or smallest of two or more things, by box area with a clear margin; its pixel area has to agree."""
    if len(things) < 2:
        return None
    ranked = sorted(things, key=lambda t: t.bbox_area, reverse=size == "biggest")
    best, second = ranked[0], ranked[1]
    if size == "biggest":
        clear = best.bbox_area >= SIZE_MARGIN * second.bbox_area and best.area >= max(t.area for t in ranked)
    else:
        # A thing that is partly hidden or out of the picture looks small without being so.
        whole = best.visible >= 0.7 and not best.cut_off
        clear = second.bbox_area >= SIZE_MARGIN * best.bbox_area and best.area <= min(t.area for t in ranked) and whole
    return best if clear else None


def distance(a: Thing, b: Thing) -> float:
    """Between the centres of the boxes."""
    return ((a.cx - b.cx) ** 2 + (a.cy - b.cy) ** 2) ** 0.5


def _along(thing: Thing, relation: str, ref: Thing) -> tuple[float, float]:
    """Offset of `thing` from `ref` in the direction of the relation, and across it."""
    dx, dy = thing.cx - ref.cx, thing.cy - ref.cy
    if relation == "left of":
        return -dx, abs(dy)
    if relation == "right of":
        return dx, abs(dy)
    return (dy, abs(dx)) if relation == "in front of" else (-dy, abs(dx))


def clearly(thing: Thing, relation: str, ref: Thing) -> bool:
    """True when nobody would deny the relation."""
    along, across = _along(thing, relation, ref)
    if along < 0.06 or across > along:
        return False
    if relation == "left of":
        return thing.cx < ref.x0
    if relation == "right of":
        return thing.cx > ref.x1
    if relation == "in front of":
        return thing.y1 > ref.y1 + DEPTH_MARGIN
    return thing.y1 < ref.y1 - DEPTH_MARGIN


def _perhaps(thing: Thing, relation: str, ref: Thing) -> bool:
    """True when somebody might claim the relation."""
    along, _ = _along(thing, relation, ref)
    if relation in ("in front of", "behind"):
        bottom = thing.y1 - ref.y1 if relation == "in front of" else ref.y1 - thing.y1
        return along > -0.01 or bottom > 0.0
    return along > -0.01


def nearest_in_relation(things: Sequence[Thing], relation: str, ref: Thing) -> Thing | None:
    """What "the thing left of the bowl" means: the nearest thing on that side, by a clear margin. things: all in
    view.
    """
    others = [t for t in things if t.id != ref.id]
    if relation == "next to":
        ranked = sorted((distance(t, ref), t.id, t) for t in others)
        limit, ratio = MAX_BESIDE, 1.4
    else:
        # Things that are almost as much beside as across stay in the race, so that a near one of them makes the
        # phrase ambiguous.
        side = ((t, *_along(t, relation, ref)) for t in others)
        ranked = sorted(
            (distance(t, ref), t.id, t) for t, along, across in side if along > 0.0 and across < 1.5 * along
        )
        limit, ratio = MAX_DISTANCE, NEAR_RATIO
    if not ranked or ranked[0][0] > limit or (len(ranked) > 1 and ranked[1][0] < ratio * ranked[0][0]):
        return None
    best = ranked[0][2]
    return best if relation == "next to" or clearly(best, relation, ref) else None


def one_in_relation(things: Sequence[Thing], relation: str, ref: Thing) -> Thing | None:
    """What "the mug left of the bowl" means: of the mugs (things), the only one that stands there, the others clearly
    not.
    """
    others = [t for t in things if t.id != ref.id]
    if relation == "next to":
        ranked = sorted((distance(t, ref), t.id, t) for t in others)
        if not ranked or ranked[0][0] > MAX_BESIDE or (len(ranked) > 1 and ranked[1][0] < 1.6 * ranked[0][0]):
            return None
        return ranked[0][2]
    there = [t for t in others if clearly(t, relation, ref)]
    return there[0] if len(there) == 1 and sum(_perhaps(t, relation, ref) for t in others) == 1 else None
