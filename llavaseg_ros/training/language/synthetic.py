# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scene dicts without pictures: random boxes for tests and for the tokenizer's corpus."""

from __future__ import annotations

import random
from typing import Any

from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.scenes.catalog import allowed_colors, load_catalog


def random_scene(
    rng: random.Random, *, objects: int | None = None, unlisted: int | None = None, training: bool = True
) -> dict[str, Any]:
    """A scene dict as in `scenes.jsonl`, 640 x 480, with boxes that hardly overlap; some kinds and colors come more
    than once.

    objects: how many can be targets (by default 3 to 10). unlisted: how many are too hidden for that (by default 0 to
    2). training: leave out pairs of color and kind that training never shows.
    """
    width, height = 640, 480
    total = rng.randint(3, 10) if objects is None else objects
    hidden = rng.choice((0, 0, 1, 2)) if unlisted is None else unlisted
    kinds = rng.sample(list(load_catalog().categories), k=min(max(1, total), 8))
    entries: list[dict[str, Any]] = []
    for index in range(total + hidden):
        category = rng.choice(kinds)
        w, h = rng.uniform(25, 130), rng.uniform(25, 120)
        x0, y0 = rng.uniform(5, width - w - 5), rng.uniform(40, height - h - 5)
        for _ in range(20):
            if all(abs(x0 + w / 2 - e["centroid"][0]) > 40 or abs(y0 + h / 2 - e["centroid"][1]) > 40 for e in entries):
                break
            x0, y0 = rng.uniform(5, width - w - 5), rng.uniform(40, height - h - 5)
        listed = index < total
        share = rng.uniform(0.5, 1.0) if listed else rng.uniform(0.0, 0.24)
        box = [round(v, 1) for v in (x0, y0, x0 + w, y0 + h)]
        entries.append(
            {
                "id": index + 1,
                "category": category,
                "color": rng.choice(allowed_colors(category, training=training)),
                "bbox": box,
                "area": int(0.7 * w * h * share),
                "visible": round(share, 3),
                "listed": listed,
                "centroid": [x0 + w / 2, y0 + h / 2],
            }
        )
    rng.shuffle(entries)
    return {"image": "none.jpg", "instances": "none.png", "width": width, "height": height, "objects": entries}


def random_photograph(rng: random.Random) -> dict[str, Any]:
    """A record of a grocery photograph, 224 x 224: one thing in the middle, of a kind that only photographs show."""
    photographs = load_photographs()
    category = rng.choice(list(photographs.shapes))
    w, h = rng.uniform(80, 200), rng.uniform(80, 200)
    x0, y0 = rng.uniform(5, 219 - w), rng.uniform(5, 219 - h)
    entry = {
        "id": 1,
        "category": category,
        "color": rng.choice(photographs.colors[category]),
        "bbox": [round(v, 1) for v in (x0, y0, x0 + w, y0 + h)],
        "area": int(0.7 * w * h),
        "visible": 1.0,
        "listed": True,
        "centroid": [x0 + w / 2, y0 + h / 2],
    }
    return {"image": "none.jpg", "width": 224, "height": 224, "complete": False, "objects": [entry]}
