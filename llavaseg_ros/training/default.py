# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `default`: from nothing to a bundle, by a recipe of `data/recipes.yaml`. Every stage resumes, so does the
whole."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import yaml

from llavaseg_ros.training import adapters, mllm, prepare, sam
from llavaseg_ros.training.export import export

RECIPES = Path(__file__).parent / "data" / "recipes.yaml"


def load_recipes(path: Path = RECIPES) -> dict[str, dict[str, Any]]:
    """Recipes by name."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train default`."""
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for data, run and bundle; the same folder resumes"
    )
    parser.add_argument("--recipe", choices=tuple(load_recipes()), default="version1")
    parser.add_argument("--photographs", type=Path, help="folder of named photographs with labels.jsonl")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render")


def stage_arguments(stage: Any, given: dict[str, Any]) -> argparse.Namespace:
    """A stage's own defaults with `given` on top."""
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    for action in parser._actions:
        action.required = False
    return argparse.Namespace(**{**vars(parser.parse_args([])), **given})


def run(args: argparse.Namespace) -> None:
    """All stages in order, then the bundle in args.out/bundle."""
    recipe = load_recipes()[args.recipe]
    train, val, folder = args.out / "train", args.out / "val", args.out / "run"
    for out, packs in ((train, "train"), (val, "val")):
        given = {"out": out, "packs": packs, "seed": args.seed, "workers": args.workers, **recipe[packs]}
        prepare.run(stage_arguments(prepare, given))
    common = {"data": [train], "val": val, "seed": args.seed}
    seen = {**common, "photographs": args.photographs}
    sam.run(stage_arguments(sam, {**seen, "out": folder, **recipe["sam"]}))
    mllm.run(stage_arguments(mllm, {**seen, "run": folder, **recipe["mllm"]}))
    adapters.run(stage_arguments(adapters, {**common, "run": folder, **recipe["adapters"]}))
    sizes = {key: recipe["mllm"][key] for key in ("width", "depth")}
    export(folder, args.out / "bundle", name=f"embedded default, recipe {args.recipe}", **sizes)
    print(f"bundle written to {args.out / 'bundle'}")
