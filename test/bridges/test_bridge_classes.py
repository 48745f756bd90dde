# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The bridges at work without the packages of other stacks: their messages and the node's ends are stand-ins here.

test_bridges_node.py does the same over DDS, where the packages are.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from rclpy.task import Future
from stand_ins import checked, package
from target_messages import header, masks, target
from test_bridges import goal

from llavaseg_ros.bridges import isaac, moveit, vision
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.srv import SegmentAtPrompt

NOW_NS = 102 * 10**9


class StandInNode:
    """Keeps what is published and logged."""

    def __init__(self, **parameters: Any) -> None:
        self.sent: dict[str, list[Any]] = {}
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.parameters = {"moveit.hold": False, **parameters}
        self.client = SimpleNamespace(ready=True, requests=[], futures=[], srv_name="llavaseg/segment_at_prompt")
        self.client.service_is_ready = lambda: self.client.ready
        self.client.call_async = self._call

    def create_publisher(self, _: Any, topic: str, __: Any) -> Any:
        sent = self.sent.setdefault(topic, [])
        return SimpleNamespace(publish=sent.append)

    def create_client(self, *_: Any, **__: Any) -> Any:
        return self.client

    def get_parameter(self, name: str) -> Any:
        return SimpleNamespace(value=self.parameters[name])

    def get_logger(self) -> Any:
        return SimpleNamespace(error=self.errors.append, warning=lambda text, **_: self.warnings.append(text))

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=NOW_NS))

    def _call(self, request: Any) -> Future:
        self.client.requests.append(request)
        self.client.futures.append(Future())
        return self.client.futures[-1]


class StandInServer:
    """An action server as the bridge uses it; keeps how goals ended."""

    def __init__(self, node: Any, action: Any, name: str, *, accepted: Any, cancel: Any) -> None:
        self.name, self.accepted, self.cancel = name, accepted, cancel
        self.ended: list[tuple[Any, bool, bool]] = []

    def begin(self, handle: Any) -> None:
        handle.begun = True

    def end(self, handle: Any, result: Any, *, succeeded: bool, canceled: bool) -> None:
        self.ended.append((result, succeeded, canceled))


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    def interfaces(bridge: str, name: str, kind: str = "msg") -> Any:
        if kind == "action":
            return SimpleNamespace(SegmentAnything=SimpleNamespace(Result=SimpleNamespace))
        return package(name)

    for module in (vision, moveit, isaac):
        monkeypatch.setattr(module, "interfaces", interfaces)
    monkeypatch.setattr(isaac, "DeferredActionServer", StandInServer)


def test_detections_go_out_for_every_message_also_empty() -> None:
    node = StandInNode()
    bridge = vision.VisionBridge(node, {})
    for message in (masks(target()), masks(sec=200)):
        bridge.on_masks(message)
    for topic in ("~/detections_2d", "~/detections_3d"):
        assert [len(array.detections) for array in node.sent[topic]] == [1, 0]
        assert node.sent[topic][1].header.stamp.sec == 200
        for array in node.sent[topic]:
            checked(array)


SETTINGS = {"moveit.object_id": "mug", "moveit.padding_m": 0.0, "moveit.max_image_age_s": 5.0}


def test_the_scene_is_cleared_followed_held_and_cleared_again() -> None:
    node = StandInNode()
    bridge = moveit.MoveItBridge(node, SETTINGS)
    add, remove = package("moveit_msgs").CollisionObject.ADD, package("moveit_msgs").CollisionObject.REMOVE

    def news() -> list[tuple[int, str]]:
        came = [(change.operation, change.id) for change in node.sent["collision_object"]]
        node.sent["collision_object"].clear()
        return came

    bridge.on_masks(masks())
    assert news() == [(remove, "mug")]  # what an earlier run may have left
    bridge.on_masks(masks())
    assert news() == []
    bridge.on_masks(masks(target(), target(2)))
    assert news() == [(add, "mug"), (add, "mug_2")]
    node.parameters["moveit.hold"] = True
    bridge.on_masks(masks())
    bridge.close()
    assert news() == []
    node.parameters["moveit.hold"] = False
    bridge.on_masks(masks(target(geometry=False)))
    assert news() == [(remove, "mug"), (remove, "mug_2")]
    bridge.on_masks(masks(target()))
    bridge.close()
    assert news() == [(add, "mug"), (remove, "mug")]
    bridge.close()
    assert news() == []


@pytest.mark.parametrize(("most_s", "added"), [(5.0, False), (13.0, True), (0.0, True)])
def test_a_late_bridge_puts_no_old_target_into_the_scene(most_s: float, added: bool) -> None:
    node = StandInNode()
    bridge = moveit.MoveItBridge(node, {**SETTINGS, "moveit.max_image_age_s": most_s})
    types = package("moveit_msgs").CollisionObject
    bridge.on_masks(masks(target(), sec=90))
    (change,) = node.sent["collision_object"]
    assert (change.operation, change.id) == (types.ADD if added else types.REMOVE, "mug")
    assert len(node.warnings) == (0 if added else 1)
    assert all("12.0 s old" in text and "moveit.max_image_age_s" in text for text in node.warnings)
    bridge.on_masks(masks(target(), sec=101))
    assert node.sent["collision_object"][-1].operation == types.ADD


