# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What an object is made of: meshes with roles, and how roles become colors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llavaseg_ros.training.scenes.catalog import load_catalog
from llavaseg_ros.training.scenes.meshes import Mesh, merge

# Roles that follow the main color: plain, darker, lighter.
MAIN_ROLES = ("main", "shade", "tint")

# Roles with a color of their own: RGB ranges in [0, 1].
FIXED_ROLES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "metal": ((0.62, 0.63, 0.65), (0.76, 0.77, 0.80)),
    "steel": ((0.38, 0.39, 0.42), (0.50, 0.51, 0.54)),
    "dark": ((0.04, 0.04, 0.05), (0.10, 0.10, 0.11)),
    "paper": ((0.90, 0.88, 0.82), (0.97, 0.96, 0.93)),
    "wood": ((0.55, 0.36, 0.20), (0.74, 0.54, 0.34)),
    "cardboard": ((0.58, 0.44, 0.28), (0.70, 0.55, 0.38)),
    "leaf": ((0.12, 0.38, 0.08), (0.26, 0.58, 0.18)),
    "stem": ((0.26, 0.16, 0.06), (0.38, 0.25, 0.12)),
    "screen": ((0.03, 0.04, 0.08), (0.10, 0.14, 0.28)),
    "lens": ((0.95, 0.93, 0.72), (1.00, 1.00, 0.88)),
    "flame": ((1.00, 0.72, 0.15), (1.00, 0.85, 0.35)),
    "window": ((0.08, 0.12, 0.18), (0.30, 0.42, 0.52)),
    "red_button": ((0.75, 0.08, 0.08), (0.90, 0.15, 0.12)),
    "button": ((0.55, 0.55, 0.55), (0.80, 0.80, 0.80)),
}

# Roles drawn anew in every scene: a small patch of some other color.
FREE_ROLES = ("accent", "accent2", "label")

# How a surface shines: MuJoCo's (specular, shininess, emission).
FINISHES = {
    "matte": (0.05, 0.1, 0.0),
    "satin": (0.25, 0.4, 0.0),
    "gloss": (0.55, 0.75, 0.0),
    "metal": (0.9, 0.6, 0.0),
    "grain": (0.08, 0.15, 0.0),
    "flame": (0.0, 0.0, 0.8),
}


@dataclass(frozen=True)
class Part:
    """A mesh and the role that decides its color. finish: a key of FINISHES."""

    mesh: Mesh
    role: str
    finish: str = "satin"


@dataclass(frozen=True)
class Shape:
    """An object in its own frame: standing (or lying) on z = 0, centred in x and y."""

    category: str
    parts: tuple[Part, ...]

    @property
    def vertices(self) -> np.ndarray:
        """All vertices, float [N, 3], metres."""
        return np.concatenate([p.mesh.vertices for p in self.parts])


Builder = Callable[[np.random.Generator], list[Part]]


def settle(category: str, parts: list[Part]) -> Shape:
    """Parts of one role and finish become one mesh; the whole is centred and set down on z = 0."""
    groups: dict[tuple[str, str], list[Mesh]] = {}
    for part in parts:
        groups.setdefault((part.role, part.finish), []).append(part.mesh)
    vertices = np.concatenate([p.mesh.vertices for p in parts])
    low, high = vertices.min(0), vertices.max(0)
    x, y = -(low + high)[:2] / 2
    return Shape(
        category,
        tuple(
            Part(merge(meshes).moved(x, y, -low[2]), role, finish)
            for (role, finish), meshes in groups.items()
        ),
    )


def turned(parts: list[Part], axis: str, degrees: float) -> list[Part]:
    """All parts turned about a coordinate axis."""
    return [Part(p.mesh.turned(axis, degrees), p.role, p.finish) for p in parts]


def role_colors(main: str, rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """RGB in [0, 1] for every role of one object whose main color word is `main`."""
    catalog = load_catalog()
    base = np.array(catalog.colors[main].sample(rng))
    out = {
        "main": base,
        "shade": base * 0.55 if base.max() > 0.2 else base + 0.12,
        "tint": base + (1 - base) * 0.35,
    }
    for role, (low, high) in FIXED_ROLES.items():
        out[role] = np.array(low) + rng.uniform() * (np.array(high) - np.array(low))
    plain = [c for c in ("white", "black", "gray") if c != main]
    for role in FREE_ROLES:
        # Mostly neutral, so that the main color remains the one a person would name.
        names = plain if rng.uniform() < 0.6 else [c for c in catalog.colors if c != main]
        out[role] = np.array(catalog.colors[str(rng.choice(names))].sample(rng))
    if main != "white" and rng.uniform() < 0.6:
        out["label"] = np.array(catalog.colors["white"].sample(rng))
    return {role: (float(c[0]), float(c[1]), float(c[2])) for role, c in out.items()}
