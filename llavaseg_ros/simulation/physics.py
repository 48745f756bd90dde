# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The physics of the table: things as free bodies, and a parallel gripper on a gantry (x, y, z and a turn about z)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.simulation.convex import convex_pieces
from llavaseg_ros.training.scenes.gl import mujoco
from llavaseg_ros.training.scenes.packs import Item

STEP_S = 0.002
HOME = np.array([0.0, 0.0, 0.75, 0.0])  # m and radians: over the table, out of the camera's view
GRIP_FORCE = 30.0  # N, of each finger
PALM_HEIGHT = 0.05

# Rubber pads on what lies on the table; the second and third numbers are torsional and rolling friction, m.
# priority: a pad's friction counts, whatever the thing is made of.
_GANTRY = """
<mujoco>
  <option timestep="{step}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <default><geom solref="0.005 1"/></default>
  <worldbody>
    <geom name="table" type="box" size="2 2 0.05" pos="0 0 -0.05" friction="0.7 0.005 0.002" condim="4"/>
    <body name="hand" gravcomp="1">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <joint name="z" type="slide" axis="0 0 1"/>
      <joint name="turn" type="hinge" axis="0 0 1"/>
      <geom name="palm" type="box" size="{palm}" pos="0 0 {palm_z}" mass="0.8"/>
      <body name="finger0" gravcomp="1">
        <joint name="finger0" type="slide" axis="1 0 0" range="0 {reach}" limited="true" damping="5"/>
        <geom name="pad0" type="box" size="{pad}" pos="{pad_x} 0 {pad_z}" mass="0.1" friction="1.0 0.02 0.001"
          condim="6" priority="1"/>
      </body>
      <body name="finger1" gravcomp="1">
        <joint name="finger1" type="slide" axis="-1 0 0" range="0 {reach}" limited="true" damping="5"/>
        <geom name="pad1" type="box" size="{pad}" pos="-{pad_x} 0 {pad_z}" mass="0.1" friction="1.0 0.02 0.001"
          condim="6" priority="1"/>
      </body>
    </body>
  </worldbody>
  <contact>
    <exclude body1="hand" body2="finger0"/><exclude body1="hand" body2="finger1"/>
    <exclude body1="finger0" body2="finger1"/>
  </contact>
  <equality><joint joint1="finger0" joint2="finger1" solref="0.004 1"/></equality>
  <actuator>
    <position joint="x" kp="6000" dampratio="1" forcerange="-200 200"/>
    <position joint="y" kp="6000" dampratio="1" forcerange="-200 200"/>
    <position joint="z" kp="6000" dampratio="1" forcerange="-200 200"/>
    <position joint="turn" kp="60" dampratio="1" forcerange="-20 20"/>
    <position joint="finger0" kp="1500" dampratio="1" forcerange="-{force} {force}"/>
    <position joint="finger1" kp="1500" dampratio="1" forcerange="-{force} {force}"/>
  </actuator>
</mujoco>
"""


@dataclass(frozen=True)
class Pose:
    """position: [3] m; rotation: [3, 3]; both in the world's frame, in which the table is z = 0."""

    position: np.ndarray
    rotation: np.ndarray


