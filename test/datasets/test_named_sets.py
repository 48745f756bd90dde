# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ADE20K, COCO-Stuff, PACO and Pascal-Part: names, templated commands, masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_sets import (
    CUP_MASK,
    PLATE_MASK,
    H,
    W,
    ade_map,
    annotation,
    box,
    packed_rle,
    paco,
    pascal,
    picture,
    stuff_map,
    write_ade20k,
    write_coco_stuff,
    write_json,
    write_map,
    write_paco,
    write_pascal_part,
)

pytest.importorskip("pycocotools")

from llavaseg_ros.datasets import ade20k, coco_stuff, pascal_part
from llavaseg_ros.datasets import paco as paco_set
from llavaseg_ros.datasets.parts import spoken
from llavaseg_ros.datasets.templates import command_for, load_templates
from llavaseg_ros.evaluation.dataset import DatasetError


def test_ade20k(tmp_path: Path) -> None:
    write_ade20k(tmp_path)
    for split, stem in (("train", "ADE_train_00000001"), ("val", "ADE_val_00000001")):
        building, floor = ade20k.read(tmp_path, split, on_problem="refuse")
        assert (building.id, building.target, building.kind) == (f"{stem}-2", "building", "class")
        assert (floor.id, floor.target) == (f"{stem}-4", "floor")
        assert building.command in {text.format(name="building") for text in load_templates()}
        for referral, truth in ((building, CUP_MASK), (floor, PLATE_MASK)):
            mask = referral.mask()
            assert mask.dtype == bool and np.array_equal(mask, truth)


def test_coco_stuff_counts_from_one_less_and_leaves_cut_words_out(tmp_path: Path) -> None:
    write_coco_stuff(tmp_path)
    for split in coco_stuff.SPLITS:
        cup, tree = coco_stuff.read(tmp_path, split, on_problem="refuse")
        assert (cup.target, tree.target) == ("cup", "tree")
        assert np.array_equal(cup.mask(), CUP_MASK)
        assert np.array_equal(tree.mask(), PLATE_MASK)


def test_a_map_with_a_palette_and_one_in_colors(tmp_path: Path) -> None:
    write_coco_stuff(tmp_path)
    path = tmp_path / "annotations/train2017/000000000009.png"
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(DatasetError, match="expected one channel of 8 bits, got mode RGB"):
        coco_stuff.read(tmp_path, "train")
    colored = Image.new("P", (W, H))
    colored.frombytes(stuff_map().tobytes())
    colored.putpalette([x for n in range(256) for x in (n, 255 - n, 7)])
    colored.save(path)
    cup, _ = coco_stuff.read(tmp_path, "train", on_problem="refuse")
    assert np.array_equal(cup.mask(), CUP_MASK)


def test_coco_stuff_as_lisa_lays_it_out(tmp_path: Path) -> None:
    write_coco_stuff(tmp_path / "x")
    for old, new in (("images", "coco"), ("annotations", "cocostuff")):
        (tmp_path / "x" / old).rename(tmp_path / new)
    (tmp_path / "x/labels.txt").rename(tmp_path / "cocostuff/labels.txt")
    assert len(coco_stuff.read(tmp_path, "train")) == 2


def test_paco_unites_what_the_command_names_and_leaves_out_what_is_half_annotated(tmp_path: Path) -> None:
    write_paco(tmp_path)
    mug, handle, panel = paco_set.read(tmp_path, "train", on_problem="refuse")
    assert [(r.target, r.kind) for r in (mug, handle, panel)] == [
        ("mug", "object"),
        ("handle of the mug", "part"),
        ("base panel of the laptop computer", "part"),
    ]
    assert np.array_equal(mug.mask(), CUP_MASK | PLATE_MASK)
    assert np.array_equal(handle.mask(), box(10, 8, 14, 20))
    assert "handle of the mug" in handle.command
    assert handle.image_path == tmp_path / "coco/train2017/000000000009.jpg"


def test_pascal_part(tmp_path: Path) -> None:
    write_pascal_part(tmp_path)
    wheel, pot = pascal_part.read(tmp_path, "train", on_problem="refuse")
    assert (wheel.target, pot.target) == ("wheel of the bicycle", "pot of the potted plant")
    assert np.array_equal(wheel.mask(), CUP_MASK | PLATE_MASK)
    assert np.array_equal(pot.mask(), box(0, 40, 8, 48))


