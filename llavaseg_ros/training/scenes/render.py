# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Draws scenes: color image, instance ids, depth, and what can be said about each object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from llavaseg_ros.training.scenes.camera import HEIGHT, WIDTH, Camera
from llavaseg_ros.training.scenes.catalog import load_catalog
from llavaseg_ros.training.scenes.clutter import ODD
from llavaseg_ros.training.scenes.gl import HINT, mujoco
from llavaseg_ros.training.scenes.meshes import rotation
from llavaseg_ros.training.scenes.packs import FURNITURE, GROUP_HIDDEN, GROUP_SHOWN, WALLS, Pack
from llavaseg_ros.training.scenes.pose import Placed
from llavaseg_ros.training.scenes.room import Light
from llavaseg_ros.training.scenes.scene import Scene

LISTED_AREA = 150
LISTED_VISIBLE = 0.25


@dataclass(frozen=True)
class Picture:
    """rgb: uint8 [H, W, 3], clean (no camera noise). instances: uint8 [H, W], 0 = background, else object id.

    depth: float32 [H, W], metres along the optical axis, or None. objects: one entry an object, as in scenes.jsonl.
    complete: they are all that a person would count; false where a thing without a name shows.
    """

    rgb: np.ndarray
    instances: np.ndarray
    depth: np.ndarray | None
    objects: list[dict]
    complete: bool


def visible_fraction(placed: Placed, camera: Camera, own: np.ndarray) -> float:
    """Share of the object's silhouette that shows: 0 (covered or out of view) to 1. own: bool [H, W], its pixels.

    Surface points are thinned to one a 3 x 3 pixel cell, which makes them even over the silhouette.
    """
    pixels, depth = camera.project(placed.world(placed.item.surface))
    pixels = pixels[depth > 0.01]
    cells, first = np.unique(np.floor(pixels / 3).astype(np.int64), axis=0, return_index=True)
    if not len(cells):
        return 0.0
    u, v = np.floor(pixels[first]).astype(int).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    # One pixel of slack: points on the outline round to either side of it.
    near = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8))
    return float(near[v[inside], u[inside]].sum() / len(cells))


def _about_z(yaw: float) -> list[float]:
    """Quaternion (w, x, y, z) of a turn about z, degrees."""
    half = np.radians(yaw) / 2
    return [float(np.cos(half)), 0.0, 0.0, float(np.sin(half))]


