# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tiny, randomly initialised models of the real transformers classes, saved to folders as a hub would lay them out.

They speak nonsense, but through the very code paths (processor, chat template, generate, cache) of full-size models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

IMAGE_SIZE, PATCH = 32, 8

TINY_VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}

LLAVA_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

CORPUS = [
    "I see a blue plate, a red mug and a green apple. You can drink from the red mug.",
    "Name the target. Describe it. Answer in fields.",
    "target: red mug; found: yes; answer: The red mug can be used to drink.",
    "color: red; shape: cylinder with a handle; location: front left",
    "USER: ASSISTANT: SYSTEM: how many cups are there? hand me something to drink from",
]


def byte_tokenizer(specials: list[str], **names: object) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained here on a few sentences; `specials` are added as special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def save_llava(
    folder: Path,
    *,
    seed: int = 0,
    next_version: bool = False,
    side_px: int = IMAGE_SIZE,
    patch: int = PATCH,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    decoder: type[PreTrainedConfig] = LlamaConfig,
    tied: bool = False,
) -> Path:
    """Write a LLaVA-1.5 shaped folder (CLIP tower, Llama decoder, 16 image tokens) and return it.

    next_version: LLaVA-NeXT in its place, which cuts the image into tiles and has a line-break embedding.
    text, vision: other sizes, as in the two configurations. side_px, patch: of the tower's input. decoder: another
    language model's configuration. tied: one matrix for the tokens that come in and those that go out.
    """
    tokenizer = byte_tokenizer(
        ["<pad>", "<s>", "</s>", "<image>"],
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )
    side = {"height": side_px, "width": side_px}
    tiles = [[IMAGE_SIZE, 2 * IMAGE_SIZE], [2 * IMAGE_SIZE, IMAGE_SIZE]]
    images: Any = CLIPImageProcessorPil(size=side, do_center_crop=False)
    if next_version:
        images = LlavaNextImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE}, crop_size=side, image_grid_pinpoints=tiles
        )
    processor = (LlavaNextProcessor if next_version else LlavaProcessor)(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    sizes: dict[str, Any] = {
        "vision_config": CLIPVisionConfig(
            image_size=side_px, patch_size=patch, projection_dim=16, **{**TINY_VISION, **(vision or {})}
        ),
        "text_config": decoder(
            max_position_embeddings=4096,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **{"vocab_size": len(tokenizer), "tie_word_embeddings": tied, **TINY_TEXT, **(text or {})},
        ),
        "tie_word_embeddings": tied,
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
        "image_seq_length": (side_px // patch) ** 2,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }
    torch.manual_seed(seed)
    model: Any
    if next_version:
        model = LlavaNextForConditionalGeneration(LlavaNextConfig(image_grid_pinpoints=tiles, **sizes))
        torch.nn.init.normal_(model.model.image_newline)
    else:
        model = LlavaForConditionalGeneration(LlavaConfig(**sizes))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