@pytest.mark.parametrize(
    ("category", "name", "kind"),
    [
        ("mug", "mug", "object"),
        ("trash_can", "trash can", "object"),
        ("car_(automobile)", "car", "object"),
        ("pan_(for_cooking):handle", "handle of the pan", "part"),
        ("potted plant:pot", "pot of the potted plant", "part"),
    ],
)
def test_names_as_people_say_them(category: str, name: str, kind: str) -> None:
    assert spoken(category) == (name, kind)


def test_templates_are_chosen_by_the_id_and_all_are_used() -> None:
    commands = [command_for("mug", f"paco {n}") for n in range(300)]
    assert commands == [command_for("mug", f"paco {n}") for n in range(300)]
    assert set(commands) == {text.format(name="mug") for text in load_templates()}
    # Pinned: another choice would change every set that was exported before.
    assert command_for("mug", "paco 9-1") == PINNED


PINNED = "the mug"


def test_maps_that_are_missing_broken_or_of_another_size(tmp_path: Path) -> None:
    write_ade20k(tmp_path)
    images, maps = (tmp_path / f"ADEChallengeData2016/{x}/training" for x in ("images", "annotations"))
    for name in ("b", "c", "d", "e"):
        picture(images / f"{name}.jpg")
    (images / "f.jpg").write_bytes(b"words")
    write_map(maps / "a.png", ade_map())  # no picture
    write_map(maps / "b.png", np.zeros((W, H)))  # b: turned; c: no map
    write_map(maps / "d.png", np.full((H, W), 151))
    (maps / "e.png").write_bytes((maps / "ADE_train_00000001.png").read_bytes()[:60])
    write_map(maps / "f.png", ade_map())
    reading = ade20k.read(tmp_path, "train")
    assert len(reading) == 2
    assert reading.problems.count == 6
    with pytest.raises(DatasetError) as caught:
        ade20k.read(tmp_path, "train", on_problem="refuse")
    for text in (
        "a.jpg: no such file",
        "c.png: no such file",
        "b.png: [64, 48]; its picture has [48, 64]",
        "d.png: the value 151; expected 0 to 150, or 255",
        "e.png: cannot be read as a picture",
        "f.jpg: cannot be read as a picture",
    ):
        assert text in str(caught.value)


def test_a_map_that_goes_away_later(tmp_path: Path) -> None:
    write_ade20k(tmp_path)
    reading = ade20k.read(tmp_path, "train")
    (tmp_path / "ADEChallengeData2016/annotations/training/ADE_train_00000001.png").unlink()
    with pytest.raises(DatasetError, match="ade20k train ADE_train_00000001-2: label map"):
        reading[0].mask()


@pytest.mark.parametrize("content", ["Idx Name\n1 wall\n", "Idx\n1\t0.1\t5\t5\t\n"])
def test_names_that_are_no_names(tmp_path: Path, content: str) -> None:
    write_ade20k(tmp_path)
    (tmp_path / "ADEChallengeData2016/objectInfo150.txt").write_text(content)
    with pytest.raises(DatasetError, match="objectInfo150.txt line 2: expected Idx"):
        ade20k.read(tmp_path, "train")
    write_coco_stuff(tmp_path)
    (tmp_path / "labels.txt").write_text("0: unlabeled\nperson\n")
    with pytest.raises(DatasetError, match="labels.txt line 2: expected a number, a colon and a name"):
        coco_stuff.read(tmp_path, "train")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="labels.txt: not UTF-8"):
        coco_stuff.read(tmp_path, "train")


def test_broken_annotations_of_parts(tmp_path: Path) -> None:
    write_paco(tmp_path)
    content = paco()
    content["annotations"] += [
        annotation(6, 9, packed_rle(CUP_MASK), 999),
        annotation(7, 77, packed_rle(CUP_MASK), 1),
        annotation(8, 9, {"size": [W, H], "counts": "0"}, 11),
    ]
    write_json(tmp_path / "paco/annotations/paco_lvis_v1_train.json", content)
    reading = paco_set.read(tmp_path, "train")
    # One of the handles is broken, so that the mask of "the handle of the mug" would lack it.
    assert [r.target for r in reading] == ["mug", "base panel of the laptop computer"]
    with pytest.raises(DatasetError, match="3 problems") as caught:
        paco_set.read(tmp_path, "train", on_problem="refuse")
    for text in ("category 999: no such thing", "there is no image 77", "annotation 8: an RLE of the size"):
        assert text in str(caught.value)
    write_pascal_part(tmp_path)
    write_json(tmp_path / "pascal_part/train.json", pascal() | {"images": []})
    with pytest.raises(DatasetError, match="there is no image 2008000003"):
        pascal_part.read(tmp_path, "train")
