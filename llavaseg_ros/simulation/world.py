# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot: a table that the camera sees and the gripper can reach into."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.simulation.physics import HOME, PALM_HEIGHT, Physics, Pose
from llavaseg_ros.simulation.tables import MASSES, TABLES_PER_PACK, Table, make_table, pack_of, with_objects
from llavaseg_ros.training.scenes.dataset import camera_entry
from llavaseg_ros.training.scenes.noise import camera_noise, depth_noise
from llavaseg_ros.training.scenes.pose import LIFT, Placed, Rest
from llavaseg_ros.training.scenes.render import Picture, SceneRenderer
from llavaseg_ros.training.scenes.room import Furniture

SETTLE_S = 1.0
APPROACH = 0.10  # m over the grasp, from where the gripper goes straight down
LIFT_M = 0.15
HOLD_S = 1.0
LIFTED = 0.08  # m: what has risen by so much at the end counts as lifted
STEEPEST = 20.0  # degrees between a grasp's approach and straight down: the gantry cannot tilt


@dataclass(frozen=True)
class Frame:
    """What the camera gives. rgb: uint8 [H, W, 3]; depth: uint16 [H, W], mm along the optical axis, 0 = none.

    Both are noisy. picture: the truth behind it, without noise.
    """

    rgb: np.ndarray
    depth: np.ndarray
    picture: Picture


@dataclass(frozen=True)
class Outcome:
    """What a grasp came to. lifted: places of things that rose by LIFTED and stayed up; rise: [N] m, of all things."""

    lifted: tuple[int, ...]
    rise: np.ndarray


