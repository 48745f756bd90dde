# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Words for things that only photographs show: `data/photographs.yaml`, read together with `data/language.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from llavaseg_ros.training.scenes.catalog import load_catalog

PHOTOGRAPHS_FILE = Path(__file__).resolve().parent.parent / "data" / "photographs.yaml"
_NOUN_KEYS = ("known", "held_out", "plural", "plural_only", "covers", "like")


@dataclass(frozen=True)
class Photographs:
    """What the photographs show.

    names: name of the data set -> our kind. fine_colors: finer name of the data set -> color, where all its pictures
    show the same one. shapes, colors: by kind, of those that no rendered scene shows. entries: the file as it is read.
    """

    names: dict[str, str]
    fine_colors: dict[str, str]
    shapes: dict[str, str]
    colors: dict[str, tuple[str, ...]]
    entries: dict[str, Any]


@lru_cache(maxsize=4)
def load_photographs(path: Path = PHOTOGRAPHS_FILE) -> Photographs:
    """Reads and checks the file.

    Raises ValueError when a name stands for a kind that is neither here nor in the catalog, when a kind is in the
    catalog too, or when a color is unknown.
    """
    data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    catalog, kinds = load_catalog(), data["kinds"]
    if both := sorted(set(kinds) & {*catalog.categories, *catalog.held_out}):
        raise ValueError(f"{path}: {both} are in the catalog too")
    if unknown := sorted(set(data["names"].values()) - {*kinds, *catalog.categories}):
        raise ValueError(f"{path}: names: {unknown} are neither kinds of this file nor of the catalog")
    colors = {kind: tuple(entry["colors"]) for kind, entry in kinds.items()}
    said = {*data["fine_colors"].values(), *(color for allowed in colors.values() for color in allowed)}
    if unknown := sorted(said - set(catalog.colors)):
        raise ValueError(f"{path}: unknown colors {unknown}; known: {sorted(catalog.colors)}")
    shapes = {kind: str(entry["shape"]) for kind, entry in kinds.items()}
    return Photographs(data["names"], data["fine_colors"], shapes, colors, data)


def shape_of(category: str) -> str:
    """The shape of a kind of the catalog or of the photographs; "" for any other."""
    catalog = load_catalog()
    if category in catalog.categories:
        return catalog.categories[category].shape
    if category in catalog.held_out:
        return catalog.held_out[category].shape
    return load_photographs().shapes.get(category, "")


def with_photographs(language: dict[str, Any], photographs: Photographs) -> dict[str, Any]:
    """The entries of a language file with those of the photographs in their places: nouns, groups, purposes, `some`.

    Raises ValueError when an entry names a group, purpose or kind that the language file does not have.
    """
    extra = photographs.entries
    merged = {
        **language,
        "nouns": {kind: dict(entry) for kind, entry in language["nouns"].items()},
        "groups": {group: dict(entry) for group, entry in language["groups"].items()},
        "uses": {use: dict(entry) for use, entry in {**language["uses"], **extra["uses"]}.items()},
        "some": [*language["some"], *extra["some"]],
    }

    def add(section: str, name: str, key: str, kind: str) -> None:
        if name not in merged[section]:
            raise ValueError(f"photographs: {kind} names {name!r}, which is not under `{section}`")
        entry = merged[section][name]
        entry[key] = [*entry.get(key, ()), kind]

    for kind, entry in extra["kinds"].items():
        merged["nouns"][kind] = {key: value for key, value in entry.items() if key in _NOUN_KEYS}
    for kind, entry in extra["kinds"].items():
        for other in entry.get("covered_by", ()):
            add("nouns", other, "covers", kind)
        for group in entry.get("groups", ()):
            add("groups", group, "of", kind)
        for group in entry.get("also_in", ()):
            add("groups", group, "also", kind)
        for use in entry.get("also_for", ()):
            add("uses", use, "also", kind)
    for use, kinds in extra["serves"].items():
        for kind in kinds:
            add("uses", use, "serves", kind)
    return merged
