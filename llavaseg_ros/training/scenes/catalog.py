# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The tabletop domain: categories, colors, held-out pairs."""

from __future__ import annotations

import colorsys
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

CATALOG_FILE = Path(__file__).resolve().parent.parent / "data" / "catalog.yaml"
HELD_OUT_FRACTION = 0.10

# Pack numbers say what a pack may be used for. Mesh parameters are drawn from the pack number, so that two ranges never
# share an object.
PACK_RANGES = {"train": (0, 1000), "test": (1000, 2000), "val": (2000, 3000)}


@dataclass(frozen=True)
class Color:
    """A color word with the ranges its samples are drawn from. hue: degrees, may be negative; the others in [0, 1]."""

    name: str
    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]

    def sample(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """One RGB triple in [0, 1] that a person would call by this name."""
        hue = (rng.uniform(*self.hue) % 360.0) / 360.0
        return colorsys.hsv_to_rgb(hue, rng.uniform(*self.saturation), rng.uniform(*self.value))


@dataclass(frozen=True)
class Category:
    """A kind of object. size: small, medium or large. colors: the color words it may have."""

    name: str
    colors: tuple[str, ...]
    shape: str
    size: str


@dataclass(frozen=True)
class Catalog:
    """Everything that can be on the table.

    categories: those that are trained; their order is the order of a model's labels. held_out: those that only packs of
    the test range show.
    """

    categories: dict[str, Category]
    colors: dict[str, Color]
    held_out: dict[str, Category]

    def category(self, name: str) -> Category:
        """The category of this name, trained or held out. Raises KeyError for a name that is neither."""
        return self.categories[name] if name in self.categories else self.held_out[name]


def _range(entry: dict, key: str, where: str) -> tuple[float, float]:
    low, high = (float(v) for v in entry[key])
    if low > high:
        raise ValueError(f"{where}: {key} range [{low}, {high}] is empty; expected low <= high")
    return low, high


@lru_cache(maxsize=8)
def load_catalog(path: Path = CATALOG_FILE) -> Catalog:
    """Reads and checks the catalog file.

    Raises ValueError when a color range is empty or a category names an unknown color or size.
    """
    data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    colors = {
        name: Color(name, *(_range(entry, key, f"{path}: color {name}") for key in ("hue", "saturation", "value")))
        for name, entry in data["colors"].items()
    }
    categories: dict[str, Category] = {}
    held_out: dict[str, Category] = {}
    for name, entry in data["categories"].items():
        allowed = tuple(colors) if entry["colors"] == "all" else tuple(entry["colors"])
        unknown = [c for c in allowed if c not in colors]
        if unknown:
            raise ValueError(f"{path}: category {name} names unknown colors {unknown}; known: {sorted(colors)}")
        if entry["size"] not in ("small", "medium", "large"):
            raise ValueError(f"{path}: category {name} has size {entry['size']!r}; expected small, medium or large")
        group = held_out if entry.get("held_out", False) else categories
        group[name] = Category(name, allowed, entry["shape"], entry["size"])
    return Catalog(categories, colors, held_out)


@lru_cache(maxsize=1)
def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The (category, color) pairs that no training pack shows: about a tenth of all pairs, the same on every machine.

    Only categories of at least four colors give any, at most two each, so that every category and color is learned.
    """
    catalog = load_catalog()
    pairs = [(c.name, color) for c in catalog.categories.values() for color in c.colors]
    wanted = round(HELD_OUT_FRACTION * len(pairs))
    per_category: dict[str, int] = {}
    chosen: set[tuple[str, str]] = set()
    # A hash orders the pairs, not a random generator, so that a category added later leaves most pairs in place.
    for category, color in sorted(pairs, key=lambda p: hashlib.sha256(f"{p[0]}/{p[1]}".encode()).hexdigest()):
        if len(chosen) == wanted:
            break
        if len(catalog.categories[category].colors) < 4 or per_category.get(category, 0) == 2:
            continue
        chosen.add((category, color))
        per_category[category] = per_category.get(category, 0) + 1
    return frozenset(chosen)


def allowed_colors(category: str, *, training: bool) -> tuple[str, ...]:
    """The color words that `category` may take; for training packs without the held-out ones."""
    colors = load_catalog().category(category).colors
    if not training:
        return colors
    return tuple(c for c in colors if (category, c) not in held_out_pairs())


def is_training_pack(pack: int) -> bool:
    """True for pack numbers whose scenes may be trained on."""
    return PACK_RANGES["train"][0] <= pack < PACK_RANGES["train"][1]


def is_test_pack(pack: int) -> bool:
    """True for pack numbers of the test range, the only ones that show held-out categories."""
    return PACK_RANGES["test"][0] <= pack < PACK_RANGES["test"][1]
