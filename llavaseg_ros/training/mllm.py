"""Stage `mllm`: train the small LLaVA's projector and language model, first on quizzes and then on dialogues.

The vision tower (backbone, pyramid, object head) comes from stage `sam` and stays frozen, so its object tokens are
computed once a scene and kept in memory: an epoch costs only the language model.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

from llavaseg_ros.reasoning.object_tower import ObjectTower
from llavaseg_ros.training.features import FeatureSet, collate
from llavaseg_ros.training.language import Phrasing, corpus, dialogue_turns, fast_turn, make_dialogues, quiz_turns
from llavaseg_ros.training.language.words import with_strange_words
from llavaseg_ros.training.llava import (
    ASSISTANT,
    END,
    IMAGE,
    USER,
    build_llava,
    build_processor,
    build_tower,
    start_from_words,
    token_id,
    train_tokenizer,
)
from llavaseg_ros.training.loop import LoopConfig, Metrics, fit
from llavaseg_ros.training.sam import load_pretrained

Turn = tuple[str, str]
Draw = Callable[["Talk", random.Random], tuple[int, list[Turn]]]
QUIZ, FEW = 12, 5  # questions of a conversation in the stage's first part, and among dialogues of the second


@torch.no_grad()
def tower_tokens(tower: ObjectTower, data: FeatureSet) -> torch.Tensor:
    """float16 [scenes, 1 + num_objects, hidden_size]."""
    rows = []
    for i in tqdm(range(0, len(data), 8), desc="object tokens", unit="batch", mininterval=5.0):
        features, extent = collate([data[j] for j in range(i, min(i + 8, len(data)))])
        rows.append(tower.tokens(features, extent).half())
    return torch.cat(rows)


def kept_tokens(tower: ObjectTower, data: FeatureSet, path: Path) -> torch.Tensor:
    """`tower_tokens`, kept in `path` for the next start; made anew when the tower or the scenes have changed."""
    weights = hashlib.sha256(b"".join(p.numpy().tobytes() for p in tower.parameters()))
    names = "".join(scene["image"] for scene in data.scenes)
    sizes = tower.config.to_json_string()
    made_from = hashlib.sha256(weights.digest() + (names + sizes).encode()).hexdigest()
    if path.exists():
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("made_from") == made_from:
                return file.get_tensor("tokens")
    tokens = tower_tokens(tower, data)
    save_file({"tokens": tokens}, path, {"made_from": made_from})
    return tokens


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


@dataclass
class Talk:
    """Draws training conversations about scenes."""

    data: FeatureSet

    def quiz(self, rng: random.Random, count: int = QUIZ) -> tuple[int, list[Turn]]:
        """-> index of a scene, turns of a quiz about it."""
        while True:
            index = rng.randrange(len(self.data))
            turns = quiz_turns(self.data.scenes[index], rng, count=count)
            if turns:
                return index, turns

    def dialogue(self, rng: random.Random, phrasing: Phrasing = "known") -> tuple[int, list[Turn]]:
        """-> index of a scene, turns. Mostly the chain of thought; some one-turn replies."""
        while True:
            index = rng.randrange(len(self.data))
            for dialogue in make_dialogues(self.data.scenes[index], rng, phrasing=phrasing, count=1):
                return index, [fast_turn(dialogue)] if rng.random() < 0.2 else dialogue_turns(dialogue)

    def choices(self, rng: random.Random) -> tuple[int, list[Turn]]:
        """-> index of a scene, and turns that ask for the targets of a few commands, in the manner of a quiz."""
        while True:
            index = rng.randrange(len(self.data))
            dialogues = make_dialogues(self.data.scenes[index], rng, phrasing="known", count=FEW)
            turns = [
                (f"? {strange(d.command, rng)}", d.target if d.found else "nothing") for d in dialogues if d.target
            ]
            if turns:
                return index, turns

    def mixed(self, rng: random.Random) -> tuple[int, list[Turn]]:
        """Dialogues, and short quizzes, so that looking up is not forgotten and a wording is met more often."""
        way = rng.random()
        if way < 0.45:
            return self.quiz(rng, FEW) if way < 0.2 else self.choices(rng)
        index, ((command, reply), *later) = self.dialogue(rng)
        return index, [(strange(command, rng), reply), *later]


def strange(command: str, rng: random.Random) -> str:
    """Some commands with strange words in them."""
    return with_strange_words(command, rng) if rng.random() < 0.3 else command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train mllm`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of training scenes with features")
    parser.add_argument("--val", type=Path, help="folder of validation scenes with features")
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder of the sam stage; checkpoint and log go there too"
    )
    parser.add_argument("--quiz-steps", type=int, default=3000, help="steps of quizzes alone, at the start")
    parser.add_argument("--steps", type=int, default=6000, help="steps of dialogues and quizzes, after that")
    parser.add_argument("--batch", type=int, default=32, help="conversations a step")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=1600, help="size of the tokenizer")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)


def load_tokenizer(run_folder: Path, size: int) -> PreTrainedTokenizerFast:
    """The run's tokenizer; trained and kept on the first call, so that a resumed run has the same ids."""
    folder = run_folder / "tokenizer"
    if not folder.exists():
        train_tokenizer(list(corpus(20000)), size).save_pretrained(folder)
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
    tokenizer = load_tokenizer(args.run, args.vocabulary)
    tower = build_tower(load_pretrained(args.run))
    llava = build_llava(tower, tokenizer, width=args.width, depth=args.depth)
    encoder = Encoder(tokenizer, 1 + tower.config.num_objects)
    sets = {"train": FeatureSet(args.data)} | ({"val": FeatureSet(args.val, limit=300)} if args.val else {})
    tokens = {name: kept_tokens(tower, data, args.run / f"tokens_{name}.safetensors") for name, data in sets.items()}

    model = Learned(llava)
    start_from_words(llava, tokenizer)

    def loss_of(name: str, drawn: list[tuple[int, list[Turn]]]) -> tuple[torch.Tensor, Metrics]:
        batch = batch_ids([encoder(turns) for _, turns in drawn], tokenizer.pad_token_id)
        return language_loss(llava, tokens[name][[i for i, _ in drawn]].float(), *batch)

    def part(name: str, steps: int, draw: Draw, checks: dict[str, Draw]) -> None:
        """One part of the training; checks: how to draw validation conversations, by their name in the log."""

        def validate() -> Metrics:
            out: Metrics = {}
            val_talk = Talk(sets["val"])
            for check, draw_check in checks.items():
                loss, metrics = loss_of("val", [draw_check(val_talk, random.Random(i)) for i in range(256)])
                out |= {f"{k}_{check}": v for k, v in {"loss": loss.item(), **metrics}.items()}
            return out

        talk = Talk(sets["train"])
        config = LoopConfig(steps=steps, lr=args.lr, seed=args.seed, muon=True, validate_every=500)
        step_loss = lambda rng: loss_of("train", [draw(talk, rng) for _ in range(args.batch)])  # noqa: E731
        fit(name, args.run, model, step_loss, config, validate if args.val else None)

    part("quiz", args.quiz_steps, Talk.quiz, {"quiz": Talk.quiz})
    held_out: Draw = lambda talk, rng: talk.dialogue(rng, "held_out")  # noqa: E731
    part("mllm", args.steps, Talk.mixed, {"quiz": Talk.quiz, "known": Talk.dialogue, "held_out": held_out})


def load_llava(run_folder: Path, **sizes: Any) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The small LLaVA of a finished or running stage, and its processor. sizes: width and depth of the language
    model."""
    state = torch.load(run_folder / "mllm.pt", map_location="cpu", weights_only=True)["model"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(run_folder / "tokenizer")
    tower = build_tower(load_pretrained(run_folder))
    llava = build_llava(tower, tokenizer, **sizes)
    Learned(llava).load_state_dict(state)
    return llava.eval(), build_processor(tower, tokenizer)
