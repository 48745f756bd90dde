# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scene generator: meshes, catalog, rendering, the writer, and the demo bag. Draws a few small pictures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("llavaseg_ros.training.scenes.gl", exc_type=ImportError)

from llavaseg_ros.places import location_name
from llavaseg_ros.training.scenes import meshes, things
from llavaseg_ros.training.scenes.__main__ import main
from llavaseg_ros.training.scenes.camera import look_at
from llavaseg_ros.training.scenes.catalog import (
    PACK_RANGES,
    allowed_colors,
    held_out_pairs,
    load_catalog,
)
from llavaseg_ros.training.scenes.dataset import contact_sheet, read_index, render_dataset
from llavaseg_ros.training.scenes.noise import camera_noise
from llavaseg_ros.training.scenes.packs import Pack, make_pack
from llavaseg_ros.training.scenes.parts import role_colors
from llavaseg_ros.training.scenes.pose import Placed
from llavaseg_ros.training.scenes.render import SceneRenderer, visible_fraction
from llavaseg_ros.training.scenes.scene import make_scene

CATEGORIES = list(load_catalog().categories)
HELD_OUT = list(load_catalog().held_out)
pytestmark = pytest.mark.usefixtures("off_screen")


def volume(mesh: meshes.Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (meshes.box(1, 2, 3), 6.0),
        (meshes.cylinder(1.0, 0.0, 2.0, segments=96), 2 * np.pi),
        (meshes.ellipsoid(1, 1, 1, 96), 4 / 3 * np.pi),
        (meshes.prism([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)], 0, 1), 3.0),
        (meshes.tube([(0, 0, 0), (0, 0, 1), (0, 0, 2)], 0.5, sides=96), 0.5 * np.pi),
        (meshes.box(1, 2, 3).turned("x", 40).turned("z", 70).moved(5, 5, 5), 6.0),
    ],
)
def test_meshes_are_closed_and_face_outwards(mesh: meshes.Mesh, expected: float) -> None:
    # The signed volume is right only if no face is missing or turned inside out.
    assert volume(mesh) == pytest.approx(expected, rel=0.01)


def test_catalog_has_the_domain() -> None:
    catalog = load_catalog()
    assert len(catalog.categories) == 33 and len(catalog.colors) == 11
    everything = {**catalog.categories, **catalog.held_out}
    assert len(catalog.held_out) >= 4 and len(everything) == 33 + len(catalog.held_out)
    assert set(things.BUILDERS) == set(everything)
    assert all(c.shape and c.size in ("small", "medium", "large") for c in everything.values())
    assert all(catalog.category(name) is c for name, c in everything.items())
    # The order is that of a model's labels: what was trained before must keep its index.
    assert CATEGORIES[:4] == ["mug", "cup", "bowl", "plate"] and CATEGORIES[-2:] == ["flashlight", "tape roll"]


