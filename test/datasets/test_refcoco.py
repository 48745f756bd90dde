# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""refCOCO's family and gRefCOCO, as published, and broken."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_sets import (
    CUP_MASK,
    PLATE_MASK,
    H,
    W,
    annotation,
    coco_name,
    grefs,
    instances,
    ref,
    refs,
    write_grefcoco,
    write_json,
    write_refcoco,
)

pytest.importorskip("pycocotools")

from llavaseg_ros.datasets import grefcoco, refcoco
from llavaseg_ros.datasets.base import Reading
from llavaseg_ros.evaluation.dataset import DatasetError


def read(root: Path, split: str, on_problem: str = "skip") -> Reading:
    return refcoco.read(root, split, name="refcoco", folder="refcoco", split_by="unc", on_problem=on_problem)


def replace_instances(root: Path, folder: str = "refcoco", **change: Any) -> None:
    write_json(root / folder / "instances.json", instances() | change)


def replace_refs(root: Path, value: Any) -> None:
    (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps(value, 2))


@pytest.mark.parametrize("protocol", [0, 2])
def test_splits_sentences_and_masks(tmp_path: Path, protocol: int) -> None:
    write_refcoco(tmp_path, protocol=protocol)
    train = read(tmp_path, "train", "refuse")
    assert [r.command for r in train] == ["the red cup", "cup on the left"]
    assert [r.id for r in train] == ["1-11", "1-12"]
    first = train[0]
    assert (first.dataset, first.split, first.target, first.kind, first.absent) == (
        *("refcoco", "train", "cup", "expression"),
        False,
    )
    assert first.image_path == tmp_path / "images/mscoco/images/train2014" / coco_name(9)
    assert first.region is train[1].region  # one mask for all sentences of a ref
    for split, command, truth in (
        ("train", "the red cup", CUP_MASK),
        ("val", "man in white", PLATE_MASK),
        ("testA", "both parts of it", CUP_MASK | PLATE_MASK),
        ("testB", "lady with a hat", CUP_MASK),
    ):
        reading = read(tmp_path, split, "refuse")
        assert reading[0].command == command
        assert reading.problems.count == 0
        mask = reading[0].mask()
        assert mask.dtype == bool and np.array_equal(mask, truth), split
        assert reading[0].ignored() is None


@pytest.mark.parametrize(("folder", "split_by"), [("refcoco+", "unc"), ("refcocog", "umd"), ("refcocog", "google")])
def test_the_other_sets_of_the_family(tmp_path: Path, folder: str, split_by: str) -> None:
    write_refcoco(tmp_path, folder, split_by)
    reading = refcoco.read(tmp_path, "val", name="x", folder=folder, split_by=split_by)
    assert [r.command for r in reading] == ["man in white"]


def test_two_readings_are_the_same(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    assert read(tmp_path, "train") == read(tmp_path, "train")


@pytest.mark.parametrize("folder", ["images/train2014", "train2014", "coco/train2014"])
def test_other_places_of_the_pictures(tmp_path: Path, folder: str) -> None:
    write_refcoco(tmp_path)
    (tmp_path / folder).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "images/mscoco/images/train2014").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / folder)
    assert read(tmp_path, "val")[0].image_path.is_file()


