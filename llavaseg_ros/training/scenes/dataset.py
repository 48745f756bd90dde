# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Writes scenes to disk as a training, test or validation set: JPEG images, instance PNGs, scenes.jsonl."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from llavaseg_ros.training.scenes.camera import HEIGHT, WIDTH, Camera
from llavaseg_ros.training.scenes.catalog import PACK_RANGES
from llavaseg_ros.training.scenes.noise import camera_noise
from llavaseg_ros.training.scenes.packs import make_pack
from llavaseg_ros.training.scenes.render import SceneRenderer
from llavaseg_ros.training.scenes.scene import make_scene

SCENES_PER_PACK = 40
JPEG_QUALITY = 92
INDEX = "scenes.jsonl"


def camera_entry(camera: Camera) -> dict:
    """The `camera` entry of scenes.jsonl. K: [fx, fy, cx, cy] px. rotation: rows of the optical-to-world matrix."""
    return {
        "K": [round(camera.focal, 3), round(camera.focal, 3), camera.width / 2, camera.height / 2],
        "position_m": [round(float(v), 5) for v in camera.position],
        "rotation": [[round(float(v), 6) for v in row] for row in camera.rotation],
    }


def render_pack(out: Path, number: int, seed: int, first: int, count: int) -> list[dict]:
    """Draws `count` scenes of pack `number` into `out` as images first, first + 1, ... and returns their records."""
    records = []
    pack = make_pack(number, seed)
    with SceneRenderer(pack) as renderer:
        for i in range(count):
            scene = make_scene(pack, seed, i)
            picture = renderer.render(scene)
            noisy = camera_noise(picture.rgb, np.random.default_rng([seed, number, i, 1]))
            name = f"{first + i:06d}"
            cv2.imwrite(str(out / f"{name}.jpg"), noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            cv2.imwrite(str(out / f"{name}.png"), picture.instances, [cv2.IMWRITE_PNG_COMPRESSION, 3])
            records.append(
                {
                    "image": f"{name}.jpg",
                    "instances": f"{name}.png",
                    "width": WIDTH,
                    "height": HEIGHT,
                    "pack": number,
                    "seed": seed,
                    "index": i,
                    "camera": camera_entry(scene.camera),
                    "objects": picture.objects,
                    **({} if picture.complete else {"complete": False}),
                }
            )
    return records


def _work(job: tuple[Path, int, int, int, int]) -> list[dict]:
    return render_pack(*job)


def _end_with(parent: BaseProcess) -> None:
    """Ends this worker when the process that gave it work is killed; it would wait for more work for ever."""
    parent.join()
    os._exit(1)


def _start_worker() -> None:
    # One thread a process: the workers are the parallelism. Mesa reads LP_NUM_THREADS when its context is made.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def read_index(folder: Path) -> list[dict]:
    """The records of a scene folder that are complete; a last line cut short by a kill is left out."""
    path = Path(folder) / INDEX
    if not path.exists():
        return []
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return out


def _keep_whole_packs(out: Path, wanted: dict[int, int], scenes_per_pack: int) -> set[int]:
    """Rewrites the index with finished packs only, if a kill left anything else. Returns the finished packs."""
    records = read_index(out)
    counts: dict[int, int] = {}
    for record in records:
        counts[record["pack"]] = counts.get(record["pack"], 0) + 1
    done = {pack for pack, count in counts.items() if count == wanted.get(pack, scenes_per_pack)}
    lines = [json.dumps(r) + "\n" for r in records if r["pack"] in done]
    path = out / INDEX
    if path.exists() and path.read_text(encoding="utf-8") != "".join(lines):
        part = path.with_suffix(".part")
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(path)
    return done


def _results(jobs: list[tuple[Path, int, int, int, int]], workers: int) -> Iterator[list[dict]]:
    if workers <= 1:
        _start_worker()
        yield from map(_work, jobs)
        return
    # Spawn, not fork: an OpenGL library that was already loaded does not survive a fork. An executor, not a Pool: if a
    # worker is killed, a Pool waits for it for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            for future in as_completed([pool.submit(_work, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a scene worker was killed (out of memory?); what is finished is kept: run the same command again"
            ) from error


