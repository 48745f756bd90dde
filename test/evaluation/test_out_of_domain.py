# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The committed photographs of the out-of-domain evaluation: readable, a mask of the right size for each target."""

from __future__ import annotations

from pathlib import Path

import pytest

from llavaseg_ros.evaluation.dataset import Sample, read_dataset
from llavaseg_ros.evaluation.names import LOCATIONS, without_color
from llavaseg_ros.images import read_mask, read_rgb
from llavaseg_ros.places import location_name
from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.scenes.catalog import load_catalog

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "out_of_domain" / "photographs"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return read_dataset(FOLDER / "commands.jsonl", need_truth=True)


def test_enough_photographs_and_absent_targets(samples: list[Sample]) -> None:
    assert len({s.image_path for s in samples}) >= 20
    assert {s.kind for s in samples if s.mask_path is None} == {"absent"}
    assert sum(s.kind == "absent" for s in samples) >= 8


def test_every_mask_fits_its_photograph(samples: list[Sample]) -> None:
    for sample in samples:
        if sample.mask_path is not None:
            image, mask = read_rgb(sample.image_path), read_mask(sample.mask_path)
            assert mask.shape == image.shape[:2], sample.id
            assert 0.005 < mask.mean() < 0.6, sample.id


def test_words_are_those_of_the_training_data(samples: list[Sample]) -> None:
    kinds = {*load_catalog().categories, *load_photographs().shapes}
    for sample in samples:
        assert sample.target is not None
        assert without_color(sample.target) in kinds, sample.target
        if sample.mask_path is not None:
            assert sample.target.startswith(f"{sample.attributes.color} "), sample.target


def test_location_is_that_of_the_mask(samples: list[Sample]) -> None:
    for sample in samples:
        if sample.mask_path is not None:
            mask = read_mask(sample.mask_path)
            rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
            center = (columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2
            assert sample.attributes.location == location_name(*center, mask.shape[1], mask.shape[0])
            assert sample.attributes.location in LOCATIONS


def test_sources_and_licences_are_stated(samples: list[Sample]) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for image in {s.image for s in samples}:
        assert f"`{image}`" in readme, image
    assert "MIT" in (FOLDER / "LICENSE-grocery-store-dataset").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 2_000_000
