# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Annotation files in COCO's "instances" format: lists of images, annotations and categories.

Format: https://cocodataset.org/#format-data. The file is read once; shapes are checked when they are first asked for
and drawn when a mask is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llavaseg_ros.datasets.base import Problems
from llavaseg_ros.datasets.files import read_json
from llavaseg_ros.datasets.rle import Empty, Shapes, check, check_size
from llavaseg_ros.evaluation.dataset import DatasetError


class Instances:
    """One file. Ids are those of the file. A broken record is one problem, however often it is asked for."""

    def __init__(self, path: Path, problems: Problems) -> None:
        """Raises DatasetError when the file cannot be read or lacks one of the three lists."""
        self.path = path
        self.problems = problems
        content = read_json(path)
        self.images = self._indexed(content, "images")
        self.annotations = self._indexed(content, "annotations")
        self.categories = {key: str(row.get("name", "")) for key, row in self._indexed(content, "categories").items()}
        self._sizes: dict[int, tuple[str, int, int] | None] = {}
        self._shapes: dict[tuple[Any, ...], Shapes | Empty | None] = {}
        self._bad: set[int] = set()

    def _indexed(self, content: dict[str, Any], key: str) -> dict[int, dict[str, Any]]:
        rows = content.get(key)
        if not isinstance(rows, list):
            raise DatasetError(f'{self.path}: expected a list "{key}"')
        found: dict[int, dict[str, Any]] = {}
        for row in rows:
            if isinstance(row, dict) and isinstance(row.get("id"), int):
                found[row["id"]] = row
            else:
                self.problems.add(f"{self.path}: a record of {key} without an id")
        return found

    def image(self, image_id: Any) -> tuple[str, int, int] | None:
        """File name, height and width of an image; None if there is no such image or it has none of them."""
        if not isinstance(image_id, int):
            self.problems.add(f"{self.path}: {image_id!r} is no id of an image")
            return None
        if image_id not in self._sizes:
            self._sizes[image_id] = self._image(image_id)
        return self._sizes[image_id]

    def _image(self, image_id: int) -> tuple[str, int, int] | None:
        row = self.images.get(image_id)
        if row is None:
            self.problems.add(f"{self.path}: there is no image {image_id}")
            return None
        name, height, width = row.get("file_name"), row.get("height"), row.get("width")
        try:
            check_size(height, width)
            if not isinstance(name, str):
                raise ValueError("no file_name")
        except ValueError as error:
            self.problems.add(f"{self.path}: image {image_id}: {error}")
            return None
        return name, row["height"], row["width"]

    def shapes(self, annotation_ids: Iterable[Any], image_id: int) -> Shapes | Empty | None:
        """The union of these annotations of an image, empty for no annotation; None if one of them is broken."""
        key = (image_id, *annotation_ids)
        try:
            if key not in self._shapes:
                self._shapes[key] = self._union(key[1:], image_id)
            return self._shapes[key]
        except TypeError:  # something that cannot be a key
            self.problems.add(f"{self.path}: {list(key[1:])!r} are no ids of annotations")
            return None

    def _union(self, ids: tuple[Any, ...], image_id: int) -> Shapes | Empty | None:
        found = self.image(image_id)
        if found is None:
            return None
        _, height, width = found
        if not ids:
            return Empty(height, width)
        good = [self._good(one, image_id, height, width) for one in ids]
        if not all(good):
            return None
        return Shapes(height, width, tuple(self.annotations[one]["segmentation"] for one in ids))

    def _good(self, annotation_id: Any, image_id: int, height: int, width: int) -> bool:
        if annotation_id in self._bad:
            return False
        row = self.annotations.get(annotation_id)
        where = f"{self.path}: annotation {annotation_id}"
        if row is None:
            self.problems.add(f"{where}: there is no such annotation")
            return False
        if row.get("image_id") != image_id:
            self.problems.add(f"{where}: it belongs to image {row.get('image_id')!r}, not to {image_id}")
            return False
        try:
            check(row.get("segmentation"), height, width)
        except ValueError as error:
            self.problems.add(f"{where}: {error}")
            self._bad.add(annotation_id)
            return False
        return True
