# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `viewer` beside the node `llavaseg` with a scripted model, over real DDS and real HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from ros_harness import picture, spin_in_thread, wait_until
from scripted_pipeline import ScriptedPipeline, red_mask
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from view_room import Room

import llavaseg_ros.pipeline  # noqa: F401  (imports torch, which takes too long in the middle of a click)
from llavaseg_ros.errors import BadReply, BadRequest
from llavaseg_ros.msg import TargetMask, TargetMaskArray
from llavaseg_ros.nodes.viewer import SPECS, Viewer
from llavaseg_ros.ros import view_commands
from llavaseg_ros.ros.convert import depth_mm_to_image, mask_to_image
from llavaseg_ros.ros.qos import LATCHED
from llavaseg_ros.view.records import target_json
from llavaseg_ros.view.server import dump

MakeRoom = Callable[..., Room]


def test_a_command_from_the_page(make_room: MakeRoom) -> None:
    room = make_room(ScriptedPipeline(token_s=0.02))
    rgb = picture(240, 320, (100, 80, 60, 50))
    room.send_image(rgb)
    record = room.ask("the mug")
    assert (record["status"], record["text"], record["source"]) == ("done", "The red mug.", "page")
    assert record["error"] is None

    def all_told() -> Any:  # feedback comes on a topic of its own
        told = room.state["record"]
        return told if "SEGMENTING" in [stage["name"] for stage in told["stages"]] else None

    record = wait_until(all_told, what="the last stage")
    names = [stage["name"] for stage in record["stages"]]
    assert [names.index(name) for name in ("QUEUED", "REASONING", "SEGMENTING")] == sorted(
        names.index(name) for name in ("QUEUED", "REASONING", "SEGMENTING")
    )
    # The stages follow each other without a gap, and end with the answer.
    for one, two in zip(record["stages"], record["stages"][1:], strict=False):
        assert one["until_s"] == two["since_s"]
    reasoning = record["stages"][names.index("REASONING")]
    assert reasoning["until_s"] - reasoning["since_s"] >= 0.02
    assert record["stages"][-1]["until_s"] == pytest.approx(record["latency_s"])
    answer = wait_until(room.stack.final_answers, what="the answer, on its own topic")[0]
    assert record["id"] == answer.command_id
    masks = wait_until(lambda: room.state["masks"], what="the masks")
    (target,) = masks["targets"]
    assert (target["label"], target["color"], target["location"]) == ("red mug", "red", "front left")
    assert target["area_px"] == int(red_mask(rgb).sum())
    assert target["geometry"] is None
    wait_until(lambda: room.get("/frame/result.jpg").status == 200, what="the result")
    changed = np.abs(room.picture("result") - rgb.astype(int)).max(axis=2) > 30
    assert changed[90:120, 110:150].mean() > 0.9
    assert changed[180:, 200:].mean() < 0.05


def test_answers_that_are_no_target(make_room: MakeRoom) -> None:
    def reply(command: str, rgb: np.ndarray) -> None:
        if "mumble" in command:
            raise BadReply("the reply could not be read", raw="<b>hmpf</b>")

    room = make_room(ScriptedPipeline(on_segment=reply))
    room.send_image()
    missing = room.ask("the banana")
    assert (missing["status"], missing["error"]["name"], missing["error"]["calm"]) == ("done", "NOT_FOUND", True)
    assert missing["error"]["words"] == "The target is not in the image."
    question = room.ask("How many mugs are there?")
    assert (question["status"], question["error"], question["text"]) == ("done", None, "There is one mug.")
    broken = room.ask("mumble")
    assert (broken["status"], broken["error"]["name"], broken["error"]["calm"]) == ("failed", "BAD_REPLY", False)
    assert "<b>hmpf</b>" in broken["error"]["detail"]
    wait_until(lambda: room.state["masks"], what="the masks")
    assert room.state["masks"]["targets"] == []


