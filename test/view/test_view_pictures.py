# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the page draws: an old mask never passes for a new one, and depth has the colors that its scale says."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from ros_harness import picture
from scripted_pipeline import red_mask
from std_msgs.msg import Header

from llavaseg_ros.images import jpeg_bytes
from llavaseg_ros.ros.cdr import RawMessage
from llavaseg_ros.ros.convert import depth_mm_to_image, depth_to_image, mask_to_image, rgb_to_image
from llavaseg_ros.ros.freshness import NS, FrameStore
from llavaseg_ros.ros.view_pictures import ViewPictures
from llavaseg_ros.view import drawing
from llavaseg_ros.viz import PALETTE

T0 = 1_000 * NS
SIZE = (240, 320)
BOX = (100, 80, 60, 50)  # x, y, width, height


def header(stamp_ns: int) -> Header:
    value = Header(frame_id="camera")
    value.stamp.sec, value.stamp.nanosec = divmod(stamp_ns, NS)
    return value


class Scene:
    """Pictures over stores that a test fills; the clock stands where the test puts it."""

    def __init__(self, **arguments: Any) -> None:
        self.now_ns = T0
        self.images, self.depth = FrameStore(5), FrameStore(1)
        values = {"max_width": 960, "outline_s": 10.0, **arguments}
        self.pictures = ViewPictures(self.images, self.depth, now_ns=lambda: self.now_ns, **values)

    def frame(self, stamp_ns: int, red: Any = BOX) -> np.ndarray:
        rgb = picture(*SIZE, red)
        self.images.put(rgb_to_image(rgb, header(stamp_ns)), stamp_ns, stamp_ns)
        self.now_ns = max(self.now_ns, stamp_ns)
        return rgb

    def show(self, stamp_ns: int, *masks: np.ndarray, **arguments: Any) -> None:
        names = [f"thing {number}" for number in range(len(masks))]
        self.pictures.show([mask_to_image(mask, header(stamp_ns)) for mask in masks], names, stamp_ns, **arguments)

    def get(self, name: str) -> np.ndarray:
        shown = self.pictures.get(name)
        assert shown is not None
        rgb = np.asarray(cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_COLOR))[:, :, ::-1]
        return rgb.astype(int)

    @property
    def live_mask(self) -> str:
        shown = self.pictures.get("live")
        assert shown is not None
        return shown.mask


def share_changed(picture_now: np.ndarray, rgb: np.ndarray, region: np.ndarray) -> float:
    """Share of a region's pixels that are clearly not those of the camera, JPEG being what it is."""
    plain = np.asarray(cv2.imdecode(np.frombuffer(jpeg_bytes(rgb), np.uint8), cv2.IMREAD_COLOR))[:, :, ::-1]
    return float((np.abs(picture_now - plain.astype(int)).max(axis=2) > 30)[region].mean())


def inside(mask: np.ndarray, margin: int = 8) -> np.ndarray:
    """The region without its rim."""
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * margin + 1,) * 2)) > 0


def test_a_mask_of_the_newest_frame_is_drawn_in_full() -> None:
    scene = Scene()
    rgb = scene.frame(T0)
    mask = red_mask(rgb)
    scene.show(T0, mask)
    for name in ("live", "result"):
        assert share_changed(scene.get(name), rgb, inside(mask)) > 0.9, name
    assert scene.live_mask == "fresh"


