# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tiny Qwen2.5-VL, Qwen3-VL, Qwen3.5 and SmolVLM folders of the real classes, with random weights.

They are laid out as their authors publish them. The processors are written piece by piece, because those classes only
save themselves together with a video processor, which needs torchvision.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tiny_models import TINY_TEXT, byte_tokenizer, save_llava
from transformers import (
    AutoModelForImageTextToText,
    LlamaConfig,
    MistralConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from llavaseg_ros.reasoning.processor import load_processor

QWEN_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
QWEN_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SMOL_TOKENS = (
    "<pad>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<image>",
    "<row_1_col_1>",
    "<row_1_col_2>",
    "<row_2_col_1>",
    "<row_2_col_2>",
)
SMOL_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def _save(folder: Path, model: Any, tokenizer: Any, images: Any, template: str, processor: dict[str, Any]) -> Path:
    for name, token in (("pad", tokenizer.pad_token_id), ("eos", tokenizer.eos_token_id)):
        setattr(model.generation_config, f"{name}_token_id", token)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template)
    (folder / "processor_config.json").write_text(json.dumps(processor))
    return folder


def save_qwen(
    folder: Path,
    version: int,
    *,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    most_patches: int = 64,
    tied: bool = False,
) -> Path:
    """Qwen2.5-VL (version 2), Qwen3-VL (3), or Qwen3.5 (4), half of whose layers have a recurrent state.

    text, vision: other sizes, as in the two configurations. tied: one matrix for the tokens that come in and those
    that go out.
    """
    names = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    tokenizer = byte_tokenizer(
        list(QWEN_TOKENS),
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens={
            **names,
            "vision_bos_token": "<|vision_start|>",
            "vision_eos_token": "<|vision_end|>",
        },
    )
    token_ids = {
        f"{key}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for key, name in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    patch = 14 if version == 2 else 16
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        **TINY_TEXT,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
        "pad_token_id": tokenizer.pad_token_id,
    }
    sight: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": patch,
        "out_hidden_size": 64,
    }
    torch.manual_seed(0)
    model: Any
    if version == 2:
        sight |= {"window_size": 56, "fullatt_block_indexes": [1]}
        kinds: Any = (Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig)
    elif version == 3:
        sizes |= {"head_dim": 32}
        sight |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        kinds = (Qwen3VLForConditionalGeneration, Qwen3VLConfig)
    else:
        sizes |= {"head_dim": 32, "layer_types": ["linear_attention", "full_attention"]}
        sizes["rope_parameters"] |= {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25}
        sizes |= {f"linear_{part}": size for part, size in (("num_key_heads", 2), ("num_value_heads", 2))}
        sizes |= {f"linear_{part}_head_dim": 16 for part in ("key", "value")}
        sight |= {"num_position_embeddings": 64}
        kinds = (Qwen3_5ForConditionalGeneration, Qwen3_5Config)
    parts = {"text_config": sizes | (text or {}), "vision_config": sight | (vision or {})}
    config = kinds[1](**parts, tie_word_embeddings=tied, **token_ids)
    model = kinds[0](config)
    images = Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2, size={"shortest_edge": 4 * patch**2, "longest_edge": most_patches * patch**2}
    )
    name = "Qwen2_5_VLProcessor" if version == 2 else "Qwen3VLProcessor"
    return _save(folder, model, tokenizer, images, QWEN_TEMPLATE, {"processor_class": name})


def save_smolvlm(folder: Path) -> Path:
    """SmolVLM: an Idefics-like tower with pixel shuffle, a Llama, images cut into tiles."""
    tokenizer = byte_tokenizer(
        list(SMOL_TOKENS),
        pad_token="<pad>",
        eos_token="<end_of_utterance>",
        extra_special_tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    torch.manual_seed(0)
    config = SmolVLMConfig(
        text_config=text,
        vision_config=vision,
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    model = SmolVLMForConditionalGeneration(config)
    processor = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    return _save(folder, model, tokenizer, images, SMOL_TEMPLATE, processor)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava": save_llava,
    "qwen2_5_vl": lambda folder: save_qwen(folder, 2),
    "qwen3_vl": lambda folder: save_qwen(folder, 3),
    "smolvlm": save_smolvlm,
}
# More that keep a conversation's beginning: image tiles, windows of 24 tokens (the image is in the first of them, and
# out of sight before a reply ends), a recurrent state.
MORE_FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava_next": partial(save_llava, next_version=True),
    "llava_mistral": partial(save_llava, decoder=MistralConfig, text={"sliding_window": 24}),
    "qwen3_5": partial(save_qwen, version=4),
}


def plain_reply(folder: Path, image: np.ndarray, text: str, tokens: int) -> str:
    """The model's own processor and `generate`, with nothing of ours in between."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = load_processor(folder)
    turn = {
        "role": "user",
        "content": [{"type": "image", "image": Image.fromarray(image)}, {"type": "text", "text": text}],
    }
    inputs = processor.apply_chat_template(
        [turn], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        output = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def bits(model: Any) -> dict[str, bytes]:
    return {name: value.detach().cpu().contiguous().numpy().tobytes() for name, value in model.state_dict().items()}
