# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What lies on the table of a scene and how: poses, stacks, held-out kinds, clutter without a name, lamps and walls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("llavaseg_ros.training.scenes.gl", exc_type=ImportError)

from llavaseg_ros.training.scenes.camera import look_at
from llavaseg_ros.training.scenes.catalog import PACK_RANGES, load_catalog
from llavaseg_ros.training.scenes.layout import STACKS, Layout, footprints_apart, rectangle
from llavaseg_ros.training.scenes.meshes import rotation
from llavaseg_ros.training.scenes.packs import Item, Pack, make_pack
from llavaseg_ros.training.scenes.parts import role_colors
from llavaseg_ros.training.scenes.pose import LIFT, POSES, TURNS, Placed, rest_height, settled
from llavaseg_ros.training.scenes.render import SceneRenderer
from llavaseg_ros.training.scenes.room import Table
from llavaseg_ros.training.scenes.scene import Scene, make_scene

CATEGORIES = list(load_catalog().categories)
HELD_OUT = list(load_catalog().held_out)
pytestmark = pytest.mark.usefixtures("off_screen")


def test_held_out_categories_are_in_test_packs_only() -> None:
    shown = {kind: make_pack(low, 0) for kind, (low, _) in PACK_RANGES.items()}
    for kind, one in shown.items():
        in_pack = {item.category for item in one.items} & set(HELD_OUT)
        assert in_pack == (set(HELD_OUT) if kind == "test" else set()), kind
    scenes = [make_scene(shown["test"], 0, i) for i in range(120)]
    unseen = [[o.item.category for o in scene.objects if o.item.category in HELD_OUT] for scene in scenes]
    assert {category for names in unseen for category in names} == set(HELD_OUT)
    # Rare enough that a test set still asks mostly about what was trained.
    assert max(map(len, unseen)) == 1 and 0.2 < np.mean([len(names) for names in unseen]) < 0.5
    with SceneRenderer(shown["test"]) as renderer:
        some = [scene for scene, names in zip(scenes, unseen, strict=True) if names][:3]
        entries = [o for scene in some for o in renderer.render(scene).objects]
    assert any("held_out" in o for o in entries)
    for o in entries:
        assert o.get("held_out", False) == (o["category"] in HELD_OUT)
        assert "held_out" not in o or o["held_out"] is True


def test_a_record_is_complete_unless_a_thing_without_a_name_shows(pack: Pack, renderer: SceneRenderer) -> None:
    def odd(scene: Scene) -> bool:
        return any(c.item is not pack.gripper for c in scene.clutter)

    scenes = [make_scene(pack, 0, i) for i in range(40)]
    plain, strange = ([s for s in scenes if odd(s) == wanted][:4] for wanted in (False, True))
    assert all(renderer.render(s).complete for s in plain)
    assert sum(not renderer.render(s).complete for s in strange) >= 3  # one may stand out of view


def footprint(o: Placed) -> np.ndarray:
    """Corners [4, 2] of what an object covers of the table."""
    return rectangle(o.xy, o.half, o.yaw)


def test_objects_stand_apart_on_the_table(pack: Pack) -> None:
    for i in range(30):
        scene = make_scene(pack, 0, i)
        assert 3 <= len(scene.objects) <= 10
        resting = [o for o in scene.objects if o.under is None]
        odd = [c for c in scene.clutter if c.item is not pack.gripper]
        for o in (*resting, *odd):
            vertices = o.world(o.item.shape.vertices)
            assert vertices[:, 2].min() == pytest.approx(LIFT, abs=1e-9)
            assert scene.table.holds(footprint(o))
            # The footprint is that of the shape as it lies, so nothing of it sticks out.
            low, high = ((vertices[:, :2] - o.xy) @ rotation("z", o.yaw)[:2, :2]).min(0), o.half[:2]
            assert (-low <= high + 1e-9).all()
        boxes = [footprint(o) for o in (*resting, *odd)]
        assert all(footprints_apart(a, b) for k, a in enumerate(boxes) for b in boxes[:k])


