# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `public`: train adapters for a frozen SAM on the public sets, on one GPU or on many.

    accelerate launch -m llavaseg_ros train public --profile paper_7b --set refcoco:train=/data/coco ... --run out/run

What a step sees depends on its number alone, so a run that was stopped goes on as if it had not been, also on another
number of processes (with --batch changed so that their product stays). Only the adapters are trained and saved.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from llavaseg_ros.datasets.base import REFUSE, SKIP
from llavaseg_ros.errors import BundleError
from llavaseg_ros.segmentation.adapters import AdapterConfig, AttributeAdapters
from llavaseg_ros.training.loop import LoopConfig, learning_rate
from llavaseg_ros.training.public.bundle import load_frozen, write_result
from llavaseg_ros.training.public.examples import Examples
from llavaseg_ros.training.public.sets import mixed, parse_spec, read_sets
from llavaseg_ros.training.public.steering import Frozen, steering_loss
from llavaseg_ros.training.public.thoughts import read_thoughts
from llavaseg_ros.training.public.validate import validate

CHECKPOINT = "adapters.pt"
LOG = "log.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train public`."""
    add = parser.add_argument
    add("--profile", default="paper_7b", help="whose SAM and text encoder the adapters are for")
    add("--set", type=parse_spec, action="append", required=True, dest="sets", metavar="NAME:SPLIT=ROOT[*WEIGHT]")
    add("--val", type=parse_spec, action="append", default=[], metavar="NAME:SPLIT=ROOT", help="sets to validate on")
    add("--thoughts", type=Path, nargs="+", default=[], help="files of `llavaseg train thoughts`, for --set and --val")
    add("--run", type=Path, required=True, help="folder of checkpoint, logs and result; the same folder resumes")
    add("--steps", type=int, default=20000)
    add("--batch", type=int, default=4, help="examples a step, process and accumulation")
    add("--accumulate", type=int, default=1, help="batches a step")
    add("--lr", type=float, default=3e-4)
    add("--width", type=int, default=256, help="of the adapters; 256 makes about 6 million weights for ViT-H")
    add("--heads", type=int, default=8)
    add("--queries", type=int, default=8)
    add("--drop", type=float, default=0.25, help="share of the attributes that are left out")
    add("--absent", type=float, default=0.2, help="share of the examples whose words belong to another picture")
    add("--precision", choices=("no", "bf16", "fp16"), default="bf16", help="of the arithmetic; weights are float32")
    add("--workers", type=int, default=4, help="processes that read pictures, for each process that trains")
    add("--keep-encoded", type=int, default=0, help="pictures whose encoding stays in memory, for small sets")
    add("--val-every", type=int, default=1000)
    add("--val-limit", type=int, default=500, help="commands of each validation set")
    add("--save-every", type=int, default=500)
    add("--on-problem", choices=(SKIP, REFUSE), default=SKIP, help="what to do with broken records")
    add("--device", default="auto", help="cpu trains there even if there is a GPU")
    add("--seed", type=int, default=0)


def step_batches(steps: range, accumulate: int, batch: int, rank: int, world: int) -> Iterator[list[int]]:
    """Which examples this process sees, batch by batch. All processes together see every number once, in order.

    >>> list(step_batches(range(1, 2), 2, 2, rank=1, world=2))
    [[10, 11], [14, 15]]
    """
    for step in steps:
        for part in range(accumulate):
            first = ((step * accumulate + part) * world + rank) * batch
            yield list(range(first, first + batch))


def new_adapters(frozen: Frozen, args: argparse.Namespace) -> AttributeAdapters:
    """Untrained adapters for a SAM and a text encoder."""
    sam = frozen.sam
    sizes = AdapterConfig(sam.tap_channels, sam.embed_dim, frozen.text.dim, args.width, args.heads, args.queries)
    return AttributeAdapters(sizes)


