"""Draws scenes: color image, instance ids, depth, and what can be said about each object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from llavaseg_ros.training.scenes.gl import HINT, mujoco
from llavaseg_ros.training.scenes.packs import GROUP_HIDDEN, GROUP_SHOWN, Pack
from llavaseg_ros.training.scenes.scene import HEIGHT, WIDTH, Camera, Placed, Scene

LISTED_AREA = 150
LISTED_VISIBLE = 0.25


@dataclass(frozen=True)
class Picture:
    """rgb: uint8 [H, W, 3], clean (no camera noise). instances: uint8 [H, W], 0 = background, else object id.

    depth: float32 [H, W], metres along the optical axis, or None. objects: one entry an object, as in scenes.jsonl.
    """

    rgb: np.ndarray
    instances: np.ndarray
    depth: np.ndarray | None
    objects: list[dict]


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

    def close(self) -> None:
        """Frees the OpenGL context."""
        self.renderer.close()

    def __enter__(self) -> SceneRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_ground(self, scene: Scene) -> None:
        model = self.model
        material, half, repeat, yaw = scene.table
        turn = [np.cos(np.radians(yaw) / 2), 0, 0, np.sin(np.radians(yaw) / 2)]
        table, slab, mat = (int(model.geom(name).id) for name in ("table", "slab", "mat"))
        model.geom_matid[table] = material
        model.mat_texrepeat[material] = repeat
        for geom in (table, slab):
            model.geom_size[geom, :2] = half
            model.geom_quat[geom] = turn
        model.geom_rgba[slab] = [0.30, 0.25, 0.21, 1]
        model.geom_matid[model.geom("floor").id] = scene.floor
        model.geom_group[mat] = GROUP_HIDDEN
        if scene.mat is not None:
            model.geom_group[mat] = GROUP_SHOWN
            model.geom_matid[mat], model.geom_pos[mat, :2], model.geom_size[mat, :2], mat_yaw = scene.mat
            model.geom_quat[mat] = [np.cos(np.radians(mat_yaw) / 2), 0, 0, np.sin(np.radians(mat_yaw) / 2)]

    def _set_objects(self, objects: tuple[Placed, ...]) -> None:
        for item in self.pack.items:
            for geom, _ in item.geoms:
                self.model.geom_group[geom] = GROUP_HIDDEN
        for placed in objects:
            self.data.mocap_pos[placed.item.mocap] = [*placed.xy, 0.001]
            half_turn = np.radians(placed.yaw) / 2
            self.data.mocap_quat[placed.item.mocap] = [np.cos(half_turn), 0, 0, np.sin(half_turn)]
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

    def _set_lights(self, scene: Scene) -> None:
        model = self.model
        for name, light in zip(("key", "fill"), scene.lights, strict=True):
            i = int(model.light(name).id)
            model.light_pos[i], model.light_dir[i] = light.position, light.direction
            model.light_diffuse[i] = light.level * light.tint
            model.light_specular[i] = 0.25 * light.tint
            model.light_ambient[i] = 0
        head = model.vis.headlight
        head.ambient[:], head.diffuse[:], head.specular[:] = scene.ambient, 0.0, 0.0

    def render(self, scene: Scene, *, depth: bool = False, camera: Camera | None = None) -> Picture:
        """Draws `scene`, from its own camera unless another one is given."""
        camera = scene.camera if camera is None else camera
        self._set_ground(scene)
        self._set_objects(scene.objects)
        self._set_camera(camera)
        self._set_lights(scene)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        renderer = self.renderer
        renderer.update_scene(self.data, self._camera_id, self.option)
        rgb = renderer.render().copy()
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
        return Picture(rgb, instances, metres, describe_objects(scene.objects, camera, instances))


def describe_objects(objects: tuple[Placed, ...], camera: Camera, instances: np.ndarray) -> list[dict]:
    """The `objects` entries of scenes.jsonl. Boxes are [x0, y0, x1, y1) in pixels: the far edges lie just outside.

    Objects with no pixel at all are left out.
    """
    out = []
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
                "position_m": [round(float(placed.xy[0]), 4), round(float(placed.xy[1]), 4), 0.0],
                "size_m": [round(float(v), 4) for v in 2 * placed.item.half],
                "yaw_deg": round(placed.yaw, 1),
            }
        )
    return out
