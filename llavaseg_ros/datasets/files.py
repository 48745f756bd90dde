# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Finding and opening the files of a set. A set comes in few layouts; the places that are tried stand in its reader."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from llavaseg_ros.datasets.base import Problems
from llavaseg_ros.evaluation.dataset import DatasetError


@dataclass(frozen=True)
class Need:
    """A file or folder that a split needs. places: relative to the root, any one of them is enough."""

    what: str
    places: tuple[str, ...]

    def find(self, root: Path) -> Path | None:
        """The first place that is there."""
        return next((root / place for place in self.places if (root / place).exists()), None)

    def require(self, root: Path) -> Path:
        """The first place that is there. Raises DatasetError, which names all of them."""
        found = self.find(root)
        if found is None:
            raise DatasetError(f"{root}: {self.text()} is missing")
        return found

    def text(self) -> str:
        """What is needed, and the places."""
        return f"{' or '.join(self.places)} ({self.what})"


def read_json(path: Path, kind: type = dict) -> Any:
    """Read a whole JSON file, UTF-8. kind: what it must hold, dict or list. Raises DatasetError, which names it."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not JSON, or cut short ({error})") from error
    if not isinstance(value, kind):
        raise DatasetError(f"{path}: expected a JSON {kind.__name__}, got {type(value).__name__}")
    return value


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty. Raises DatasetError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    return [line for line in text.split("\n") if line.strip()]


class Pictures:
    """The pictures of a set, below one folder. Each is looked for once; a missing one is one problem."""

    def __init__(self, folder: Path, problems: Problems) -> None:
        self.folder = folder
        self.problems = problems
        self.known: dict[str, Path | None] = {}

    def find(self, name: str) -> Path | None:
        """The file of that name, None if it is not there or if the name leads out of the folder."""
        if name not in self.known:
            self.known[name] = self._look(name)
        return self.known[name]

    def _look(self, name: str) -> Path | None:
        pure = PurePosixPath(name)
        if not name or pure.is_absolute() or ".." in pure.parts:
            self.problems.add(f"image {name!r}: expected a name below {self.folder}")
            return None
        path = self.folder / name
        if not path.is_file():
            self.problems.add(f"image {path}: no such file")
            return None
        return path
