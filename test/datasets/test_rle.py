# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""COCO's shapes: what is drawn, and what is refused before anything is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_sets import CUP, CUP_MASK, PLATE, PLATE_MASK, H, W, box, packed, packed_rle, plain_rle, runs

pytest.importorskip("pycocotools")
from pycocotools import mask as coder

from llavaseg_ros.datasets.rle import Empty, Shapes, check, check_size, unpacked


def drawn(*segmentations: Any) -> np.ndarray:
    for one in segmentations:
        check(one, H, W)
    return Shapes(H, W, segmentations).mask()


def test_polygons_and_runs_give_the_same_pixels() -> None:
    for segmentation in ([CUP], plain_rle(CUP_MASK), packed_rle(CUP_MASK), [packed_rle(CUP_MASK)]):
        mask = drawn(segmentation)
        assert mask.dtype == bool
        assert np.array_equal(mask, CUP_MASK)


def test_parts_and_annotations_are_united() -> None:
    both = CUP_MASK | PLATE_MASK
    assert np.array_equal(drawn([CUP, PLATE]), both)
    assert np.array_equal(drawn([CUP], plain_rle(PLATE_MASK)), both)
    assert np.array_equal(drawn([CUP], packed_rle(CUP_MASK)), CUP_MASK)  # what is twice there is there once


def test_no_target() -> None:
    mask = Empty(H, W).mask()
    assert mask.shape == (H, W) and mask.dtype == bool and not mask.any()
    assert Empty(H, W).ignored() is None


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_packed_counts_are_read_as_the_library_reads_them(counts: list[int]) -> None:
    text = packed(counts)
    assert unpacked(text).tolist() == counts
    assert unpacked(text.encode()).tolist() == counts
    total = sum(counts)
    theirs = coder.frPyObjects({"size": [total, 1], "counts": counts}, total, 1)
    assert theirs["counts"].decode() == text


def test_any_mask_survives() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((H, W)) < rng.random()
        assert np.array_equal(drawn(packed_rle(mask)), mask)
    assert np.array_equal(drawn(packed_rle(box(0, 0, W, H))), box(0, 0, W, H))


@pytest.mark.parametrize(
    ("segmentation", "text"),
    [
        ([], "no shape at all"),
        ([[1, 2, 3]], "a polygon of 3 numbers"),
        ([[1, 2, 30, 40]], "a polygon of 4 numbers"),  # pycocotools would draw a box
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon of 7 numbers"),
        ([[1, 2, 3, 4, 5, None]], "the coordinate None"),
        ([[1, 2, 3, 4, 5, float("nan")]], "the coordinate nan"),
        ([[1, 2, 3, 4, 5, 1e9]], "the coordinate 1000000000.0"),
        ("polygon", "expected a polygon or an RLE, got str"),
        (None, "expected a polygon or an RLE, got NoneType"),
        ({"size": [W, H], "counts": [W * H]}, r"an RLE of the size \[64, 48\]; the picture has \[48, 64\]"),
        ({"counts": [W * H]}, "an RLE of the size None"),
        ({"size": [H, W], "counts": [5, 5]}, "an RLE of 10 pixels; the picture has 3072"),
        ({"size": [H, W], "counts": [-5, W * H + 5]}, "a negative run"),
        ({"size": [H, W], "counts": [2**70, 1]}, "larger than any picture"),
        ({"size": [H, W], "counts": [5.0, 5]}, "neither a text nor a list"),
        ({"size": [H, W], "counts": None}, "neither a text nor a list"),
        ({"size": [H, W], "counts": packed(runs(CUP_MASK))[:-2]}, "an RLE of|cut short"),
        ({"size": [H, W], "counts": ""}, "are empty"),
        ({"size": [H, W], "counts": "~~"}, "none of its own"),
        ({"size": [H, W], "counts": "\u00e9"}, "none of its own"),
        ({"size": [H, W], "counts": "oo"}, "cut short"),
        ({"size": [H, W], "counts": "ooooooooo0"}, "too large"),
    ],
)
def test_broken_shapes_are_refused_with_a_reason(segmentation: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check(segmentation, H, W)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (5.0, 5), (None, 5), (True, 5), (1 << 20, 1 << 20)])
def test_sizes_that_no_picture_has(size: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="a picture of"):
        check_size(*size)
