# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a pick: the mask and the grasp on the camera's image, and the points from above."""

from __future__ import annotations

import cv2
import numpy as np

from llavaseg_ros import viz
from llavaseg_ros.geometry import Intrinsics
from llavaseg_ros.grasping.gripper import Gripper

GRASP = (255, 214, 0)
WIDTH, HEIGHT = 480, 360  # px of the view from above
REACH = 0.16  # m from its middle to its left edge
NEAR = 0.25  # m over the finger tips: higher points are not drawn


def draw_grasp(rgb: np.ndarray, camera: Intrinsics, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """A copy of uint8 [H, W, 3] RGB with an open gripper drawn at a grasp [3], [3, 3] in the camera's optical frame."""
    g = Gripper()
    wide, long = g.opening / 2, g.finger_length
    # A fork: two fingers, what joins them, and a stem, against the direction of approach.
    fork = [(wide, 0, 0), (wide, 0, -long), (-wide, 0, -long), (-wide, 0, 0), (0, 0, -long), (0, 0, -2 * long)]
    out = rgb.copy()
    u = np.rint(camera.project(np.array(fork) @ rotation.T + position)).astype(int)
    for a, b in ((0, 1), (1, 2), (2, 3), (4, 5)):
        for color, width in (((20, 20, 20), 5), (GRASP, 2)):
            cv2.line(out, u[a].tolist(), u[b].tolist(), color, width, cv2.LINE_AA)
    return out


def mask_and_grasp(
    rgb: np.ndarray,
    mask: np.ndarray | None,
    name: str,
    camera: Intrinsics,
    grasp: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """The camera's image with the mask tinted and named and the grasp on it, where there are such."""
    out = rgb if mask is None or not mask.any() else viz.draw_overlay(rgb, [mask], [name], "")
    return out if grasp is None else draw_grasp(out, camera, *grasp)


def from_above(
    target: np.ndarray, scene: np.ndarray, scene_colors: np.ndarray, grasp: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3] RGB: points along the approach, the target's pink, and the gripper's outline.

    target: [N, 3], scene: [M, 3], m; scene_colors: uint8 [M, 3].
    """
    position, rotation = grasp
    out = np.full((HEIGHT, WIDTH, 3), 24, np.uint8)
    scale, middle = WIDTH / (2 * REACH), np.array([WIDTH, HEIGHT]) / 2
    pink = np.broadcast_to(np.array((236, 64, 122), np.uint8), (len(target), 3))
    for points, colors in ((scene, scene_colors), (target, pink)):
        local = (points - position) @ rotation
        inside = (np.abs(local[:, :2]) < middle / scale).all(1) & (local[:, 2] > -NEAR)
        local, colors = local[inside], colors[inside]
        order = np.argsort(-local[:, 2])  # high ones last
        x, y = (middle + local[order, :2] * scale).astype(int).clip(0, (WIDTH - 2, HEIGHT - 2)).T
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            out[y + dy, x + dx] = colors[order]
    g = Gripper()
    for side in (-1, 1):
        inner = side * g.opening / 2
        corners = np.array([(inner, -g.finger_width / 2), (inner + side * g.finger_thickness, g.finger_width / 2)])
        (x0, y0), (x1, y1) = (middle + corners * scale).astype(int).tolist()
        cv2.rectangle(out, (x0, y0), (x1, y1), GRASP, 2)
    return out