def test_a_mask_that_lags_a_little_is_drawn_on_its_own_frame() -> None:
    """Following: the thing has moved on since; the mask must not lie beside it."""
    scene = Scene()
    rgb = scene.frame(T0)
    scene.frame(T0 + NS // 10, red=(200, 80, 60, 50))
    scene.show(T0, red_mask(rgb))
    live = scene.get("live")
    assert share_changed(live, rgb, inside(red_mask(rgb))) > 0.9
    moved = inside(red_mask(picture(*SIZE, (200, 80, 60, 50))))
    assert share_changed(live, rgb, moved) < 0.05  # the old frame, without the thing at its new place


def test_an_old_mask_is_a_dashed_outline_with_its_age_on_the_new_frame() -> None:
    scene = Scene()
    old = scene.frame(T0)
    mask = red_mask(old)
    scene.show(T0, mask)
    rgb = scene.frame(T0 + 3 * NS, red=None)
    live = scene.get("live")
    assert scene.live_mask == "old"
    assert share_changed(live, rgb, inside(mask)) == 0.0  # no tint, and the new frame under it
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))).astype(bool) & ~inside(mask, 2)
    assert 0.15 < share_changed(live, rgb, rim) < 0.85  # dashes
    corner = np.zeros(SIZE, bool)
    corner[-30:, :90] = True
    assert share_changed(live, rgb, corner) > 0.15  # "mask from 3.0 s ago"
    # The result stays what it was, on its own frame.
    assert share_changed(scene.get("result"), old, inside(mask)) > 0.9


def test_after_a_while_the_outline_goes_too() -> None:
    scene = Scene(outline_s=10.0)
    scene.show(T0, red_mask(scene.frame(T0)))
    rgb = scene.frame(T0 + 11 * NS, red=None)
    assert share_changed(scene.get("live"), rgb, np.ones(SIZE, bool)) == 0.0
    assert scene.live_mask == "none"


def test_no_target_takes_the_last_outline_away() -> None:
    scene = Scene()
    scene.show(T0, red_mask(scene.frame(T0)))
    rgb = scene.frame(T0 + 3 * NS)
    assert share_changed(scene.get("live"), rgb, np.ones(SIZE, bool)) > 0.0
    scene.show(T0 + 3 * NS)
    for name in ("live", "result"):
        assert share_changed(scene.get(name), rgb, np.ones(SIZE, bool)) == 0.0, name


def test_a_mask_of_another_size_is_left_out() -> None:
    scene = Scene()
    scene.show(T0, np.ones((48, 64), bool))
    rgb = scene.frame(T0 + NS)
    assert share_changed(scene.get("live"), rgb, np.ones(SIZE, bool)) == 0.0


def test_a_mask_whose_frame_is_gone_is_shown_without_the_camera_until_the_overlay_comes() -> None:
    scene = Scene()
    rgb = scene.frame(T0)
    for number in range(1, 8):
        scene.frame(T0 + number * NS)
    scene.show(T0, red_mask(rgb))
    alone = scene.get("result")
    background = ~inside(np.asarray(cv2.dilate(red_mask(rgb).astype(np.uint8), np.ones((61, 61))) > 0), 0)
    background[-40:] = False  # "this frame is not kept any more"
    assert alone[background].max() < 70
    overlay = np.full((*SIZE, 3), 200, np.uint8)
    from rclpy.serialization import serialize_message

    def message(stamp_ns: int) -> RawMessage:
        msg = rgb_to_image(overlay, header(stamp_ns))
        return RawMessage(serialize_message(msg), type(msg))

    assert not scene.pictures.overlay(message(T0 + NS), T0 + NS)  # of another result
    assert scene.pictures.overlay(message(T0), T0)
    assert abs(scene.get("result") - 200).max() < 8


def test_the_frame_of_the_last_result_is_kept_for_clicks() -> None:
    scene = Scene()
    rgb = scene.frame(T0)
    scene.show(T0, red_mask(rgb))
    for number in range(1, 8):
        scene.frame(T0 + number * NS, red=None)
    scene.show(T0, red_mask(rgb), points=[(20.0, 30.0), (300.0, 200.0)], labels=[1, 0])
    result = scene.get("result")
    assert share_changed(result, rgb, inside(red_mask(rgb))) > 0.9
    green, red = result[26:35, 16:25].reshape(-1, 3), result[196:205, 296:305].reshape(-1, 3)
    assert (green[:, 1] > green[:, 0] + 40).mean() > 0.3
    assert (red[:, 0] > red[:, 1] + 40).mean() > 0.3


