# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""All sets by name: what is missing, mixing, exporting, the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published_sets import (
    CUP_MASK,
    PLATE_MASK,
    annotation,
    coco_name,
    instances,
    picture,
    write_ade20k,
    write_coco_stuff,
    write_grefcoco,
    write_json,
    write_paco,
    write_pascal_part,
    write_reasonseg,
    write_refcoco,
)

pytest.importorskip("pycocotools")

from llavaseg_ros.cli import main as cli
from llavaseg_ros.datasets.base import Reading
from llavaseg_ros.datasets.export import examine, export
from llavaseg_ros.datasets.mix import Mix, coco_number, without_pictures
from llavaseg_ros.datasets.registry import SETS, describe_missing, entry, read
from llavaseg_ros.evaluation.dataset import DatasetError, read_dataset
from llavaseg_ros.images import read_mask

WRITERS: dict[str, Callable[[Path], None]] = {
    "refcoco": write_refcoco,
    "refcoco+": lambda root: write_refcoco(root, "refcoco+"),
    "refcocog": lambda root: write_refcoco(root, "refcocog", "umd"),
    "refcoco-google": lambda root: write_refcoco(root, "refcoco", "google"),
    "refcocog-google": lambda root: write_refcoco(root, "refcocog", "google"),
    "grefcoco": write_grefcoco,
    "reasonseg": write_reasonseg,
    "ade20k": write_ade20k,
    "coco-stuff": write_coco_stuff,
    "paco": write_paco,
    "pascal-part": write_pascal_part,
}


@pytest.mark.parametrize("name", SETS)
def test_every_set_says_what_is_missing_where_to_get_it_and_how_to_lay_it_out(name: str, tmp_path: Path) -> None:
    assert set(WRITERS) == set(SETS)
    for split in entry(name).splits:
        text = describe_missing(name, tmp_path, split)
        for part in ("Missing:", "Where to get it:", "http", "How to lay it out:", "Licence:", str(tmp_path)):
            assert part in text, part
        with pytest.raises(DatasetError, match="Where to get it:"):
            read(name, tmp_path, split)
    WRITERS[name](tmp_path)
    assert describe_missing(name, tmp_path, "train") == ""
    reading = read(name, tmp_path, "train", on_problem="refuse")
    assert (reading.dataset, reading.split) == (name, "train")
    assert len({referral.id for referral in reading}) == len(reading) > 0
    assert {(r.dataset, r.split) for r in reading} == {(name, "train")}
    assert examine(reading).count == 0


@pytest.mark.parametrize("name", SETS)
def test_the_layout_that_is_printed_is_one_that_is_read(name: str) -> None:
    layout = SETS[name].about["layout"]
    for need in SETS[name].needs("train"):
        assert any(place.split("/train.json")[0] in layout for place in need.places), need


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no data set 'coco'; known are refcoco, "):
        read("coco", tmp_path, "train")
    with pytest.raises(DatasetError, match="refcoco has no split 'test'; it has train, val, testA, testB"):
        read("refcoco", tmp_path, "test")


