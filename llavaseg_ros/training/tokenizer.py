# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The small LLaVA's tokens and their embeddings: whole words of everyday English that keep what MiniLM knows of them.

Dialogues about tables use some hundred words. People use more, and a word that training never saw should be read as
what it is like: "snatch" like "grab". So the vocabulary holds thousands of words, and their embeddings are those of
the pretrained text encoder, turned to the language model's width and frozen. Anything else falls to pieces, down to
bytes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llavaseg_ros.segmentation.text_encoder import TextEncoder

IMAGE, USER, ASSISTANT, END, PAD = "<image>", "<user>", "<assistant>", "<end>", "<pad>"
SPACE = "\u0120"  # how byte-level tokenizers write a leading space
PIECES = 1000  # tokens below the size of a word
CAPITALS = 3000  # words that may begin a sentence
EMBEDDING_STD = 0.5
_PRETOKENS = r" ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s"


def common_words(text: TextEncoder, count: int) -> list[str]:
    """The `count` most common words of MiniLM's vocabulary, which is in order of frequency."""
    vocabulary = text.tokenizer.get_vocab()
    in_order = sorted(vocabulary, key=vocabulary.__getitem__)
    return [w for w in in_order if w.isascii() and w.isalpha() and len(w) > 1][:count]


def make_tokenizer(dialogues: Iterable[str], words: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level tokens: `words`, each form of a word that `dialogues` use, and pieces for everything else."""
    dialogues = list(dialogues)
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PRETOKENS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = split
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + PIECES, initial_alphabet=alphabet, special_tokens=[], show_progress=False
    )
    trained.train_from_iterator([*dialogues, *(f" {w}" for w in words)], trainer)
    pieces = json.loads(trained.to_str())["model"]
    used = Counter(t for line in dialogues for t in re.findall(r" ?[A-Za-z]+", line))
    forms = [SPACE + w for w in words] + [w.capitalize() for w in words[:CAPITALS]]
    forms += [t.replace(" ", SPACE) for t in sorted(used)]
    tokens = [PAD, IMAGE, USER, ASSISTANT, END, *sorted(pieces["vocab"], key=pieces["vocab"].__getitem__), *forms]
    vocabulary = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in pieces["merges"]]
    # A word of the vocabulary is one token whether the pieces' merges would lead to it or not.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[IMAGE, USER, ASSISTANT],
        model_max_length=1024,
        padding_side="left",
    )


@torch.no_grad()
def word_embeddings(tokenizer: PreTrainedTokenizerFast, text: TextEncoder, width: int) -> torch.Tensor:
    """float [tokens, width], std EMBEDDING_STD: MiniLM's word embeddings in their `width` main directions.

    Forms of one word (with a capital, without the space before it) differ by a small vector that all words share.
    Special tokens, bytes and punctuation get random ones.
    """
    table = text.model.get_input_embeddings().weight.float().cpu()
    vocabulary = tokenizer.get_vocab()
    draw = torch.Generator().manual_seed(0)
    out = torch.randn(len(vocabulary), width, generator=draw)
    capital, bare = 0.3 * torch.randn(2, width, generator=draw)
    rows = [(i, t) for t, i in vocabulary.items() if t.lstrip(SPACE).isalnum() and t.isprintable()]
    # A word that MiniLM knows only in pieces ("screw", "driver") lies between them.
    pieces = text.tokenizer([t.lstrip(SPACE).lower() for _, t in rows], add_special_tokens=False)["input_ids"]
    source = torch.stack([table[ids].mean(dim=0) if ids else table.mean(dim=0) for ids in pieces])
    source = source - source.mean(dim=0)
    _, _, directions = torch.linalg.svd(source, full_matrices=False)
    turned = source @ directions[:width].T
    turned = turned / turned.norm(dim=1, keepdim=True).clamp(min=1e-6) * width**0.5
    for vector, (i, token) in zip(turned, rows, strict=True):
        word = token.lstrip(SPACE)
        out[i] = vector + capital * word[0].isupper() + bare * (word == token and word.isalpha())
    return out * (EMBEDDING_STD / out.std(dim=1, keepdim=True))
