# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""robosuite's real meshes on a table, drawn by a camera and lights of our own choice that the generator does not use.

The meshes and textures (MIT) are read from robosuite's wheel or from an installed robosuite; none is copied.
"""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llavaseg_ros.training.scenes.gl import HINT, mujoco

WIDTH, HEIGHT = 960, 540
AWAY = (0.0, 0.0, -30.0)  # metres: where objects wait that a scene does not show
ASSETS = "robosuite/models/assets"
TABLES = (
    "light-wood", "dark-wood", "red-wood", "blue-wood", "green-wood", "gray-woodgrain", "wood-varnished-panels",
    "steel-brushed", "gray-felt", "clay",
)  # fmt: skip
WALLS = ("cream-plaster", "white-bricks", "pink-plaster", "yellow-plaster", "gray-plaster", "light-gray-plaster")
FLOORS = ("wood-tiles", "light-gray-floor-tile", "dirt")


@dataclass(frozen=True)
class Mesh:
    """One of robosuite's objects, with what a person calls it.

    kind: the catalog's word, or a plain English one. color: what the mesh looks like to a person.
    scale, repeat, uniform: as in robosuite's own XML file of the object.
    """

    kind: str
    color: str
    file: str
    texture: str
    scale: tuple[float, float, float] = (1, 1, 1)
    repeat: tuple[float, float] = (1, 1)
    uniform: bool = True

    @property
    def name(self) -> str:
        """Color and kind, as the model names a target."""
        return f"{self.color} {self.kind}"


MESHES = {
    mesh.kind: mesh
    for mesh in (
        Mesh("milk carton", "white", "milk.msh", "ceramic", (0.9, 0.9, 0.9)),
        Mesh("can", "red", "can.msh", "soda", repeat=(5, 5)),
        Mesh("cereal box", "orange", "cereal.msh", "cereal", uniform=False),
        Mesh("lemon", "yellow", "lemon.msh", "lemon", (1.5, 1, 1), (60, 50)),
        Mesh("bottle", "green", "bottle.stl", "glass", repeat=(5, 5)),
        Mesh("bread", "brown", "bread.stl", "bread", (0.8, 0.8, 0.8), (15, 15)),
    )
}


@dataclass(frozen=True)
class View:
    """A camera, free of roll. Degrees and metres; elevation is negative: how far it looks down."""

    fovy: float
    distance: float
    azimuth: float
    elevation: float
    center: tuple[float, float]


@dataclass(frozen=True)
class Lamps:
    """A far lamp (sun or window; azimuth and elevation say where it stands, degrees), a near one over the table
    (position, metres), and light from everywhere. Strengths are diffuse RGB in [0, 1]."""

    azimuth: float
    elevation: float
    far: tuple[float, float, float]
    position: tuple[float, float, float]
    near: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class Stand:
    """An object on the table. xy: metres; yaw: degrees."""

    kind: str
    xy: tuple[float, float]
    yaw: float


@dataclass(frozen=True)
class Seen:
    """An object in an image. mask: bool [H, W], what shows of it; visible: share of its own outline that shows."""

    stand: Stand
    mask: np.ndarray
    visible: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels; the far edges lie just outside. The mask must not be empty."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def find_assets(source: Path | None, unpack_to: Path) -> Path:
    """The folder of robosuite's assets.

    source: the wheel, a folder that holds `robosuite/`, or the assets folder itself; None = an installed robosuite.
    unpack_to: where what is needed of a wheel goes. Raises FileNotFoundError that says how to get robosuite.
    """
    if source is not None and source.is_file():
        with zipfile.ZipFile(source) as wheel:
            wanted = [n for n in wheel.namelist() if n.startswith((f"{ASSETS}/objects/", f"{ASSETS}/textures/"))]
            wheel.extractall(unpack_to, wanted)
        source = unpack_to
    candidates = [source, source / ASSETS] if source is not None else []
    if source is None:
        spec = importlib.util.find_spec("robosuite")
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        candidates = [Path(place) / "models" / "assets" for place in places]
    for folder in candidates:
        if all((folder / "objects" / "meshes" / mesh.file).is_file() for mesh in MESHES.values()):
            return folder
    raise FileNotFoundError(
        f"no meshes of robosuite at {source or 'an installed robosuite'}; "
        "get the wheel: pip download robosuite==1.5.2 --no-deps --dest out, and name it with --robosuite"
    )


class Studio:
    """The meshes, a table and a room, compiled once. Holds an OpenGL context: use as a context manager."""

    def __init__(self, assets: Path) -> None:
        self.model = _compile(assets)
        self.data = mujoco.MjData(self.model)
        try:
            self.renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)
        except mujoco.FatalError as error:
            raise RuntimeError(HINT) from error
        # Half of each object's extent in x and y, metres, at yaw 0.
        self.half = {kind: np.abs(_points(self.model, kind)[:, :2]).max(axis=0) for kind in MESHES}

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.renderer.close()

    def draw(
        self, stands: list[Stand], view: View, lamps: Lamps, materials: tuple[str, str, str]
    ) -> tuple[np.ndarray, list[Seen]]:
        """The picture, uint8 [H, W, 3] RGB, and every object in it that shows. materials: of table, wall, floor."""
        for geom, material in zip(("table", "wall", "floor"), materials, strict=True):
            self.model.geom(geom).matid = self.model.material(f"ground-{material}").id
        self._set_lamps(lamps)
        camera = mujoco.MjvCamera()
        camera.lookat[:] = [*view.center, 0.04]
        camera.distance, camera.azimuth, camera.elevation = view.distance, view.azimuth, view.elevation
        self.model.vis.global_.fovy = view.fovy
        ids = self._ids(stands, camera)
        self.renderer.disable_segmentation_rendering()
        self.renderer.update_scene(self.data, camera)
        rgb = self.renderer.render().copy()
        seen = []
        for stand in stands:
            mask = ids == self.model.geom(stand.kind).id
            alone = self._ids([stand], camera) == self.model.geom(stand.kind).id
            if mask.any():
                seen.append(Seen(stand, mask, float(mask.sum() / alone.sum())))
        return rgb, seen

    def _ids(self, stands: list[Stand], camera: mujoco.MjvCamera) -> np.ndarray:
        """Geom ids [H, W] of a table with these objects only."""
        shown = {stand.kind: stand for stand in stands}
        for kind in MESHES:
            body = self.model.body(kind).mocapid[0]
            stand = shown.get(kind)
            self.data.mocap_pos[body] = AWAY if stand is None else (*stand.xy, 0.001)
            half_turn = np.radians(stand.yaw if stand is not None else 0.0) / 2
            self.data.mocap_quat[body] = [np.cos(half_turn), 0, 0, np.sin(half_turn)]
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera)
        self.renderer.enable_segmentation_rendering()
        pixels = self.renderer.render()
        return np.where(pixels[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), pixels[..., 0], -1)

    def _set_lamps(self, lamps: Lamps) -> None:
        far, near = self.model.light("far"), self.model.light("near")
        a, e = np.radians([lamps.azimuth, lamps.elevation])
        towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        far.pos, far.dir, far.diffuse = 3 * towards, -towards, lamps.far
        near.pos, near.dir, near.diffuse = lamps.position, -np.array(lamps.position), lamps.near
        head = self.model.vis.headlight
        head.ambient[:], head.diffuse[:], head.specular[:] = lamps.ambient, 0.0, 0.0


def _compile(assets: Path) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDTH, HEIGHT
    spec.visual.quality.shadowsize, spec.visual.quality.offsamples = 4096, 8
    spec.visual.map.znear = 0.005
    textures = assets / "textures"
    for name in (*TABLES, *WALLS, *FLOORS):
        _add_material(spec, f"ground-{name}", textures / f"{name}.png", (2.0, 2.0), uniform=True)
    world = spec.worldbody
    box, plane = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE
    world.add_geom(name="table", type=box, size=[0.55, 0.42, 0.02], pos=[0, 0, -0.02], material=f"ground-{TABLES[0]}")
    # robosuite's walls are planes too; this one stands behind the table and faces it.
    world.add_geom(
        name="wall", type=plane, size=[4, 4, 0.1], pos=[0, 1.1, 0], quat=[0.70711, 0.70711, 0, 0],
        material=f"ground-{WALLS[0]}",
    )  # fmt: skip
    world.add_geom(name="floor", type=plane, size=[4, 4, 0.1], pos=[0, 0, -0.8], material=f"ground-{FLOORS[0]}")
    world.add_light(name="far", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=True)
    world.add_light(name="near", type=mujoco.mjtLightType.mjLIGHT_POINT, castshadow=False)
    for kind, mesh in MESHES.items():
        spec.add_mesh(name=kind, file=str(assets / "objects" / "meshes" / mesh.file), scale=mesh.scale)
        _add_material(spec, kind, textures / f"{mesh.texture}.png", mesh.repeat, uniform=mesh.uniform)
        body = world.add_body(name=kind, mocap=True)
        body.add_geom(name=kind, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=kind, material=kind)
    return _stood_on_the_table(spec)


def _add_material(spec: mujoco.MjSpec, name: str, file: Path, repeat: tuple[float, float], *, uniform: bool) -> None:
    # robosuite wraps the bottle in a sky box; a cube map is the same picture and leaves our sky alone.
    kind = mujoco.mjtTexture.mjTEXTURE_CUBE if name == "bottle" else mujoco.mjtTexture.mjTEXTURE_2D
    spec.add_texture(name=name, type=kind, file=str(file))
    material = spec.add_material(name=name, texrepeat=repeat, texuniform=uniform, specular=0.3, shininess=0.3)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _stood_on_the_table(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile once to learn the meshes' extents, then again with every lowest point at z = 0 of its body."""
    model = spec.compile()
    for kind in MESHES:
        spec.geom(kind).pos = [0, 0, -_points(model, kind)[:, 2].min()]
    return spec.compile()


def _points(model: mujoco.MjModel, kind: str) -> np.ndarray:
    """Vertices [N, 3] of an object in the frame of its body, metres."""
    geom, mesh = model.geom(kind), model.mesh(kind)
    start, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, geom.quat)
    return model.mesh_vert[start : start + count] @ rotation.reshape(3, 3).T + geom.pos
