# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ReasonSeg: implicit commands ("the food with the most vitamin C"), one picture and one JSON file each.

Layout, that of github.com/dvlab-research/LISA (section Dataset), train, val and test unpacked side by side:

    ROOT/ReasonSeg/train/11_o.jpg
    ROOT/ReasonSeg/train/11_o.json

A JSON file has "text" (one command in val and test, up to five phrasings of it in train), "is_sentence" (a long query)
and "shapes", LabelMe's polygons with the label "target", "ignore" (left out of the evaluation) or "flag" (a leftover
without meaning). Larger shapes are drawn first, as in LISA's utils/data_processing.py, so that a small one inside a
large one is seen. Published figures are over the first text of every file, and over the short and the long queries of
test apart: splits "test", "test-short", "test-long".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from llavaseg_ros.datasets.base import SKIP, Problems, Reading, Referral, finish
from llavaseg_ros.datasets.files import Need
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.images import picture_size

SHORT, LONG = "short query", "long query"
SPLITS = ("train", "val", "test", "test-short", "test-long")
_TARGET, _IGNORED = 1, 255


@dataclass(frozen=True)
class Outlines:
    """The shapes of one file: (ignored, points as [[x, y], ...]). Drawn at the size of the picture."""

    image_path: Path
    shapes: tuple[tuple[bool, tuple[tuple[float, float], ...]], ...]

    def mask(self) -> np.ndarray:
        """bool [H, W]. Raises ValueError when the picture cannot be read."""
        return np.asarray(self._draw() == _TARGET)

    def ignored(self) -> np.ndarray | None:
        """bool [H, W], None when no shape is one to ignore. Raises ValueError when the picture cannot be read."""
        return np.asarray(self._draw() == _IGNORED) if any(ignored for ignored, _ in self.shapes) else None

    def _draw(self) -> np.ndarray:
        try:
            size = picture_size(self.image_path)
        except BadRequest as error:
            raise ValueError(str(error)) from error
        drawn = []
        for ignored, points in self.shapes:
            layer = np.zeros(size, np.uint8)
            corners = [np.array(points, np.int32)]  # towards zero, as in LISA
            cv2.fillPoly(layer, corners, 1)
            cv2.polylines(layer, corners, True, 1, 1)
            drawn.append((int(layer.sum()), ignored, layer != 0))
        drawn.sort(key=lambda item: -item[0])
        canvas = np.zeros(size, np.uint8)
        for _, ignored, layer in drawn:
            canvas[layer] = _IGNORED if ignored else _TARGET
        return canvas


def needs(split: str) -> tuple[Need, ...]:
    """Folder of a split."""
    folder = split.split("-")[0]
    places = tuple(f"{place}{folder}" for place in ("", "ReasonSeg/", "reason_seg/ReasonSeg/"))
    return (Need("pictures and their JSON files", places),)


def read(root: Path, split: str, *, name: str = "reasonseg", on_problem: str = SKIP) -> Reading:
    """Read a split of `SPLITS`. on_problem: as in `finish`. Raises DatasetError when the folder is missing."""
    (need,) = needs(split)
    folder = need.require(root)
    problems = Problems()
    found: list[Referral] = []
    stems = {path.stem for path in folder.iterdir() if path.suffix in (".jpg", ".json")}
    for stem in sorted(stems):
        picture, annotation = folder / f"{stem}.jpg", folder / f"{stem}.json"
        try:
            if not picture.is_file():
                raise ValueError(f"image {picture}: no such file")
            texts, kind, region = _parse(annotation, picture)
        except (ValueError, OSError) as error:
            problems.add(str(error) if str(picture) in str(error) else f"{annotation}: {error}")
            continue
        if split.endswith("-short") and kind != SHORT or split.endswith("-long") and kind != LONG:
            continue
        for place, text in enumerate(texts if split == "train" else texts[:1]):
            found.append(Referral(name, split, f"{stem}-{place}", picture, text, region, kind=kind))
    return finish(name, split, found, problems, on_problem)


def _parse(path: Path, picture: Path) -> tuple[list[str], str, Outlines]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252")  # a few of the published files
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON, or cut short ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON dict, got {type(row).__name__}")
    texts, sentence, shapes = row.get("text"), row.get("is_sentence"), row.get("shapes")
    if not isinstance(texts, list) or not texts or not all(isinstance(x, str) and x.strip() for x in texts):
        raise ValueError(f'"text": expected a list of texts, got {texts!r}')
    if not isinstance(sentence, bool):
        raise ValueError(f'"is_sentence": expected true or false, got {sentence!r}')
    if not isinstance(shapes, list):
        raise ValueError(f'"shapes": expected a list, got {type(shapes).__name__}')
    outlines = tuple(outline for outline in map(_outline, shapes) if outline is not None)
    if all(ignored for ignored, _ in outlines):
        raise ValueError("no shape is a target")
    return [x.strip() for x in texts], LONG if sentence else SHORT, Outlines(picture, outlines)


def _outline(shape: Any) -> tuple[bool, tuple[tuple[float, float], ...]] | None:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        raise ValueError("a shape without a label")
    label = shape["label"].lower()
    if label == "flag":
        return None
    points = shape.get("points")
    if not isinstance(points, list) or not points or not all(_is_point(point) for point in points):
        raise ValueError(f"a shape {label!r} whose points are not pairs of numbers: {str(points)[:60]}")
    return "ignore" in label, tuple((float(x), float(y)) for x, y in points)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(x, int | float) and abs(x) < 1e6 for x in point)
    )