def test_cancel_ends_the_command(make_room: MakeRoom) -> None:
    room = make_room(ScriptedPipeline(tokens=100_000, token_s=0.01))
    room.send_image()
    command_id = room.post("/api/command", text="the mug").json["id"]
    wait_until(lambda: "word2" in room.state["record"]["partial"], what="partial text")
    assert room.state["record"]["stages"][-1]["name"] == "REASONING"
    assert room.post("/api/cancel").json == {"canceled": 1}
    assert room.ended(command_id)["status"] == "canceled"
    assert room.stack.pipeline.cancelled == 1
    assert room.post("/api/cancel").json == {"canceled": 0}


def test_a_command_by_topic_is_shown_too(make_room: MakeRoom) -> None:
    room = make_room()
    room.send_image()
    answer = room.stack.ask("the mug")
    record = room.ended(answer.command_id)
    assert (record["command"], record["source"], record["text"]) == ("the mug", "topic", "The red mug.")
    assert record["stages"] == []


def test_what_was_said_before_the_viewer_came_is_not_shown_as_new(make_room: MakeRoom) -> None:
    room = make_room()
    room.send_image(age_s=40.0)
    room.stack.ask("the mug")
    late = Viewer(
        namespace=room.stack.namespace,
        context=room.stack.context,
        use_global_arguments=False,
        parameter_overrides=[Parameter("port", value=0)],
    )
    executor = MultiThreadedExecutor(2, context=room.stack.context)
    executor.add_node(late)
    spinner = spin_in_thread(executor)
    try:
        wait_until(lambda: late.state.masks is not None and late.state.history(), what="the latched result")
        assert late.state.snapshot()["masks"]["age_s"] > 39
        assert time.time() - late.state.history()[0]["at"] > 39
    finally:
        late.close()
        executor.shutdown(timeout_sec=20.0)
        late.destroy_node()
        spinner.join(20.0)


def test_follow_is_switched_and_followed_frames_are_shown(make_room: MakeRoom) -> None:
    room = make_room()
    room.send_image()
    room.ask("the mug")
    wait_until(room.viewer.commands._follow.service_is_ready, what="the service")
    assert room.post("/api/follow", enabled=True).status == 200
    assert room.stack.node.get_parameter("follow.enabled").value is True
    moved = picture(red=(40, 20, 20, 12))
    before = room.viewer.state.pictures().get("result", 0)
    room.send_image(moved)
    wait_until(lambda: room.viewer.state.pictures().get("result", 0) > before, what="the followed frame")
    wait_until(lambda: room.state["masks"]["targets"] and room.state["masks"]["age_s"] < 30, what="its mask")
    assert room.post("/api/follow", enabled=False).status == 200
    assert room.stack.node.get_parameter("follow.enabled").value is False


def test_a_click_segments_where_it_was_made(make_room: MakeRoom) -> None:
    room = make_room()
    rgb = picture(240, 320, None)
    room.send_image(rgb)
    wait_until(room.viewer.commands._prompt.service_is_ready, what="the service")
    reply = room.post("/api/prompt", points=[{"x": 0.25, "y": 0.75, "label": 1}])
    assert reply.status == 200, reply.body
    masks = room.state["masks"]
    assert masks["kind"] == "points"
    assert masks["targets"][0]["area_px"] == 25  # 5 x 5 px around the point, says the script
    shown = room.viewer.pictures._shown
    assert shown is not None
    assert np.argwhere(shown.masks[0]).mean(axis=0).tolist() == [180, 80]
    # The last pixel, and not the one after it.
    assert room.post("/api/prompt", points=[{"x": 1, "y": 1, "label": 1}]).status == 200


def test_what_the_node_says_of_a_click_is_told(make_room: MakeRoom) -> None:
    class Refusing(ScriptedPipeline):
        def segment_prompt(self, **_: Any) -> Any:
            raise BadRequest("points: outside of the image")

    room = make_room(Refusing())
    reply = room.post("/api/prompt", points=[{"x": 0.5, "y": 0.5, "label": 1}])
    assert (reply.status, reply.json["error"]) == (400, "point: no camera image has come yet")
    room.send_image()
    wait_until(room.viewer.commands._prompt.service_is_ready, what="the service")
    reply = room.post("/api/prompt", points=[{"x": 0.9, "y": 0.9, "label": 1}])
    assert reply.status == 400
    assert reply.json["error"] == "point: BAD_REQUEST: points: outside of the image"
    assert room.state["masks"] is None


