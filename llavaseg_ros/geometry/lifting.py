# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks of a color image and a depth image of the same moment to points: the target's, and all the others.

Depth pixels are carried to the color image, not the other way round: so the two may differ in size, lens and place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.geometry.camera import Intrinsics
from llavaseg_ros.geometry.pose import Box, principal_box, transformed

_SQUARE = np.ones((3, 3), np.uint8)
# A part of a target that something in front cuts off: at least this share of the largest part, and no further away
# from it in depth than it is deep itself, or than PART_GAP_M.
PART_SHARE = 0.05
PART_GAP_M = 0.03
# Seen from another place, a depth pixel may belong to something that hides behind what the color camera sees there.
# A surface so steep, m of depth for each m across, hides itself behind its own neighbouring pixel no more than that.
HIDDEN_M = 0.02
STEEP = 4.0


@dataclass(frozen=True)
class LiftSettings:
    """What lifting goes by.

    erode_px: rim of a mask that is left out, px of the color image; thin targets lose less. min_depth_m, max_depth_m:
    what the sensor can be believed in, m. max_jump_m: neighbouring pixels further apart in depth, m, belong to two
    things. min_points: fewer do not make a pose.
    """

    erode_px: int = 2
    min_depth_m: float = 0.1
    max_depth_m: float = 5.0
    max_jump_m: float = 0.02
    min_points: int = 30


@dataclass(frozen=True)
class LiftedTarget:
    """One mask in 3-D, in the color camera's optical frame.

    points: float32 [N, 3], m. colors: uint8 [N, 3], RGB. coverage: share of the mask's pixels with a valid depth.
    box: centroid, principal axes and size; None when `problem` says why there are too few points (then N is 0).
    """

    points: np.ndarray
    colors: np.ndarray
    coverage: float
    box: Box | None
    problem: str = ""


@dataclass(frozen=True)
class LiftedScene:
    """targets: one for each mask, in order. points, colors: everything but the first target, as in `LiftedTarget`."""

    targets: tuple[LiftedTarget, ...]
    points: np.ndarray
    colors: np.ndarray


def lift_masks(
    masks: Sequence[np.ndarray],
    rgb: np.ndarray,
    depth_m: np.ndarray,
    color: Intrinsics,
    depth: Intrinsics,
    *,
    depth_to_color: np.ndarray | None = None,
    settings: LiftSettings | None = None,
    scene: bool = True,
) -> LiftedScene:
    """Lift the masks of one color image.

    masks: bool [H, W]; rgb: uint8 [H, W, 3]; depth_m: float32 [h, w], m along the optical axis, NaN = no value, from
    the same moment. depth_to_color: float64 [4, 4], from the depth camera's optical frame to the color camera's; None:
    they are the same. scene: False leaves its points out (N is 0), which take most of the time. Raises BadRequest when
    a size is not that of its camera.
    """
    settings = settings or LiftSettings()
    _check("image", rgb.shape[:2], color)
    _check("depth image", depth_m.shape, depth)
    for mask in masks:
        _check("mask", mask.shape, color)
    with np.errstate(invalid="ignore"):
        valid = (depth_m >= settings.min_depth_m) & (depth_m <= settings.max_depth_m)
    seen = _carry(depth_m, valid, color, depth, depth_to_color)
    targets, first = [], np.zeros(depth_m.shape, np.bool_)
    for number, mask in enumerate(masks):
        part = seen.around(mask, margin=settings.erode_px + 1)
        target, claimed = _lift(mask, rgb, seen.crop(part), settings)
        targets.append(target)
        if number == 0:
            first[part] = claimed
    rest = seen.valid & ~first if scene else np.zeros_like(first)
    return LiftedScene(tuple(targets), *seen.cloud(rest, rgb))


