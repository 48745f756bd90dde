# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""When the run asks a third time, and what it makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

from llavaseg_ros.pick.run import look
from llavaseg_ros.pick.second_look import SECOND, THIRD, turned


class Looks:
    """In place of the client: answers with the masks it is given, upright and by angle, and keeps what it was asked."""

    def __init__(self, upright: np.ndarray | None, **by_angle: np.ndarray | None) -> None:
        self.upright, self.by_angle = upright, by_angle
        self.asked: list[str] = []

    def ask(self, command: str, view: Any, timeout_s: float) -> Any:
        self.asked.append("upright")
        return self._result(self.upright)

    def ask_about(self, command: str, rgb: np.ndarray, timeout_s: float) -> Any:
        name = next(n for n, a in (("second", SECOND), ("third", THIRD)) if np.array_equal(rgb, turned(PICTURE, a)))
        self.asked.append(name)
        mask = self.by_angle[name]
        angle = SECOND if name == "second" else THIRD
        return self._result(None if mask is None else turned(mask.astype(np.uint8), angle) > 0)

    @staticmethod
    def _result(mask: np.ndarray | None) -> Any:
        targets = []
        if mask is not None:
            image = SimpleNamespace(height=mask.shape[0], width=mask.shape[1], data=mask.astype(np.uint8).tobytes())
            targets = [SimpleNamespace(mask=image)]
        return SimpleNamespace(error_code=0, masks=SimpleNamespace(targets=targets))


PICTURE = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("upright", "second", "third", "asked", "agreed"),
    [
        ("a", "a", "b", ["second", "upright"], (True, True)),
        ("a", "b", "a", ["second", "upright", "third", "upright"], (False, True)),
        ("a", None, "a", ["second", "upright", "third", "upright"], (False, True)),
        ("a", "b", "b", ["second", "upright", "third", "upright"], (False, False)),
        ("a", "b", None, ["second", "upright", "third", "upright"], (False, False)),
        (None, "b", "b", ["second", "upright"], (False, False)),
    ],
)
def test_a_third_look_where_two_differ(
    upright: str | None, second: str | None, third: str | None, asked: list[str], agreed: tuple[bool, bool]
) -> None:
    things: dict[str | None, np.ndarray | None] = {None: None}
    for name, left in (("a", 30), ("b", 100)):
        things[name] = np.zeros((120, 160), bool)
        things[name][40:80, left : left + 30] = True
    client = Looks(things[upright], second=things[second], third=things[third])
    view: Any = SimpleNamespace(rgb=PICTURE)
    fields: Any = (client, "the mug", view, 1.0)
    seen, result, told = look(*fields)
    assert seen is view and client.asked == asked
    assert (told["agreed"], told["agreed_at_last"]) == agreed
    # The newest answer is of the upright picture: the planner goes by it.
    assert client.asked[-1] == "upright" and len(result.masks.targets) == (upright is not None)
