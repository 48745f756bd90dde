# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Isaac Manipulator's action `SegmentAnything`, served by this package in place of its own server.

Their graph sends a point or a box and wants one detection and its mask. Two sources: `prompt` has the node `llavaseg`
segment at that point or box; `target` gives what the last command in words meant, and the hint is not looked at.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup

from llavaseg_ros.bridges import interfaces
from llavaseg_ros.bridges.boxes import image_age_s
from llavaseg_ros.bridges.vision import detection_2d, identity_of
from llavaseg_ros.errors import BadRequest, ErrorCode, LLaVASegError, StaleImage
from llavaseg_ros.msg import TargetMaskArray
from llavaseg_ros.ros.actions import DeferredActionServer
from llavaseg_ros.srv import SegmentAtPrompt

SOURCES = ("prompt", "target")
LARGEST_PX = 100_000


def prompt_of_goal(goal: Any) -> SegmentAtPrompt.Request:
    """A `SegmentAnything` goal as a request for `~/segment_at_prompt`: its point, or its box (turned ones: the upright
    box around them). Raises BadRequest for numbers that are not finite, and for a box without a size.
    """
    request = SegmentAtPrompt.Request(newest_image=True)  # their graph has no command that would have had one encoded
    if goal.use_point_hint:
        point = goal.initial_hint_point
        _check_numbers("initial_hint_point", point.x, point.y)
        request.points = [_point(point.x, point.y)]
        request.labels = [SegmentAtPrompt.Request.FOREGROUND]
        return request
    box = goal.initial_hint_bbox
    x, y, theta = box.center.position.x, box.center.position.y, box.center.theta
    _check_numbers("initial_hint_bbox", x, y, theta, box.size_x, box.size_y)
    if box.size_x <= 0 or box.size_y <= 0:
        raise BadRequest(f"initial_hint_bbox: {box.size_x:g}x{box.size_y:g} px; expected both sides above 0")
    across, down = abs(math.cos(theta)), abs(math.sin(theta))
    width = across * box.size_x + down * box.size_y
    height = down * box.size_x + across * box.size_y
    left, top = max(0, math.floor(x - width / 2)), max(0, math.floor(y - height / 2))
    right, bottom = math.ceil(x + width / 2), math.ceil(y + height / 2)
    if right <= left or bottom <= top:
        raise BadRequest(f"initial_hint_bbox: lies left of or above the image (center {x:g}, {y:g} px)")
    request.box.x_offset, request.box.y_offset = left, top
    request.box.width, request.box.height = right - left, bottom - top
    return request


def result_of(target: Any, header: Any, identity: str, action: Any, types: Any) -> Any:
    """A `SegmentAnything` result of one TargetMask. action: its class. types: the module vision_msgs.msg."""
    result = action.Result()
    result.detection = detection_2d(target, header, identity, types)
    result.segmentation_mask = target.mask
    return result


def check_age(header: Any, now_ns: int, max_age_s: float) -> None:
    """Raise StaleImage when a header's stamp is older than this; max_age_s 0: any age will do."""
    age_s = image_age_s(header, now_ns)
    if max_age_s and age_s > max_age_s:
        raise StaleImage(
            f"the mask is of an image {age_s:.1f} s old, at most {max_age_s:g} s are allowed (isaac.max_image_age_s)"
        )


def _point(x: float, y: float) -> Any:
    from geometry_msgs.msg import Point32

    return Point32(x=float(x), y=float(y))


def _check_numbers(name: str, *values: float) -> None:
    if not all(math.isfinite(value) and abs(value) < LARGEST_PX for value in values):
        raise BadRequest(f"{name}: {', '.join(f'{value:g}' for value in values)}; expected pixels of the image")


