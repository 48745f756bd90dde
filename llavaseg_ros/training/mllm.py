# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `mllm`: train the small LLaVA's projector and language model, first on quizzes and then on dialogues.

The vision tower (backbone, pyramid, object head) comes from stage `sam` and stays frozen, so its object tokens are
computed once a scene and kept in memory: an epoch costs only the language model.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

from llavaseg_ros.bundle import read_bundle
from llavaseg_ros.device import select_device
from llavaseg_ros.reasoning.processor import load_processor
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.images import SceneSet
from llavaseg_ros.training.language import Phrasing, corpus, dialogue_turns, fast_turn, make_dialogues, quiz_turns
from llavaseg_ros.training.language.words import with_strange_words
from llavaseg_ros.training.llava import build_llava, build_processor, build_tower, start_from_words, token_id
from llavaseg_ros.training.loop import LoopConfig, Metrics, add_machine_arguments, fit
from llavaseg_ros.training.object_tokens import kept_photographs, kept_tokens, renamed_record, swap_names
from llavaseg_ros.training.photographs import PhotographSet
from llavaseg_ros.training.sam import load_pretrained
from llavaseg_ros.training.scenes.catalog import load_catalog
from llavaseg_ros.training.tokenizer import (
    ASSISTANT,
    END,
    IMAGE,
    USER,
    common_words,
    make_tokenizer,
    word_embeddings,
)

Turn = tuple[str, str]
Draw = Callable[["Talk", random.Random], "Drawn"]
RENAMED = 0.15  # of the scenes: the words of photographs alone are met beside other things, not only by themselves
FAST = 0.2  # of the dialogues are one-turn replies
FAST_TURNS = 3  # commands of such a conversation, whose replies do not depend on each other
QUIZ, FEW = 12, 5  # questions of a conversation in the stage's first part, and among dialogues of the second
VALIDATED = 256  # conversations of each check


class Encoder:
    """Turns dialogues into token ids, exactly as the chat template does (a test holds the two equal)."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, image_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.image, self.user, self.assistant, self.end = (
            token_id(tokenizer, t) for t in (IMAGE, USER, ASSISTANT, END)
        )
        self.image_tokens = image_tokens

    def text(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def __call__(self, turns: list[Turn]) -> tuple[list[int], list[bool]]:
        """-> ids, and for each whether it is learned: replies and their ends, not what the person says."""
        ids: list[int] = []
        learned: list[bool] = []
        for k, (user, reply) in enumerate(turns):
            image = [self.image] * self.image_tokens if k == 0 else []
            prompt = [self.user, *image, *self.text(user), self.assistant]
            answer = [*self.text(reply), self.end]
            ids += prompt + answer
            learned += [False] * len(prompt) + [True] * len(answer)
        return ids, learned


def batch_ids(rows: list[tuple[list[int], list[bool]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """-> ids [B, L], padded at the end; which are learned, bool [B, L], false in the padding."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), pad)
    learned = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, (row, on) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        learned[i, : len(row)] = torch.tensor(on)
    return ids, learned


def language_loss(
    llava: LlavaForConditionalGeneration,
    tokens: torch.Tensor,
    ids: torch.Tensor,
    learned: torch.Tensor,
) -> tuple[torch.Tensor, Metrics]:
    """Next-token loss where `learned`, with image tokens [B, N, C] in place of the image's ids."""
    inner = llava.model
    embeds = inner.language_model.get_input_embeddings()(ids)
    image = inner.multi_modal_projector(tokens).to(embeds.dtype)
    embeds = embeds.masked_scatter((ids == llava.config.image_token_index)[..., None], image)
    # No attention mask: padding comes last, where causal attention never looks, and plain causal attention is faster.
    hidden = inner.language_model(inputs_embeds=embeds).last_hidden_state
    on = learned[:, 1:]
    goal = ids[:, 1:][on]
    # Only learned places go through the vocabulary matrix: they are a third of all.
    logits = llava.lm_head(hidden[:, :-1][on]).float()
    right = (logits.argmax(-1) == goal).float()
    return F.cross_entropy(logits, goal), {"token_acc": right.mean().item()}


@dataclass(frozen=True)
class Drawn:
    """A conversation. index: of what it is about. renamed: two names that change places in its object tokens."""

    index: int
    turns: list[Turn]
    renamed: tuple[str, str] | None


@dataclass(frozen=True)
class Encoded:
    """A batch of conversations. index: long [B]. renamed: as in `Drawn`. ids: long [B, L], learned: bool [B, L], see
    `batch_ids`."""

    index: torch.Tensor
    renamed: list[tuple[str, str] | None]
    ids: torch.Tensor
    learned: torch.Tensor


