# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A pack: some fifty things and a few table tops, compiled once into one MuJoCo model and used for many scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavaseg_ros.training.scenes import textures
from llavaseg_ros.training.scenes.catalog import is_test_pack, load_catalog
from llavaseg_ros.training.scenes.clutter import gripper, odd_shape
from llavaseg_ros.training.scenes.gl import mujoco
from llavaseg_ros.training.scenes.parts import FINISHES, Shape
from llavaseg_ros.training.scenes.things import build

SHADOW_SIZE = 1536
SURFACE_POINTS = 500
TABLE_TEXTURES = 5
FLOOR_TEXTURES = 3
ODD_SHAPES = 5
WALLS = 3
FURNITURE = ("box", "box", "box", "box", "cylinder", "cylinder")
GROUP_SHOWN = 0
GROUP_HIDDEN = 4
FLOOR_DEPTH = 0.75


@dataclass(frozen=True)
class Item:
    """One object of a pack. geoms: (geom id, role). surface: float [SURFACE_POINTS, 3] points on it, own frame."""

    category: str
    shape: Shape
    mocap: int
    geoms: tuple[tuple[int, str], ...]
    surface: np.ndarray
    half: np.ndarray  # half extents [3] in metres; the footprint is centred on the origin
    height: float


@dataclass(frozen=True)
class Pack:
    """A compiled model and its objects. `number` says which range of the data the pack belongs to.

    odd: things without a name. gripper: a robot's. Neither is an object that a scene's record speaks of.
    """

    number: int
    seed: int
    model: mujoco.MjModel
    items: tuple[Item, ...]
    table_materials: tuple[tuple[int, str], ...]  # (material id, kind)
    floor_materials: tuple[int, ...]
    odd: tuple[Item, ...]
    gripper: Item


