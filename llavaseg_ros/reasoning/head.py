# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The likeliest next token of a large vocabulary, at half of the memory traffic.

A small language model spends most of a token's time on reading the matrix of its vocabulary. Read in bfloat16 it says
which few tokens can be the likeliest at all; float32 decides among these. The rounding is bounded, so that the choice
is that of float32 alone.
"""

from __future__ import annotations

import time

import torch
from torch.nn import functional as F

_ROUNDING = 2.0**-8  # of two factors in bfloat16 together, and of the sum that is rounded to it: each at most this
_TRIES = 5


class Head:
    """weight: float32 [V, C], whose rows are the tokens' directions. Kept as it is, and a copy where that is faster."""

    def __init__(self, weight: torch.Tensor, *, narrow: bool | None = None) -> None:
        """narrow: read the vocabulary in bfloat16 first; None: if that is measured to be faster on this CPU."""
        self._weight = weight.detach()
        self._half: torch.Tensor | None = self._weight.bfloat16()
        self._longest = float(self._weight.norm(dim=1).max())
        if narrow is False or (narrow is None and not self._pays()):
            self._half = None

    @property
    def narrows(self) -> bool:
        """Reads the vocabulary in bfloat16."""
        return self._half is not None

    def likeliest(self, x: torch.Tensor) -> list[int]:
        """float32 [T, C] -> for each row the token with the largest inner product."""
        if self._half is None:
            return self._exact(x)
        rough = F.linear(x.bfloat16(), self._half).float()
        best = rough.amax(dim=-1)
        slack = _ROUNDING * (1.01 * self._longest * x.norm(dim=-1) + best.abs())
        chosen = []
        for row, scores, least in zip(x, rough, best - 2 * slack, strict=True):
            candidates = (scores >= least).nonzero()[:, 0]
            if len(candidates) > 1:
                # Not a matrix product, which sums equal rows in different orders: of equal tokens the first is chosen.
                exact = (self._weight[candidates].double() * row.double()).sum(dim=-1)
                candidates = candidates[exact.argmax()][None]
            chosen.append(int(candidates[0]))
        return chosen

    def _exact(self, x: torch.Tensor) -> list[int]:
        chosen: list[int] = F.linear(x, self._weight).argmax(dim=-1).tolist()
        return chosen

    def _pays(self) -> bool:
        x = torch.randn(1, self._weight.shape[1], generator=torch.Generator().manual_seed(0))

        def seconds(call: object) -> float:
            started = time.perf_counter()
            call(x)  # type: ignore[operator]
            return time.perf_counter() - started

        with torch.inference_mode():
            pairs = [(seconds(self.likeliest), seconds(self._exact)) for _ in range(_TRIES)]
        # The least of a few: what a busy machine adds is not theirs.
        return min(pair[0] for pair in pairs) < min(pair[1] for pair in pairs)