class World:
    """One table at a time. Holds an OpenGL context, which belongs to the thread that made it: use it there, and call
    `close`, or use it as a context manager.

    Raises RuntimeError, saying what to install, where nothing can be drawn.
    """

    def __init__(self, split: str = "test", number: int = 0, *, gripper: Gripper | None = None) -> None:
        self.gripper = gripper or Gripper()
        self._renderer: SceneRenderer | None = None
        self._clean: Picture | None = None
        self.reset(split, number)

    def reset(self, split: str, number: int) -> None:
        """Set out table `number` of a split, let its things come to rest, and move the gripper out of view."""
        pack = pack_of(split, number) if self._renderer is None or not self._same_pack(split, number) else None
        if pack is not None:
            self.close()
            self._renderer = SceneRenderer(pack)
        assert self._renderer is not None
        self.table: Table = make_table(split, number, self._renderer.pack)
        things = self.table.scene.objects
        poses = [Pose(placed.position, placed.rotation) for placed in things]
        self.physics = Physics([placed.item for placed in things], poses, MASSES, self.gripper)
        self.physics.run(SETTLE_S)
        self._clean = None
        self._noise = np.random.default_rng([13, number])

    def _same_pack(self, split: str, number: int) -> bool:
        old = self.table
        return old.split == split and old.number // TABLES_PER_PACK == number // TABLES_PER_PACK

    @property
    def names(self) -> tuple[str, ...]:
        """The things by their places: "red mug"."""
        return self.table.names

    def scene_record(self, picture: Picture) -> dict:
        """What is on the table, as a line of scenes.jsonl, for the language generator. ids: place + 1."""
        camera = self.table.scene.camera
        return {
            "image": f"{self.table.split}_{self.table.number}", "width": camera.width, "height": camera.height,
            "camera": camera_entry(camera), "objects": picture.objects,
        }  # fmt: skip

    def look(self) -> Frame:
        """A frame from now. Drawing takes a few tenths of a second when something has moved."""
        if self._clean is None:
            self._clean = self._draw()
        assert self._clean.depth is not None
        # The lens and the light stay; only the noise of the pixels is new in every frame.
        rgb = camera_noise(self._clean.rgb, np.random.default_rng([14, self.table.number]), self._noise)
        return Frame(rgb, depth_noise(self._clean.depth, self._noise), self._clean)

    def _draw(self) -> Picture:
        assert self._renderer is not None
        scene = with_objects(self.table.scene, self._placed())
        hand, fingers = self.physics.hand()
        if hand.position[2] < HOME[2] - 0.01:
            blocks = tuple(f for f in scene.furniture if f.slot > 2)
            scene = dataclasses.replace(scene, furniture=(*blocks, *self._gripper_blocks(hand, fingers)))
        return self._renderer.render(scene, depth=True)

    def _placed(self) -> tuple[Placed, ...]:
        """The things as the renderer wants them, where the physics has them."""
        out = []
        for placed, pose in zip(self.table.scene.objects, self.physics.poses(), strict=True):
            points = placed.item.shape.vertices @ pose.rotation.T + pose.position
            low, high = points.min(0), points.max(0)
            base = np.array([*(low + high)[:2] / 2, low[2]])
            rest = Rest(pose.rotation, pose.position - base - [0, 0, LIFT], (high - low) / 2)
            out.append(dataclasses.replace(placed, xy=base[:2], z=float(base[2]), yaw=0.0, rest=rest))
        return tuple(out)

    def _gripper_blocks(self, hand: Pose, fingers: tuple[float, float]) -> list[Furniture]:
        """The gripper as the scene renderer can draw it: two fingers and a palm."""
        g = self.gripper
        turn = float(np.degrees(np.arctan2(hand.rotation[1, 0], hand.rotation[0, 0])))
        size = np.array([g.finger_thickness, g.finger_width, g.finger_length]) / 2
        blocks = []
        for slot, (side, away) in enumerate(zip((1, -1), fingers, strict=True)):
            middle = np.array([side * (away + g.finger_thickness / 2), 0, g.finger_length / 2])
            blocks.append(Furniture(slot, hand.position + hand.rotation @ middle, size, turn, (0.12, 0.12, 0.13)))
        palm = np.array([g.palm_length, g.palm_width, PALM_HEIGHT]) / 2
        middle = hand.position + [0, 0, g.finger_length + PALM_HEIGHT / 2]
        blocks.append(Furniture(2, middle, palm, turn, (0.75, 0.76, 0.78)))
        return blocks

    def grasp(self, position: np.ndarray, rotation: np.ndarray, opening: float = 0.0) -> Outcome:
        """Grasp, lift by LIFT_M, hold, and see what came along. The gripper stays up with what it has.

        position: [3] m, between the finger tips; rotation: [3, 3], columns are the closing direction, their normal, and
        the direction of approach; both in the camera's optical frame. opening: m on the way down, 0 = all.
        Raises BadRequest when the numbers are not finite, the approach is not from above, or the place is out of reach.
        """
        camera = self.table.scene.camera
        if not (np.isfinite(position).all() and np.isfinite(rotation).all()):
            raise BadRequest("grasp: position and orientation must be finite numbers")
        if not np.isfinite(opening) or not 0 <= opening <= self.gripper.opening + 1e-6:
            raise BadRequest(f"opening: {opening:g} m; expected 0 to {self.gripper.opening:g}")
        at = camera.rotation @ position + camera.position
        axes = camera.rotation @ rotation
        tilt = float(np.degrees(np.arccos(np.clip(-axes[2, 2], -1, 1))))
        if tilt > STEEPEST:
            raise BadRequest(
                f"grasp: the approach (the pose's z axis) is {tilt:.0f} degrees off straight down; this gripper "
                f"takes at most {STEEPEST:.0f}"
            )
        if np.abs(at[:2]).max() > 0.6 or not -0.01 < at[2] < 0.5:
            raise BadRequest(f"grasp: {np.round(at, 2).tolist()} m from the table's middle is out of reach")
        turn = float(np.arctan2(axes[1, 0], axes[0, 0]))
        turn = (turn + np.pi / 2) % np.pi - np.pi / 2  # both fingers are alike
        return self._execute(at, turn, opening or self.gripper.opening)

    def _execute(self, at: np.ndarray, turn: float, opening: float) -> Outcome:
        physics, up = self.physics, np.array([0, 0, 1.0, 0])
        self._clean = None
        place = np.array([*at, turn])
        place[2] = max(place[2], 0.001)
        before = physics.heights()
        high = np.maximum(place, [-np.inf, -np.inf, place[2] + 0.3, -np.inf])
        physics.move(0.3, opening=self.gripper.opening)
        physics.move(1.2, to=high)
        physics.move(0.8, to=place + APPROACH * up, opening=opening)
        physics.move(0.8, to=place)
        physics.run(0.1)
        physics.move(0.5, opening=0.0)
        physics.run(0.2)
        physics.move(1.0, to=place + LIFT_M * up)
        physics.run(HOLD_S)
        rise = physics.heights() - before
        return Outcome(tuple(int(i) for i in np.flatnonzero(rise >= LIFTED)), rise)

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
