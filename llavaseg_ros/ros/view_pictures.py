# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page's pictures: drawn when somebody fetches one, and once for each that there is."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from llavaseg_ros import viz
from llavaseg_ros.errors import LLaVASegError
from llavaseg_ros.images import jpeg_bytes
from llavaseg_ros.ros.cdr import RawMessage
from llavaseg_ros.ros.convert import image_to_rgb, to_depth_m, to_rgb
from llavaseg_ros.ros.freshness import NS, Frame, FrameStore
from llavaseg_ros.view import drawing
from llavaseg_ros.view.records import FRESH_MASK, NO_MASK, OLD_MASK, Picture

JPEG_QUALITY = 82
# A mask this much older than the newest frame still counts as of now: following needs a few frames' time. It is drawn
# on its own frame all the same.
FRESH_S = 0.5
_GROUND = (38, 40, 46)
_numbers = itertools.count(1)


@dataclass
class Shown:
    """The masks that came last. masks: bool [H, W] each. frame: theirs, if it was still kept when they came.

    time_ns: the stamp of their image, or when they came if the camera does not stamp. points: pixels of a click.
    """

    masks: list[np.ndarray]
    names: list[str]
    stamp_ns: int
    time_ns: int
    frame: Frame | None
    size: tuple[int, int]
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    overlay: RawMessage | None = None
    number: int = field(default_factory=lambda: next(_numbers))


class ViewPictures:
    """Thread-safe. live: the newest camera frame, with the last masks as what they are there: old. result: the last
    masks on the frame they belong to. depth: the newest depth image in colors.

    max_width: of a picture, px. outline_s: how long the outline of an old mask stays on the live picture, s.
    """

    def __init__(
        self, images: FrameStore, depth: FrameStore, *, now_ns: Callable[[], int], max_width: int, outline_s: float
    ) -> None:
        self._images, self._depth, self._now_ns = images, depth, now_ns
        self._max_width, self._outline_s = max_width, outline_s
        self._shown: Shown | None = None
        self._span: tuple[float, float] | None = None
        self._locks = {name: threading.Lock() for name in ("live", "result", "depth")}
        self._done: dict[str, tuple[Any, Picture | None]] = {}
        self._live_mask = NO_MASK

    def show(
        self,
        masks: Sequence[Any],
        names: Sequence[str],
        stamp_ns: int,
        *,
        points: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
    ) -> None:
        """masks: `sensor_msgs/Image`, mono8. stamp_ns: of their image. Raises BadRequest for a mask that is no mask."""
        arrays = [image_to_rgb(mask)[:, :, 0] != 0 for mask in masks]
        before, frame = self._shown, self._find(stamp_ns)
        if frame is None and before is not None and stamp_ns and before.stamp_ns == stamp_ns:
            frame = before.frame  # the node still has this one encoded, and we keep it too
        overlay = before.overlay if before is not None and before.stamp_ns == stamp_ns else None
        size = arrays[0].shape if arrays else (0, 0)
        self._shown = Shown(
            arrays, list(names), stamp_ns, stamp_ns or self._now_ns(), frame, size, list(points), list(labels), overlay
        )

    def overlay(self, message: RawMessage, stamp_ns: int) -> bool:
        """The node's own drawing has come. True when it is needed: it belongs to the masks and their frame is gone."""
        shown = self._shown
        if shown is None or shown.stamp_ns != stamp_ns or shown.frame is not None:
            return False
        shown.overlay = message
        return True

    @property
    def depth_span_m(self) -> tuple[float, float] | None:
        """What the colors of the last depth picture mean: nearest and farthest, m. None = it has no depth."""
        return self._span

    def age_s(self) -> float:
        """Seconds since the image of the last masks; 0 without any."""
        return max(0.0, (self._now_ns() - self._shown.time_ns) / NS) if self._shown is not None else 0.0

    def get(self, name: str) -> Picture | None:
        """A picture, or None when there is nothing to show. Drawn once, however many ask."""
        draw = {"live": self._live, "result": self._result, "depth": self._depth_picture}[name]
        with self._locks[name]:
            key = self._key(name)
            if name not in self._done or self._done[name][0] != key:
                try:
                    rgb = draw()
                except LLaVASegError:  # a frame that cannot be read: the node reports it
                    rgb = None
                mask = self._live_mask if name == "live" else FRESH_MASK if name == "result" else NO_MASK
                picture = None if rgb is None else Picture(jpeg_bytes(rgb, quality=JPEG_QUALITY), mask)
                self._done[name] = (key, picture)
            return self._done[name][1]

    def _key(self, name: str) -> Any:
        frame = {"live": self._images.newest, "depth": self._depth.newest, "result": None}[name]
        shown = self._shown if name != "depth" else None
        return (frame and frame.number, shown and (shown.number, shown.overlay is None))

    def _live(self) -> np.ndarray | None:
        frame, shown = self._images.newest, self._shown
        self._live_mask = NO_MASK
        if frame is None:
            return None
        if shown is None or not shown.masks:
            return self._small(_rgb(frame))
        behind_s = ((frame.stamp_ns or frame.arrived_ns) - shown.time_ns) / NS
        if shown.frame is not None and abs(behind_s) <= FRESH_S and not shown.points:
            self._live_mask = FRESH_MASK
            return self._small(viz.draw_overlay(_rgb(shown.frame), shown.masks, shown.names))
        if not 0 <= behind_s <= self._outline_s:
            return self._small(_rgb(frame))
        self._live_mask = OLD_MASK
        return self._small(drawing.draw_old_masks(_rgb(frame), shown.masks, behind_s))

    def _result(self) -> np.ndarray | None:
        shown = self._shown
        if shown is None:
            return None
        if shown.frame is not None:
            ground = _rgb(shown.frame)
        elif shown.overlay is not None:
            ground = to_rgb(shown.overlay.fields())
            if not shown.points:
                return self._small(ground)  # drawn already
            ground = (ground // 3).astype(np.uint8)
        elif shown.masks:
            ground = np.full((*shown.size, 3), _GROUND, np.uint8)
            ground = viz.label(ground, "this frame is not kept any more", (6, shown.size[0] - 6), (90, 96, 108))
        else:
            return None
        fitting = [mask for mask in shown.masks if mask.shape == ground.shape[:2]]
        picture = viz.draw_overlay(ground, fitting, shown.names)
        if shown.points:
            picture = drawing.draw_points(picture, shown.points, shown.labels)
        return self._small(picture)

    def _depth_picture(self) -> np.ndarray | None:
        frame = self._depth.newest
        if frame is None:
            return None
        depth_m = to_depth_m(frame.msg.fields())
        self._span = drawing.depth_range(depth_m, self._span)
        return self._small(drawing.colorize_depth(depth_m, self._span or (0.0, 1.0)))

    def _find(self, stamp_ns: int) -> Frame | None:
        if not stamp_ns:
            return None
        try:
            return self._images.read_stamp(stamp_ns, self._now_ns(), 0.0)
        except LLaVASegError:
            return None

    def _small(self, rgb: np.ndarray) -> np.ndarray:
        """Not wider than max_width, before any text is written under it."""
        height, width = rgb.shape[:2]
        if width <= self._max_width:
            return rgb
        size = (self._max_width, max(1, round(height * self._max_width / width)))
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def _rgb(frame: Frame) -> np.ndarray:
    msg = frame.msg.fields() if isinstance(frame.msg, RawMessage) else frame.msg
    return to_rgb(msg, copy=False)
