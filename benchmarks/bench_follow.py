# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of follow mode: a camera moves over tables, one command is given on the first frame, and every frame gets a
mask; against reasoning on every frame.

    python benchmarks/bench_follow.py --sequences 12 --frames 36 --json out/follow.json

Tables are of unseen packs. In every third sequence the camera looks away and back: while the target is out of view, an
empty mask is right (gIoU counts it as 1, a mask drawn there as 0). The command names color and kind of a target that
the model finds on the first frame, so that both ways start from the same place.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from llavaseg_ros.cli import _args
from llavaseg_ros.evaluation.metrics import overlap
from llavaseg_ros.evaluation.tables import aligned
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.training.scenes.camera import HEIGHT, Camera, look_at
from llavaseg_ros.training.scenes.catalog import PACK_RANGES
from llavaseg_ros.training.scenes.noise import camera_noise
from llavaseg_ros.training.scenes.packs import make_pack
from llavaseg_ros.training.scenes.render import SceneRenderer
from llavaseg_ros.training.scenes.scene import make_scene

SEED = 11
LEAST_IOU = 0.5  # on the first frame: what is not found there cannot be followed
RATE_HZ = 10
GONE_PX = 40  # a target with fewer visible pixels may be drawn or not: such frames do not count


@dataclass(frozen=True)
class Sequence:
    """frames: uint8 [H, W, 3] RGB. truth: uint8 [H, W], ids of objects. names: what to call each id."""

    frames: list[np.ndarray]
    truth: list[np.ndarray]
    names: dict[int, str]


def path(rng: np.random.Generator, count: int, *, away: bool) -> Iterator[Camera]:
    """A hand's slow arc over the table; with `away`, a look beside it in the middle."""
    azimuth, pitch, distance = 90 + rng.uniform(-20, 20), rng.uniform(38, 58), rng.uniform(0.8, 1.05)
    swing, nod, step = rng.uniform(12, 22) * rng.choice((-1, 1)), rng.uniform(-6, 6), rng.uniform(-0.15, 0.1)
    side = rng.choice((-1, 1))
    for i in range(count):
        t = i / max(1, count - 1)
        wave = np.sin(np.pi * 1.5 * t)
        aside = side * 0.9 * np.sin(np.pi * np.clip((t - 0.25) / 0.5, 0, 1)) ** 2 if away else 0.0
        turn = np.radians(azimuth)
        target = np.array([0.04 * wave, 0.0, 0.02]) + aside * np.array([np.sin(turn), -np.cos(turn), 0.0])
        focal = HEIGHT / 2 / np.tan(np.radians(24))
        yield look_at(target, distance * (1 + step * wave), pitch + nod * wave, azimuth + swing * wave, 0.0, focal)