class Physics:
    """Bodies on a table and a gripper over it. Deterministic: the same calls give the same motion."""

    def __init__(
        self, items: Sequence[Item], poses: Sequence[Pose], masses: Mapping[str, float], gripper: Gripper | None = None
    ) -> None:
        """One free body an item, at its pose. masses: kg, by category."""
        self.gripper = gripper or Gripper()
        self.model = self._compile(items, masses)
        self.data = mujoco.MjData(self.model)
        self._bodies = [int(self.model.body(f"thing{i}").id) for i in range(len(items))]
        self._hand_qpos = [int(self.model.joint(name).qposadr[0]) for name in ("x", "y", "z", "turn")]
        self._fingers = [int(self.model.joint(f"finger{i}").qposadr[0]) for i in (0, 1)]
        open_ = self.gripper.opening / 2
        self._target = np.array([*HOME, open_, open_])
        self.data.qpos[self._hand_qpos] = HOME
        self.data.qpos[self._fingers] = open_
        for i, pose in enumerate(poses):
            start = int(self.model.joint(f"free{i}").qposadr[0])
            self.data.qpos[start : start + 3] = pose.position
            turn = np.ascontiguousarray(pose.rotation)
            mujoco.mju_mat2Quat(self.data.qpos[start + 3 : start + 7], turn.ravel())
        mujoco.mj_forward(self.model, self.data)

    def _compile(self, items: Sequence[Item], masses: Mapping[str, float]) -> mujoco.MjModel:
        g = self.gripper
        pad = (g.finger_thickness / 2, g.finger_width / 2, g.finger_length / 2)
        palm = (g.palm_length / 2, g.palm_width / 2, PALM_HEIGHT / 2)
        spec = mujoco.MjSpec.from_string(
            _GANTRY.format(
                step=STEP_S, palm="{} {} {}".format(*palm), palm_z=g.finger_length + PALM_HEIGHT / 2,
                reach=g.opening / 2, pad="{} {} {}".format(*pad), pad_x=g.finger_thickness / 2,
                pad_z=g.finger_length / 2, force=GRIP_FORCE,
            )
        )  # fmt: skip
        for i, item in enumerate(items):
            body = spec.worldbody.add_body()
            body.name = f"thing{i}"
            joint = body.add_freejoint()
            joint.name = f"free{i}"
            for k, points in enumerate(convex_pieces(item.shape)):
                mesh = spec.add_mesh()
                mesh.name = f"piece{i}_{k}"
                mesh.uservert = points.ravel()
                mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
                geom = body.add_geom()
                geom.type = mujoco.mjtGeom.mjGEOM_MESH
                geom.meshname = mesh.name
                geom.condim = 6  # with rolling friction, or a ball would never lie still
                geom.friction = [0.7, 0.005, 0.002]
        model = spec.compile()
        for i, item in enumerate(items):  # hulls of one density give the shape of the inertia; the scale is known
            body_id = int(model.body(f"thing{i}").id)
            factor = masses[item.category] / model.body_mass[body_id]
            model.body_mass[body_id] *= factor
            model.body_inertia[body_id] *= factor
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    def poses(self) -> list[Pose]:
        """Where every thing is now."""
        return [
            Pose(self.data.xpos[b].copy(), self.data.xmat[b].reshape(3, 3).copy()) for b in self._bodies
        ]  # fmt: skip

    def heights(self) -> np.ndarray:
        """Height of every thing's center of mass, [N] m."""
        return self.data.xipos[self._bodies, 2].copy()

    def hand(self) -> tuple[Pose, tuple[float, float]]:
        """The gripper's pose (origin between the finger tips, x the closing direction, z up), and the fingers'
        distances from its middle, m."""
        x, y, z, turn = self.data.qpos[self._hand_qpos]
        c, s = np.cos(turn), np.sin(turn)
        first, second = self.data.qpos[self._fingers]
        return Pose(np.array([x, y, z]), np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])), (float(first), float(second))

    def run(self, seconds: float) -> None:
        """Let time pass; the gripper holds its place."""
        for _ in range(round(seconds / STEP_S)):
            self.data.ctrl[:] = self._target
            mujoco.mj_step(self.model, self.data)

    def move(self, seconds: float, *, to: np.ndarray | None = None, opening: float | None = None) -> None:
        """Drive the gripper smoothly. to: [4] x, y, z (m) and turn (radians). opening: m between the fingers."""
        start, end = self._target.copy(), self._target.copy()
        if to is not None:
            end[:4] = to
        if opening is not None:
            end[4:] = np.clip(opening, 0.0, self.gripper.opening) / 2
        steps = max(1, round(seconds / STEP_S))
        for k in range(1, steps + 1):
            t = k / steps
            self.data.ctrl[:] = start + (end - start) * (3 * t**2 - 2 * t**3)
            mujoco.mj_step(self.model, self.data)
        self._target = end
