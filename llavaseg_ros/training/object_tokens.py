# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The object tokens of scenes and photographs, computed once: then an epoch costs only the language model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from llavaseg_ros.images import read_rgb
from llavaseg_ros.reasoning.object_tower import ASPECT, ObjectTower, ObjectTowerConfig
from llavaseg_ros.segmentation.preprocess import fit_to
from llavaseg_ros.training.ahead import ahead
from llavaseg_ros.training.images import SceneSet, collate, laid_in, normalised, to_batch
from llavaseg_ros.training.photographs import Photograph, PhotographSet

SURE = 0.5  # of a name, for a photograph to be spoken about
WIDTH, HEIGHT = 640, 480  # of the records of photographs, which know places only as parts of the picture


def _eye_runs_on(pixels: torch.Tensor) -> torch.autocast:
    # bfloat16 halves the time; its rounding is far below the camera noise that the models must bear anyway.
    return torch.autocast(pixels.device.type, torch.bfloat16)


@torch.no_grad()
def tower_tokens(tower: ObjectTower, data: SceneSet, workers: int = 0) -> torch.Tensor:
    """float16 [scenes, num_tokens, hidden_size], on the CPU. workers: processes that read the pictures."""
    rows = []

    def read(first: int) -> tuple[torch.Tensor, torch.Tensor]:
        return collate([data[i] for i in range(first, min(first + 8, len(data)))])

    batches = range(0, len(data), 8)
    read_ahead = ahead(read, batches, workers)
    for pictures, extent in tqdm(read_ahead, "object tokens", len(batches), unit="batch", mininterval=5.0):
        pixels = normalised(pictures.to(tower.device))
        with _eye_runs_on(pixels):
            rows.append(tower.tokens(pixels, extent.to(tower.device)).half().cpu())
    return torch.cat(rows)


def made_from(tower: ObjectTower, pictures: list[str]) -> str:
    """Changes when the tower or the pictures have changed."""
    weights = hashlib.sha256(b"".join(p.cpu().numpy().tobytes() for p in tower.state_dict().values()))
    return hashlib.sha256(weights.digest() + "".join([*pictures, tower.config.to_json_string()]).encode()).hexdigest()


def kept_tokens(tower: ObjectTower, data: SceneSet, path: Path, workers: int = 0) -> torch.Tensor:
    """`tower_tokens`, kept in `path` for the next start."""
    origin = made_from(tower, [str(folder / scene["image"]) for folder, scene in data.rows])
    if path.exists():
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("made_from") == origin:
                return file.get_tensor("tokens")
    tokens = tower_tokens(tower, data, workers)
    save_file({"tokens": tokens}, path, {"made_from": origin})
    return tokens


def photograph_record(token_rows: torch.Tensor, photograph: Photograph, tower: ObjectTower) -> dict[str, Any] | None:
    """What there is to say about a photograph: a record like those of scenes, from what the tower sees in it.

    token_rows: float [num_tokens, hidden_size]. None unless the tower sees an object of the photograph's word, and
    is sure of the name of everything that it sees: only then words and tokens agree.
    """
    config = tower.config
    names = config.out + len(config.label_names)
    objects: list[dict[str, Any]] = []
    for row in token_rows[1:]:
        score = float(row[-1])
        if score == 0.0:
            continue
        sure, label = row[config.out : names].max(dim=0)
        if sure < SURE:
            return None
        x, y, w, h = (row[-6:-2] * torch.tensor([WIDTH, HEIGHT / ASPECT, WIDTH, WIDTH])).tolist()
        box = [max(0.0, x - w / 2), max(0.0, y - h / 2), min(WIDTH, x + w / 2), min(HEIGHT, y + h / 2)]
        color = config.color_names[int(row[names : names + len(config.color_names)].argmax())]
        name = config.label_names[int(label)]
        objects.append({"id": len(objects) + 1, "category": name, "color": color, "bbox": box, "area": w * h})
    if photograph.word not in {o["category"] for o in objects}:
        return None
    # Heaps and shelves: what else is in the picture is not known, so nothing is counted.
    return {"image": photograph.image, "width": WIDTH, "height": HEIGHT, "objects": objects, "complete": False}


@torch.no_grad()
def kept_photographs(
    tower: ObjectTower, photographs: PhotographSet, path: Path
) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """Tokens, float16 [photographs, num_tokens, hidden_size], and records of the photographs that the tower reads
    as what they are; kept in `path`."""
    origin = made_from(tower, [f"{photographs.folder} {row}" for row in photographs.rows])
    if path.exists():
        with safe_open(path, "pt") as file:
            kept = file.metadata() or {}
            if kept.get("made_from") == origin:
                return file.get_tensor("tokens"), json.loads(kept["records"])
    tokens, records, config = [], [], tower.config
    for row in tqdm(photographs.rows, desc="photographs", unit="picture", mininterval=5.0):
        rgb = read_rgb(photographs.folder / row.image)
        fit = fit_to(rgb.shape[0], rgb.shape[1], tower.config.image_size, 32)
        pixels = to_batch([laid_in(rgb, fit)]).to(tower.device)
        with _eye_runs_on(pixels):
            seen = tower.tokens(pixels, torch.tensor([fit.extent], device=tower.device)).float().cpu()
        record = photograph_record(seen[0], row, tower)
        if record is not None:
            tokens.append(seen.half())
            records.append(record)
    found = torch.cat(tokens) if tokens else torch.zeros(0, config.num_tokens, config.hidden_size)
    save_file({"tokens": found}, path, {"made_from": origin, "records": json.dumps(records)})
    return found, records


def renamed_record(record: dict[str, Any], pair: tuple[str, str]) -> dict[str, Any]:
    """A copy of the record in which the two names have changed places."""
    other = {pair[0]: pair[1], pair[1]: pair[0]}
    objects = [{**o, "category": other.get(o["category"], o["category"])} for o in record["objects"]]
    return {**record, "objects": objects}


def swap_names(tokens: torch.Tensor, pair: tuple[str, str], config: ObjectTowerConfig) -> None:
    """In place: two names change places in the tokens of a picture [N, C], as `renamed_record` does in its record."""
    first, second = (config.out + config.label_names.index(name) for name in pair)
    # As the name of an object, and as that of the second object of a relation.
    for shift in (0, config.num_words) if config.num_relations else (0,):
        a, b = first + shift, second + shift
        tokens[:, [a, b]] = tokens[:, [b, a]]
