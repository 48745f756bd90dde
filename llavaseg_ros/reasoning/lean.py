# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding of a LLaVA with a Llama decoder on the CPU, without what a general library needs around it.

A small decoder on a CPU spends most of a token's time in bookkeeping. Here a token is a few large multiplications:
projections that read the same input are joined into one matrix, keys and values are written in place into a cache made
ahead, the reply's likely next tokens are checked several at a time (`drafts.py`), and the conversation so far is never
read twice. The words said are those of transformers' `generate`; the tests compare them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from llavaseg_ros.reasoning.drafts import Drafts
from llavaseg_ros.reasoning.generation import Watch, greedy
from llavaseg_ros.reasoning.head import Head
from llavaseg_ros.reasoning.prefix import common_prefix

_BLOCK = 512  # tokens by which the cache grows
_PIXEL_INPUTS = ("pixel_values", "image_sizes")
_HARMLESS = {  # generation settings that leave the greedy choice as it is
    *("eos_token_id", "pad_token_id", "bos_token_id", "do_sample", "num_beams", "use_cache"),
    *("max_new_tokens", "output_attentions", "output_hidden_states", "transformers_version", "_from_model_config"),
}
_DRAFT = 6  # tokens guessed at a time: more cost more than they bring when wrong


class LeanLlama:
    """Decodes replies; see `generation.Generation`. The model's weights become views of the joined matrices, with
    the same values."""

    reuses_prefix = True

    def __init__(self, model: Any) -> None:
        text = model.config.get_text_config()
        self._model = model
        self._image_token = model.config.image_token_id
        self._ends = _end_tokens(greedy(model.generation_config))
        self._layers = [_Layer(layer) for layer in model.model.language_model.layers]
        self._norm = model.model.language_model.norm
        self._head = Head(model.lm_head.weight)
        self._head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self._heads, self._kv_heads = text.num_attention_heads, text.num_key_value_heads
        self._cache = torch.empty(len(self._layers), 2, self._kv_heads, 0, self._head_dim)
        self._rotation = torch.empty(2, 0, self._head_dim)
        self._ids: list[int] = []  # what the cache holds
        self._drafts = Drafts()

    @staticmethod
    def supports(model: Any) -> bool:
        """True if this decodes the model as transformers would: plain Llama in float32 on the CPU, greedy without
        penalties."""
        config = model.config
        text = config.get_text_config()
        return bool(
            config.model_type == "llava"
            and text.model_type == "llama"
            and all(p.dtype is torch.float32 and p.device.type == "cpu" for p in model.parameters())
            and getattr(config, "quantization_config", None) is None
            and not (text.attention_bias or text.mlp_bias)
            and text.hidden_act == "silu"
            and not getattr(text, "sliding_window", None)
            and (text.rope_parameters or {}).get("rope_type", "default") == "default"
            and _end_tokens(greedy(model.generation_config))
            and not _has_penalties(model.generation_config)
        )

    def generate(self, inputs: dict[str, torch.Tensor], *, max_new_tokens: int, watch: Watch) -> list[int]:
        """See `generation.Generation`."""
        with torch.inference_mode():
            prompt = inputs["input_ids"][0].tolist()
            shared = common_prefix(self._ids, prompt[:-1])  # one token at least must be read anew
            if self._image_token in prompt[shared:]:
                shared = 0
            del self._ids[shared:]  # whatever stops us now, the cache is good up to here
            choice = self._read(prompt[shared:], self._embedded(inputs, shared), last=True)
            self._drafts.learn([token for token in prompt[shared:] if token != self._image_token])
            ids, new = list(prompt), []
            while True:
                for token in choice:
                    new.append(token)
                    ids.append(token)
                    watch.see(new)
                    if token in self._ends or len(new) >= max_new_tokens:
                        self._drafts.learn(new)
                        return new
                draft = self._drafts.guess(ids, min(_DRAFT, max_new_tokens - len(new) - 1))
                step = [ids[-1], *draft]
                said = self._read(step, self._embed(step))
                agreed = common_prefix(draft, said)
                choice = said[: agreed + 1]
                del self._ids[len(ids) + agreed :]

    def forget(self) -> None:
        """See `generation.Generation`. Words stay for guessing: they are right or wrong for any image."""
        self._ids = []

    def describe(self) -> str:
        """See `generation.Generation`."""
        return "lean"

    def _embed(self, ids: list[int]) -> torch.Tensor:
        return F.embedding(torch.tensor(ids), self._model.get_input_embeddings().weight)

    def _embedded(self, inputs: dict[str, torch.Tensor], shared: int) -> torch.Tensor:
        """Embeddings of the prompt after its first `shared` tokens, float [T, C], with the image in its places."""
        ids = inputs["input_ids"][0, shared:]
        embedded = F.embedding(ids, self._model.get_input_embeddings().weight)
        pixels = {name: inputs[name] for name in _PIXEL_INPUTS if name in inputs}
        places = ids == self._image_token
        if pixels and bool(places.any()):
            image = torch.cat(list(self._model.get_image_features(**pixels).pooler_output))
            if len(image) != int(places.sum()):
                raise ValueError(f"{int(places.sum())} places for {len(image)} image tokens")
            embedded[places] = image
        return embedded

    def _read(self, ids: list[int], x: torch.Tensor, *, last: bool = False) -> list[int]:
        """Put tokens into the cache. ids: T of them; x: their embeddings, float [T, C]. Returns the likeliest token
        after each of them, or after the last one only."""
        start, end = len(self._ids), len(self._ids) + len(ids)
        self._grow(end)
        cos, sin = self._rotation[:, None, start:end]
        mask = None
        if len(ids) > 1:
            mask = torch.ones(len(ids), end, dtype=torch.bool).tril_(start)
        for layer, (keys, values) in zip(self._layers, self._cache, strict=True):
            y = _rms(x, layer.before_attention)
            q, k, v = (
                F.linear(y, layer.qkv)
                .view(len(ids), -1, self._head_dim)
                .transpose(0, 1)
                .split((self._heads, self._kv_heads, self._kv_heads))
            )
            keys[:, start:end] = _rotate(k, cos, sin)
            values[:, start:end] = v
            seen = F.scaled_dot_product_attention(
                _rotate(q, cos, sin)[None],
                keys[None, :, :end],
                values[None, :, :end],
                attn_mask=mask,
                enable_gqa=self._heads != self._kv_heads,
            )
            x = x + F.linear(seen[0].transpose(0, 1).flatten(1), layer.out)
            gate, up = F.linear(_rms(x, layer.before_mlp), layer.gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate).mul_(up), layer.down)
        said = self._head.likeliest(_rms(x[-1:] if last else x, self._norm))
        self._ids += ids
        return said

    def _grow(self, length: int) -> None:
        """Make room for this many tokens."""
        have = self._cache.shape[3]
        if length <= have:
            return
        room = -(-length // _BLOCK) * _BLOCK
        cache = self._cache.new_zeros(*self._cache.shape[:3], room, self._head_dim)
        cache[:, :, :, :have] = self._cache
        rotary = self._model.model.language_model.rotary_emb
        self._rotation = torch.cat(rotary(cache, torch.arange(room)[None]))
        self._cache = cache


class _Layer:
    """Weights of one decoder layer, joined where they read the same input."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.before_attention, self.before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self.qkv = _join(attention.q_proj, attention.k_proj, attention.v_proj)
        self.gate_up = _join(mlp.gate_proj, mlp.up_proj)
        self.out, self.down = attention.o_proj.weight, mlp.down_proj.weight


def _join(*linears: torch.nn.Linear) -> torch.Tensor:
    """One matrix of several; each module's weight becomes its view, so that nothing is in memory twice."""
    joined = torch.cat([linear.weight.detach() for linear in linears])
    for linear, part in zip(linears, joined.split([linear.out_features for linear in linears]), strict=True):
        linear.weight.data = part
    return joined


def _rms(x: torch.Tensor, norm: Any) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of float [heads, T, D], as Llama's: the halves of D belong together."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _end_tokens(config: Any) -> frozenset[int]:
    ends = config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _has_penalties(config: Any) -> bool:
    """Settings with which generate's greedy choice may not simply be the likeliest token."""
    return not _HARMLESS.issuperset(greedy(config).to_diff_dict())