def test_old_masks_take_out_what_is_in_the_scene() -> None:
    node = StandInNode()
    bridge = moveit.MoveItBridge(node, SETTINGS)
    bridge.on_masks(masks(target(), target(2)))
    node.sent["collision_object"].clear()
    bridge.on_masks(masks(target(), target(2), sec=96))
    remove = package("moveit_msgs").CollisionObject.REMOVE
    assert [(one.operation, one.id) for one in node.sent["collision_object"]] == [(remove, "mug"), (remove, "mug_2")]


def test_an_object_needs_a_name() -> None:
    with pytest.raises(ValueError, match="moveit.object_id"):
        moveit.MoveItBridge(StandInNode(), {**SETTINGS, "moveit.object_id": " "})


def served(node: StandInNode, source: str = "prompt") -> tuple[isaac.IsaacBridge, StandInServer]:
    settings = {"isaac.source": source, "isaac.max_image_age_s": 5.0, "isaac.action_name": "segment_anything"}
    bridge = isaac.IsaacBridge(node, settings)
    return bridge, bridge._server  # type: ignore[return-value]


def handle(number: int = 1, **hint: Any) -> Any:
    request = goal(**(hint or {"point": (20.0, 20.0)}))
    return SimpleNamespace(goal_id=SimpleNamespace(uuid=bytes([number] * 16)), request=request, begun=False)


def response(sec: int = 100, **fields: Any) -> SegmentAtPrompt.Response:
    made = SegmentAtPrompt.Response(header=header(sec), target=target(geometry=False))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_a_goal_becomes_a_prompt_and_its_mask_the_result() -> None:
    node = StandInNode()
    _, server = served(node)
    one = handle(box=(50, 40, 0, 20, 10))
    server.accepted(one, 0.0)
    assert one.begun and server.name == "segment_anything"
    assert node.client.requests[0].box.width == 20
    assert not server.ended  # nothing waits meanwhile
    node.client.futures[0].set_result(response())
    ((result, succeeded, canceled),) = server.ended
    assert succeeded and not canceled
    assert result.segmentation_mask == target(geometry=False).mask
    assert result.detection.bbox.size_x == 12.0
    assert (result.detection.header.stamp.sec, result.detection.results[0].hypothesis.class_id) == (100, "red mug")


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (response(error_code=int(ErrorCode.BAD_REQUEST), error_msg="outside"), "BAD_REQUEST: outside"),
        (response(sec=90), r"12\.0 s old"),
        (response(target=target(area_px=0)), "EMPTY_MASK"),
        (None, "no response"),
        (RuntimeError("the service broke"), "the service broke"),
    ],
)
def test_an_answer_that_is_no_mask_of_now_aborts(answer: Any, match: str) -> None:
    node = StandInNode()
    _, server = served(node)
    server.accepted(handle(), 0.0)
    if isinstance(answer, Exception):
        node.client.futures[0].set_exception(answer)
    else:
        node.client.futures[0].set_result(answer)
    assert [ended[1:] for ended in server.ended] == [(False, False)]
    (told,) = node.errors
    assert told.startswith("segment_anything: ")
    assert re.search(match, told)


def test_hints_that_cannot_be_used_and_a_node_that_is_away_abort() -> None:
    node = StandInNode()
    _, server = served(node)
    server.accepted(handle(1, box=(0, 0, 0, 0, 0)), 0.0)
    node.client.ready = False
    server.accepted(handle(2), 0.0)
    assert [ended[1:] for ended in server.ended] == [(False, False)] * 2
    assert "initial_hint_bbox" in node.errors[0] and "llavaseg is not there" in node.errors[1]
    assert not node.client.requests


def test_a_cancelled_goal_ends_once_and_a_late_answer_is_nothing() -> None:
    node = StandInNode()
    bridge, server = served(node)
    first, second = handle(1), handle(2)
    server.accepted(first, 0.0)
    server.accepted(second, 0.0)
    server.cancel(first)
    assert [ended[1:] for ended in server.ended] == [(False, True)]
    node.client.futures[0].set_result(response())
    assert len(server.ended) == 1
    bridge.close()
    assert [ended[1:] for ended in server.ended[1:]] == [(False, False)]
    node.client.futures[1].set_result(response())
    assert len(server.ended) == 2


def test_the_target_of_the_last_command_is_given_until_it_is_gone() -> None:
    node = StandInNode()
    bridge, server = served(node, "target")
    server.accepted(handle(1), 0.0)
    bridge.on_masks(masks(target()))
    server.accepted(handle(2), 0.0)
    bridge.on_masks(masks(target(), sec=90))
    server.accepted(handle(3), 0.0)
    bridge.on_masks(masks(sec=101))
    server.accepted(handle(4), 0.0)
    assert [ended[1] for ended in server.ended] == [False, True, False, False]
    assert server.ended[1][0].detection.id == "c1.1"
    assert "s old" in node.errors[1] and "no command has found a target" in node.errors[2]
    assert not node.client.requests


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="isaac.source: got 'words', expected one of prompt, target"):
        served(StandInNode(), "words")