@dataclass
class Talk:
    """Draws training conversations about records of scenes and photographs.

    spare: names that no rendered thing has; some scenes get one of them, in words and tokens alike. fast: share of the
    dialogues that are one-turn replies.
    """

    records: list[dict[str, Any]]
    spare: tuple[str, ...] = ()
    fast: float = FAST

    def _about(self, rng: random.Random, speak: Callable[[dict[str, Any]], list[Turn]]) -> Drawn:
        """Draws records until `speak` finds something to say."""
        while True:
            index = rng.randrange(len(self.records))
            record, pair = self.records[index], None
            there = sorted({o["category"] for o in record["objects"]})
            if self.spare and there and rng.random() < RENAMED:
                pair = (rng.choice(there), rng.choice(self.spare))
                record = renamed_record(record, pair)
            if turns := speak(record):
                return Drawn(index, turns, pair)

    def quiz(self, rng: random.Random, count: int = QUIZ) -> Drawn:
        """Short questions and replies about one record."""
        return self._about(rng, lambda record: quiz_turns(record, rng, count=count))

    def dialogue(self, rng: random.Random, phrasing: Phrasing = "known", *, typical: bool = True) -> Drawn:
        """One command in a chain of thought, or a few with one-turn replies. typical: no strange words in commands."""

        def speak(record: dict[str, Any]) -> list[Turn]:
            fast = rng.random() < self.fast
            made = make_dialogues(record, rng, phrasing=phrasing, count=FAST_TURNS if fast else 1)
            dialogues = made if typical else [replace(d, command=strange(d.command, rng)) for d in made]
            return [fast_turn(d) for d in dialogues] if fast else [t for d in dialogues for t in dialogue_turns(d)]

        return self._about(rng, speak)

    def choices(self, rng: random.Random) -> Drawn:
        """The targets of a few commands, asked for in the manner of a quiz."""

        def speak(record: dict[str, Any]) -> list[Turn]:
            dialogues = make_dialogues(record, rng, phrasing="known", count=FEW)
            return [(f"? {strange(d.command, rng)}", d.target if d.found else "nothing") for d in dialogues if d.target]

        return self._about(rng, speak)

    def mixed(self, rng: random.Random) -> Drawn:
        """Dialogues, and short quizzes, so that looking up is not forgotten and a wording is met more often."""
        way = rng.random()
        if way < 0.45:
            return self.quiz(rng, FEW) if way < 0.2 else self.choices(rng)
        return self.dialogue(rng, typical=False)


