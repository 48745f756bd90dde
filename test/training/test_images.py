# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training samples: scenes as another camera might have seen them, and mosaics of named photographs."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from llavaseg_ros.training.images import SceneSet, relit, to_batch, turned
from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.photographs import PhotographSet, naming_loss
from llavaseg_ros.training.sam import dense_targets, vocabulary


@pytest.fixture
def scenes(tmp_path: Path) -> SceneSet:
    """One scene: a red block, id 7, on gray."""
    rgb, ids = np.full((480, 640, 3), 90, np.uint8), np.zeros((480, 640), np.uint8)
    rgb[100:260, 300:500], ids[100:260, 300:500] = (40, 40, 200), 7  # BGR
    cv2.imwrite(str(tmp_path / "0.png"), rgb)
    cv2.imwrite(str(tmp_path / "0_ids.png"), ids)
    record = {"image": "0.png", "instances": "0_ids.png", "objects": [{"id": 7, "category": "box", "color": "red"}]}
    (tmp_path / "scenes.jsonl").write_text(json.dumps(record) + "\n")
    return SceneSet(tmp_path, 512)


def test_a_folder_without_scenes_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="llavaseg train scenes"):
        SceneSet(tmp_path, 512)


def test_ids_follow_the_picture_through_mirror_crop_and_light(scenes: SceneSet) -> None:
    seen = set()
    for seed in range(45):
        sample = scenes.read(0, random.Random(seed))
        if not sample.colors_hold:
            continue
        assert sample.rgb.shape == (384, 512, 3) and sample.ids.shape == (192, 256) and sample.extent == (1.0, 1.0)
        red = sample.rgb[::2, ::2].astype(int)
        red = red[..., 0] > red[..., 1] + 40
        both = red & (sample.ids.numpy() == 7)
        assert both.sum() > 0.9 * max(red.sum(), 1)
        seen.add((int(red.sum()), int(np.argmax(red.any(axis=0)))))
    assert len(seen) > 10
    assert torch.equal(scenes[0].ids, scenes[0].ids)


def test_another_light_keeps_colors_apart() -> None:
    gray = np.full((2, 2, 3), 120, np.uint8)
    for seed in range(50):
        pixel = relit(gray, random.Random(seed))[0, 0].astype(int)
        assert 60 < pixel.mean() < 200 and np.ptp(pixel) < 70


def test_turned_pictures_teach_names_and_no_colors(scenes: SceneSet) -> None:
    pixel = np.full((1, 1, 3), (200, 40, 40), np.uint8)
    seen = {tuple(turned(pixel, random.Random(seed))[0, 0].tolist()) for seed in range(60)}
    assert any(g > r + 60 for r, g, _ in seen) and any(r == g == b for r, g, b in seen)

    names, colors = vocabulary()
    samples = [scenes.read(0, random.Random(seed)) for seed in range(60)]
    assert 5 < sum(not s.colors_hold for s in samples) < 35
    for sample in samples:
        targets = dense_targets(sample)
        assert set(targets["label"].unique().tolist()) == {-1, names["box"]}
        assert set(targets["color"].unique().tolist()) == ({-1, colors["red"]} if sample.colors_hold else {-1})
    # An orange is known by its color.
    sample = next(s for s in samples if not s.colors_hold)
    orange = {**sample.scene, "objects": [{"id": 7, "category": "orange", "color": "orange"}]}
    assert (dense_targets(replace(sample, scene=orange))["label"] == -1).all()


def test_a_batch_is_normalised() -> None:
    assert to_batch([np.full((32, 32, 3), 124, np.uint8)] * 2).abs().max() < 0.4


def test_mosaics_show_named_photographs_and_the_right_name_costs_less(tmp_path: Path) -> None:
    rows = []
    for k, name in enumerate(("apple", "kiwi", "juice")):
        cv2.imwrite(str(tmp_path / f"{k}.jpg"), np.full((224, 224, 3), 60 * k + 40, np.uint8))
        rows.append({"image": f"{k}.jpg", "name": name, "split": "train"})
    (tmp_path / "labels.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    with pytest.raises(ValueError, match="split 'val'"):
        PhotographSet(tmp_path, "val")
    photographs, (index, colors) = PhotographSet(tmp_path, "train"), vocabulary()
    layouts = set()
    for seed in range(20):
        mosaic = photographs.mosaic(384, 512, random.Random(seed))
        assert mosaic.rgb.shape == (384, 512, 3)
        assert sum((x1 - x0) * (y1 - y0) for (x0, y0, x1, y1), _ in mosaic.tiles) == 384 * 512
        layouts.add(len(mosaic.tiles))
        label = torch.zeros(1, len(index), 48, 64)
        for (x0, y0, x1, y1), photograph in mosaic.tiles:
            label[0, index[photograph.word], y0 // 8 : y1 // 8, x0 // 8 : x1 // 8] = 9.0
        maps = (torch.zeros(1, 1, 48, 64), label, torch.zeros(1, len(colors), 48, 64))
        good, accuracy = naming_loss(maps, [mosaic.tiles], 8, index, colors)
        bad, _ = naming_loss((maps[0], label.roll(1, dims=1), maps[2]), [mosaic.tiles], 8, index, colors)
        assert accuracy == 1.0 and bad > good + 4
    assert layouts == {1, 2, 4, 6}


def test_every_photographed_kind_has_a_word_that_the_head_can_say() -> None:
    words = load_photographs()
    assert set(words.shapes) | set(words.names.values()) <= set(vocabulary()[0])
    assert set(words.fine_colors.values()) <= set(vocabulary()[1])
