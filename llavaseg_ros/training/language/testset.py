# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Test sets: DATA.jsonl with commands, right targets and masks, from a folder of rendered scenes."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from llavaseg_ros.images import read_ids
from llavaseg_ros.training.language.dialogue import Dialogue
from llavaseg_ros.training.language.generate import make_dialogues
from llavaseg_ros.training.language.lexicon import KINDS
from llavaseg_ros.training.language.phrases import Phrasing
from llavaseg_ros.training.scenes.catalog import held_out_pairs, load_catalog

_CHOICE = 8  # dialogues of a kind that the test set chooses from


def read_scenes(folder: Path) -> list[dict[str, Any]]:
    """The lines of `folder/scenes.jsonl`. Raises FileNotFoundError or ValueError naming the file and line."""
    file = Path(folder) / "scenes.jsonl"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; expected a folder of scenes with a scenes.jsonl")
    scenes = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            scenes.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}:{number}: not a JSON object ({error})") from error
    return scenes


def write_test_set(
    scenes_folder: str | Path,
    out_jsonl: str | Path,
    *,
    seed: int = 0,
    per_scene: int = 3,
    phrasing: Literal["known", "held_out", "both"] = "both",
    limit: int | None = None,
) -> int:
    """Writes a DATA.jsonl about the scenes of a folder and returns the number of commands.

    A line: image (path relative to the file), command, mask (PNG 0/255, relative path; null when there is nothing to
    segment), target (the name; where the target is absent, the name that was asked for; null for a plain question),
    answer, kind, phrasing, attributes {color, shape, location} (null without a target), id (the target's value in the
    instance map, or null), found, expected (of a plain question: what a right answer says, as `evaluation.answers`
    reads it; else null), held_out_pair (the target's color and kind never appear together in training),
    held_out_category (the command asks for, names or is answered by a thing of a kind that training never shows),
    meaning (see `Dialogue`). Kinds get equal shares over the whole file as far as the scenes permit, and within a kind
    so do places, relations, purposes and sorts of questions. Small talk is left out: no answer to it is the right one.
    phrasing "both" gives half of each. Masks go to a folder beside the file, named after it. limit: use only the first
    scenes. Same seed and scenes, same file.
    """
    folder, out = Path(scenes_folder), Path(out_jsonl)
    masks = out.parent / f"{out.stem}_masks"
    masks.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    made: Counter[tuple[str, ...]] = Counter()
    by_phrasing: Counter[str] = Counter()
    lines = []
    for scene in read_scenes(folder)[:limit]:
        instances: np.ndarray | None = None
        used: set[tuple[str, ...]] = set()
        for _ in range(per_scene):
            side: Phrasing = "known" if phrasing == "known" else "held_out"
            if phrasing == "both" and by_phrasing["known"] <= by_phrasing["held_out"]:
                side = "known"
            dialogue = _next(scene, rng, side, made, used)
            if dialogue is None:
                continue
            made[(dialogue.kind,)] += 1
            made[dialogue.meaning[:2]] += 1
            by_phrasing[side] += 1
            used.add(dialogue.meaning)
            mask = None
            if dialogue.target_id is not None:
                if instances is None:
                    instances = read_ids(folder / scene["instances"])
                mask = masks / f"{Path(scene['image']).stem}_{dialogue.target_id}.png"
                _write_mask(mask, instances == dialogue.target_id)
            lines.append(json.dumps(_row(dialogue, scene, folder, out, mask)))
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def _next(
    scene: dict[str, Any],
    rng: random.Random,
    side: Phrasing,
    made: Counter[tuple[str, ...]],
    used: set[tuple[str, ...]],
) -> Dialogue | None:
    """A dialogue of the kind that the file has fewest of, among those that the scene permits, with a meaning not used
    yet; of several, one of the sort that the file has fewest of.
    """
    for kind in sorted(KINDS, key=lambda k: (made[(k,)], rng.random())):
        dialogues = [
            d
            for d in make_dialogues(scene, rng, phrasing=side, count=_CHOICE, shares={kind: 1.0}, typos=False)
            if d.meaning not in used and (d.expected or d.kind != "question")
        ]
        if dialogues:
            return min(dialogues, key=lambda d: made[d.meaning[:2]])
    return None


def _names_held_out(d: Dialogue, scene: dict[str, Any]) -> bool:
    """Whether the command is about a kind that the catalog holds out: the thing it asks for or names, its reference,
    or the thing that answers it.
    """
    kinds = {str(o["id"]): o["category"] for o in scene["objects"]}
    about = {d.meaning[2], kinds.get(str(d.target_id), ""), *(kinds.get(key, "") for key in d.meaning[5:])}
    return bool(about & set(load_catalog().held_out))


def _write_mask(path: Path, mask: np.ndarray) -> None:
    if not mask.any():
        raise ValueError(f"{path}: the target has no pixel in the instance map")
    if not path.exists() and not cv2.imwrite(str(path), np.where(mask, 255, 0).astype(np.uint8)):
        raise OSError(f"{path} could not be written")


def _row(d: Dialogue, scene: dict[str, Any], folder: Path, out: Path, mask: Path | None) -> dict[str, Any]:
    def relative(path: Path) -> str:
        return Path(os.path.relpath(path, out.parent)).as_posix()

    category = next((o["category"] for o in scene["objects"] if o["id"] == d.target_id), "")
    return {
        "image": relative(folder / scene["image"]),
        "command": d.command,
        "mask": None if mask is None else relative(mask),
        "target": d.target or None,
        "answer": d.answer,
        "kind": d.kind,
        "phrasing": d.phrasing,
        "attributes": {"color": d.color, "shape": d.shape, "location": d.location} if d.found else None,
        "id": d.target_id,
        "found": d.found,
        "expected": d.expected or None,
        "held_out_pair": (category, d.color) in held_out_pairs(),
        "held_out_category": _names_held_out(d, scene),
        "meaning": list(d.meaning),
    }