@pytest.mark.parametrize("category", [c for c in POSES if c in CATEGORIES])
def test_lying_objects_rest_on_the_table(pack: Pack, category: str) -> None:
    """On three points or more about the centre of mass: let go, a thing in this pose would stay as it is."""
    item = next(item for item in pack.items if item.category == category)
    for way in POSES[category][1]:
        axis, degrees, spins = TURNS[way]
        rest = settled(item, rotation(axis, degrees) @ rotation("z", spins[0] + 40 if len(spins) == 2 else spins[0]))
        vertices = item.shape.vertices @ rest.rotation.T + rest.offset
        assert vertices[:, 2].min() == pytest.approx(0, abs=1e-9)
        assert np.ptp(vertices, axis=0) == pytest.approx(2 * rest.half)
        assert vertices[:, :2].max(0) == pytest.approx(rest.half[:2])
        touching = vertices[vertices[:, 2] < 0.0015]
        centre = (item.surface @ rest.rotation.T + rest.offset).mean(0)
        assert touching[:, 1].min() - 1e-3 <= centre[1] <= touching[:, 1].max() + 1e-3, way


def test_poses_vary(pack: Pack) -> None:
    objects = [o for i in range(80) for o in make_scene(pack, 0, i).objects if o.item.category in POSES]
    assert 0.1 < np.mean([o.rest is not None for o in objects]) < 0.4


def flat(item: Item, color: str, xy: tuple[float, float]) -> Placed:
    return Placed(item, color, role_colors(color, np.random.default_rng(0)), np.array(xy), 20.0)


def test_stacked_objects_rest_on_something(pack: Pack, renderer: SceneRenderer) -> None:
    scenes = [make_scene(pack, 0, i) for i in range(80)]
    stacked = [(s, o) for s in scenes for o in s.objects if o.under is not None]
    assert 0.06 < len(stacked) / len(scenes) < 0.3
    for scene, top in stacked:
        assert top.under is not None and any(o is top.under for o in scene.objects)
        assert top.item.category in STACKS[top.under.item.category]
        assert 0 < top.z <= top.under.height + 0.002
        assert rest_height(top.under, top) == pytest.approx(top.z)
    scene, top = stacked[0]
    entry = next(o for o in renderer.render(scene).objects if o["id"] == scene.objects.index(top) + 1)
    assert entry["position_m"] == [round(float(v), 4) for v in (*top.xy, top.z)]


def test_rest_height_is_where_two_things_touch(pack: Pack) -> None:
    book, ball, bowl, apple = (
        next(i for i in pack.items if i.category == name) for name in ("book", "ball", "bowl", "apple")
    )
    on_book = rest_height(flat(book, "red", (0, 0)), flat(ball, "blue", (0, 0)))
    assert on_book == pytest.approx(book.height, abs=0.004)  # its title and picture are a little proud of the cover
    inside = rest_height(flat(bowl, "red", (0, 0)), flat(apple, "green", (0, 0)))
    assert inside is not None and 0.003 < inside < 0.6 * bowl.height  # in the bowl, not on its rim
    assert rest_height(flat(book, "red", (0, 0)), flat(ball, "blue", (1, 0))) is None