class IsaacBridge:
    """Serves the action under the name that Isaac Manipulator's servers call, `segment_anything`.

    Parameters: isaac.action_name, isaac.source, isaac.max_image_age_s. A goal that cannot be served is aborted, and the
    log says why.
    """

    def __init__(self, node: Any, settings: dict[str, Any]) -> None:
        self._action = interfaces("isaac", "isaac_manipulator_interfaces", "action").SegmentAnything
        self._types = interfaces("isaac", "vision_msgs")
        self._node, self._source = node, settings["isaac.source"]
        self._max_age_s = settings["isaac.max_image_age_s"]
        if self._source not in SOURCES:
            raise ValueError(f"isaac.source: got {self._source!r}, expected one of {', '.join(SOURCES)}")
        self._masks: TargetMaskArray | None = None
        self._lock = threading.Lock()
        self._running: dict[bytes, Any] = {}  # by goal id: a goal handle cannot be hashed
        group = ReentrantCallbackGroup()
        self._prompt = node.create_client(SegmentAtPrompt, "llavaseg/segment_at_prompt", callback_group=group)
        self._server = DeferredActionServer(
            node, self._action, settings["isaac.action_name"], accepted=self._accepted, cancel=self._cancel
        )

    def on_masks(self, masks: TargetMaskArray) -> None:
        """Keep the last one for the source `target`."""
        self._masks = masks

    def close(self) -> None:
        """End the goals that are still waiting for the node."""
        for handle in list(self._running.values()):
            self._fail(handle, LLaVASegError("the bridge is shutting down"))

    def _accepted(self, handle: Any, _: float) -> None:
        self._server.begin(handle)
        with self._lock:
            self._running[bytes(handle.goal_id.uuid)] = handle
        try:
            if self._source == "target":
                self._give_target(handle)
            else:
                self._ask(handle)
        except LLaVASegError as error:
            self._fail(handle, error)

    def _cancel(self, handle: Any) -> None:
        if self._take(handle):
            self._server.end(handle, self._action.Result(), succeeded=False, canceled=True)

    def _give_target(self, handle: Any) -> None:
        masks = self._masks
        if masks is None or not masks.targets:
            raise LLaVASegError("no command has found a target, or it is not in view any more (isaac.source is target)")
        self._succeed(handle, masks.targets[0], masks.header, identity_of(masks, masks.targets[0]))

    def _ask(self, handle: Any) -> None:
        request = prompt_of_goal(handle.request)
        if not self._prompt.service_is_ready():
            raise LLaVASegError(f"the node llavaseg is not there: no service {self._prompt.srv_name}")
        self._prompt.call_async(request).add_done_callback(lambda future: self._answered(handle, future))

    def _answered(self, handle: Any, future: Any) -> None:
        try:
            response = future.result()
            if response is None:
                raise LLaVASegError("the node llavaseg gave no response")
            if response.error_code not in (ErrorCode.NONE, ErrorCode.NO_DEPTH):  # the mask is all that is wanted
                raise LLaVASegError(f"{ErrorCode(response.error_code).name}: {response.error_msg}")
            self._succeed(handle, response.target, response.header, "0")
        except Exception as error:
            self._fail(handle, error)

    def _succeed(self, handle: Any, target: Any, header: Any, identity: str) -> None:
        check_age(header, self._node.get_clock().now().nanoseconds, self._max_age_s)
        if not target.area_px:
            raise LLaVASegError("EMPTY_MASK: no pixel could be given to the object")
        result = result_of(target, header, identity, self._action, self._types)
        if self._take(handle):
            self._server.end(handle, result, succeeded=True, canceled=False)

    def _fail(self, handle: Any, error: Exception) -> None:
        if self._take(handle):
            self._node.get_logger().error(f"segment_anything: {error}")
            self._server.end(handle, self._action.Result(), succeeded=False, canceled=False)

    def _take(self, handle: Any) -> bool:
        """True once for each goal: whoever gets it ends the goal."""
        with self._lock:
            return self._running.pop(bytes(handle.goal_id.uuid), None) is not None
