# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which depth image belongs to a color image, and what a calibration means. No node in here."""

from __future__ import annotations

from typing import Any

import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from llavaseg_ros.errors import NoDepth
from llavaseg_ros.geometry import Intrinsics
from llavaseg_ros.ros.depth import DepthStore, intrinsics
from llavaseg_ros.ros.freshness import NS

NOW = 1_000 * NS
MS = 1_000_000


def filled(*after_ms: int, size: int = 10) -> DepthStore:
    """Depth images with stamps so long after NOW, in this order."""
    store = DepthStore(size)
    for number, after in enumerate(after_ms):
        store.put(number, NOW + after * MS, NOW)
    return store


def test_the_nearest_stamp_within_the_slop_belongs_to_an_image() -> None:
    store = filled(-40, -10, 30)
    assert store.nearest(NOW, 0.05).msg == 1 and store.nearest(NOW + 25 * MS, 0.05).msg == 2
    assert store.nearest(NOW, 0.010).msg == 1, "exactly the slop is near enough"
    with pytest.raises(NoDepth, match=r"stamp 1000\.000000000: the nearest one is 0\.010 s away; .* allows 0\.009 s"):
        store.nearest(NOW, 0.009)
    with pytest.raises(NoDepth, match="no depth image has come: is depth/image connected"):
        DepthStore().nearest(NOW, 1.0)


def test_ten_depth_images_are_kept() -> None:
    store = DepthStore()
    for number in range(20):
        store.put(number, NOW + number, NOW)
    assert len(store) == 10 and store.what == "depth image"


def test_the_one_that_is_expected_stays_when_it_has_left_the_ring() -> None:
    store = filled(0, 5, size=2)
    store.expect(NOW)
    for after in (100, 200, 300):
        store.put(after, NOW + after * MS, NOW)
    assert store.nearest(NOW, 0.05).msg == 0
    assert store.nearest(NOW + 300 * MS, 0.0).msg == 300, "the ring serves as ever"
    store.expect(NOW + 200 * MS)
    with pytest.raises(NoDepth):
        store.nearest(NOW, 0.05)


def test_the_one_that_is_expected_may_come_later_and_a_nearer_one_takes_its_place() -> None:
    store = DepthStore(1)
    store.expect(NOW)
    for after in (-30, -10, -20, 10, 500):
        store.put(after, NOW + after * MS, NOW)
    assert store.nearest(NOW, 0.05).msg == -10, "of two at the same distance the first stays"


def test_nothing_is_kept_before_something_is_expected_nor_after_a_clear() -> None:
    store = DepthStore(1)
    store.put("a", NOW, NOW)
    store.put("b", NOW + NS, NOW)
    with pytest.raises(NoDepth):
        store.nearest(NOW, 0.05)
    store.expect(NOW + NS)
    store.clear()
    with pytest.raises(NoDepth, match="no depth image has come"):
        store.nearest(NOW + NS, 0.05)
    store.put("c", NOW + NS, NOW)
    store.put("d", NOW + 2 * NS, NOW)
    with pytest.raises(NoDepth):
        store.nearest(NOW + NS, 0.05)
    assert store.put("e", NOW + 3 * NS, NOW).msg == "e"


class Waiting:
    """Runs `wait_nearest` on a clock of its own; `come` is put into the store at the first look at the clock after."""

    def __init__(self, store: DepthStore, *come_ms: int) -> None:
        self.store, self.come, self.now, self.looks = store, list(come_ms), 0.0, 0

    def clock(self) -> float:
        self.looks += 1
        self.now += 0.01
        if self.come and self.looks > 1:
            after = self.come.pop(0)
            self.store.put(f"late {after}", NOW + after * MS, NOW)
        return self.now

    def result(self, slop_s: float = 0.05) -> Any:
        return self.store.wait_nearest(NOW, slop_s, lambda: False, self.clock).msg


def test_the_very_moment_is_not_waited_for() -> None:
    waiting = Waiting(filled(-20, 0))
    assert waiting.result() == 1 and waiting.looks == 1


def test_a_later_frame_settles_that_the_nearest_is_here() -> None:
    waiting = Waiting(filled(-20, 30))
    assert waiting.result() == 0 and waiting.looks == 1


def test_a_frame_of_an_earlier_moment_is_taken_when_no_better_one_comes() -> None:
    waiting = Waiting(filled(-20))
    assert waiting.result() == 0 and waiting.looks > 2
    assert Waiting(filled(-20), -1).result() == "late -1"
    assert Waiting(filled(-20), 0).result() == "late 0"
    assert Waiting(filled(-20), 25).result() == 0
    assert Waiting(DepthStore(), 3).result() == "late 3"
    with pytest.raises(NoDepth, match="0.060 s away"):
        Waiting(filled(-60)).result()


def test_a_cancel_ends_the_wait_with_what_there_is() -> None:
    store = filled(-20)
    assert store.wait_nearest(NOW, 1000.0, lambda: True, lambda: 5.0).msg == 0


