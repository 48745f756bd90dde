# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From what the networks say of a mask to a score that means how often such masks are right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

_EDGE = 1e-4


def _logit(p: float) -> float:
    p = min(max(p, _EDGE), 1 - _EDGE)
    return math.log(p / (1 - p))


@dataclass(frozen=True)
class ScoreScale:
    """score = sigmoid(offset + gain * logit(raw)); raw is predicted IoU times presence, in [0, 1]. The plain one
    changes nothing (but the outermost ten-thousandth)."""

    offset: float = 0.0
    gain: float = 1.0

    def __call__(self, raw: float) -> float:
        """-> score in [0, 1], rising with raw."""
        return 1 / (1 + math.exp(-(self.offset + self.gain * _logit(raw))))


def fit_scale(raw: Sequence[float], right: Sequence[bool]) -> ScoreScale:
    """Platt scaling: the scale under which `right` is most likely. The gain is kept positive, so that a better mask
    never scores less.

    Raises ValueError unless there are right masks and wrong ones.
    """
    if len(set(right)) < 2:
        raise ValueError(f"{len(right)} masks, {sum(right)} of them right: expected right ones and wrong ones")
    x = torch.tensor([_logit(r) for r in raw], dtype=torch.float64)
    y = torch.tensor(right, dtype=torch.float64)
    values = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        # A trace of decay: with few masks the likeliest gain can be infinite.
        error = F.binary_cross_entropy_with_logits(values[0] + values[1].exp() * x, y) + 1e-4 * values[1] ** 2
        error.backward()
        return error

    optimizer.step(loss)
    offset, log_gain = values.detach().tolist()
    return ScoreScale(offset, math.exp(log_gain))
