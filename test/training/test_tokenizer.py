# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The small LLaVA's tokens and their frozen embeddings."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.tokenizer import EMBEDDING_STD, common_words, make_tokenizer, word_embeddings

DIALOGUES = ["Hand me the red mug.", "I see a red mug.", "? left of blue bowl"]


@pytest.fixture(scope="module")
def text() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="module")
def tokenizer(text: TextEncoder) -> PreTrainedTokenizerFast:
    return make_tokenizer(DIALOGUES, common_words(text, 15000))


def ids(tokenizer: PreTrainedTokenizerFast, words: str) -> list[int]:
    return tokenizer(words, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    "said", ["Hand me the red mug.", "snatch THE  mug, 42 times!", "d\u00e9j\u00e0 vu \u2014 \u676f\u5b50", "gizmoizer"]
)
def test_any_text_comes_back_as_it_was(tokenizer: PreTrainedTokenizerFast, said: str) -> None:
    assert tokenizer.decode(ids(tokenizer, said)) == said


def test_common_words_are_one_token_and_unknown_ones_fall_to_pieces(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(ids(tokenizer, "Would you retrieve the treasure")) == 5
    assert 1 < len(ids(tokenizer, " gizmoizer")) <= 9


def test_a_word_that_training_never_saw_lies_beside_what_it_is_like(
    tokenizer: PreTrainedTokenizerFast, text: TextEncoder
) -> None:
    table = word_embeddings(tokenizer, text, 256)
    assert table.shape == (len(tokenizer), 256)
    assert table.std(dim=1).sub(EMBEDDING_STD).abs().max() < 1e-3

    def likeness(a: str, b: str) -> float:
        (i,), (j,) = ids(tokenizer, f" {a}"), ids(tokenizer, f" {b}")
        return float(torch.nn.functional.cosine_similarity(table[i], table[j], dim=0))

    for word, near, far in (
        ("seize", "grab", "banana"),
        ("sip", "drink", "hammer"),
        ("crimson", "red", "fork"),
        ("enormous", "large", "pen"),
    ):
        assert likeness(word, near) > likeness(word, far) + 0.1
    # The forms of a word stay close, and apart enough to be written differently.
    (lower,), (upper,) = ids(tokenizer, " hand"), ids(tokenizer, "Hand")
    form = torch.nn.functional.cosine_similarity(table[lower], table[upper], dim=0)
    assert 0.8 < form < 0.99