def test_a_missing_picture_is_counted_once_and_its_commands_are_left_out(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    (tmp_path / "images/mscoco/images/train2014" / coco_name(9)).unlink()
    replace_refs(tmp_path, [*refs(), ref(5, 25, 103, "train", {51: "that one"}), ref(6, 9, 102, "train", {61: "man"})])
    reading = read(tmp_path, "train")
    assert [r.command for r in reading] == ["that one"]
    assert reading.problems.count == 1
    assert coco_name(9) in reading.problems.text()
    with pytest.raises(DatasetError, match="refcoco train: 1 problems.*\n.*no such file"):
        read(tmp_path, "train", "refuse")


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([[1, 2, 3]], "annotation 101: a polygon of 3 numbers"),
        ({"size": [W, H], "counts": [H * W]}, r"annotation 101: an RLE of the size \[64, 48\]"),
        ({"size": [H, W], "counts": "abc"}, "annotation 101: RLE counts are cut short"),
        ([], "annotation 101: no shape at all"),
    ],
)
def test_a_broken_annotation_is_counted_once(tmp_path: Path, shape: Any, text: str) -> None:
    write_refcoco(tmp_path)
    replace_instances(tmp_path, annotations=[annotation(101, 9, shape), *instances()["annotations"][1:]])
    with pytest.raises(DatasetError, match=f"no command that can be used\n.*{text}"):
        read(tmp_path, "train")  # two sentences, one problem
    with pytest.raises(DatasetError, match=f"1 problems.*\n.*{text}"):
        read(tmp_path, "train", "refuse")
    assert read(tmp_path, "val", "refuse")[0].command == "man in white"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ann_id": 999}, "annotation 999: there is no such annotation"),
        ({"ann_id": 103}, "annotation 103: it belongs to image 25, not to 9"),
        ({"ann_id": [[101]]}, "are no ids of annotations"),
        ({"image_id": 7}, "there is no image 7"),
        ({"image_id": "9"}, "'9' is no id of an image"),
        ({"sentences": None}, r"refs\(unc\).p: ref 0: "),
        ({"sentences": [{"sent_id": 1, "sent": " "}]}, "sentence 1 of ref 1 has no words"),
        ({"sentences": [{"sent": "a cup"}]}, "ref 0: no 'sent_id'"),
    ],
)
def test_a_broken_ref_is_a_problem_and_the_next_one_is_read(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    write_refcoco(tmp_path)
    replace_refs(tmp_path, [refs()[0] | change, ref(5, 25, 103, "train", {51: "that one"}), "no ref"])
    reading = read(tmp_path, "train")
    assert [r.command for r in reading] == ["that one"]
    assert reading.problems.count == 2
    assert "ref 2: expected a dictionary with a split" in reading.problems.text()
    with pytest.raises(DatasetError, match=text):
        read(tmp_path, "train", "refuse")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"id": 9, "file_name": coco_name(9), "height": 0, "width": 5}, "image 9: a picture of 5 x 0"),
        ({"id": 9, "height": H, "width": W}, "image 9: no file_name"),
        ({"id": 9, "file_name": "../../secret.jpg", "height": H, "width": W}, "expected a name below"),
        ({"id": 9, "file_name": "/etc/passwd", "height": H, "width": W}, "expected a name below"),
        ({"file_name": coco_name(9)}, "a record of images without an id"),
    ],
)
def test_a_broken_image_record(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    write_refcoco(tmp_path)
    replace_instances(tmp_path, images=[row, instances()["images"][1]])
    with pytest.raises(DatasetError, match=text):
        read(tmp_path, "train")


def test_files_that_are_broken_as_a_whole(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    path = tmp_path / "refcoco/instances.json"
    whole = path.read_text()
    for content, text in (
        (whole[: len(whole) // 2], "instances.json: not JSON, or cut short"),
        ("[" * 100_000, "instances.json: not JSON, or cut short"),
        ("[]", "instances.json: expected a JSON dict, got list"),
        (json.dumps({"images": []}), 'expected a list "annotations"'),
    ):
        path.write_text(content)
        with pytest.raises(DatasetError, match=text):
            read(tmp_path, "train")
    path.write_text(whole)
    replace_refs(tmp_path, {"refs": []})
    with pytest.raises(DatasetError, match=r"refs\(unc\).p: expected a list of refs, got dict"):
        read(tmp_path, "train")
    (tmp_path / "refcoco/refs(unc).p").unlink()
    with pytest.raises(DatasetError, match=r"refcoco/refs\(unc\).p \(expressions\) is missing"):
        read(tmp_path, "train")


def test_a_split_that_is_not_there_and_a_wrong_option(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    with pytest.raises(DatasetError, match="refcoco nosplit: no command"):
        read(tmp_path, "nosplit")
    with pytest.raises(ValueError, match="expected 'skip' or 'refuse', got 'ignore'"):
        read(tmp_path, "train", "ignore")


def test_no_target_and_several(tmp_path: Path) -> None:
    write_grefcoco(tmp_path)
    one = grefcoco.read(tmp_path, "train", on_problem="refuse")
    assert [(r.command, r.kind, r.target, r.absent) for r in one] == [("the red cup", "one target", "cup", False)]
    several, bottle, dog = grefcoco.read(tmp_path, "val", on_problem="refuse")
    assert (several.kind, several.target, several.absent) == ("several targets", "", False)
    assert np.array_equal(several.mask(), CUP_MASK | PLATE_MASK)
    for absent in (bottle, dog):
        assert (absent.kind, absent.absent, absent.target) == ("absent", True, "")
        assert absent.mask().shape == (H, W) and not absent.mask().any()
    crowd = grefcoco.read(tmp_path, "testA", on_problem="refuse")[0]
    assert np.array_equal(crowd.mask(), CUP_MASK)  # without the crowd, as in ReLA


def test_the_older_pickled_file(tmp_path: Path) -> None:
    write_grefcoco(tmp_path)
    (tmp_path / "grefcoco/grefs(unc).json").unlink()
    (tmp_path / "grefcoco/grefs(unc).p").write_bytes(pickle.dumps(grefs(), 2))
    assert len(grefcoco.read(tmp_path, "val")) == 3


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], "expected ids of annotations"),
        ([-1, 101], "alone"),
        ([101, 999], "annotation 999: there is no such"),
        ([{}], "ref 0"),
    ],
)
def test_broken_groups(tmp_path: Path, ids: list[Any], text: str) -> None:
    write_grefcoco(tmp_path)
    write_json(tmp_path / "grefcoco/grefs(unc).json", [grefs()[1] | {"ann_id": ids}, grefs()[2]])
    assert [r.absent for r in grefcoco.read(tmp_path, "val")] == [True, True]
    with pytest.raises(DatasetError, match=text):
        grefcoco.read(tmp_path, "val", on_problem="refuse")