def make_accelerator(args: argparse.Namespace) -> Any:
    """accelerate's view of the processes and their devices. BundleError says what to install."""
    try:
        from accelerate import Accelerator
    except ImportError:
        raise BundleError("training on the public sets needs accelerate: pip install 'llavaseg_ros[public]'") from None
    return Accelerator(
        cpu=args.device == "cpu",
        mixed_precision=args.precision,
        gradient_accumulation_steps=args.accumulate,
        log_with="tensorboard",
        project_dir=str(args.run),
    )


def run(args: argparse.Namespace) -> None:
    """Train until args.steps; resumes from args.run."""
    accelerator = make_accelerator(args)
    torch.manual_seed(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    accelerator.init_trackers("tensorboard")
    readings = read_sets(args.sets, args.on_problem)
    val = read_sets(args.val, args.on_problem)
    if accelerator.is_main_process:
        for reading in [*readings, *val]:
            print(f"{reading.dataset} {reading.split}: {len(reading)} commands, {reading.problems.count} left out")
    thoughts = read_thoughts(args.thoughts)
    frozen = load_frozen(args.profile, accelerator.device, keep=args.keep_encoded)
    mix, sam = mixed(args.sets, readings, args.seed), frozen.sam
    examples = Examples(mix, thoughts, sam.img_size, sam.mask_stride, drop=args.drop, absent=args.absent)
    bare = new_adapters(frozen, args)
    plan = LoopConfig(steps=args.steps, lr=args.lr, weight_decay=0.01)
    bare_optimizer = torch.optim.AdamW(bare.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    start = resume(args.run / CHECKPOINT, bare, bare_optimizer)
    adapters, optimizer = accelerator.prepare(bare, bare_optimizer)
    rank, world = accelerator.process_index, accelerator.num_processes
    order = step_batches(range(start, args.steps), args.accumulate, args.batch, rank, world)
    loader = iter(DataLoader(examples, batch_sampler=list(order), num_workers=args.workers, collate_fn=list))

    began = time.monotonic()
    for step in range(start, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan)
        rows = []
        for _ in range(args.accumulate):
            with accelerator.accumulate(adapters), accelerator.autocast():
                loss, metrics = steering_loss(frozen, adapters, frozen.batch(next(loader)))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(adapters.parameters(), plan.clip)
                optimizer.step()
                optimizer.zero_grad()
            rows.append({"loss": loss.item(), **metrics})
        last = step + 1 == args.steps
        told = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        if val and ((step + 1) % args.val_every == 0 or last):
            told |= validate(accelerator, frozen, adapters, val, examples, args.val_limit)
        if accelerator.is_main_process and ((step + 1) % 20 == 0 or len(told) > len(rows[0]) or last):
            log(args.run / LOG, {"step": step + 1, "seconds": time.monotonic() - began, **told})
        accelerator.log(told, step=step + 1)
        if accelerator.is_main_process and ((step + 1) % args.save_every == 0 or last):
            save(args.run / CHECKPOINT, accelerator.unwrap_model(adapters), optimizer, step + 1)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_result(args.run, args.profile, accelerator.unwrap_model(adapters))
        print(f"adapters, profile and bundle written to {args.run}")
    accelerator.end_training()


def resume(path: Path, adapters: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Read a checkpoint if there is one; returns the steps done. BundleError for one of other sizes."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        adapters.load_state_dict(state["adapters"])
    except RuntimeError as error:
        raise BundleError(
            f"{path} is of adapters of other sizes; give the same --profile, --width, --heads and --queries, or "
            f"another --run: {str(error).splitlines()[0]}"
        ) from error
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save(path: Path, adapters: torch.nn.Module, optimizer: Any, step: int) -> None:
    """Replace the checkpoint, whole or not at all."""
    part = path.with_suffix(".part")
    torch.save({"adapters": adapters.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, part)
    os.replace(part, path)


def log(path: Path, row: dict[str, float]) -> None:
    """One more line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}) + "\n")
