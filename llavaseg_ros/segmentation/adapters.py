# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The trained part of LLaVASeg: attributes in words steer a frozen SAM through its own prompt ports.

A ladder climbs the taps of the frozen image encoder. At every rung the image features, with their place in the image,
attend to the words of the attributes. The top of the ladder becomes SAM's dense prompt; a few learned queries that have
looked at words and picture become its sparse prompt; one more query says whether the target is there at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from llavaseg_ros.segmentation.pyramid import LayerNorm2d

ATTRIBUTE_KINDS = ("target", "color", "shape", "location")
_BANDS = 8  # frequencies of the positional encoding


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes. tap_channels: of SAM's taps, coarse to fine (or shallow to deep). embed_dim: of SAM's prompts."""

    tap_channels: tuple[int, ...]
    embed_dim: int
    text_dim: int
    width: int = 128
    heads: int = 2
    queries: int = 4


@dataclass
class AdapterOutput:
    """dense: float [B, embed_dim, h, w], to be added to SAM's no-mask embedding. sparse: float [B, queries, embed_dim].
    presence: float [B], logit of "the target is in the image"."""

    dense: torch.Tensor
    sparse: torch.Tensor
    presence: torch.Tensor


class CrossAttention(nn.Module):
    """Multi-head attention of x [B, N, C] to memory [B, M, C], with padding mask keep [B, M]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, memory: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        def split(t: torch.Tensor) -> torch.Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        k, v = self.kv(memory).chunk(2, dim=-1)
        mask = None if keep is None else keep[:, None, None, :]
        y = F.scaled_dot_product_attention(split(self.q(x)), split(k), split(v), attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Two-layer perceptron of expansion 2, normalised before."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class Rung(nn.Module):
    """One step of the ladder: X_s = W F_s + PE + up(X_{s-1}); X += CrossAttn(LN X, T); X += FFN(LN X)."""

    def __init__(self, tap_channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.tap = nn.Sequential(LayerNorm2d(tap_channels), nn.Conv2d(tap_channels, width, 1))
        self.place = nn.Linear(4 * _BANDS, width)
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, heads)
        self.ffn = FeedForward(width)

    def forward(
        self, tap: torch.Tensor, place: torch.Tensor, below: torch.Tensor | None, text: torch.Tensor, keep: torch.Tensor
    ) -> torch.Tensor:
        x = self.tap(tap)
        if below is not None:
            x = x + (below if below.shape == x.shape else F.interpolate(below, size=x.shape[-2:], mode="bilinear"))
        size = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2) + self.place(place)
        x = x + self.attention(self.norm(x), text, keep)
        x = x + self.ffn(x)
        return x.transpose(1, 2).unflatten(2, size)


class QueryBlock(nn.Module):
    """Queries look at the words, then at the picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_text, self.norm_image = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_text, self.to_image = CrossAttention(width, heads), CrossAttention(width, heads)
        self.ffn = FeedForward(width)

    def forward(self, q: torch.Tensor, text: torch.Tensor, keep: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        q = q + self.to_text(self.norm_text(q), text, keep)
        q = q + self.to_image(self.norm_image(q), image)
        return q + self.ffn(q)


class PresenceHead(nn.Module):
    """Is the target there? One query that has looked at words and picture, and the best match of any cell."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.norm = nn.LayerNorm(width)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, query: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """query: float [B, C]. image: float [B, N, C]. Returns logits, float [B]."""
        # A single small object is enough: the maximum over cells sees it, an average would not.
        best = self.cell(image).amax(dim=1)
        return self.out(torch.cat([self.norm(query), best], dim=-1)).squeeze(-1)


def places(height: int, width: int, extent: torch.Tensor) -> torch.Tensor:
    """Sine and cosine codes of each cell's place in the image, not in the padded input, so that "front left" means
    the same at every aspect ratio. extent: float [B, 2], the part of the input that holds image, (x, y) -> [B, h*w,
    32]."""
    dev = extent.device
    y = (torch.arange(height, device=dev) + 0.5) / height
    x = (torch.arange(width, device=dev) + 0.5) / width
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).view(1, -1, 2) / extent[:, None]
    bands = math.pi * 2.0 ** torch.arange(_BANDS // 2, device=dev)
    bands = torch.cat([bands, 1.5 * bands])
    angles = (grid[..., None] * bands).flatten(2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class AttributeAdapters(nn.Module):
    """See the module's text. Everything in here is trained; nothing outside of it is."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.text = nn.Sequential(nn.LayerNorm(config.text_dim), nn.Linear(config.text_dim, w))
        self.kind = nn.Embedding(len(ATTRIBUTE_KINDS), w)
        self.rungs = nn.ModuleList(Rung(c, w, config.heads) for c in config.tap_channels)
        self.to_dense = nn.Conv2d(w, config.embed_dim, 3, padding=1)
        # The dense prompt starts as SAM's own "no mask": training departs from the untouched SAM.
        self.gamma = nn.Parameter(torch.zeros(1))
        self.queries = nn.Parameter(0.02 * torch.randn(config.queries + 1, w))
        self.query_blocks = nn.ModuleList(QueryBlock(w, config.heads) for _ in range(2))
        self.to_sparse = nn.Sequential(nn.LayerNorm(w), nn.Linear(w, config.embed_dim))
        self.to_presence = PresenceHead(w)

    def forward(
        self,
        taps: list[torch.Tensor],
        text: torch.Tensor,
        kinds: torch.Tensor,
        keep: torch.Tensor,
        extent: torch.Tensor,
    ) -> AdapterOutput:
        """taps: float [B, C_s, h_s, w_s]. text: float [B, L, text_dim]. kinds: long [B, L], index into ATTRIBUTE_KINDS.
        keep: bool [B, L], False where text is padding. extent: float [B, 2], see `places`."""
        words = self.text(text) + self.kind(kinds)
        x: torch.Tensor | None = None
        for rung, tap in zip(self.rungs, taps, strict=True):
            x = rung(tap, places(tap.shape[-2], tap.shape[-1], extent).to(words.dtype), x, words, keep)
        assert x is not None
        image = x.flatten(2).transpose(1, 2)
        q = self.queries.expand(len(words), -1, -1)
        for block in self.query_blocks:
            q = block(q, words, keep, image)
        return AdapterOutput(
            dense=self.gamma * self.to_dense(x),
            sparse=self.to_sparse(q[:, 1:]),
            presence=self.to_presence(q[:, 0], image).float(),
        )


def batch_text(phrases: list[list[tuple[int, torch.Tensor]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Per sample a list of (kind index, float [L, dim] token features) -> text [B, L, dim], kinds [B, L], keep [B, L].

    A sample without any word gets one zero token, so that attention stays defined.
    """
    rows, kinds = [], []
    for sample in phrases:
        parts = [(k, t) for k, t in sample if len(t)]
        dim = sample[0][1].shape[-1]
        tokens = torch.cat([t for _, t in parts]) if parts else torch.zeros(1, dim, device=sample[0][1].device)
        rows.append(tokens)
        kinds.append(torch.tensor([k for k, t in parts for _ in range(len(t))] or [0], device=tokens.device))
    pad = nn.utils.rnn.pad_sequence
    lengths = torch.tensor([len(r) for r in rows], device=rows[0].device)
    keep = torch.arange(int(lengths.max()), device=lengths.device)[None] < lengths[:, None]
    return pad(rows, batch_first=True), pad(kinds, batch_first=True), keep