def strange(command: str, rng: random.Random) -> str:
    """Some commands with strange words in them."""
    return with_strange_words(command, rng) if rng.random() < 0.3 else command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train mllm`."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of training scenes")
    parser.add_argument("--val", type=Path, help="folder of validation scenes")
    parser.add_argument("--photographs", type=Path, help="folder of named photographs with labels.jsonl")
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder of the sam stage; checkpoint and log go there too"
    )
    parser.add_argument("--quiz-steps", type=int, default=3000, help="steps of quizzes alone, at the start")
    parser.add_argument("--steps", type=int, default=6000, help="steps of dialogues and quizzes, after that")
    parser.add_argument("--batch", type=int, default=32, help="conversations a step")
    parser.add_argument("--fast", type=float, default=FAST, help="share of the dialogues that are one-turn replies")
    parser.add_argument(
        "--from-bundle",
        type=Path,
        help="go on from the language model of this bundle, with its eye, tokenizer and sizes, without quizzes first",
    )
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--words", type=int, default=15000, help="common English words that are one token")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    add_machine_arguments(parser)


def load_tokenizer(run_folder: Path, text: TextEncoder, words: int) -> PreTrainedTokenizerFast:
    """The run's tokenizer; made and kept on the first call, so that a resumed run has the same ids."""
    folder = run_folder / "tokenizer"
    if not folder.exists():
        make_tokenizer(corpus(20000), common_words(text, words)).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


class Learned(nn.Module):
    """What this stage trains and checkpoints: projector and language model, without the frozen tower."""

    def __init__(self, llava: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.projector = llava.model.multi_modal_projector
        self.language_model = llava.model.language_model


def run(args: argparse.Namespace) -> None:
    """Train until args.steps; resumes from args.run."""
    torch.manual_seed(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    if args.from_bundle:
        llava, processor = load_bundle_llava(args.from_bundle)
        tokenizer = processor.tokenizer
    else:
        llava, tokenizer = new_llava(args)
    device = select_device(args.device)
    llava.to(device)  # type: ignore[arg-type]  # transformers' decorator hides the signature
    tower = llava.model.vision_tower
    encoder = Encoder(tokenizer, tower.config.num_tokens)
    side, names = tower.config.image_size, tower.config.label_names
    sets = {"train": SceneSet(args.data, side)} | ({"val": SceneSet(args.val, side, limit=300)} if args.val else {})
    tokens = {
        name: kept_tokens(tower, data, args.run / f"tokens_{name}.safetensors", args.workers)
        for name, data in sets.items()
    }
    records = {name: data.scenes for name, data in sets.items()}
    if args.photographs:
        photographs = PhotographSet(args.photographs, "train")
        seen, spoken = kept_photographs(tower, photographs, args.run / "tokens_photographs.safetensors")
        tokens["train"], records["train"] = torch.cat([tokens["train"], seen]), records["train"] + spoken
    spare = tuple(n for n in names if n not in load_catalog().categories) if args.photographs else ()

    tokens = {name: rows.to(device) for name, rows in tokens.items()}
    model = Learned(llava)

    def encoded(drawn: list[Drawn]) -> Encoded:
        ids, learned = batch_ids([encoder(d.turns) for d in drawn], tokenizer.pad_token_id)
        return Encoded(torch.tensor([d.index for d in drawn]), [d.renamed for d in drawn], ids, learned)

    def loss_of(name: str, batch: Encoded) -> tuple[torch.Tensor, Metrics]:
        image = tokens[name][batch.index.to(device)].float()
        for row, pair in zip(image, batch.renamed, strict=True):
            if pair is not None:
                swap_names(row, pair, tower.config)
        return language_loss(llava, image, batch.ids.to(device), batch.learned.to(device))

    def part(name: str, steps: int, draw: Draw, checks: dict[str, Draw]) -> None:
        """One part of the training; checks: how to draw validation conversations, by their name in the log."""

        def validate() -> Metrics:
            out: Metrics = {}
            for check, draw_check in checks.items():
                val_talk = Talk(records["val"], fast=float(check == "fast"))
                drawn = [draw_check(val_talk, random.Random(i)) for i in range(VALIDATED)]
                loss, metrics = loss_of("val", encoded(drawn))
                out |= {f"{k}_{check}": v for k, v in {"loss": loss.item(), **metrics}.items()}
            return out

        talk = Talk(records["train"], spare, args.fast)
        config = LoopConfig(steps=steps, lr=args.lr, seed=args.seed, muon=True, validate_every=500)
        draw_batch = lambda rng: encoded([draw(talk, rng) for _ in range(args.batch)])  # noqa: E731
        train_loss = partial(loss_of, "train")
        fit(name, args.run, model, draw_batch, train_loss, config, validate if args.val else None, workers=args.workers)

    if not args.from_bundle:
        part("quiz", args.quiz_steps, Talk.quiz, {"quiz": Talk.quiz})
    held_out: Draw = lambda talk, rng: talk.dialogue(rng, "held_out")  # noqa: E731
    checks: dict[str, Draw] = {"quiz": Talk.quiz, "known": Talk.dialogue, "held_out": held_out, "fast": Talk.dialogue}
    part("mllm", args.steps, Talk.mixed, checks)


def new_llava(args: argparse.Namespace) -> tuple[LlavaForConditionalGeneration, PreTrainedTokenizerFast]:
    """The small LLaVA as training starts it, around the eye of the sam stage in args.run; and its tokenizer."""
    text = TextEncoder()
    tokenizer = load_tokenizer(args.run, text, args.words)
    llava = build_llava(build_tower(load_pretrained(args.run)), tokenizer, width=args.width, depth=args.depth)
    start_from_words(llava, tokenizer, word_embeddings(tokenizer, text, args.width))
    return llava, tokenizer


def load_bundle_llava(
    bundle: Path, run_folder: Path | None = None
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The small LLaVA of a bundle and its processor, float32, with eye and word embeddings frozen.

    run_folder: of a stage that went on from this bundle; its checkpoint replaces what the stage trains.
    Raises BundleError if the bundle is not whole.
    """
    folder = read_bundle(bundle).mllm
    llava = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    llava.model.vision_tower.requires_grad_(False)
    llava.get_input_embeddings().requires_grad_(False)
    if run_folder is not None:
        Learned(llava).load_state_dict(_checkpoint(run_folder))
    return llava.eval(), load_processor(folder)


def _checkpoint(run_folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_folder / "mllm.pt", map_location="cpu", weights_only=True)["model"]


def load_llava(run_folder: Path, **sizes: Any) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The small LLaVA of a finished or running stage, and its processor. sizes: width and depth of the language
    model."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(run_folder / "tokenizer")
    tower = build_tower(load_pretrained(run_folder))
    llava = build_llava(tower, tokenizer, **sizes)
    Learned(llava).load_state_dict(_checkpoint(run_folder))
    return llava.eval(), build_processor(tower, tokenizer)