def test_a_mix_depends_on_seed_and_place_alone(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    write_ade20k(tmp_path)
    readings = [read("refcoco", tmp_path, "train"), read("ade20k", tmp_path, "train")]
    mix = Mix(readings, [3, 1], seed=5)
    order = [mix.draw(k).id for k in range(200)]
    again = Mix(readings, [3, 1], seed=5)
    assert [again.draw(k).id for k in reversed(range(200))] == order[::-1]
    assert [Mix(readings, [3, 1], seed=6).draw(k).id for k in range(200)] != order
    # Pinned: a training that is stopped and started again, by another Python, must see the same.
    assert order[:6] == PINNED
    counts = Counter(mix.draw(k).dataset for k in range(2000))
    assert 1400 < counts["refcoco"] < 1600
    assert {mix.draw(k).id for k in range(200)} == {r.id for reading in readings for r in reading}
    assert {Mix(readings, [0, 1]).draw(k).dataset for k in range(50)} == {"ade20k"}


PINNED = ["1-12", "ADE_train_00000001-2", "1-11", "ADE_train_00000001-4", "ADE_train_00000001-4", "1-11"]


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_weights_that_are_none(tmp_path: Path, weights: list[float]) -> None:
    write_refcoco(tmp_path)
    reading = read("refcoco", tmp_path, "train")
    with pytest.raises(ValueError, match="weights"):
        Mix([reading, reading], weights)
    with pytest.raises(ValueError, match="a reading without referrals"):
        Mix([reading, Reading("refcoco", "val", ())], [1, 1])


def test_pictures_of_another_sets_test_can_be_left_out(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    write_coco_stuff(tmp_path / "stuff")
    picture(tmp_path / "stuff/images/train2017/000000000033.jpg")
    data = (tmp_path / "stuff/annotations/train2017/000000000009.png").read_bytes()
    (tmp_path / "stuff/annotations/train2017/000000000033.png").write_bytes(data)
    stuff, val = read("coco-stuff", tmp_path / "stuff", "train"), read("refcoco", tmp_path, "val")
    assert len(stuff) == 4
    assert {coco_number(r.image_path) for r in without_pictures(stuff, [val])} == {33}
    ade = write_ade20k(tmp_path) or read("ade20k", tmp_path, "train")
    assert without_pictures(ade, [ade]) == ade  # names without a number are never taken for each other


def test_export_is_read_by_the_evaluation(tmp_path: Path) -> None:
    write_grefcoco(tmp_path)
    path, problems = export(read("grefcoco", tmp_path, "val"), tmp_path / "out/gref")
    several, bottle, dog = read_dataset(path, need_truth=True)
    assert problems.count == 0
    assert (several.id, several.command, several.kind, several.target) == (
        *("2-21", "the cup and the man", "several targets"),
        None,
    )
    assert several.mask_path is not None and np.array_equal(read_mask(several.mask_path), CUP_MASK | PLATE_MASK)
    assert several.image_path.samefile(tmp_path / "images/train2014" / coco_name(9))
    assert several.ignore_path is None
    for absent in (bottle, dog):
        assert (absent.has_truth, absent.mask_path, absent.kind) == (True, None, "absent")


def test_export_of_regions_to_ignore_and_of_names(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    path, _ = export(read("reasonseg", tmp_path, "train"), tmp_path / "reason")
    first, second, third = read_dataset(path, need_truth=True)
    assert first.ignore_path is not None and read_mask(first.ignore_path).sum() == 36
    assert first.mask_path == second.mask_path  # two texts, one file
    assert third.ignore_path is None
    write_ade20k(tmp_path)
    path, _ = export(read("ade20k", tmp_path, "val"), tmp_path / "ade", names_targets=True, limit=1)
    (building,) = read_dataset(path, need_truth=True)
    assert building.target == "building"


def test_what_cannot_be_drawn_is_counted_and_has_no_line(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    picture(tmp_path / "images/mscoco/images/train2014" / coco_name(9), 40, 64)
    reading = read("refcoco", tmp_path, "train")
    assert "a mask of [48, 64]; its picture" in examine(reading).text()
    assert examine(reading).count == 1  # two sentences, one region
    with pytest.raises(DatasetError, match="refcoco train: nothing to write\n.*has \\[40, 64\\]"):
        export(reading, tmp_path / "out")


def test_a_shape_without_a_pixel_is_found(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    content = instances()
    content["annotations"][0] = annotation(101, 9, [[5, 5, 5, 5, 5, 5]])
    write_json(tmp_path / "refcoco/instances.json", content)
    assert "the mask has no pixel" in examine(read("refcoco", tmp_path, "train")).text()


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "list"]) == 0
    out = capsys.readouterr().out
    for name, one in SETS.items():
        assert f"{name:16}{one.about['title']}" in out
    assert "splits: train, val, test, test-short, test-long" in out


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["data", "check", "grefcoco", "--root", str(tmp_path)]
    assert cli.main(argv) == 1
    assert "Where to get it:" in capsys.readouterr().out
    write_grefcoco(tmp_path)
    assert cli.main([*argv, "--split", "val"]) == 0
    assert "grefcoco val: 3 commands (2 absent) on 1 images, 0 problems" in capsys.readouterr().out
    assert cli.main(argv) == 1  # there is nothing in testB
    out = capsys.readouterr().out
    assert "grefcoco testA: 1 commands (0 absent) on 1 images, 0 problems" in out
    assert "grefcoco testB: cannot be used" in out
    (tmp_path / "images/train2014" / coco_name(25)).unlink()
    assert cli.main([*argv, "--split", "testA"]) == 1
    assert "no such file" in capsys.readouterr().out


def test_export_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reasonseg(tmp_path)
    (tmp_path / "train/12_o.jpg").unlink()
    argv = ["data", "export", "reasonseg", "--root", str(tmp_path), "--split", "train", "--out", str(tmp_path / "out")]
    assert cli.main(argv) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "out/data.jsonl")
    assert "1 problems, left out:" in err
    assert len(read_dataset(tmp_path / "out/data.jsonl", need_truth=True)) == 2
    assert cli.main([*argv, "--on-problem", "refuse"]) == 1
    assert "llavaseg data: reasonseg train: 1 problems" in capsys.readouterr().err
    assert cli.main([*argv, "--limit", "1"]) == 0
    assert len(read_dataset(tmp_path / "out/data.jsonl")) == 1


def test_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, text in (
        (["data"], "the following arguments are required: ACTION"),
        (["data", "check", "refcoco"], "the following arguments are required: --root"),
        (["data", "check", "refcoco", "--root", str(tmp_path / "gone")], "no such folder"),
        (["data", "export", "refcoco", "--root", str(tmp_path)], "--split, --out"),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        assert caught.value.code == 2
        assert text in capsys.readouterr().err
    assert cli.main(["data", "check", "nothing", "--root", str(tmp_path)]) == 1
    assert "there is no data set 'nothing'" in capsys.readouterr().err


def test_without_pycocotools_the_text_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_refcoco(tmp_path)
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert cli.main(["data", "check", "refcoco", "--root", str(tmp_path), "--split", "val"]) == 1
    assert "pip install 'pycocotools>=2.0.8'" in capsys.readouterr().err


def test_the_readers_import_no_torch() -> None:
    tested = sys.modules["llavaseg_ros.images"].__file__
    where = "import llavaseg_ros.images; print(llavaseg_ros.images.__file__)"
    installed = subprocess.run([sys.executable, "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    if installed != tested:
        pytest.skip(f"a new process would import {installed}, not {tested}")
    code = (
        "import sys; import llavaseg_ros.datasets.registry, llavaseg_ros.datasets.export, llavaseg_ros.datasets.mix\n"
        "heavy = {'torch', 'transformers', 'rclpy', 'pycocotools'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_of_the_readers_loads_pickles() -> None:
    folder = Path(sys.modules["llavaseg_ros.datasets.registry"].__file__ or "").parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        for word in ("import pickle\n", "pickle.load", "Unpickler", "eval(", "exec("):
            assert word not in text, (path, word)


def test_data_lines_are_those_of_the_documented_format(tmp_path: Path) -> None:
    write_refcoco(tmp_path)
    path, _ = export(read("refcoco", tmp_path, "val"), tmp_path / "out")
    assert json.loads(path.read_text()) == {
        "id": "2-21",
        "image": f"../images/mscoco/images/train2014/{coco_name(9)}",
        "command": "man in white",
        "mask": "masks/2-21.png",
        "kind": "expression",
    }