@pytest.mark.parametrize(
    ("text", "said"), [(" ", "empty"), ("x" * 2001, "at most 2000"), ("a\x00b", "control characters")]
)
def test_commands_that_are_none(make_room: MakeRoom, text: str, said: str) -> None:
    room = make_room()
    reply = room.post("/api/command", text=text)
    assert (reply.status, said in reply.json["error"]) == (400, True)
    assert room.state["record"] is None


def test_without_the_node(make_room: MakeRoom) -> None:
    room = make_room(node="/somebody/else")
    for path, body in (
        ("/api/command", {"text": "the mug"}),
        ("/api/follow", {"enabled": True}),
    ):
        reply = room.post(path, **body)
        assert reply.status == 503
        assert "/somebody/else is not there" in reply.json["error"]
    state = room.state
    assert state["node"]["level"] == "silent"
    assert "nothing has been heard of /somebody/else" in state["node"]["text"]
    assert state["services"] == {"segment": False, "follow": False, "prompt": False}


def test_a_command_whose_node_goes_away_does_not_run_for_ever(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_commands, "GONE_S", 0.2)
    room = make_room(ScriptedPipeline(tokens=100_000, token_s=0.01))
    room.send_image()
    command_id = room.post("/api/command", text="the mug").json["id"]
    wait_until(lambda: room.stack.pipeline.started.is_set(), what="the command's start")

    class Gone:
        def server_is_ready(self) -> bool:
            return False

    monkeypatch.setattr(room.viewer.commands, "_action", Gone())
    record = room.ended(command_id)
    assert (record["status"], record["error"]["name"]) == ("failed", "MODEL_NOT_READY")
    assert "went away" in record["error"]["detail"]


def test_a_command_that_a_node_started_anew_does_not_know(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_commands, "IDLE_S", 0.2)
    monkeypatch.setattr(view_commands, "RECENT_S", 60.0)  # what is said below counts, however slow the machine is
    room = make_room(node="other")

    class There:
        def server_is_ready(self) -> bool:
            return True

    commands, state = room.viewer.commands, room.viewer.state
    monkeypatch.setattr(commands, "_action", There())
    commands._handles["k"] = None
    state.begin("k", "the mug", "page")

    def diagnostics(busy: str) -> None:
        state.set_node("ok", "", {"busy": busy, "queue length": "0"})
        commands.watch()
        time.sleep(0.3)
        commands.watch()

    diagnostics("true")
    assert state.running() == ["k"]
    diagnostics("false")
    assert "started again" in room.ended("k")["error"]["detail"]


def test_the_node_and_the_camera_are_described(make_room: MakeRoom) -> None:
    room = make_room()
    room.send_image(picture(48, 64))

    def described() -> Any:
        state = room.state
        return state if state["node"]["level"] == "ok" and state["camera"]["frame_id"] else None

    state = wait_until(described, what="the description")
    assert state["node"]["name"] == f"{room.stack.namespace}/llavaseg"
    assert state["node"]["values"]["model name"] == "scripted"
    assert (state["camera"]["width"], state["camera"]["height"]) == (64, 48)
    assert state["camera"]["frame_id"] == "camera_color_optical_frame"


def test_depth_is_shown(make_room: MakeRoom) -> None:
    room = make_room()
    depth = np.full((48, 64), 800, np.uint16)
    depth[:, 32:] = 1600
    publisher = room.stack.client.create_publisher(Image, "depth/image", 5)
    wait_until(lambda: publisher.get_subscription_count() >= 2, what="the subscriptions")

    def shown() -> bool:
        publisher.publish(depth_mm_to_image(depth, room.stack.header()))
        return room.get("/frame/depth.jpg").status == 200

    wait_until(shown, what="the depth picture")
    near, far = room.picture("depth")[8:40, 4:28].mean((0, 1)), room.picture("depth")[8:40, 36:60].mean((0, 1))
    assert near[0] > near[2] and far[2] > far[0]
    assert room.state["camera"]["depth_span_m"] == pytest.approx([0.8, 1.6], abs=0.051)


