# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg ask IMAGE "command"`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llavaseg_ros.cli import _args

if TYPE_CHECKING:
    import numpy as np

    from llavaseg_ros.types import Result, Segment, Stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("image", metavar="IMAGE", type=_args.existing_file, help="a picture, PNG or JPEG")
    parser.add_argument("command", metavar="COMMAND", type=_args.command_text, help='for example "I am thirsty"')
    parser.add_argument(
        "--out", type=_args.out_folder, default=Path("out/ask"), help="folder for the pictures (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the language model writes")
    _args.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Answer, print, write NAME_overlay.png and NAME_mask.png (all 0 when there is no target)."""
    from llavaseg_ros.images import read_rgb

    rgb = read_rgb(args.image)
    model = _args.load_model(args)
    model.set_image(rgb)
    result = model.segment(args.command, on_progress=_narrate if args.verbose else None)
    files = write_pictures(args.out, args.image.stem, rgb, result)
    if args.json:
        print(json.dumps(as_json(result, files), ensure_ascii=False))
        return 0
    if args.verbose:
        for number, reply in enumerate(result.thought.raw, 1):
            _args.say(f"reply {number}: {reply}")
    print(result.answer)
    for key, value in as_lines(result, files):
        print(f"  {key:9} {value}")
    return 0


def write_pictures(out: Path, stem: str, rgb: np.ndarray, result: Result) -> dict[str, str]:
    """Write an overlay of all targets and the mask of the best; that is written without a target too, so that no older
    one is taken for it."""
    import numpy as np

    from llavaseg_ros.images import write_mask, write_rgb
    from llavaseg_ros.viz import draw_overlay

    best = result.segments[0] if result.segments else None
    masks = [segment.mask for segment in result.segments]
    labels = [f"{result.label_of(segment)} {segment.score:.2f}" for segment in result.segments]
    overlay, mask = out / f"{stem}_overlay.png", out / f"{stem}_mask.png"
    write_rgb(overlay, draw_overlay(rgb, masks, labels, result.answer))
    write_mask(mask, best.mask if best else np.zeros(rgb.shape[:2], bool))
    return {"overlay": str(overlay), "mask": str(mask)}


def as_json(result: Result, files: dict[str, str]) -> dict[str, Any]:
    """The result as plain values. roi: x, y, width, height in px."""
    thought, best = result.thought, result.segments[0] if result.segments else None
    words = thought.attributes
    return {
        "command": result.command,
        "answer": result.answer,
        "target": thought.target or None,
        "attributes": {"color": words.color, "shape": words.shape, "location": words.location},
        "found": result.found,
        "score": round(best.score, 4) if best else 0.0,
        "roi": [int(v) for v in best.roi] if best else None,
        "area_px": best.area_px if best else 0,
        "targets": [_target(result, segment) for segment in result.segments],
        "seconds": {stage: round(value, 4) for stage, value in result.seconds.items()},
        **files,
    }


def _target(result: Result, segment: Segment) -> dict[str, Any]:
    """One target as plain values."""
    words = result.attributes_of(segment)
    return {
        "target": result.label_of(segment),
        "attributes": {"color": words.color, "shape": words.shape, "location": words.location},
        "score": round(segment.score, 4),
        "roi": [int(v) for v in segment.roi],
        "area_px": segment.area_px,
    }


def as_lines(result: Result, files: dict[str, str]) -> list[tuple[str, str]]:
    """The result as pairs of name and text, for a terminal."""
    thought, lines = result.thought, []
    if thought.is_question:
        lines.append(("target", "none: this is a question"))
    elif result.found:
        lines += [("target", f"{result.label_of(one)} (score {one.score:.2f})") for one in result.segments]
    else:
        lines.append(("target", f"{thought.target}: not found, the mask is empty"))
    for key in ("color", "shape", "location"):
        word = getattr(thought.attributes, key)
        if word:
            lines.append((key, word))
    lines.append(("seconds", ", ".join(f"{stage} {value:.2f}" for stage, value in result.seconds.items())))
    return lines + list(files.items())


def _narrate(stage: Stage, text: str) -> None:
    """One line on the terminal that grows with the reply."""
    if sys.stderr.isatty():
        print(
            f"\r\x1b[2K{stage.value}: {text[-100:]}", end="\n" if stage.value == "SEGMENTING" else "", file=sys.stderr
        )
