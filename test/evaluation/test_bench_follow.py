# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of following: what it counts, on a scripted model; and that its cameras move as it says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

pytest.importorskip("mujoco")

import bench_follow as bench  # noqa: E402

from llavaseg_ros.types import Result, Segment, Thought  # noqa: E402

SHAPE = (40, 60)


def box(x: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[10:20, x : x + 10] = True
    return mask


class Model:
    """Follows rightly but for frame 2, and reasons rightly but for frame 3; a frame says its number in its pixels."""

    frame = 0

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        self.frame = int(rgb[0, 0, 0])

    def result(self, right: bool) -> Result:
        found = Result(
            "", Thought("mug", found=True), "", True, (Segment(box(5 + self.frame), 1.0, (0, 0, 1, 1)),), 1.0, {}
        )
        return found if right else replace(found, found=False, segments=())

    def segment(self, command: str) -> Result:
        return self.result(self.frame != 3)

    def follow(self, last: Result, *, gap_s: float) -> Result:
        assert last.found
        assert gap_s == pytest.approx(0.2 if self.frame == 3 else 0.1)  # since the last frame on which it was found
        return self.result(self.frame != 2)


def clip(count: int) -> bench.Sequence:
    frames = [np.full((*SHAPE, 3), i, np.uint8) for i in range(count)]
    return bench.Sequence(frames, [7 * box(5 + i).astype(np.uint8) for i in range(count)], {7: "red mug"})


def test_figures() -> None:
    model: Any = Model()
    rows = bench.measure(model, clip(6))
    assert rows is not None
    assert rows["command"] == "Give me the red mug."
    assert rows["follow"] == [1, 0, 1, 1, 1]
    assert rows["reason"] == [1, 1, 0, 1, 1]
    total = bench.summary([rows])
    assert total["giou_follow"] == total["giou_reason"] == pytest.approx(0.8)
    assert total["points_lost"] == pytest.approx(0)
    assert total["present_kept"] == pytest.approx(0.8)


def test_nothing_to_follow() -> None:
    model: Any = Model()
    model.result = lambda right: Model.result(model, False)
    assert bench.measure(model, clip(3)) is None


def test_both_empty_is_right() -> None:
    empty = np.zeros(SHAPE, bool)
    assert bench.iou(empty, empty) == 1
    assert bench.iou(box(5), empty) == 0


def test_the_camera_looks_away_and_back() -> None:
    def middles(away: bool) -> np.ndarray:
        cameras = bench.path(np.random.default_rng(3), 21, away=away)
        return np.array([camera.project(np.array([[0.0, 0.0, 0.02]]))[0][0] for camera in cameras])

    assert (np.abs(middles(False)[:, 0] - 320) < 160).all()
    away = np.abs(middles(True)[:, 0] - 320)
    assert away[0] < 160
    assert away[10] > 320  # out of the picture
    assert away[-1] < 160