def test_the_node_draws_its_overlay_only_while_a_page_is_open(make_room: MakeRoom) -> None:
    room = make_room()
    topic = f"{room.stack.namespace}/llavaseg/overlay"
    time.sleep(1.5)  # longer than a round of housekeeping
    assert room.stack.client.count_subscribers(topic) == 0
    assert room.viewer.server.open_page()
    wait_until(lambda: room.stack.client.count_subscribers(topic) == 1, what="the subscription")
    room.viewer.server.close_page()
    wait_until(lambda: room.stack.client.count_subscribers(topic) == 0, what="its end")


def test_the_token_is_no_parameter(make_room: MakeRoom) -> None:
    """Parameters can be read by everybody on the ROS network."""
    room = make_room()
    names = [name for name in room.viewer._parameters if "token" in name]
    assert names == []
    assert all("token" not in spec.name for spec in SPECS)


# --- markers ---


def test_markers_follow_the_masks(make_room: MakeRoom) -> None:
    messages = pytest.importorskip("visualization_msgs.msg", reason="needs visualization_msgs")
    room = make_room(node="other")
    markers = room.stack.record(messages.MarkerArray, "viewer/markers")
    publisher = room.stack.client.create_publisher(TargetMaskArray, "other/masks", LATCHED)
    header = room.stack.header()
    targets = [make(header) for make in (box_target, flat_target, lost_target)]
    publisher.publish(TargetMaskArray(header=header, targets=targets))
    (array,) = markers.wait(1)
    clear, box, name = array.markers
    assert clear.action == messages.Marker.DELETEALL
    assert (box.type, box.action) == (messages.Marker.CUBE, messages.Marker.ADD)
    assert (box.scale.x, box.scale.y, box.scale.z) == (0.1, 0.08, 0.06)
    assert (box.pose.position.x, box.pose.position.z, box.pose.orientation.w) == (0.2, 0.9, 0.5)
    assert 0 < box.color.a < 1
    assert (name.type, name.text) == (messages.Marker.TEXT_VIEW_FACING, "red mug")
    assert name.pose.position.y < box.pose.position.y - 0.05  # above, in an optical frame
    for marker in (box, name):
        assert marker.header == header
    assert box.id != name.id
    publisher.publish(TargetMaskArray(header=room.stack.header()))
    assert [marker.action for marker in markers.wait(2)[1].markers] == [messages.Marker.DELETEALL]


def box_target(header: Any) -> TargetMask:
    target = TargetMask(id=1, label="red mug", has_geometry=True, depth_coverage=0.9)
    target.mask = mask_to_image(np.ones((48, 64), bool), header)
    target.centroid.header = header
    place, turn = target.centroid.pose.position, target.centroid.pose.orientation
    place.x, place.y, place.z = 0.2, 0.1, 0.9
    turn.x, turn.y, turn.z, turn.w = 0.5, 0.5, 0.5, 0.5
    target.size.x, target.size.y, target.size.z = 0.1, 0.08, 0.06
    return target


def test_what_is_no_number_does_not_reach_the_page() -> None:
    target = box_target(Header())
    assert target_json(target)["geometry"] == {
        "position_m": [0.2, 0.1, 0.9],
        "size_m": [0.1, 0.08, 0.06],
        "frame": "",
    }
    target.score, target.depth_coverage, target.size.y = float("nan"), float("inf"), float("nan")
    data = target_json(target)
    assert (data["score"], data["depth_coverage"], data["geometry"]) == (None, None, None)
    assert b"NaN" not in dump(data)


def flat_target(header: Any) -> TargetMask:
    """No geometry; its fields are whatever they are."""
    target = box_target(header)
    target.id, target.has_geometry = 2, False
    return target


def lost_target(header: Any) -> TargetMask:
    """Geometry without a number in it."""
    target = box_target(header)
    target.id, target.centroid.pose.position.x = 3, float("nan")
    return target