def test_catalog_names_a_bad_entry(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(
        "colors: {red: {hue: [0, 1], saturation: [0, 1], value: [0, 1]}}\n"
        "categories: {mug: {colors: [rad], shape: s, size: small}}\n"
    )
    with pytest.raises(ValueError, match="mug.*rad"):
        load_catalog(path)


def test_color_words_do_not_overlap() -> None:
    """Samples of one color are nearer to that color's own mean than to another's."""
    rng = np.random.default_rng(0)
    colors = load_catalog().colors
    samples = {name: np.array([c.sample(rng) for _ in range(200)]) for name, c in colors.items()}
    lab = {n: cv2.cvtColor(s[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0] for n, s in samples.items()}
    means = np.array([v.mean(0) for v in lab.values()])
    for i, values in enumerate(lab.values()):
        nearest = np.argmin(np.linalg.norm(values[:, None] - means[None], axis=2), axis=1)
        assert (nearest == i).mean() > 0.93, list(lab)[i]


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [(0, 0, "back left"), (320, 10, "back"), (639, 0, "back right"), (10, 240, "left"), (320, 240, "middle"),
     (600, 240, "right"), (0, 479, "front left"), (320, 470, "front"), (640, 480, "front right")],
)
def test_location_name(x: float, y: float, name: str) -> None:
    assert location_name(x, y, 640, 480) == name


def test_held_out_pairs_stay_out_of_training_only() -> None:
    pairs = held_out_pairs()
    total = sum(len(c.colors) for c in load_catalog().categories.values())
    assert 0.08 < len(pairs) / total < 0.12
    for name in CATEGORIES:
        known = allowed_colors(name, training=True)
        assert known and set(known) | {c for n, c in pairs if n == name} == set(allowed_colors(name, training=False))
        assert not {(name, c) for c in known} & pairs
    seen: dict[str, set[tuple[str, str]]] = {}
    for kind in PACK_RANGES:
        one = make_pack(PACK_RANGES[kind][0], 0)
        seen[kind] = {(o.item.category, o.color) for i in range(60) for o in make_scene(one, 0, i).objects}
    assert not seen["train"] & pairs
    assert seen["test"] & pairs and seen["val"] & pairs


def test_the_same_seed_gives_the_same_scene_and_picture(pack: Pack, renderer: SceneRenderer) -> None:
    again = make_pack(7, 0)
    for a, b in zip(pack.items, again.items, strict=True):
        assert a.category == b.category and np.array_equal(a.shape.vertices, b.shape.vertices)
    first, second, other = make_scene(pack, 0, 4), make_scene(again, 0, 4), make_scene(pack, 1, 4)
    assert [(o.item.category, o.color, tuple(o.xy), o.yaw) for o in first.objects] == [
        (o.item.category, o.color, tuple(o.xy), o.yaw) for o in second.objects
    ]
    picture = renderer.render(first)
    renderer.render(other)  # what was drawn in between leaves no trace
    with SceneRenderer(again) as fresh:
        repeated = fresh.render(second)
    assert np.array_equal(picture.rgb, repeated.rgb) and np.array_equal(picture.instances, repeated.instances)
    assert picture.objects == repeated.objects
    assert [tuple(o.xy) for o in first.objects] != [tuple(o.xy) for o in other.objects]


def test_scenes_use_every_part_of_the_image(pack: Pack) -> None:
    names = []
    for i in range(60):
        scene = make_scene(pack, 0, i)
        for o in scene.objects:
            (u, v), _ = (part[0] for part in scene.camera.project(np.array([[*o.xy, o.z + o.height / 2]])))
            names.append(location_name(u, v, 640, 480))
    share = {n: names.count(n) / len(names) for n in set(names)}
    assert len(share) == 9 and min(share.values()) > 0.05


def test_every_category_renders() -> None:
    """Each object alone, as far away as in a scene: enough pixels, in the color that was asked for."""
    one = make_pack(1000, 3, [*CATEGORIES, *HELD_OUT])
    base = make_scene(one, 0, 0)
    rng = np.random.default_rng(0)
    with SceneRenderer(one) as renderer:
        for item in one.items:
            color = allowed_colors(item.category, training=False)[0]
            placed = Placed(item, color, role_colors(color, rng), np.zeros(2), 30.0)
            camera = look_at(np.array([0, 0, item.height / 2]), 0.8, 45, 90, 0, 600.0)
            alone = dataclasses.replace(base, objects=(placed,), camera=camera, mat=None, clutter=())
            picture = renderer.render(dataclasses.replace(alone, furniture=(), walls=()))
            (entry,) = picture.objects
            assert entry["area"] > 400 and entry["listed"], item.category
            assert entry["visible"] > 0.93, item.category
            inside = picture.rgb[picture.instances == 1].astype(np.float32) / 255
            hue = cv2.cvtColor(inside[None], cv2.COLOR_RGB2HSV)[0]
            wanted = cv2.cvtColor(np.array([[placed.colors["main"]]], np.float32), cv2.COLOR_RGB2HSV)[0, 0]
            off = np.abs((hue[:, 0] - wanted[0] + 180) % 360 - 180)
            assert ((off < 20) & (hue[:, 1] > 0.25)).mean() > 0.2, item.category


def test_instances_agree_with_the_records(pack: Pack, renderer: SceneRenderer) -> None:
    for i in range(4):
        scene = make_scene(pack, 0, i)
        picture = renderer.render(scene, depth=True)
        assert picture.rgb.shape == (480, 640, 3) and picture.instances.shape == (480, 640)
        assert set(np.unique(picture.instances)) - {0} == {o["id"] for o in picture.objects}
        for entry in picture.objects:
            own = picture.instances == entry["id"]
            x0, y0, x1, y1 = entry["bbox"]
            assert own.sum() == entry["area"] == own[y0:y1, x0:x1].sum()
            assert own[y0].any() and own[y1 - 1].any() and own[:, x0].any() and own[:, x1 - 1].any()
            assert entry["listed"] == (entry["area"] >= 150 and entry["visible"] >= 0.25)
            placed = scene.objects[entry["id"] - 1]
            assert (placed.item.category, placed.color) == (entry["category"], entry["color"])
            # Depth, ids and the camera model agree: the pixels' points lie within the object's own box.
            assert picture.depth is not None
            v, u = np.nonzero(own)
            z = picture.depth[v, u]
            focal = scene.camera.focal
            rays = np.column_stack([(u + 0.5 - 320) / focal, (v + 0.5 - 240) / focal, np.ones(len(u))])
            points = (rays * z[:, None]) @ scene.camera.rotation.T + scene.camera.position
            reach = np.linalg.norm(placed.half[:2]) + 0.01
            assert (np.linalg.norm(points[:, :2] - placed.xy, axis=1) < reach).mean() > 0.97
            assert points[:, 2].min() > placed.z - 0.01 and points[:, 2].max() < placed.z + placed.height + 0.01


def test_visible_fraction_sees_occlusion(pack: Pack, renderer: SceneRenderer) -> None:
    scene = dataclasses.replace(make_scene(pack, 0, 0), clutter=(), walls=(), furniture=())
    tall = next(item for item in pack.items if item.category == "cereal box")
    ball = next(item for item in pack.items if item.category == "ball")
    rng = np.random.default_rng(0)
    hidden = Placed(ball, "red", role_colors("red", rng), np.array([0.0, 0.0]), 0.0)
    camera = look_at(np.array([0, 0, 0.03]), 0.8, 30, 90, 0, 600.0)
    alone = renderer.render(dataclasses.replace(scene, objects=(hidden,), camera=camera))
    assert visible_fraction(hidden, camera, alone.instances == 1) == 1.0
    fractions = []
    for x in (0.07, 0.04):
        screen = Placed(tall, "white", role_colors("white", rng), np.array([x, -0.08]), 0.0)
        both = renderer.render(dataclasses.replace(scene, objects=(hidden, screen), camera=camera))
        entry = both.objects[0]
        assert entry["visible"] == pytest.approx(entry["area"] / alone.objects[0]["area"], abs=0.12)
        fractions.append(entry["visible"])
    assert 0 < fractions[1] < fractions[0] < 1
    edge = dataclasses.replace(camera, position=camera.position + [0.8 * 320 / 600, 0, 0])
    assert 0.3 < renderer.render(dataclasses.replace(scene, objects=(hidden,)), camera=edge).objects[0]["visible"] < 0.7


def test_camera_noise_is_seeded_and_mild(pack: Pack, renderer: SceneRenderer) -> None:
    clean = renderer.render(make_scene(pack, 0, 1)).rgb
    a, b, c = (camera_noise(clean, np.random.default_rng(s)) for s in (1, 1, 2))
    assert a.dtype == np.uint8 and a.shape == clean.shape
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert np.abs(a.astype(int) - clean).mean() < 40


def test_dataset_is_resumable_and_checked(tmp_path: Path) -> None:
    out = tmp_path / "set"
    render_dataset(out, 4, 3, packs="val", scenes_per_pack=2, progress=False)
    whole = (out / "scenes.jsonl").read_text()
    records = read_index(out)
    assert [r["image"] for r in records] == ["000000.jpg", "000001.jpg", "000002.jpg", "000003.jpg"]
    assert [r["pack"] for r in records] == [2000, 2000, 2001, 2001]
    assert records[0]["width"] == 640 and records[0]["height"] == 480 and len(records[0]["camera"]["K"]) == 4
    ids = cv2.imread(str(out / records[0]["instances"]), cv2.IMREAD_UNCHANGED)
    assert ids is not None and ids.dtype == np.uint8 and ids.shape == (480, 640)
    assert [int((ids == o["id"]).sum()) for o in records[0]["objects"]] == [o["area"] for o in records[0]["objects"]]
    # A kill in the middle of the second pack leaves half a line: the rest is drawn again, and comes out the same.
    lines = whole.splitlines(keepends=True)
    (out / "scenes.jsonl").write_text("".join(lines[:2]) + lines[2][:100])
    kept = (out / "000000.jpg").stat().st_mtime_ns
    render_dataset(out, 4, 3, packs="val", scenes_per_pack=2, progress=False)
    assert (out / "scenes.jsonl").read_text() == whole
    assert (out / "000000.jpg").stat().st_mtime_ns == kept
    render_dataset(out, 2, 3, packs="val", scenes_per_pack=2, progress=False)
    assert (out / "scenes.jsonl").read_text() == whole  # a smaller number throws nothing away
    with pytest.raises(ValueError, match="expected seed 4"):
        render_dataset(out, 4, 4, packs="val", scenes_per_pack=2, progress=False)
    sheet = cv2.imread(str(contact_sheet(out, tmp_path / "sheet.png", count=4)))
    assert sheet is not None and sheet.shape == (960, 1920, 3)


def test_dataset_refuses_packs_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="0 to 999"):
        render_dataset(tmp_path, 80, 0, 999, packs="train", progress=False)
    with pytest.raises(ValueError, match="train, test, val"):
        render_dataset(tmp_path, 1, 0, packs="tests", progress=False)
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--scenes", "0"])
    assert "at least one scene" in capsys.readouterr().err


def test_command_line_writes_a_set(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), "--scenes", "1", "--packs", "test", "--workers", "1"]) == 0
    (record,) = [json.loads(line) for line in (tmp_path / "scenes.jsonl").read_text().splitlines()]
    assert record["pack"] == 1000 and record["seed"] == 0
