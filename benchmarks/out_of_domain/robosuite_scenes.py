# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The robosuite part of the out-of-domain evaluation: draws scenes and writes pictures, masks and commands.

The same wheel and seed give the same scenes and commands; pixels may differ slightly between OpenGL drivers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llavaseg_ros.evaluation.dataset import write_jsonl
from llavaseg_ros.images import write_mask, write_rgb

from .robosuite_commands import UNNAMED, Command, ask_by_name, make_commands, row
from .robosuite_meshes import (
    FLOORS,
    HEIGHT,
    MESHES,
    TABLES,
    WALLS,
    WIDTH,
    Lamps,
    Seen,
    Stand,
    Studio,
    View,
)

SCENES, PER_SCENE = 60, 2
BORDER = 6  # px: an object nearer to the picture's edge may be cut off
MIN_AREA, MIN_VISIBLE = 400, 0.45  # px; what shows of every object in a scene, at least
TRIES = 400


@dataclass(frozen=True)
class Shot:
    """A scene as drawn. rgb: uint8 [H, W, 3]."""

    rgb: np.ndarray
    seen: list[Seen]


def shoot(studio: Studio, index: int, seed: int) -> Shot:
    """Scene `index`: two to five objects that all show well. Raises RuntimeError when no layout is found."""
    rng = np.random.default_rng([seed, index])
    for _ in range(TRIES):
        view = _view(rng)
        stands = _stands(studio, rng, view)
        materials = tuple(str(rng.choice(names)) for names in (TABLES, WALLS, FLOORS))
        rgb, seen = studio.draw(stands, view, _lamps(rng), (materials[0], materials[1], materials[2]))
        if len(seen) == len(stands) and all(_shows(thing) for thing in seen):
            return Shot(rgb, seen)
    raise RuntimeError(f"scene {index}, seed {seed}: no layout in {TRIES} tries shows every object")


def _shows(thing: Seen) -> bool:
    x0, y0, x1, y1 = thing.box
    inside = x0 >= BORDER and y0 >= BORDER and x1 <= WIDTH - BORDER and y1 <= HEIGHT - BORDER
    return inside and int(thing.mask.sum()) >= MIN_AREA and thing.visible >= MIN_VISIBLE


def _view(rng: np.random.Generator) -> View:
    """A wide lens close to the table or a long one from afar: both outside the generator's 34 to 60 degrees."""
    wide = rng.uniform() < 0.5
    fovy = rng.uniform(64, 78) if wide else rng.uniform(18, 30)
    across = rng.uniform(0.36, 0.60)  # metres that the picture's height covers at the centre of the view
    distance = across / 2 / np.tan(np.radians(fovy / 2))
    center = (float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05)))
    return View(fovy, float(distance), rng.uniform(60, 120), -rng.uniform(14, 60), center)


def _lamps(rng: np.random.Generator) -> Lamps:
    """A low far lamp with hard shadows and a near one of another tint."""
    warm = np.array([1.0, 0.93, 0.82]) if rng.uniform() < 0.5 else np.array([0.88, 0.95, 1.0])
    cold = warm[::-1]
    far, near = rng.uniform(0.45, 0.80) * warm, rng.uniform(0.20, 0.45) * cold
    position = (float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.6, 0.1)), float(rng.uniform(0.6, 1.0)))
    return Lamps(
        rng.uniform(185, 355), rng.uniform(22, 60),
        (float(far[0]), float(far[1]), float(far[2])), position,
        (float(near[0]), float(near[1]), float(near[2])), rng.uniform(0.26, 0.44),
    )  # fmt: skip


def _stands(studio: Studio, rng: np.random.Generator, view: View) -> list[Stand]:
    count = int(rng.integers(2, 6))
    kinds = [str(kind) for kind in rng.permutation(list(MESHES))[:count]]
    placed: list[Stand] = []
    radii: list[float] = []
    for kind in kinds:
        radius = float(np.hypot(*studio.half[kind]))
        for _ in range(50):
            xy = (float(rng.uniform(-0.24, 0.24)), float(rng.uniform(-0.16, 0.16)))
            apart = (
                np.hypot(xy[0] - s.xy[0], xy[1] - s.xy[1]) > radius + r + 0.01
                for s, r in zip(placed, radii, strict=True)
            )
            if all(apart):
                placed.append(Stand(kind, xy, view.azimuth - 90 + rng.uniform(-55, 55)))
                radii.append(radius)
                break
    return placed


def write_set(assets: Path, out: Path, *, scenes: int = SCENES, seed: int = 0) -> tuple[Path, Path]:
    """Write images, masks and two files for `llavaseg evaluate` to `out`; returns the files' paths.

    `commands.jsonl` asks for things that the model has words for, `bread.jsonl` for the bread, for which it has none.
    """
    rows: list[dict[str, Any]] = []
    bread: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    with Studio(assets) as studio:
        for index in range(scenes):
            shot = shoot(studio, index, seed)
            image = f"{index:03d}.jpg"
            write_rgb(out / image, shot.rgb)
            masks = {}
            for thing in shot.seen:
                masks[thing.stand.kind] = f"masks/{index:03d}_{thing.stand.kind.replace(' ', '_')}.png"
                write_mask(out / masks[thing.stand.kind], thing.mask)
            rng = np.random.default_rng([seed, index, 1])
            for command in make_commands(shot.seen, counts, rng, PER_SCENE):
                rows.append(_row(image, command, shot, masks))
            if any(thing.stand.kind == UNNAMED for thing in shot.seen):
                bread.append(_row(image, ask_by_name(UNNAMED, rng), shot, masks))
    for name, lines in (("commands", rows), ("bread", bread)):
        write_jsonl(out / f"{name}.jsonl", lines)
    return out / "commands.jsonl", out / "bread.jsonl"


def _row(image: str, command: Command, shot: Shot, masks: dict[str, str]) -> dict[str, Any]:
    thing = next((t for t in shot.seen if t.stand.kind == command.target and command.found), None)
    return row(image, command, thing, masks.get(command.target) if command.found else None)