def sequence(number: int, count: int) -> Sequence:
    """Sequence `number`: the same every time."""
    pack_number = PACK_RANGES["test"][0] + 40 + number
    pack = make_pack(pack_number, SEED)
    rng = np.random.default_rng([SEED, number])
    scene = make_scene(pack, SEED, number)
    frames, truth = [], []
    names: dict[int, str] = {}
    with SceneRenderer(pack) as renderer:
        for i, camera in enumerate(path(rng, count, away=number % 3 == 2)):
            picture = renderer.render(scene, camera=camera)
            noise = np.random.default_rng([SEED, number, i])
            frames.append(camera_noise(picture.rgb, np.random.default_rng([SEED, number]), noise))
            truth.append(picture.instances)
            if i == 0:
                kinds = [(o["color"], o["category"]) for o in picture.objects]
                for o in picture.objects:
                    kind = (o["color"], o["category"])
                    if o["listed"] and kinds.count(kind) == 1 and not o.get("held_out"):
                        names[o["id"]] = " ".join(kind)
    return Sequence(frames, truth, names)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool masks; 1 if both are empty."""
    shared, union = overlap(mask, truth)
    return shared / union if union else 1.0


def mask_of(result: Any, shape: tuple[int, int]) -> np.ndarray:
    """bool [H, W]: all False if nothing was found."""
    return result.segments[0].mask if result.found else np.zeros(shape, bool)


def start(model: LLaVASeg, clip: Sequence) -> tuple[int, str, Any] | None:
    """The first target that the model finds on the first frame: its id, the command, the result."""
    model.set_image(clip.frames[0])
    for target, name in clip.names.items():
        command = f"Give me the {name}."
        result = model.segment(command)
        if result.found and iou(result.segments[0].mask, clip.truth[0] == target) >= LEAST_IOU:
            return target, command, result
    return None


def measure(model: LLaVASeg, clip: Sequence) -> dict[str, Any] | None:
    """IoU frame by frame, followed and reasoned; None if the model finds nothing to follow."""
    begun = start(model, clip)
    if begun is None:
        return None
    target, command, last = begun
    rows: dict[str, Any] = {"command": command, "frames": [], "follow": [], "reason": [], "presence": []}
    seen = 0
    for i, (frame, ids) in enumerate(zip(clip.frames[1:], clip.truth[1:], strict=True), 1):
        truth = ids == target
        model.set_image(frame, quick=True)
        followed = model.follow(last, gap_s=(i - seen) / RATE_HZ)
        if followed.found:
            last, seen = followed, i
        model.set_image(frame)
        reasoned = model.segment(command)
        if truth.any() and truth.sum() < GONE_PX:
            continue
        rows["frames"].append(i)
        rows["follow"].append(iou(mask_of(followed, truth.shape), truth))
        rows["reason"].append(iou(mask_of(reasoned, truth.shape), truth))
        rows["presence"].append((bool(truth.any()), followed.found))
    return rows


def summary(clips: list[dict[str, Any]]) -> dict[str, float]:
    """gIoU over all frames of all sequences, and how presence was judged."""
    flat = {key: [value for clip in clips for value in clip[key]] for key in ("follow", "reason", "presence")}
    there = [found for seen, found in flat["presence"] if seen]
    gone = [found for seen, found in flat["presence"] if not seen]
    return {
        "sequences": len(clips),
        "frames": len(flat["follow"]),
        "giou_follow": float(np.mean(flat["follow"])),
        "giou_reason": float(np.mean(flat["reason"])),
        "points_lost": 100 * float(np.mean(flat["reason"]) - np.mean(flat["follow"])),
        "present_kept": float(np.mean(there)) if there else float("nan"),
        "absent_refused": 1 - float(np.mean(gone)) if gone else float("nan"),
        "absent_frames": len(gone),
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=_args.count, default=12)
    parser.add_argument("--frames", type=_args.count, default=36, help="frames a sequence (%(default)s)")
    parser.add_argument("--model", default="default", help="a profile's name or file, or a bundle's folder")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    model = LLaVASeg.from_pretrained(args.model)
    model.warm_up()
    clips = []
    for number in tqdm(range(args.sequences), unit="sequence"):
        rows = measure(model, sequence(number, args.frames))
        if rows is not None:
            clips.append({"sequence": number, **rows})
    lines = [("sequence", "command", "frames", "gIoU followed", "gIoU reasoned")]
    for clip in clips:
        figures = (f"{np.mean(clip[key]):.3f}" for key in ("follow", "reason"))
        lines.append((str(clip["sequence"]), clip["command"], str(len(clip["frames"])), *figures))
    total = summary(clips)
    print(aligned(lines))
    print(
        f"\n{total['frames']} frames: gIoU followed {total['giou_follow']:.3f}, reasoned {total['giou_reason']:.3f}, "
        f"{total['points_lost']:.1f} points lost (bar 3); kept {total['present_kept']:.3f} of frames with the target; "
        f"of {total['absent_frames']} without, {total['absent_refused']:.3f} got no mask"
    )
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"total": total, "sequences": clips}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