def render_dataset(
    out: Path,
    scenes: int,
    seed: int = 0,
    first_pack: int | None = None,
    *,
    packs: str = "train",
    workers: int = 1,
    scenes_per_pack: int = SCENES_PER_PACK,
    progress: bool = True,
) -> Path:
    """Renders `scenes` images into the folder `out`; what an earlier call finished is kept, and so are scenes beyond.

    packs: "train", "test" or "val": the range of pack numbers, which share no object; only training packs leave the
    held-out color and category pairs out. first_pack: where in the range to begin (default: its start).
    Images and records are whole packs at a time; lines of scenes.jsonl come in the order in which packs finish.
    Returns the path of scenes.jsonl. Raises ValueError when the scenes do not fit into the range of packs,
    or when `out` holds a set made with another seed or range; RuntimeError when a worker is killed.
    """
    if packs not in PACK_RANGES:
        raise ValueError(f"packs is {packs!r}; expected one of {', '.join(PACK_RANGES)}")
    low, high = PACK_RANGES[packs]
    start = low if first_pack is None else first_pack
    count = -(-scenes // scenes_per_pack)
    if scenes < 1 or start < low or start + count > high:
        raise ValueError(
            f"{scenes} scenes, {scenes_per_pack} a pack, from pack {start}: expected at least one scene and packs "
            f"within {low} to {high - 1} for {packs!r}"
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    wanted = {start + k: min(scenes_per_pack, scenes - k * scenes_per_pack) for k in range(count)}
    for record in read_index(out):
        if record["seed"] != seed or not low <= record["pack"] < high:
            raise ValueError(
                f"{out / INDEX} holds pack {record['pack']} of seed {record['seed']}; expected seed {seed} and packs "
                f"{low} to {high - 1}. Use another folder."
            )
    done = _keep_whole_packs(out, wanted, scenes_per_pack)
    jobs = [
        (out, pack, seed, (pack - start) * scenes_per_pack, size) for pack, size in wanted.items() if pack not in done
    ]
    finished = sum(size for pack, size in wanted.items() if pack in done)
    bar = tqdm(
        total=scenes, initial=finished, unit="image", disable=not progress, mininterval=5, desc=f"scenes {packs}"
    )
    with open(out / INDEX, "a", encoding="utf-8") as index, bar:
        for records in _results(jobs, workers):
            index.write("".join(json.dumps(r) + "\n" for r in records))
            index.flush()
            bar.update(len(records))
    return out / INDEX


def contact_sheet(folder: Path, out: Path, count: int = 9, columns: int = 3) -> Path:
    """One PNG of the first `count` images with their instance outlines and names, to look at a set."""
    cells = []
    for record in read_index(folder)[:count]:
        image = cv2.imread(str(Path(folder) / record["image"]))
        ids = cv2.imread(str(Path(folder) / record["instances"]), cv2.IMREAD_UNCHANGED)
        if image is None or ids is None:
            raise FileNotFoundError(f"{folder}: {record['image']} or {record['instances']} is missing or unreadable")
        for o in record["objects"]:
            outline, _ = cv2.findContours((ids == o["id"]).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(image, outline, -1, (0, 255, 0) if o["listed"] else (0, 0, 255), 1)
            text = f"{o['color']} {o['category']} {o['visible']:.2f}"
            cv2.putText(image, text, (max(o["bbox"][0], 0), max(o["bbox"][1] - 3, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.4,
                        (0, 255, 255), 1, cv2.LINE_AA)
        cells.append(image)
    cells += [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * (-len(cells) % columns)
    rows: Iterable[np.ndarray] = (np.hstack(cells[k : k + columns]) for k in range(0, len(cells), columns))
    cv2.imwrite(str(out), np.vstack(list(rows)))
    return Path(out)
