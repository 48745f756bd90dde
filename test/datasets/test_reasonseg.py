# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ReasonSeg, as published, and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published_sets import CUP_MASK, H, W, box, corners, reasonseg_json, shape, write_json, write_reasonseg

from llavaseg_ros.datasets import reasonseg
from llavaseg_ros.evaluation.dataset import DatasetError

HOLE = box(15, 10, 21, 16)


def test_all_texts_of_train_and_the_first_of_the_others(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    train = reasonseg.read(tmp_path, "train", on_problem="refuse")
    assert [(r.id, r.command, r.kind) for r in train] == [
        ("11_o-0", "what holds coffee?", "long query"),
        ("11_o-1", "Where would one pour coffee?", "long query"),
        ("12_o-0", "the thing to drink from", "short query"),
    ]
    assert [r.command for r in reasonseg.read(tmp_path, "val")] == ["what holds coffee?"]


def test_short_and_long_queries_of_test(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    ids = {split: [r.id for r in reasonseg.read(tmp_path, split)] for split in reasonseg.SPLITS if "test" in split}
    assert ids == {"test": ["31_o-0", "32_o-0"], "test-short": ["31_o-0"], "test-long": ["32_o-0"]}


def test_targets_ignored_regions_and_flags(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    first, _, whole = reasonseg.read(tmp_path, "train")
    mask, ignored = first.mask(), first.ignored()
    assert mask.dtype == bool and mask.shape == (H, W)
    assert np.array_equal(mask, CUP_MASK & ~HOLE)
    assert ignored is not None and np.array_equal(ignored, HOLE)
    assert np.array_equal(whole.mask(), CUP_MASK)
    assert whole.ignored() is None
    # The smaller shape is seen wherever it stands in the file.
    assert np.array_equal(reasonseg.read(tmp_path, "test-long")[0].mask(), CUP_MASK & ~HOLE)


@pytest.mark.parametrize("folder", ["ReasonSeg", "reason_seg/ReasonSeg"])
def test_other_roots(tmp_path: Path, folder: str) -> None:
    write_reasonseg(tmp_path / folder)
    assert len(reasonseg.read(tmp_path, "train")) == 3


def test_a_file_in_windows_letters(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    row = reasonseg_json(["the caf\u00e9\u2019s cup"], False, [shape("target", corners(1, 1, 5, 5))])
    (tmp_path / "val/21_o.json").write_bytes(json.dumps(row, ensure_ascii=False).encode("cp1252"))
    assert reasonseg.read(tmp_path, "val", on_problem="refuse")[0].command == "the caf\u00e9\u2019s cup"


def test_a_turned_photograph_is_drawn_as_it_is_seen(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (W, H)).save(tmp_path / "val/21_o.jpg", exif=exif)
    assert reasonseg.read(tmp_path, "val")[0].mask().shape == (W, H)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": []}, '"text": expected a list of texts'),
        ({"text": "the cup"}, '"text": expected a list of texts'),
        ({"text": [" "]}, '"text": expected a list of texts'),
        ({"is_sentence": 1}, '"is_sentence": expected true or false, got 1'),
        ({"shapes": None}, '"shapes": expected a list'),
        ({"shapes": []}, "no shape is a target"),
        ({"shapes": [shape("ignore", corners(1, 1, 5, 5))]}, "no shape is a target"),
        ({"shapes": [{"points": []}]}, "a shape without a label"),
        ({"shapes": [shape("target", [])]}, "points are not pairs"),
        ({"shapes": [shape("target", [[1, 2], [3]])]}, "points are not pairs"),
        ({"shapes": [shape("target", [[1, 2], [3, float("nan")], [5, 6]])]}, "points are not pairs"),
        ({"shapes": [shape("target", [[1, 2], [3, 1e12], [5, 6]])]}, "points are not pairs"),
    ],
)
def test_a_broken_file_is_a_problem_and_the_others_are_read(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    write_reasonseg(tmp_path)
    path = tmp_path / "train/11_o.json"
    write_json(path, json.loads(path.read_text()) | row)
    reading = reasonseg.read(tmp_path, "train")
    assert [r.id for r in reading] == ["12_o-0"]
    assert reading.problems.count == 1
    with pytest.raises(DatasetError, match=f"train/11_o.json: .*{text}"):
        reasonseg.read(tmp_path, "train", on_problem="refuse")


def test_files_that_are_cut_short_or_missing(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    path = tmp_path / "train/11_o.json"
    path.write_text(path.read_text()[:-20])
    (tmp_path / "train/12_o.jpg").unlink()
    (tmp_path / "train/13_o.jpg").write_bytes((tmp_path / "train/11_o.jpg").read_bytes())
    with pytest.raises(DatasetError) as caught:
        reasonseg.read(tmp_path, "train")
    text = str(caught.value)
    assert "train/11_o.json: not JSON, or cut short" in text
    assert "train/12_o.jpg: no such file" in text
    assert "train/13_o.json" in text and "No such file" in text


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    (tmp_path / "val/21_o.jpg").write_bytes(b"words")
    reading = reasonseg.read(tmp_path, "val")
    with pytest.raises(DatasetError, match="reasonseg val 21_o-0: image .*21_o.jpg: cannot be read as a picture"):
        reading[0].mask()
    with pytest.raises(DatasetError, match="is missing"):
        reasonseg.read(tmp_path / "nothing", "val")
