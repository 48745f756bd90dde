# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Drawing on images, and image files."""

from __future__ import annotations

import doctest
from pathlib import Path

import cv2
import numpy as np
import pytest

from llavaseg_ros import viz
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.images import jpeg_bytes, read_ids, read_mask, read_rgb, write_mask, write_rgb

GRAY = np.full((120, 160, 3), 100, np.uint8)


def disc(x: int = 80, y: int = 60, radius: int = 25) -> np.ndarray:
    rows, cols = np.mgrid[:120, :160]
    return (rows - y) ** 2 + (cols - x) ** 2 <= radius**2


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(viz)
    assert result.attempted >= 3
    assert result.failed == 0


def test_tint_changes_masked_pixels_only_and_not_its_input() -> None:
    image = GRAY.copy()
    out = viz.tint(image, disc(), (200, 0, 0), alpha=0.5)
    assert (image == GRAY).all()
    assert (out[disc()] == (150, 50, 50)).all()
    assert (out[~disc()] == 100).all()
    assert (viz.tint(image, disc().astype(np.uint8) * 255, (200, 0, 0), alpha=0.5) == out).all()
    assert (viz.tint(image, np.zeros((120, 160), bool), (200, 0, 0)) == image).all()


def test_contour_stays_near_the_border_of_the_mask() -> None:
    changed = (viz.contour(GRAY, disc(), (0, 255, 0), thickness=1) != GRAY).any(axis=2)
    border = disc(radius=30) & ~disc(radius=20)
    assert changed.any()
    assert not (changed & ~border).any()


def test_overlay_has_tint_name_and_answer() -> None:
    plain = viz.draw_overlay(GRAY, [disc()])
    named = viz.draw_overlay(GRAY, [disc()], ["red mug"])
    answered = viz.draw_overlay(GRAY, [disc()], ["red mug"], "The red mug is here.")
    assert plain.shape == GRAY.shape
    assert plain.dtype == np.uint8
    assert (plain[60, 80] != 100).any()
    assert (named != plain).any()
    assert (answered[-5:] != named[-5:]).any()
    assert (answered[40:50] == named[40:50]).all()


def test_two_masks_have_two_colors_and_empty_ones_are_skipped() -> None:
    left, right = disc(x=40), disc(x=120)
    out = viz.draw_overlay(GRAY, [left, np.zeros((120, 160), bool), right], ["a", "nothing"])
    assert (out[60, 40] != out[60, 120]).any()
    assert (viz.draw_overlay(GRAY, [np.zeros((120, 160), bool)], ["nothing"]) == GRAY).all()


@pytest.mark.parametrize("text", ["ein Löffel – “ß”", "杯子", "\n\t", "word " * 300, "x" * 3000, "a\x00b"])
def test_any_text_can_be_drawn(text: str) -> None:
    assert viz.draw_overlay(GRAY, [disc()], [text], text).shape == GRAY.shape
    assert viz.plain_text(text).isascii()


@pytest.mark.parametrize("size", [(1, 1), (16, 4000), (3000, 20)])
def test_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    assert viz.draw_overlay(image, [np.ones(size, bool)], ["mug"], "Here it is.").shape == image.shape


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(ValueError, match=r"image: expected uint8 \[H, W, 3\] RGB, got float64 \[4, 4, 3\]"):
        viz.draw_overlay(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"mask: expected the image's size \[120, 160\], got \[4, 4\]"):
        viz.draw_overlay(GRAY, [np.ones((4, 4), bool)])


def test_compare_shows_truth_and_prediction() -> None:
    out = viz.compare(GRAY, disc(x=40), disc(x=120))
    assert (out[60, 120] != 100).any()
    assert (out[60, 40] == 100).all()
    assert (viz.compare(GRAY, None, None) == GRAY).all()


def test_image_files_keep_their_pixels_and_order_of_colors(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_rgb(tmp_path / "new" / "a.png", rgb)
    assert (read_rgb(tmp_path / "new" / "a.png") == rgb).all()
    red = np.zeros((20, 30, 3), np.uint8)
    red[:, :, 0] = 250
    (tmp_path / "red.jpg").write_bytes(jpeg_bytes(red))
    assert read_rgb(tmp_path / "red.jpg")[10, 10, 0] > 200
    wide = cv2.imdecode(np.frombuffer(jpeg_bytes(np.zeros((50, 1000, 3), np.uint8), max_width=100), np.uint8), 1)
    assert wide is not None
    assert wide.shape == (5, 100, 3)


def test_gray_alpha_and_16_bit_pictures_become_rgb(tmp_path: Path) -> None:
    pictures: dict[str, np.ndarray] = {
        "gray": np.full((8, 9), 77, np.uint8),
        "alpha": np.full((8, 9, 4), 77, np.uint8),
        "deep": np.full((8, 9, 3), 77 * 257, np.uint16),
    }
    for name, array in pictures.items():
        path = tmp_path / f"{name}.png"
        assert cv2.imwrite(str(path), array)
        assert (read_rgb(path) == 77).all(), name
        assert read_rgb(path).shape == (8, 9, 3)


def test_masks_are_target_where_they_are_not_0(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", disc())
    assert (read_mask(tmp_path / "m.png") == disc()).all()
    assert set(np.unique(read_ids(tmp_path / "m.png"))) == {0, 255}
    assert cv2.imwrite(str(tmp_path / "ids.png"), disc().astype(np.uint8) * 3)
    assert (read_mask(tmp_path / "ids.png") == disc()).all()
    colored = np.zeros((120, 160, 4), np.uint8)
    colored[disc(), 2] = 9
    colored[:, :, 3] = 255
    assert cv2.imwrite(str(tmp_path / "c.png"), colored)
    assert (read_mask(tmp_path / "c.png") == disc()).all()


@pytest.mark.parametrize(("content", "text"), [(None, "cannot be read"), (b"", "empty"), (b"words", "not a picture")])
def test_files_that_are_no_pictures_are_named(tmp_path: Path, content: bytes | None, text: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    for read in (read_rgb, read_mask, read_ids):
        with pytest.raises(BadRequest, match=rf"x\.png.*{text}"):
            read(path)
