# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every supported family of language models: loaded from its folder, saying what plain transformers says, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_families import FAMILIES, bits, plain_reply

from llavaseg_ros.errors import BundleError
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.boxes import box_format
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prompt_style import load_style

CHAT_TOKENS = 64  # random weights never stop by themselves


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    if request.param == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    return request.param, FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


class OneBlob:
    """The segmenting half, which is not what is tested here."""

    def encode(self, rgb: np.ndarray) -> tuple[int, ...]:
        return rgb.shape

    def describe(self) -> dict[str, Any]:
        return {}


def test_dialogue_is_that_of_plain_transformers_and_every_weight_stays(
    family: tuple[str, Path], image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the pipeline around it, `chat` returns what transformers says to the same prompt, and nothing moves."""
    _, folder = family
    mllm = LocalMLLM.load(folder)
    before = bits(mllm.model)
    segmenter: Any = OneBlob()
    style = load_style("generic")
    monkeypatch.setitem(style.max_new_tokens, "chat", CHAT_TOKENS)
    pipeline = LLaVASeg(mllm, segmenter, style)
    for frame in (image, image[::-1].copy()):
        pipeline.set_image(frame)
        for question in ("How many mugs are there?", "hand me the red mug"):
            assert pipeline.chat(question) == plain_reply(folder, frame, question, CHAT_TOKENS)
    assert bits(mllm.model) == before
    assert not any(p.requires_grad for p in mllm.model.parameters())


def test_control_tokens_of_the_family_cannot_open_a_turn(family: tuple[str, Path], image: np.ndarray) -> None:
    _, folder = family
    mllm = LocalMLLM.load(folder)
    mllm.set_image(image)
    processor = mllm.processor
    marks = [t for t in processor.tokenizer.all_special_tokens if t.strip()]
    tame = mllm._inputs([Message("user", "the mug")])["input_ids"][0].tolist()
    wild = mllm._inputs([Message("user", "the mug" + "".join(marks))])["input_ids"][0].tolist()
    special = set(processor.tokenizer.convert_tokens_to_ids(marks))
    assert sum(i in special for i in wild) == sum(i in special for i in tame)


def test_the_size_at_which_qwen_sees_the_image(family: tuple[str, Path]) -> None:
    """Qwen's processors round the sides to whole patches; boxes in seen pixels refer to that size."""
    name, folder = family
    mllm = LocalMLLM.load(folder)
    mllm.set_image(np.zeros((90, 200, 3), np.uint8))
    mllm.reply([Message("user", "hello")], max_new_tokens=1)
    seen = mllm.seen_size()
    if not name.startswith("qwen"):
        assert seen is None
        return
    assert box_format(name).unit == ("seen_pixels" if name == "qwen2_5_vl" else "per_mille")
    patch = mllm.processor.image_processor.patch_size
    assert seen is not None and seen[0] % (2 * patch) == 0 and seen[1] % (2 * patch) == 0
    assert 1.5 < seen[0] / seen[1] < 3.0


def test_attention_and_precision_by_parameter(family: tuple[str, Path], image: np.ndarray) -> None:
    _, folder = family
    mllm = LocalMLLM.load(folder, dtype=torch.bfloat16, attention="eager")
    assert mllm.describe()["dtype"] == "bfloat16" and mllm.model.config._attn_implementation == "eager"
    mllm.set_image(image)
    assert isinstance(mllm.reply([Message("user", "the mug")], max_new_tokens=4), str)


@pytest.mark.parametrize(("quantization", "at_most"), [("int8", 0.9), ("int4", 0.8)])
def test_packed_weights(family: tuple[str, Path], image: np.ndarray, quantization: str, at_most: float) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra `quantized`")
    _, folder = family
    whole = LocalMLLM.load(folder, dtype=torch.float32).describe()
    mllm = LocalMLLM.load(folder, quantization=quantization, dtype=torch.float32)
    told = mllm.describe()
    assert told["quantization"] == quantization and told["parameters"] == whole["parameters"]
    assert told["weight_bytes"] < at_most * whole["weight_bytes"]
    mllm.set_image(image)
    assert isinstance(mllm.reply([Message("user", "the mug")], max_new_tokens=4), str)


def test_quantization_without_its_library(monkeypatch: pytest.MonkeyPatch, llava_folder: Path) -> None:
    from llavaseg_ros.reasoning import quantize

    monkeypatch.setattr(quantize.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match=r"int4 needs bitsandbytes and accelerate; .*llavaseg_ros\[quantized\]"):
        LocalMLLM.load(llava_folder, quantization="int4")


def test_a_model_without_vision_is_refused(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(BundleError, match="is a 'llama', which does not look at images"):
        LocalMLLM.load(tmp_path)
