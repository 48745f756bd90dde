# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From the checkpoints of a run folder to a bundle that `LLaVASeg.from_pretrained` loads."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llavaseg_ros.bundle import MANIFEST, default_bundle, read_bundle, write_bundle
from llavaseg_ros.files import named_errors
from llavaseg_ros.segmentation.segmenter import save_segmenter
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.adapters import load_adapters
from llavaseg_ros.training.mllm import load_bundle_llava, load_llava
from llavaseg_ros.training.sam import load_pretrained

WEIGHTS = "model.safetensors"


def export(run_folder: Path, out: Path, *, name: str, width: int, depth: int) -> None:
    """Write a whole bundle to `out`, in place of an older one. Weights are float16 safetensors."""
    pretrained, text = load_pretrained(run_folder), TextEncoder()
    adapters = load_adapters(run_folder, pretrained, text)
    llava, processor = load_llava(run_folder, width=width, depth=depth)
    with _filled_first(out) as new:
        save_segmenter(new / "segmenter", pretrained.sam, pretrained.config, adapters)
        llava.half().save_pretrained(new / "mllm")
        processor.save_pretrained(new / "mllm")
        write_bundle(new, name=name, prompts="embedded")


def export_from_bundle(bundle: Path, run_folder: Path, out: Path, *, name: str) -> None:
    """Write to `out` the bundle that stage `mllm` went on from, with what the stage made of its language model."""
    old = read_bundle(bundle)
    llava, _ = load_bundle_llava(bundle, run_folder)
    with _filled_first(out) as new:
        for part, kept in (("mllm", old.mllm), ("segmenter", old.segmenter)):
            shutil.copytree(kept, new / part)
        with tempfile.TemporaryDirectory() as folder:
            llava.half().save_pretrained(folder)
            shutil.copy(Path(folder) / WEIGHTS, new / "mllm")  # alone: the settings stay as they are
        write_bundle(new, name=name, prompts=old.prompts, licence=old.licence)


@contextmanager
def _filled_first(out: Path) -> Iterator[Path]:
    """A folder that is filled before the older bundle in `out` goes: a full disk leaves that one as it was."""
    out.mkdir(parents=True, exist_ok=True)
    with named_errors(out), tempfile.TemporaryDirectory(prefix=".new.", dir=out) as folder:
        new = Path(folder)
        yield new
        for part in ("mllm", "segmenter"):
            shutil.rmtree(out / part, ignore_errors=True)
            (new / part).replace(out / part)
        (new / MANIFEST).replace(out / MANIFEST)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train export`."""
    parser.add_argument("--run", type=Path, required=True, help="run folder of the sam, mllm and adapters stages")
    parser.add_argument("--out", type=Path, default=default_bundle(), help="bundle folder")
    parser.add_argument("--name", default="embedded default", help="name of the bundle")
    parser.add_argument("--from-bundle", type=Path, help="the bundle that stage mllm went on from")
    parser.add_argument("--width", type=int, default=256, help="width of the language model")
    parser.add_argument("--depth", type=int, default=4, help="depth of the language model")


def run(args: argparse.Namespace) -> None:
    """Write the bundle and say where."""
    if args.from_bundle:
        export_from_bundle(args.from_bundle, args.run, args.out, name=args.name)
    else:
        export(args.run, args.out, name=args.name, width=args.width, depth=args.depth)
    print(f"bundle written to {args.out}")