def surface_points(shape: Shape, rng: np.random.Generator, count: int = SURFACE_POINTS) -> np.ndarray:
    """Points spread evenly over all parts, float [count, 3]."""
    triangles = np.concatenate([p.mesh.vertices[p.mesh.faces] for p in shape.parts])
    edge1, edge2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = np.linalg.norm(np.cross(edge1, edge2), axis=1)
    pick = rng.choice(len(area), count, p=area / area.sum())
    u, v = rng.uniform(size=(2, count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return triangles[pick, 0] + u * edge1[pick] + v * edge2[pick]


def _categories(rng: np.random.Generator, number: int) -> list[str]:
    """Every category once, and two more of six of them, for scenes with several of a kind.

    Packs of the test range have the held-out categories too.
    """
    catalog = load_catalog()
    names = list(catalog.categories)
    twice = rng.choice(len(names), 6, replace=False)
    extra = list(catalog.held_out) if is_test_pack(number) else []
    return names + [names[i] for i in twice for _ in range(2)] + extra


def _base_spec(antialias: int) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = 1280
    spec.visual.global_.offheight = 960
    spec.visual.quality.shadowsize = SHADOW_SIZE
    spec.visual.quality.offsamples = antialias
    spec.visual.map.znear = 0.05
    spec.visual.map.zfar = 30.0
    spec.visual.map.shadowscale = 1.0
    spec.stat.extent = 1.0
    spec.stat.center = [0, 0, 0]
    camera = spec.worldbody.add_camera()
    camera.name = "camera"
    for name in ("key", "fill"):
        light = spec.worldbody.add_light()
        light.name = name
        light.pos = [0, 0, 2]
        light.dir = [0, 0, -1]
        light.castshadow = name == "key"
        light.type = mujoco.mjtLightType.mjLIGHT_SPOT if name == "key" else mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
        light.cutoff = 50.0
        light.exponent = 0.0
    return spec


def _add_texture(spec: mujoco.MjSpec, name: str, image: np.ndarray, finish: tuple[float, float, float]) -> None:
    texture = spec.add_texture()
    texture.name = name
    texture.type = mujoco.mjtTexture.mjTEXTURE_2D
    texture.height, texture.width, texture.nchannel = image.shape
    texture.data = np.ascontiguousarray(image).tobytes()
    material = spec.add_material()
    material.name = name
    material.texuniform = True
    material.texrepeat = [1.5, 1.5]
    material.specular, material.shininess, material.emission = finish
    slots = material.textures
    slots[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    material.textures = slots


def _add_ground(spec: mujoco.MjSpec, rng: np.random.Generator) -> tuple[list[str], list[str], list[str]]:
    """Table top, slab, place mat and floor, with textures. Returns table textures, their kinds, floor textures."""
    tables, kinds, floors = [], [], []
    for i in range(TABLE_TEXTURES + FLOOR_TEXTURES):
        kind, image = textures.make_texture(rng)
        name = f"surface{i}"
        shine = rng.uniform(0, 0.35) if kind in ("marble", "tile", "speckled", "wood") else rng.uniform(0, 0.06)
        _add_texture(spec, name, image, (float(shine), float(rng.uniform(0.3, 0.7)), 0.0))
        if i < TABLE_TEXTURES:
            tables.append(name)
            kinds.append(kind)
        else:
            floors.append(name)
    kind_of = {"box": mujoco.mjtGeom.mjGEOM_BOX, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}
    for name, kind, pos, size in (
        ("floor", mujoco.mjtGeom.mjGEOM_PLANE, [0, 0, -FLOOR_DEPTH], [8, 8, 0.1]),
        ("slab", mujoco.mjtGeom.mjGEOM_BOX, [0, 0, -0.017], [1, 1, 0.015]),
        ("table", mujoco.mjtGeom.mjGEOM_PLANE, [0, 0, 0], [1, 1, 0.1]),
        ("disc", mujoco.mjtGeom.mjGEOM_CYLINDER, [0, 0, -0.016], [0.5, 0.016, 0]),
        ("mat", mujoco.mjtGeom.mjGEOM_PLANE, [0, 0, 0.0008], [0.2, 0.15, 0.1]),
        *((f"wall{i}", mujoco.mjtGeom.mjGEOM_PLANE, [0, 3, 0], [8, 8, 0.1]) for i in range(WALLS)),
        *((f"furniture{i}", kind_of[kind], [0, 3, 0], [0.2, 0.2, 0.2]) for i, kind in enumerate(FURNITURE)),
    ):
        geom = spec.worldbody.add_geom()
        geom.name, geom.type, geom.pos, geom.size = name, kind, pos, size
        geom.contype = geom.conaffinity = 0
        if name != "slab" and not name.startswith("furniture"):
            geom.material = floors[0] if name.startswith(("floor", "wall")) else tables[0]
    return tables, kinds, floors


def _add_object(spec: mujoco.MjSpec, index: int, shape: Shape) -> None:
    body = spec.worldbody.add_body()
    body.name = f"object{index}"
    body.mocap = True
    for k, part in enumerate(shape.parts):
        mesh = spec.add_mesh()
        mesh.name = f"mesh{index}_{k}"
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # open surfaces have no volume
        mesh.uservert = part.mesh.vertices.ravel()
        mesh.userface = part.mesh.faces.ravel()
        geom = body.add_geom()
        geom.name = f"geom{index}_{k}"
        geom.type = mujoco.mjtGeom.mjGEOM_MESH
        geom.meshname = mesh.name
        geom.material = part.finish
        geom.contype = geom.conaffinity = 0
        geom.group = GROUP_HIDDEN


def make_pack(number: int, seed: int, categories: list[str] | None = None, *, antialias: int = 0) -> Pack:
    """Builds and compiles pack `number`; the same number and seed give the same objects and table tops.

    categories: names of the objects wanted; by default every category once and some of them three times.
    antialias: samples a pixel. 0 renders a third faster, and the camera's blur hides most of the stairs.
    """
    rng = np.random.default_rng([seed, number])
    names = _categories(rng, number) if categories is None else categories
    shapes = [build(name, rng) for name in names]
    shapes += [*(odd_shape(rng) for _ in range(ODD_SHAPES)), gripper(rng)]
    spec = _base_spec(antialias)
    for finish, values in FINISHES.items():
        if finish == "grain":
            _add_texture(spec, finish, textures.grain(rng), values)
            continue
        material = spec.add_material()
        material.name = finish
        material.specular, material.shininess, material.emission = values
    tables, kinds, floors = _add_ground(spec, rng)
    for i, shape in enumerate(shapes):
        _add_object(spec, i, shape)
    model = spec.compile()
    # Compiled upright at the origin, a geom's own pose is passed over for good; every scene sets these anew.
    model.geom_sameframe[model.geom_bodyid == 0] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    items = []
    for i, shape in enumerate(shapes):
        half = np.ptp(shape.vertices, axis=0) / 2
        geoms = tuple(
            (int(model.geom(f"geom{i}_{k}").id), part.role) for k, part in enumerate(shape.parts)
        )
        items.append(
            Item(
                shape.category,
                shape,
                int(model.body(f"object{i}").mocapid[0]),
                geoms,
                surface_points(shape, rng),
                half,
                float(2 * half[2]),
            )
        )
    return Pack(
        number,
        seed,
        model,
        tuple(items[: len(names)]),
        tuple((int(model.material(name).id), kind) for name, kind in zip(tables, kinds, strict=True)),
        tuple(int(model.material(name).id) for name in floors),
        tuple(items[len(names) : -1]),
        items[-1],
    )