def with_clutter(scene: Scene, renderer: SceneRenderer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Instance maps with and without the clutter, and where the clutter shows: from the depth, not from the ids."""
    bare = dataclasses.replace(scene, clutter=())
    with_it, without = (renderer.render(s, depth=True) for s in (scene, bare))
    assert with_it.depth is not None and without.depth is not None
    return with_it.instances, without.instances, with_it.depth < without.depth - 1e-4


@pytest.mark.parametrize("kind", ["odd", "gripper"])
def test_clutter_is_background_and_occludes(pack: Pack, renderer: SceneRenderer, kind: str) -> None:
    scenes = [make_scene(pack, 0, i) for i in range(100)]
    some = [s for s in scenes if s.clutter and all((c.item is pack.gripper) == (kind == "gripper") for c in s.clutter)]
    assert 0.08 < len(some) / len(scenes) < 0.45
    for scene in some[:2]:
        ids, bare, where = with_clutter(scene, renderer)
        assert where.sum() > 100  # it is in view
        assert not ids[where].any()
        assert np.array_equal(ids[~where], bare[~where])
        assert where.mean() < 0.25
        assert all(o["category"] in CATEGORIES for o in renderer.render(scene).objects)


def test_what_a_gripper_hides_is_not_visible(pack: Pack, renderer: SceneRenderer) -> None:
    scene = make_scene(pack, 0, 0)
    plate = flat(next(i for i in pack.items if i.category == "plate"), "white", (0, 0))
    camera = look_at(np.array([0, 0, 0.03]), 0.9, 80, 90, 0, 600.0)
    over = dataclasses.replace(flat(pack.gripper, "black", (0, 0)), z=0.06)
    one = dataclasses.replace(scene, objects=(plate,), clutter=(), camera=camera, mat=None, furniture=(), walls=())
    (clear,) = renderer.render(one).objects
    (covered,) = renderer.render(dataclasses.replace(one, clutter=(over,))).objects
    assert clear["visible"] == 1.0 and covered["visible"] < 0.9
    assert covered["visible"] == pytest.approx(covered["area"] / clear["area"], abs=0.08)


def test_a_gripper_hides_at_most_one_object(pack: Pack) -> None:
    scene = make_scene(pack, 0, 2)
    rng = np.random.default_rng(0)
    layout = Layout(scene.camera, Table(0, np.array([1.5, 1.2]), 1.0, 0.0), rng)
    layout.objects = list(scene.objects)
    assert layout.hover(pack.gripper)
    (hanging,) = layout.clutter
    assert hanging.world(hanging.item.shape.vertices)[:, 2].min() > 0


def test_light_and_view_vary(pack: Pack) -> None:
    scenes = [make_scene(pack, 0, i) for i in range(120)]
    pitch = np.array([s.camera.pitch for s in scenes])
    assert pitch.min() < 28 and pitch.max() > 78 and np.mean((pitch > 33) & (pitch < 66)) > 0.5
    assert min(s.camera.position[2] for s in scenes) > 0.28
    assert {len(s.lighting.offsets) for s in scenes} == {1, 3}
    assert {s.lighting.shadows for s in scenes} == {True, False}
    assert {s.table.round for s in scenes} == {True, False}
    assert all(s.walls for s in scenes if s.camera.pitch < s.camera.fovy / 2)  # no black above the horizon


def test_what_was_drawn_before_leaves_no_trace_on_tables_and_rooms(pack: Pack, renderer: SceneRenderer) -> None:
    scenes = [make_scene(pack, 0, i) for i in range(60)]
    square = next(s for s in scenes if not s.table.round and s.furniture)
    disc = next(s for s in scenes if s.table.round)
    for before, then in ((square, disc), (disc, square)):
        renderer.render(before)
        picture = renderer.render(then)
        with SceneRenderer(make_pack(7, 0)) as fresh:
            alone = fresh.render(dataclasses.replace(then))
        assert np.array_equal(picture.rgb, alone.rgb) and picture.objects == alone.objects
        assert len(picture.objects) >= len(then.objects) - 1  # none is swallowed by the table


def test_walls_and_furniture_keep_off_the_table(pack: Pack) -> None:
    for i in range(40):
        scene = make_scene(pack, 0, i)
        points = np.concatenate([o.world(o.item.surface) for o in scene.objects])
        points = np.concatenate([points, scene.lighting.key.position[None]])
        for wall in scene.walls:
            a = np.radians(wall.angle)
            assert (points[:, :2] @ [np.cos(a), np.sin(a)] < wall.distance).all()
        for piece in scene.furniture:
            assert scene.table.distance(piece.position[:2]) > 0.05