@dataclass(frozen=True)
class _Seen:
    """What the depth image shows, pixel by pixel.

    points: float32 [h, w, 3], color frame. valid: bool [h, w], has a depth. shown: bool [h, w], and the color camera
    sees it. pixel: int32 [h, w], index into the flat color image; -1 beside it. scale: color pixels a depth pixel.
    """

    points: np.ndarray
    valid: np.ndarray
    shown: np.ndarray
    pixel: np.ndarray
    scale: float

    def marks(self, mask: np.ndarray) -> np.ndarray:
        """bool [h, w]: depth pixels that fall on a mask of the color image."""
        return mask.reshape(-1)[self.pixel] & self.shown

    def cloud(self, where: np.ndarray, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, 3] and their colors [N, 3] of some depth pixels, bool [h, w]; black beside the color image."""
        index = np.flatnonzero(where)
        pixel = self.pixel.reshape(-1)[index]
        colors = rgb.reshape(-1, 3)[pixel]
        colors[pixel < 0] = 0
        return self.points.reshape(-1, 3)[index], colors

    def around(self, mask: np.ndarray, *, margin: int) -> tuple[slice, slice]:
        """Rows and columns of the depth image that hold the mask, and `margin` color pixels more."""
        marked = self.marks(mask)
        more = int(np.ceil(margin / min(1.0, self.scale))) + 1
        rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
        if not rows.size:
            return slice(0, 0), slice(0, 0)
        return (
            slice(max(0, int(rows[0]) - more), int(rows[-1]) + 1 + more),
            slice(max(0, int(columns[0]) - more), int(columns[-1]) + 1 + more),
        )

    def crop(self, part: tuple[slice, slice]) -> _Seen:
        """The same of a part of the depth image."""
        return _Seen(self.points[part], self.valid[part], self.shown[part], self.pixel[part], self.scale)


def _carry(
    depth_m: np.ndarray, valid: np.ndarray, color: Intrinsics, depth: Intrinsics, depth_to_color: np.ndarray | None
) -> _Seen:
    rays, blind = depth.rays(), depth.blind
    if blind is not None:
        valid = valid & ~blind
    z = np.where(valid, depth_m, 1.0).astype(np.float32)
    points = np.dstack([rays[..., 0] * z, rays[..., 1] * z, z])
    if depth_to_color is None and depth == color:
        return _Seen(points, valid, valid, np.arange(z.size, dtype=np.int32).reshape(z.shape), 1.0)
    if depth_to_color is not None:
        points = transformed(points.reshape(-1, 3), depth_to_color).reshape(points.shape)
    before = valid & (points[..., 2] > 1e-6)
    shown = before & color.sees(points)
    at = np.full((*z.shape, 2), -1, np.float32)
    at[shown] = np.floor(color.project(points[shown]) + 0.5)
    # Before they become whole numbers, which cannot say that something is no number, or far away.
    shown &= ((at >= 0) & (at < (color.width, color.height))).all(axis=-1)
    u, v = np.moveaxis(np.where(shown[..., None], at, 0).astype(np.int32), -1, 0)
    pixel = np.where(shown, v * color.width + u, -1)
    scale = color.fx / depth.fx
    if depth_to_color is not None:
        shown = shown & ~_hidden(points[..., 2], pixel, shown, color, scale)
    return _Seen(points, valid, shown, pixel, scale)


def _hidden(z: np.ndarray, pixel: np.ndarray, within: np.ndarray, color: Intrinsics, scale: float) -> np.ndarray:
    """bool [h, w]: something nearer to the color camera falls on the same pixel, or right beside it."""
    nearest = np.full(color.height * color.width, np.float32(np.inf))
    np.minimum.at(nearest, pixel[within], z[within])
    # Between the pixels that depth pixels fall on must be no holes to look through.
    size = 2 * max(1, int(np.ceil(scale / 2 - 0.5))) + 1
    front = np.asarray(cv2.erode(nearest.reshape(color.height, color.width), np.ones((size, size), np.uint8)))
    return z > front.reshape(-1)[pixel] + HIDDEN_M + STEEP * size * z / color.fx


def _lift(
    mask: np.ndarray, rgb: np.ndarray, seen: _Seen, settings: LiftSettings
) -> tuple[LiftedTarget, np.ndarray]:
    """The target, and bool [h, w]: the depth pixels that are not the scene's because of it."""
    if not seen.shown.size:
        return _without(0.0, 0, settings), seen.shown
    coverage = _coverage(mask, seen)
    outline = seen.marks(mask)
    inner = seen.marks(_eroded(mask, settings.erode_px))
    body = _body(inner, seen.points[..., 2], settings)
    if int(body.sum()) < settings.min_points:
        return _without(coverage, int(body.sum()), settings), outline
    grown = _grown(body, outline, seen.points[..., 2], settings)
    # The rim, where a pixel is neither here nor there, must not stand in a planner's way; what lies behind or before
    # the target inside its mask must.
    rim = seen.marks(_rim(mask, settings.erode_px))
    box = principal_box(seen.points[body], seen.points[grown])
    return LiftedTarget(*seen.cloud(body, rgb), coverage, box), grown | body | rim