def info(**values: Any) -> CameraInfo:
    """A calibration of 64 x 48 px, K unlike P."""
    msg = CameraInfo(width=64, height=48)
    msg.k = [60.0, 0.5, 31.0, 0.25, 61.0, 24.0, 0.0, 0.0, 1.0]
    msg.p = [50.0, 0.5, 30.0, 7.0, 0.25, 51.0, 23.0, 8.0, 0.0, 0.0, 1.0, 9.0]
    for name, value in values.items():
        setattr(msg, name, value)
    return msg


def read(msg: CameraInfo, size: tuple[int, int] = (48, 64), *, rectified: bool = False) -> Intrinsics:
    return intrinsics(msg, "camera_info", size, rectified=rectified)


def test_k_and_d_or_p() -> None:
    lens = [0.1, 0.2, 0.3, 0.4, 0.5]
    msg = info(distortion_model="plumb_bob", d=lens)
    assert read(msg) == Intrinsics(64, 48, 60.0, 61.0, 31.0, 24.0, tuple(lens))
    assert read(msg, rectified=True) == Intrinsics(64, 48, 50.0, 51.0, 30.0, 23.0)


def test_binning_and_a_region_of_interest() -> None:
    region = RegionOfInterest(width=40, height=30, x_offset=10, y_offset=6)
    found = read(info(roi=region, binning_x=2, binning_y=3), (10, 20))
    assert found == Intrinsics(20, 10, 30.0, 61.0 / 3, 10.5, 6.0)
    assert read(info(binning_x=1, binning_y=1)) == read(info())
    assert read(info(roi=RegionOfInterest(width=0, height=0))) == read(info())
    assert read(info(width=0, height=0)) == read(info()), "some drivers leave the size out"
    for broken in (info(width=65), info(height=47), info(width=0), info(height=0), info(roi=region)):
        with pytest.raises(NoDepth, match=r"camera_info: is for images of \d+x\d+ px; they have 64x48"):
            read(broken)


@pytest.mark.parametrize("index", [0, 4])
@pytest.mark.parametrize("value", [0.0, -60.0])
def test_a_camera_that_is_not_calibrated(index: int, value: float) -> None:
    msg = info()
    msg.k[index] = value
    with pytest.raises(NoDepth, match="camera_info: focal lengths .* px; the camera is not calibrated"):
        read(msg)
    msg.k[index] = 0.5
    assert min(read(msg).fx, read(msg).fy) == 0.5


def test_numbers_that_are_those_of_no_camera() -> None:
    """Finite, and yet no pixel has a ray that a computer can hold."""
    tiny = info()
    tiny.k[0] = 1e-300
    far = info()
    far.p[2] = 1e300
    for msg, rectified, name in ((tiny, False, "K and D"), (far, True, "P")):
        with pytest.raises(NoDepth, match=f"^camera_info: {name} give pixels no ray; the camera is not calibrated"):
            read(msg, rectified=rectified)


@pytest.mark.parametrize("rectified", [False, True])
def test_numbers_that_are_not_finite(rectified: bool) -> None:
    for field, places in (("p", (0, 2, 5, 6)) if rectified else ("k", (0, 2, 4, 5)), ("d", (1,))):
        for place in places:
            msg = info(distortion_model="plumb_bob", d=[0.1, 0.1, 0.1, 0.1])
            getattr(msg, field)[place] = float("nan")
            if rectified and field == "d":
                assert not read(msg, rectified=True).distortion, "D does not count for rectified images"
                continue
            with pytest.raises(NoDepth, match="P holds" if rectified else "K or D holds"):
                read(msg, rectified=rectified)


@pytest.mark.parametrize(
    "model, count, taken",
    [
        ("", 0, 0),
        ("plumb_bob", 4, 4),
        ("plumb_bob", 5, 5),
        ("rational_polynomial", 8, 8),
        ("rational_polynomial", 12, 12),
        ("rational_polynomial", 14, 14),
        ("equidistant", 4, 4),
        # A driver that gives more coefficients than the model has, and none of them is zero.
        ("plumb_bob", 6, None),
        ("equidistant", 5, None),
        ("rational_polynomial", 15, None),
        # Too few.
        ("plumb_bob", 3, None),
        ("rational_polynomial", 7, None),
        ("equidistant", 3, None),
        ("", 2, None),
        ("kannala", 4, None),
    ],
)
def test_models_and_how_many_coefficients_they_take(model: str, count: int, taken: int | None) -> None:
    given = [0.01 * (1 + i) for i in range(count)]
    msg = info(distortion_model=model, d=given)
    if taken is None:
        with pytest.raises(
            NoDepth, match=f"distortion model {model!r} with {count} coefficients; expected one of plumb"
        ):
            read(msg)
        return
    for zeros in range(3):
        msg.d = given + [0.0] * zeros
        found = read(msg)
        assert found.distortion[:taken] == tuple(given) and not any(found.distortion[taken:])
        assert found.fisheye == (model == "equidistant")


def test_a_lens_of_zeros_is_none_whatever_its_model() -> None:
    for model in ("plumb_bob", "equidistant", "kannala"):
        found = read(info(distortion_model=model, d=[0.0] * 4))
        assert found.distortion == () and not found.fisheye
