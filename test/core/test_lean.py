# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lean decoding says what transformers' generate says, token by token, on tiny LLaVAs and on the embedded default."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_llava
from transformers import MistralConfig

from llavaseg_ros.bundle import default_bundle, read_bundle
from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.errors import Cancelled
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.reasoning.drafts import Drafts
from llavaseg_ros.reasoning.lean import LeanLlama
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prompt_style import load_style

LIVELY = {"initializer_range": 0.2}  # with smaller weights a tied model says its last token for ever
SHAPES: dict[str, dict[str, Any]] = {
    "one key head": {"text": LIVELY},
    "grouped": {"text": {**LIVELY, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}},
    "all heads": {"text": {**LIVELY, "num_key_value_heads": 2, "num_hidden_layers": 3}},
    "tied": {"text": LIVELY, "tied": True},
}


class Pair:
    """A model decoded both ways."""

    def __init__(self, folder: Path) -> None:
        self.lean = LocalMLLM.load(folder)
        self.plain = LocalMLLM.load(folder, decoding="plain")
        self.generation: Any = self.lean._generation
        assert isinstance(self.generation, LeanLlama)

    def set_image(self, rgb: np.ndarray) -> None:
        self.lean.set_image(rgb)
        self.plain.set_image(rgb)


@pytest.fixture(scope="module", params=SHAPES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(save_llava(tmp_path_factory.mktemp("lean"), seed=3, **SHAPES[request.param]))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass through the model read."""
    read, counted = LeanLlama._read, []

    def counting(self: LeanLlama, ids: list[int], x: torch.Tensor, **how: Any) -> list[int]:
        counted.append(len(ids))
        return read(self, ids, x, **how)

    monkeypatch.setattr(LeanLlama, "_read", counting)
    return counted


WORDS = st.lists(st.sampled_from(["red", "mug", "the", "ä", "?", "target:", "\n", "left of"]), min_size=1, max_size=6)


@settings(max_examples=12, deadline=None)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=3), st.integers(1, 20), st.integers(0, 3))
def test_random_conversations(pair: Pair, texts: list[str], tokens: int, frame: int) -> None:
    """On one object, so that what earlier examples left in the cache and among the guesses takes part."""
    pair.set_image(np.random.default_rng(frame).integers(0, 256, (40, 56, 3), dtype=np.uint8))
    talk: list[Message] = []
    for text in texts:
        talk.append(Message("user", text))
        said = pair.lean.reply(talk, max_new_tokens=tokens)
        assert said == pair.plain.reply(talk, max_new_tokens=tokens)
        talk.append(Message("assistant", pair.lean._guard.clean(said)))


def test_another_image_with_the_same_words(pair: Pair, image: np.ndarray) -> None:
    said = set()
    for frame in (image, image[::-1].copy(), np.zeros_like(image), image):
        pair.set_image(frame)
        said.add(reply(pair.lean))
        assert reply(pair.lean) == reply(pair.plain)
    assert len(said) > 1


def test_a_repeated_reply_takes_fewer_passes_and_wrong_guesses_change_nothing(
    pair: Pair, image: np.ndarray, passes: list[int]
) -> None:
    pair.set_image(image)
    pair.generation._drafts = Drafts()
    first = reply(pair.lean)
    before = len(passes)
    assert reply(pair.lean) == first == reply(pair.plain)
    assert len(passes) - before < before and max(passes[before:]) > 1

    class Wrong(Drafts):
        def guess(self, ids: list[int], count: int) -> list[int]:
            """What was said before, but for one token in the middle, and the image's among them."""
            right = super().guess(ids, count)
            return [*right[:1], pair.lean.model.config.image_token_id, *right[2:]][: len(right)]

    wrong = Wrong()
    wrong._said, wrong._after = pair.generation._drafts._said, pair.generation._drafts._after
    pair.generation._drafts = wrong
    pair.generation.forget()
    assert reply(pair.lean) == first and reply(pair.lean) == first


def test_cancelled_or_broken_in_the_middle(pair: Pair, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.set_image(image)
    expected = reply(pair.plain)
    for allowed in (0, 1, 2, 5, 9):
        polls = iter([False] * allowed)
        with pytest.raises(Cancelled):
            reply(pair.lean, should_cancel=lambda polls=polls: next(polls, True))
        assert reply(pair.lean) == expected

    def broken(heard: str) -> None:
        raise ValueError("the listener")

    with pytest.raises(ValueError, match="the listener"):
        reply(pair.lean, on_token=broken)
    layer = pair.generation._layers[1]
    out, layer.out = layer.out, torch.zeros(1, 1)  # the first layer has taken its keys in when this fails
    with pytest.raises(RuntimeError):
        pair.lean.reply([Message("user", "something else")], max_new_tokens=3)
    layer.out = out
    assert reply(pair.lean) == expected


def test_end_tokens_and_lengths(pair: Pair, image: np.ndarray, passes: list[int]) -> None:
    """Several end tokens: whatever comes first ends the reply, and is among its tokens, also when it was guessed."""
    pair.set_image(image)
    inputs = pair.lean._inputs([Message("user", "go on")])
    watch: Any = type("Silent", (), {"see": staticmethod(lambda new: None)})
    free = pair.generation.generate(dict(inputs), max_new_tokens=12, watch=watch)
    for length in (1, 2, 7):
        assert pair.generation.generate(dict(inputs), max_new_tokens=length, watch=watch) == free[:length]
    ends, pair.generation._ends = pair.generation._ends, frozenset({free[5], free[8]})
    first = min(free.index(free[5]), free.index(free[8]))
    assert pair.generation.generate(dict(inputs), max_new_tokens=12, watch=watch) == free[: first + 1]
    pair.generation._ends = ends


def test_the_cache_grows_once_and_nothing_grows_for_ever(tmp_path: Path, image: np.ndarray) -> None:
    pair = Pair(save_llava(tmp_path))
    pair.set_image(image)
    long = [Message("user", "hello"), Message("assistant", "ä" * 300), Message("user", "hello again")]
    for talk in (long[:1], long, long[:1], long):
        assert pair.lean.reply(talk, max_new_tokens=8) == pair.plain.reply(talk, max_new_tokens=8)
    room = pair.generation._cache.shape[3]
    assert room == 1024
    drafts = pair.generation._drafts
    for count in range(300):
        drafts.learn(list(range(count, count + 200)))
        assert len(drafts._said) <= 8192 and len(drafts._after) <= 3 * 8192
    assert drafts.guess([297, 298, 299], 3) == [300, 301, 302]
    drafts.learn(list(range(50_000)))
    assert len(drafts._said) <= 8192
    assert pair.lean.reply(long, max_new_tokens=8) == pair.plain.reply(long, max_new_tokens=8)
    assert pair.generation._cache.shape[3] == room


def test_weights_are_the_same_and_not_twice_in_memory(pair: Pair) -> None:
    lean, plain = pair.lean.model.state_dict(), pair.plain.model.state_dict()
    assert all(torch.equal(lean[name], plain[name]) for name in plain)
    attention = pair.lean.model.model.language_model.layers[0].self_attn
    storage = pair.generation._layers[0].qkv.untyped_storage().data_ptr()
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        assert part.weight.untyped_storage().data_ptr() == storage


@pytest.mark.parametrize("change", ["bias", "act", "rope", "penalty", "half", "no end", "another decoder"])
def test_what_it_leaves_to_transformers(tmp_path: Path, change: str) -> None:
    text = {
        "bias": {"attention_bias": True},
        "act": {"hidden_act": "gelu"},
        "rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    }
    kind: dict[str, Any] = {"decoder": MistralConfig} if change == "another decoder" else {}
    folder = save_llava(tmp_path, text=text.get(change), **kind)
    model = LocalMLLM.load(folder, decoding="plain").model
    if change == "penalty":
        model.generation_config.repetition_penalty = 1.2
    elif change == "half":
        model.model.language_model.norm.half()
    elif change == "no end":
        model.generation_config.eos_token_id = None
    assert not LeanLlama.supports(model)


@pytest.mark.parametrize("mode", ["cot", "fast"])
def test_the_embedded_default_on_the_demos_frames(mode: str, passes: list[int]) -> None:
    """Raw replies, with all that the pipeline does to them, and in fewer passes than tokens."""
    parts = read_bundle(default_bundle())
    pair, style = Pair(parts.mllm), load_style(parts.prompts)
    commands = ["hand me something to drink from", "the leftmost thing", "hand me the red fork", "pick up the mug"]
    tokens = 0
    for rgb in frames(0) if mode == "cot" else frames(0, 40):
        pair.set_image(rgb)
        for command in commands:
            lean, plain = (ChainOfThought(one, style, mode).think(command) for one in (pair.lean, pair.plain))
            assert lean.raw == plain.raw and lean == plain
            tokens += len(pair.lean.processor.tokenizer("".join(lean.raw))["input_ids"])
        for question in ("What do you see on the table?", "How many objects are there?"):
            said = [one.reply([Message("user", question)], max_new_tokens=99) for one in (pair.lean, pair.plain)]
            assert said[0] == said[1]
            tokens += len(pair.lean.processor.tokenizer(said[0])["input_ids"])
    assert len(passes) < 0.9 * tokens


def frames(*numbers: int) -> Iterator[np.ndarray]:
    for number, frame in enumerate(islice(read_frames(DEMO_BAG), max(numbers) + 1)):
        if number in numbers:
            yield frame.rgb


def reply(mllm: LocalMLLM, **how: Any) -> str:
    return mllm.reply([Message("user", "hand me the mug")], max_new_tokens=24, **how)