def _without(coverage: float, points: int, settings: LiftSettings) -> LiftedTarget:
    if coverage == 0:
        problem = (
            f"no pixel of the mask has a depth between {settings.min_depth_m:g} and {settings.max_depth_m:g} m "
            "(geometry.min_depth_m, geometry.max_depth_m)"
        )
    else:
        problem = f"{points} points with a depth are left of the mask; {settings.min_points} are needed"
    return LiftedTarget(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), coverage, None, problem)


def _eroded(mask: np.ndarray, erode_px: int) -> np.ndarray:
    """The mask without its rim; of a thin one, what is left of less erosion: at least a third of its pixels."""
    source, area = mask.view(np.uint8), int(mask.sum())
    for pixels in range(erode_px, 0, -1):
        inner = np.asarray(cv2.erode(source, _SQUARE, iterations=pixels, borderValue=1)).astype(np.bool_)
        if 3 * int(inner.sum()) >= area:
            return inner
    return mask


def _rim(mask: np.ndarray, erode_px: int) -> np.ndarray:
    if not erode_px:
        return np.zeros_like(mask)
    source = mask.view(np.uint8)
    wide = cv2.dilate(source, _SQUARE, iterations=erode_px)
    return np.asarray(wide).astype(np.bool_) & ~_eroded(mask, erode_px)


def _body(inner: np.ndarray, z: np.ndarray, settings: LiftSettings) -> np.ndarray:
    """bool [h, w]: the largest part of `inner` without a jump in depth, and the parts that belong to it."""
    smooth = inner & ~(_bent(inner, z, settings.max_jump_m) | _bent(inner.T, z.T, settings.max_jump_m).T)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(smooth.view(np.uint8), connectivity=8)
    if count < 2:
        return smooth
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + int(np.argmax(areas))
    body = labels == largest
    low, high = np.percentile(z[body], (1, 99))
    gap = max(PART_GAP_M, float(high - low))
    for number in 1 + np.flatnonzero(areas >= PART_SHARE * areas.max()):
        if number != largest:
            part = labels == number
            if low - gap <= np.median(z[part]) <= high + gap:
                body |= part
    return body


def _bent(inner: np.ndarray, z: np.ndarray, most_m: float) -> np.ndarray:
    """bool [h, w]: the depth goes on to the right otherwise than it came from the left. A slope does not count, however
    steep: a far camera sees a box's side in few pixels."""
    bent = np.zeros_like(inner)
    both = inner[:, :-2] & inner[:, 1:-1] & inner[:, 2:]
    bent[:, 1:-1] = both & (np.abs(z[:, :-2] + z[:, 2:] - 2 * z[:, 1:-1]) > most_m)
    return bent


def _grown(body: np.ndarray, outline: np.ndarray, z: np.ndarray, settings: LiftSettings) -> np.ndarray:
    """The body with the rim that goes on from it without a jump: its size is not to shrink by the erosion."""
    grown = body
    for _ in range(settings.erode_px + 1):
        weight = grown.astype(np.float32)
        around = cv2.boxFilter(weight, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        total = cv2.boxFilter(weight * z, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        with np.errstate(invalid="ignore", divide="ignore"):  # where nothing is around
            close = np.abs(z - np.asarray(total) / np.asarray(around)) < settings.max_jump_m / 2
        grown = grown | (outline & (np.asarray(around) > 0.5) & close)
    return grown


def _coverage(mask: np.ndarray, seen: _Seen) -> float:
    """Share of the mask's pixels that a valid depth pixel falls on."""
    area = int(mask.sum())
    if not area:
        return 0.0
    flat = np.zeros(mask.size, np.uint8)
    flat[seen.pixel[seen.shown]] = 1
    hit = flat.reshape(mask.shape)
    if seen.scale > 1:
        size = int(np.ceil(seen.scale))
        hit = np.asarray(cv2.dilate(hit, np.ones((size, size), np.uint8)))
    return float((hit.astype(np.bool_) & mask).sum() / area)


def _check(what: str, shape: Sequence[int], camera: Intrinsics) -> None:
    if tuple(shape) != (camera.height, camera.width):
        raise BadRequest(
            f"{what}: {shape[1]}x{shape[0]} px; its camera_info is for {camera.width}x{camera.height} px"
        )
