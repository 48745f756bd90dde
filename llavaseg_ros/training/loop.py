# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The loop that every training stage runs: seeded by step, resumable after a kill, with a log that plots."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from tqdm import tqdm

from llavaseg_ros.training.ahead import ahead

Metrics = dict[str, float]
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LoopConfig:
    """steps: optimiser steps in all. lr: peak learning rate; warm-up over `warmup` steps, then cosine to a twentieth.
    save_every, validate_every: in steps. bf16: autocast on CPUs and GPUs that are faster with it. muon: matrices
    between hidden layers go to Muon, which learns rare look-ups in fewer steps than AdamW; the rest stays there."""

    steps: int
    lr: float
    warmup: int = 100
    weight_decay: float = 0.05
    clip: float = 1.0
    seed: int = 0
    save_every: int = 250
    validate_every: int = 1000
    bf16: bool = True
    muon: bool = False


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """Where a stage computes."""
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workers", type=int, default=0, help="processes that read and draw while the model computes")


def learning_rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then a cosine down to a twentieth of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    part = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


def make_optimizers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where asked. Matrices decay; biases, norms, embeddings of one row and scalars do not."""
    embeddings = {p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    to_muon = {p for p in matrices if config.muon and p.ndim == 2 and p not in embeddings}
    hidden = [p for p in matrices if p in to_muon]
    groups = [
        {"params": [p for p in matrices if p not in to_muon], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))]
    if hidden:
        # This adjustment lets both optimisers share one learning rate.
        decay = config.weight_decay
        optimizers.append(torch.optim.Muon(hidden, lr=config.lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def fit(
    name: str,
    out: Path,
    model: nn.Module,
    draw: Callable[[random.Random], Batch],
    loss_of: Callable[[Batch], tuple[torch.Tensor, Metrics]],
    config: LoopConfig,
    validate: Callable[[], Metrics] | None = None,
    *,
    workers: int = 0,
) -> None:
    """Train `model` in place until `config.steps`, on the device where it is.

    draw(rng) makes a batch; rng depends on seed and step alone, so a resumed run sees the batches that an unbroken one
    would have seen. With workers, so many processes draw ahead of the model (see `ahead`). loss_of(batch) returns the
    loss and what to log. Files in `out`: NAME.pt (model, optimiser and step, replaced atomically), NAME.jsonl (a line
    every 20 steps and one a validation).
    """
    out.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    optimizers = make_optimizers(model, config)
    checkpoint = out / f"{name}.pt"
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        start = int(state["step"])
    log_file = open(out / f"{name}.jsonl", "a", encoding="utf-8")  # noqa: SIM115 - open for the whole run

    def log(row: dict) -> None:
        log_file.write(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}) + "\n")
        log_file.flush()

    def save(step: int) -> None:
        part = checkpoint.with_suffix(".part")
        kept = [optimizer.state_dict() for optimizer in optimizers]
        torch.save({"model": model.state_dict(), "optimizers": kept, "step": step}, part)
        os.replace(part, checkpoint)

    model.train()
    seen: dict[str, list[float]] = {}  # since the last line of the log; not every step has every metric
    began = time.monotonic()
    with tqdm(total=config.steps, initial=start, desc=name, unit="step", mininterval=5.0) as bar:
        steps = range(start, config.steps)
        batches = ahead(lambda step: draw(random.Random(f"{config.seed}/{step}")), steps, workers)
        for step, batch in zip(steps, batches, strict=True):
            for group in (g for optimizer in optimizers for g in optimizer.param_groups):
                group["lr"] = learning_rate(step, config)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
                loss, metrics = loss_of(batch)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            for optimizer in optimizers:
                optimizer.step()
            for key, value in {"loss": loss.item(), **metrics}.items():
                seen.setdefault(key, []).append(value)
            bar.update()
            if (step + 1) % 20 == 0:
                means = {k: sum(v) / len(v) for k, v in seen.items()}
                bar.set_postfix({k: f"{v:.3f}" for k, v in means.items()}, refresh=False)
                log({"step": step + 1, "seconds": time.monotonic() - began, **means})
                seen = {}
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                save(step + 1)
            if validate is not None and ((step + 1) % config.validate_every == 0 or step + 1 == config.steps):
                model.eval()
                with torch.no_grad():
                    log({"step": step + 1, **{f"val_{k}": v for k, v in validate().items()}})
                model.train()
    log_file.close()
