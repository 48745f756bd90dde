# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the page knows besides its pictures."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer
from llavaseg_ros.view import state as view_state
from llavaseg_ros.view.state import HISTORY_LENGTH, ViewState
from llavaseg_ros.view.words import WORDS, in_words


def answer(command_id: str, text: str = "Here.", **fields: Any) -> Answer:
    return Answer(command_id=command_id, command="the mug", text=text, **{"final": True, **fields})


def test_every_error_code_has_words() -> None:
    assert set(WORDS) == set(ErrorCode)
    assert all(WORDS[code].endswith((".", "?")) for code in ErrorCode if code)
    assert in_words(3) == ("NOT_FOUND", WORDS[ErrorCode.NOT_FOUND])
    assert in_words(12345) == ("CODE 12345", WORDS[ErrorCode.UNKNOWN])


@pytest.mark.parametrize(
    ("code", "found", "status"),
    [
        (0, True, "done"),
        (0, False, "done"),
        (3, False, "done"),
        (5, True, "done"),
        (5, False, "failed"),
        (6, False, "failed"),
        (9, False, "canceled"),
    ],
)
def test_how_a_command_ended(code: int, found: bool, status: str) -> None:
    state = ViewState("/llavaseg")
    state.begin("a", "the mug", "page")
    state.answer(answer("a", error_code=code, error_msg="why", found=found), latency_s=1.0)
    record = state.snapshot()["record"]
    assert record["status"] == status
    assert (record["error"] is None) == (code == 0)


def test_a_latched_answer_that_comes_late_is_not_the_last_one() -> None:
    state = ViewState("/llavaseg")
    state.begin("new", "the cup", "page")
    state.answer(answer("old"), latency_s=1.0, age_s=100.0)
    assert state.snapshot()["record"]["id"] == "new"
    assert [record["id"] for record in state.history()] == ["new", "old"]


def test_the_history_is_bounded() -> None:
    state = ViewState("/llavaseg")
    for number in range(HISTORY_LENGTH + 20):
        state.begin(str(number), "the mug", "page")
    assert len(state.history()) == HISTORY_LENGTH
    assert state.history()[0]["id"] == str(HISTORY_LENGTH + 19)


def test_stages_follow_the_feedback() -> None:
    state = ViewState("/llavaseg")
    state.begin("a", "the mug", "page")
    for stage, text, elapsed_s in (
        ("QUEUED", "", 0.0),
        ("REASONING", "I", 0.5),
        ("REASONING", "I see", 0.9),
        ("SEGMENTING", "", 1.5),
    ):
        state.feedback("a", stage, text, elapsed_s)
    record = state.snapshot()["record"]
    assert record["partial"] == "I see"
    assert [(s["name"], s["since_s"], s["until_s"]) for s in record["stages"]] == [
        ("QUEUED", 0.0, 0.5),
        ("REASONING", 0.5, 1.5),
        ("SEGMENTING", 1.5, None),
    ]
    state.answer(answer("a"), latency_s=2.0)
    record = state.snapshot()["record"]
    assert [(s["name"], s["until_s"]) for s in record["stages"]][-1] == ("SEGMENTING", 2.0)
    assert record["partial"] == ""
    state.feedback("nobody", "QUEUED", "", 0.0)


def test_stages_that_are_overtaken_have_their_place() -> None:
    """Feedback and answer come on topics of their own, and an executor has several threads."""
    state = ViewState("/llavaseg")
    state.begin("a", "the mug", "page")
    assert state.snapshot()["record"]["stages"] == []
    state.feedback("a", "REASONING", "I see", 0.9)
    state.feedback("a", "QUEUED", "", 0.0)
    state.feedback("a", "REASONING", "I", 0.5)
    state.answer(answer("a"), latency_s=2.0)
    seen = state.history_version
    state.feedback("a", "SEGMENTING", "late", 1.5)
    assert state.history_version > seen
    record = state.snapshot()["record"]
    assert [(s["name"], s["since_s"], s["until_s"]) for s in record["stages"]] == [
        ("QUEUED", 0.0, 0.5),
        ("REASONING", 0.5, 1.5),
        ("SEGMENTING", 1.5, 2.0),
    ]
    assert (record["status"], record["partial"]) == ("done", "")


def test_partial_answers_of_a_command_by_topic() -> None:
    state = ViewState("/llavaseg")
    state.answer(answer("a", "I see", final=False), latency_s=0.5)
    record = state.snapshot()["record"]
    assert (record["status"], record["partial"], record["text"]) == ("running", "I see", "")
    state.answer(answer("a", "Here."), latency_s=1.0)
    assert state.snapshot()["record"]["text"] == "Here."
    assert len(state.history()) == 1


def test_a_node_that_falls_silent_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ViewState("/llavaseg")
    assert state.snapshot()["node"]["level"] == "silent"
    state.set_node("ok", "ready", {"follow state": "following"})
    assert (state.snapshot()["node"]["level"], state.snapshot()["follow"]) == ("ok", "following")
    monkeypatch.setattr(view_state, "SILENT_S", 0.01)
    time.sleep(0.02)
    said = state.snapshot()
    assert (said["node"]["level"], said["follow"]) == ("silent", "unknown")
    assert "nothing has been heard of /llavaseg for" in said["node"]["text"]


def test_a_command_that_fails_here_keeps_an_answer_that_came_before() -> None:
    state = ViewState("/llavaseg")
    state.begin("a", "the mug", "page")
    assert state.running() == ["a"]
    state.answer(answer("a"), latency_s=1.0)
    state.fail("a", ErrorCode.MODEL_NOT_READY, "went away")
    assert state.snapshot()["record"]["status"] == "done"
    assert state.running() == []


def test_waiting_ends_with_a_change() -> None:
    state = ViewState("/llavaseg")
    version = state.version
    assert state.wait(version, 0.01) == version
    state.new_picture("live")
    assert state.wait(version, 60.0) != version
    assert state.state_version == 0  # pictures alone do not make the state go out
