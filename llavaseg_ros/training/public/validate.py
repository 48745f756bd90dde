# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Validation while training: masks and presence on the first commands of each set, shared among the processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from llavaseg_ros.datasets.base import Reading
from llavaseg_ros.training.loop import Metrics
from llavaseg_ros.training.public.examples import Examples, words_of
from llavaseg_ros.training.public.steering import Frozen, masks_of, overlap


@torch.no_grad()
def validate(
    accelerator: Any,
    frozen: Frozen,
    adapters: torch.nn.Module,
    readings: Sequence[Reading],
    examples: Examples,
    limit: int,
) -> Metrics:
    """For each set: gIoU and cIoU of targets that are there, and the shares of present and of absent targets that the
    presence head takes for what they are. Commands without words are left out; `words` says how many have some.

    These figures are of SAM's low-resolution masks and of the words at hand; `llavaseg evaluate` gives the real ones.
    """
    bare = accelerator.unwrap_model(adapters).eval()  # the processes do not call it equally often
    told: Metrics = {}
    for reading in readings:
        sums = torch.zeros(8, device=frozen.device)
        rank, world = accelerator.process_index, accelerator.num_processes
        for referral in reading.referrals[:limit][rank::world]:
            words = words_of(referral, examples.thoughts)
            sums[7] += 1
            if words is None:
                continue
            sums[6] += 1
            example = examples.example(referral, words, present=not referral.absent)
            batch = frozen.batch([example])
            out = bare(batch.taps, *batch.words, batch.extent)
            seen = float(out.presence[0] > 0)
            if not example.present:
                sums[4:6] += torch.tensor([1 - seen, 1.0], device=frozen.device)
                continue
            inter, union = (float(v[0]) for v in overlap(masks_of(frozen, batch, out), batch))
            sums[:4] += torch.tensor([inter / max(union, 1), inter, union, 1.0], device=frozen.device)
            sums[4:6] += torch.tensor([seen, 1.0], device=frozen.device)
        iou, inter, union, count, right, judged, with_words, all_of = accelerator.reduce(sums, "sum").tolist()
        name = f"val/{reading.dataset}/{reading.split}"
        told |= {
            f"{name}/giou": iou / max(count, 1),
            f"{name}/ciou": inter / max(union, 1),
            f"{name}/presence": right / max(judged, 1),
            f"{name}/words": with_words / max(all_of, 1),
        }
    bare.train()
    return told