def test_age_counts_from_the_stamp_of_the_image() -> None:
    scene = Scene()
    scene.show(T0 - 4 * NS, np.ones(SIZE, bool))
    assert scene.pictures.age_s() == pytest.approx(4.0)
    scene.now_ns += 2 * NS
    assert scene.pictures.age_s() == pytest.approx(6.0)


def test_nothing_yet() -> None:
    scene = Scene()
    assert [scene.pictures.get(name) for name in ("live", "result", "depth")] == [None] * 3


def test_a_broken_frame_is_no_picture_and_the_next_one_is() -> None:
    scene = Scene()
    msg = rgb_to_image(picture(*SIZE), header(T0))
    msg.encoding = "nonsense"
    scene.images.put(msg, T0, T0)
    assert scene.pictures.get("live") is None
    scene.frame(T0 + NS)
    assert scene.get("live").shape == (*SIZE, 3)


def test_pictures_are_drawn_once_and_made_no_larger_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(max_width=160)
    scene.frame(T0)
    assert scene.get("live").shape == (120, 160, 3)
    first = scene.pictures.get("live")
    assert scene.pictures.get("live") is first
    scene.frame(T0 + NS)
    assert scene.pictures.get("live") is not first


# --- depth ---


def test_depth_near_is_red_far_is_blue_and_none_is_gray() -> None:
    scene = Scene()
    depth_mm = np.zeros(SIZE, np.uint16)
    depth_mm[:, :100], depth_mm[:, 100:200] = 600, 1400
    from rclpy.serialization import serialize_message

    msg = depth_mm_to_image(depth_mm, header(T0))
    scene.depth.put(RawMessage(serialize_message(msg), type(msg)), T0, T0)
    shown = scene.get("depth")
    near, far, none = (shown[20:-20, a:b].reshape(-1, 3).mean(axis=0) for a, b in ((10, 90), (110, 190), (210, 310)))
    assert near[0] > near[2] + 80
    assert far[2] > far[0] + 80
    assert none.max() - none.min() < 15
    assert scene.pictures.depth_span_m == pytest.approx((0.6, 1.4), abs=0.051)


def test_depth_without_any_value() -> None:
    scene = Scene()
    msg = depth_to_image(np.full(SIZE, np.nan), header(T0))
    from rclpy.serialization import serialize_message

    scene.depth.put(RawMessage(serialize_message(msg), type(msg)), T0, T0)
    assert scene.get("depth").max() < 70
    assert scene.pictures.depth_span_m is None


def test_depth_range_keeps_still_and_follows_a_real_change() -> None:
    depth = np.linspace(0.5, 1.5, 10_000).reshape(100, 100)
    first = drawing.depth_range(depth)
    assert first is not None
    assert first == pytest.approx((0.5, 1.5), abs=0.06)
    assert drawing.depth_range(depth + 0.06, first) == first
    assert drawing.depth_range(depth + 1.0, first) == pytest.approx((1.5, 2.5), abs=0.06)
    flat = drawing.depth_range(np.full((10, 10), 0.8))
    assert flat is not None and flat[1] > flat[0]


def test_every_old_mask_has_its_color() -> None:
    rgb = np.full((*SIZE, 3), 60, np.uint8)
    one, two = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    one[20:80, 20:120], two[20:80, 180:280] = True, True
    drawn = drawing.draw_old_masks(rgb, [one, two], 2.0).astype(int)
    for half, color in ((drawn[:100, :150], PALETTE[0]), (drawn[:100, 150:], PALETTE[1])):
        assert (np.abs(half - np.array(color)).max(axis=2) < 60).any()
    assert (rgb == 60).all()


@pytest.mark.parametrize(("seconds", "text"), [(0.44, "0.4 s"), (-1, "0.0 s"), (12.3, "12 s"), (185, "3 min")])
def test_age_text(seconds: float, text: str) -> None:
    assert drawing.age_text(seconds) == text
