# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several targets and sessions over DDS: every target its mask and name, and conversations that do not mix."""

from __future__ import annotations

from typing import Any

import numpy as np
from ros_harness import wait_until
from scripted_pipeline import ScriptedPipeline, make_segment

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.sessions import MAX_SESSIONS, MAX_TURNS, Sessions
from llavaseg_ros.srv import ResetSession
from llavaseg_ros.types import Attributes, Referent, Result, Segment, Thought


def mugs(command: str, rgb: np.ndarray) -> Result | None:
    """Red and blue mug for "all the mugs"; the script's red mug for anything else."""
    if command != "all the mugs":
        return None
    left, right = np.zeros(rgb.shape[:2], bool), np.zeros(rgb.shape[:2], bool)
    left[8:20, 10:30], right[30:40, 40:60] = True, True
    named = ((left, "red mug", "left"), (right, "blue mug", "right"))
    segments = [
        Segment(mask, 0.9, make_segment(mask).roi, name, Attributes(name.split()[0], "", place))
        for mask, name, place in named
    ]
    thought = Thought("red mug", Attributes("red"), "Two.", found=True)
    return Result(command, thought, "Two.", True, tuple(segments), 0.9, {})


def test_every_target_has_its_name_and_its_pixels(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(on_segment=mugs), max_targets=10)
    stack.send_image()
    targets = stack.do("all the mugs").result.masks.targets
    assert [(t.id, t.label, t.color, t.location) for t in targets] == [
        (1, "red mug", "red", "left"),
        (2, "blue mug", "blue", "right"),
    ]
    masks = [np.frombuffer(t.mask.data, np.uint8).reshape(t.mask.height, t.mask.step) > 0 for t in targets]
    assert all(mask.any() for mask in masks) and not (masks[0] & masks[1]).any()
    assert stack.pipeline.limits == [10]
    assert [t.label for t in stack.do("all the mugs", max_targets=1).result.masks.targets] == ["red mug"]
    assert stack.pipeline.limits == [10, 1]


def test_sessions_know_their_own_target(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(on_segment=mugs), session__history_length=3)
    stack.send_image()
    for session, text in (("a", "all the mugs"), ("b", "How many?"), ("a", "next"), ("b", "next"), ("c", "next")):
        stack.ask(text, session_id=session)
    lasts = stack.pipeline.lasts
    assert lasts[0] is lasts[1] is None
    assert lasts[2] == Referent("red mug", Attributes("red", "", "left"), (10 / 64, 8 / 48, 30 / 64, 20 / 48))
    assert lasts[3] is None and lasts[4] is None  # b asked a question only, c is new

    assert stack.call(ResetSession, "llavaseg/reset_session", ResetSession.Request(session_id="a")).success
    stack.ask("next", session_id="a")
    assert stack.pipeline.lasts[-1] is None and stack.pipeline.histories[-1] == []
    stack.ask("next", session_id="b")
    assert stack.pipeline.lasts[-1] is not None  # resetting a left b alone


def test_what_is_not_found_leaves_the_last_target(make_stack: Any) -> None:
    stack = make_stack(session__history_length=2)
    stack.send_image()
    stack.ask("the mug")
    assert stack.ask("the banana").error_code == ErrorCode.NOT_FOUND
    stack.ask("the other one")
    assert stack.pipeline.lasts[-1].label == "red mug"
    for _ in range(2):
        stack.ask("the banana")
    stack.ask("the other one")
    assert stack.pipeline.lasts[-1] is None  # longer ago than two turns


def test_no_history_no_target(make_stack: Any) -> None:
    stack = make_stack(session__history_length=0)
    stack.send_image()
    for text in ("the mug", "the other one"):
        stack.ask(text)
    assert stack.pipeline.lasts == [None, None]


def test_looking_again_in_follow_mode_knows_what_the_command_referred_to(make_stack: Any) -> None:
    stack = make_stack(session__history_length=3, follow__enabled=True, follow__relook_after_s=0.1)
    stack.send_image()
    stack.ask("the mug")
    stack.ask("the other one")
    said = stack.pipeline.lasts[1]
    assert said is not None
    black = np.zeros((48, 64, 3), np.uint8)
    wait_until(lambda: stack.send_image(black) and len(stack.pipeline.lasts) > 2, what="another look")
    assert stack.pipeline.commands[2] == "the other one" and stack.pipeline.lasts[2] == said


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    for number in range(MAX_SESSIONS + 5):
        sessions.add(f"s{number}", "hello", "hi")
    assert sessions.recall("s0", 5) == ([], None) and len(sessions.recall(f"s{MAX_SESSIONS}", 5)[0]) == 2
    for number in range(MAX_TURNS + 5):
        sessions.add("long", f"command {number}", "yes")
    said, target = sessions.recall("long", 50)
    assert len(said) == 2 * MAX_TURNS and said[0].text == "command 5" and target is None
    assert sessions.reset("*")[0] and sessions.recall("long", 50) == ([], None)
