# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The small LLaVA: its tokenizer, its parts put together, and the weights that training starts from."""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from llavaseg_ros.places import LOCATIONS
from llavaseg_ros.reasoning.object_relations import SIDES
from llavaseg_ros.reasoning.object_tower import BOX_BANDS, ObjectTower, ObjectTowerConfig
from llavaseg_ros.reasoning.tight_images import TightImageProcessor
from llavaseg_ros.training.sam import Pretrained, vocabulary
from llavaseg_ros.training.tokenizer import EMBEDDING_STD, IMAGE

CHAT_TEMPLATE = (
    "{% for message in messages if message['role'] in ('user', 'assistant') %}"
    "{{ '<user>' if message['role'] == 'user' else '<assistant>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<end>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


# Most rotary channels then hardly turn within a conversation of 200 tokens: what is looked up is looked up by content.
ROPE_THETA = 1e6
RELATIONS = 24  # tokens; more than the clear ones of most tables


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Id of one special token."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def build_llava(
    tower: ObjectTower, tokenizer: PreTrainedTokenizerFast, *, width: int, depth: int
) -> LlavaForConditionalGeneration:
    """transformers' own LLaVA around the object tower, with a small Llama. Heads are 64 wide."""
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=(8 * width // 3 + 63) // 64 * 64,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=text,
        image_token_index=token_id(tokenizer, IMAGE),
        projector_hidden_act="gelu",
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=tower.config.num_tokens,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.vision_tower.requires_grad_(False)
    return model


def build_tower(pretrained: Pretrained) -> ObjectTower:
    """The eye and head of stage `sam` as a transformers vision tower."""
    eye = pretrained.config.eye
    names, colors = (list(index) for index in vocabulary())
    config = ObjectTowerConfig(
        backbone=eye.backbone,
        image_size=eye.img_size,
        width=eye.width,
        out=eye.out,
        label_names=names,
        color_names=colors,
        num_relations=RELATIONS,
        padded=False,
    )
    config.hidden_size = config.token_size
    tower = ObjectTower(config)
    tower.eye.load_state_dict(pretrained.sam.image_encoder.eye.state_dict())
    tower.head.load_state_dict(pretrained.head.state_dict())
    return tower.eval().requires_grad_(False)


def build_processor(tower: ObjectTower, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """LLaVA's processor around our own for images, with one image token a tower token."""
    side = tower.config.image_size
    return LlavaProcessor(
        image_processor=TightImageProcessor(size={"longest_edge": side}),
        tokenizer=tokenizer,
        # It counts whole patches and adds to them; a tower that gives the same number for every picture has none.
        patch_size=2 * side,
        num_additional_image_tokens=tower.config.num_tokens,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


def word_vector(name: str, embeddings: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """Mean embedding [C] of a name's tokens inside a sentence, scaled to the length of one."""
    ids = tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
    return embeddings[ids].mean(dim=0) * math.sqrt(len(ids))


@torch.no_grad()
def start_from_words(
    llava: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, words: torch.Tensor
) -> None:
    """The weights that training starts from: an object token already reads like the words for what the head sees.

    words: the embeddings, see `word_embeddings`; they stay frozen, so that words training never meets keep their place
    among the others.

    The projector maps name, color and place of each object to the embeddings of these words; so "the red mug" in a
    question and the token of a red mug are alike from the first step. With random weights, a model of this size
    spends thousands of steps until it looks anything up in the picture (docs/training-log.md). The rest is random at
    scales that keep a token's own embedding in sight beside what attention adds to it.
    """
    language = llava.model.language_model
    embeddings = language.get_input_embeddings().weight
    embeddings.copy_(words).requires_grad_(False)
    width = embeddings.shape[1]
    # Embeddings are also the output's matrix: this keeps the first logits near one.
    language.norm.weight.fill_(1 / (EMBEDDING_STD * math.sqrt(width)))
    for name, matrix in language.named_parameters():
        if matrix.ndim == 2 and matrix is not embeddings:
            into = name.endswith(("o_proj.weight", "down_proj.weight"))  # adds to the residual stream
            nn.init.normal_(matrix, std=(EMBEDDING_STD / 3 if into else 1.0) / math.sqrt(matrix.shape[1]))
    tower = llava.model.vision_tower.config
    first, second = llava.model.multi_modal_projector.linear_1, llava.model.multi_modal_projector.linear_2
    nn.init.normal_(first.weight, std=1 / math.sqrt(width))
    nn.init.normal_(second.weight, std=EMBEDDING_STD / math.sqrt(width))
    nn.init.zeros_(first.bias)
    nn.init.zeros_(second.bias)
    gain = 4.0  # where GELU is the identity for a sure name and zero for none
    inputs = _word_inputs(tower, embeddings, tokenizer)
    if len(inputs) > width:
        raise ValueError(f"width is {width}; the words that the tower says need a model at least {len(inputs)} wide")
    for unit, (index, vector) in enumerate(inputs):
        first.weight[unit] = 0.0
        first.weight[unit, index] = gain
        second.weight[:, unit] = vector / gain


def _word_inputs(
    tower: ObjectTowerConfig, embeddings: torch.Tensor, tokenizer: PreTrainedTokenizerFast
) -> list[tuple[int, torch.Tensor]]:
    """Which features of a token stand for words, and the vectors [C] that those are to become."""
    vector = lambda word: word_vector(word, embeddings, tokenizer)  # noqa: E731
    names = [vector(word) for word in (*tower.label_names, *tower.color_names)]
    split = tower.out + len(names)
    places = split + tower.relation_size + 2 * 6 * BOX_BANDS  # after the sines and cosines of `encode_boxes`
    inputs = list(enumerate(names, tower.out))
    inputs += enumerate((vector(place) for row in LOCATIONS for place in row), places)
    if tower.num_relations:
        # Turned, so that what stands beside a thing is not taken for the thing.
        turn, _ = torch.linalg.qr(torch.randn(embeddings.shape[1], embeddings.shape[1]))
        inputs += enumerate((turn @ v for v in (*names, *map(vector, SIDES))), split)
    return inputs