class SceneRenderer:
    """Renders the scenes of one pack. Holds an OpenGL context: call `close`, or use as a context manager.

    Raises RuntimeError, saying what to install, where OpenGL cannot be set up.
    """

    def __init__(self, pack: Pack, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.pack = pack
        self.model = pack.model
        self.data = mujoco.MjData(self.model)
        try:
            self.renderer = mujoco.Renderer(self.model, height, width)
        except mujoco.FatalError as error:
            raise RuntimeError(HINT) from error
        self.option = mujoco.MjvOption()
        self.option.geomgroup[GROUP_SHOWN] = 1
        self.option.geomgroup[GROUP_HIDDEN] = 0
        self._camera_id = int(self.model.camera("camera").id)
        self._repeats = self.model.mat_texrepeat.copy()

    def close(self) -> None:
        """Frees the OpenGL context."""
        self.renderer.close()

    def __enter__(self) -> SceneRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_ground(self, scene: Scene) -> None:
        model, top = self.model, scene.table
        turn = _about_z(top.yaw)
        table, slab, disc, mat = (int(model.geom(name).id) for name in ("table", "slab", "disc", "mat"))
        model.mat_texrepeat[:] = self._repeats
        model.mat_texrepeat[top.material] = top.repeat
        for geom, shown in ((table, not top.round), (slab, not top.round), (disc, top.round)):
            model.geom_group[geom] = GROUP_SHOWN if shown else GROUP_HIDDEN
            model.geom_quat[geom] = turn
        model.geom_size[disc, 0] = top.half[0]
        model.geom_size[[table, slab], :2] = top.half
        model.geom_matid[table] = model.geom_matid[disc] = top.material
        model.geom_rgba[slab] = [*top.edge, 1]
        model.geom_matid[model.geom("floor").id] = scene.floor
        model.geom_group[mat] = GROUP_HIDDEN
        if scene.mat is not None:
            model.geom_group[mat] = GROUP_SHOWN
            model.geom_matid[mat], model.geom_pos[mat, :2], model.geom_size[mat, :2], mat_yaw = scene.mat
            model.geom_quat[mat] = _about_z(mat_yaw)

    def _set_room(self, scene: Scene) -> None:
        model = self.model
        for name in (*(f"wall{i}" for i in range(WALLS)), *(f"furniture{i}" for i in range(len(FURNITURE)))):
            model.geom_group[model.geom(name).id] = GROUP_HIDDEN
        for i, wall in enumerate(scene.walls):
            geom = int(model.geom(f"wall{i}").id)
            model.geom_group[geom], model.geom_matid[geom] = GROUP_SHOWN, wall.material
            model.geom_pos[geom] = rotation("z", wall.angle) @ [wall.distance, 0, 0]
            # A plane's normal is its z axis: tipped over about y, it points back at the table.
            facing = np.ascontiguousarray(rotation("z", wall.angle) @ rotation("y", -90))
            mujoco.mju_mat2Quat(model.geom_quat[geom], facing.ravel())
        for piece in scene.furniture:
            geom = int(model.geom(f"furniture{piece.slot}").id)
            model.geom_group[geom] = GROUP_SHOWN
            model.geom_pos[geom], model.geom_size[geom] = piece.position, piece.half
            model.geom_quat[geom] = _about_z(piece.yaw)
            model.geom_rgba[geom] = [*piece.rgb, 1]

    def _set_objects(self, scene: Scene) -> None:
        for item in (*self.pack.items, *self.pack.odd, self.pack.gripper):
            for geom, _ in item.geoms:
                self.model.geom_group[geom] = GROUP_HIDDEN
        for placed in (*scene.objects, *scene.clutter):
            self.data.mocap_pos[placed.item.mocap] = placed.position
            turn = np.ascontiguousarray(placed.rotation)
            mujoco.mju_mat2Quat(self.data.mocap_quat[placed.item.mocap], turn.ravel())
            for geom, role in placed.item.geoms:
                self.model.geom_group[geom] = GROUP_SHOWN
                self.model.geom_rgba[geom] = [*placed.colors[role], 1.0]

    def _set_camera(self, camera: Camera) -> None:
        model = self.model
        model.cam_pos[self._camera_id] = camera.position
        # MuJoCo cameras look along -z with y up; ours along +z with y down.
        axes = np.ascontiguousarray(camera.rotation * [1, -1, -1])
        mujoco.mju_mat2Quat(model.cam_quat[self._camera_id], axes.ravel())
        model.cam_fovy[self._camera_id] = camera.fovy

    def _set_light(self, name: str, light: Light, *, shadows: bool) -> None:
        model, i = self.model, int(self.model.light(name).id)
        model.light_pos[i], model.light_dir[i] = light.position, light.direction
        model.light_diffuse[i] = light.level * light.tint
        model.light_specular[i] = 0.25 * light.tint
        model.light_ambient[i] = 0
        model.light_castshadow[i] = shadows

    def _color(self, scene: Scene) -> np.ndarray:
        """The picture, uint8 [H, W, 3]: the mean over the places of the lamp."""
        lighting, model = scene.lighting, self.model
        key = int(model.light("key").id)
        self._set_light("key", lighting.key, shadows=lighting.shadows)
        self._set_light("fill", lighting.fill, shadows=False)
        head = model.vis.headlight
        head.ambient[:], head.diffuse[:], head.specular[:] = lighting.ambient, 0.0, 0.0
        pictures = []
        for offset in lighting.offsets:
            model.light_pos[key] = lighting.key.position + offset
            mujoco.mj_camlight(model, self.data)
            self.renderer.update_scene(self.data, self._camera_id, self.option)
            pictures.append(self.renderer.render().copy())
        if len(pictures) == 1:
            return pictures[0]
        return np.rint(np.mean(pictures, axis=0, dtype=np.float32)).astype(np.uint8)

    def render(self, scene: Scene, *, depth: bool = False, camera: Camera | None = None) -> Picture:
        """Draws `scene`, from its own camera unless another one is given."""
        camera = scene.camera if camera is None else camera
        self._set_ground(scene)
        self._set_room(scene)
        self._set_objects(scene)
        self._set_camera(camera)
        mujoco.mj_kinematics(self.model, self.data)
        rgb = self._color(scene)
        renderer = self.renderer
        renderer.enable_segmentation_rendering()
        geoms = renderer.render()
        renderer.disable_segmentation_rendering()
        metres = None
        if depth:
            renderer.enable_depth_rendering()
            metres = renderer.render().astype(np.float32)
            renderer.disable_depth_rendering()
        table = np.zeros(self.model.ngeom + 1, np.uint8)
        for i, placed in enumerate(scene.objects):
            for geom, _ in placed.item.geoms:
                table[geom] = i + 1
        ids = np.where(geoms[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), geoms[..., 0], self.model.ngeom)
        instances = table[ids]
        odd = [g for placed in scene.clutter if placed.item.category == ODD for g, _ in placed.item.geoms]
        complete = int(np.isin(ids, odd).sum()) < LISTED_AREA
        return Picture(rgb, instances, metres, describe_objects(scene.objects, camera, instances), complete)


def describe_objects(objects: tuple[Placed, ...], camera: Camera, instances: np.ndarray) -> list[dict]:
    """The `objects` entries of scenes.jsonl. Boxes are [x0, y0, x1, y1) in pixels: the far edges lie just outside.

    Objects with no pixel at all are left out. `held_out` stands only on objects of held-out categories.
    """
    out = []
    held_out = load_catalog().held_out
    for i, placed in enumerate(objects):
        own = instances == i + 1
        area = int(own.sum())
        if area == 0:
            continue
        rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
        y, x = np.nonzero(own)
        visible = visible_fraction(placed, camera, own)
        out.append(
            {
                "id": i + 1,
                "category": placed.item.category,
                "color": placed.color,
                "bbox": [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1],
                "area": area,
                "visible": round(visible, 3),
                "listed": area >= LISTED_AREA and visible >= LISTED_VISIBLE,
                "centroid": [round(float(x.mean()), 1), round(float(y.mean()), 1)],
                "position_m": [round(float(v), 4) for v in (*placed.xy, placed.z)],
                "size_m": [round(float(v), 4) for v in 2 * placed.half],
                "yaw_deg": round(placed.yaw, 1),
                **({"held_out": True} if placed.item.category in held_out else {}),
            }
        )
    return out
