"""Faults of the camera: what it sends, when, and whether it sends at all."""

from __future__ import annotations

from typing import Any

from faults import fault
from ros_harness import picture

from llavaseg_ros.errors import ErrorCode


@fault(
    "the image changes its size in mid-stream",
    group="Camera",
    node="takes each frame at its own size",
    planner="each mask has the size of the image whose stamp it carries",
)
def test_size_changes(make_stack: Any) -> None:
    stack = make_stack()
    for height, width in ((48, 64), (30, 40), (60, 20), (48, 64)):
        stack.send_image(picture(height, width))
        done = stack.do("take the mug").result
        assert done.error_code == ErrorCode.NONE
        assert (done.masks.targets[0].mask.height, done.masks.targets[0].mask.width) == (height, width)
