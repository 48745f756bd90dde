"""Stage `mllm`: train the small LLaVA's projector and language model on dialogues about scenes.

The vision tower (backbone, pyramid, object head) comes from stage `sam` and stays frozen, so its object tokens are
computed once a scene and kept in memory: an epoch costs only the language model.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from llavaseg_ros.reasoning.object_tower import ObjectTower, ObjectTowerConfig
from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD
from llavaseg_ros.training.features import FeatureSet, collate
from llavaseg_ros.training.language import Phrasing, corpus, describe_turns, dialogue_turns, fast_turn, make_dialogues
from llavaseg_ros.training.loop import LoopConfig, Metrics, fit
from llavaseg_ros.training.sam import Pretrained, load_pretrained

IMAGE, USER, ASSISTANT, END, PAD = "<image>", "<user>", "<assistant>", "<end>", "<pad>"
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
Turn = tuple[str, str]
LISTING = "I see "  # how a reply opens that lists the objects first
LISTING_WEIGHT = 0.5


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Id of one special token."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def train_tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the dialogues' texts: any other text still has tokens, down to single bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, IMAGE, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[IMAGE, USER, ASSISTANT],
        model_max_length=1024,
        padding_side="left",
    )


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
        image_seq_length=1 + tower.config.num_objects,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.vision_tower.requires_grad_(False)
    return model


def build_tower(pretrained: Pretrained) -> ObjectTower:
    """The pyramid and head of stage `sam` as a transformers vision tower."""
    sam = pretrained.config
    labels, colors = pretrained.head.sizes[1:3]
    fields = ObjectTowerConfig()
    config = ObjectTowerConfig(
        backbone=sam.backbone,
        image_size=sam.img_size,
        pyramid_width=sam.pyramid_width,
        pyramid_out=sam.embed_dim,
        labels=labels,
        colors=colors,
        hidden_size=fields.hidden_size - 128 - 33 - 11 + sam.embed_dim + labels + colors,
    )
    tower = ObjectTower(config)
    tower.pyramid.load_state_dict(pretrained.sam.image_encoder.pyramid.state_dict())
    tower.head.load_state_dict(pretrained.head.state_dict())
    return tower.eval().requires_grad_(False)


def build_processor(tower: ObjectTower, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """LLaVA's processor: pads to a square with the mean color, resizes, and puts one image token a tower token."""
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    side = tower.config.image_size
    images = LlavaImageProcessorPil(
        do_pad=True,
        size={"height": side, "width": side},
        do_center_crop=False,
        resample=2,
        image_mean=[m / 255 for m in PIXEL_MEAN],
        image_std=[s / 255 for s in PIXEL_STD],
    )
    # The count of image tokens is (side / patch)^2 + additional: one for the scene and one an object.
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=side,
        num_additional_image_tokens=tower.config.num_objects,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


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

    def __call__(self, turns: list[Turn]) -> tuple[list[int], list[float]]:
        """-> ids, and for each the weight of its loss: 0 for what the person says, 1 for replies and their end.

        The list of objects that opens a reply is long and soon learned; it counts less than the decision after it.
        """
        ids: list[int] = []
        weights: list[float] = []
        for k, (user, reply) in enumerate(turns):
            image = [self.image] * self.image_tokens if k == 0 else []
            prompt = [self.user, *image, *self.text(user), self.assistant]
            answer = [*self.text(reply), self.end]
            listing = len(self.text(reply.partition(".")[0])) if reply.startswith(LISTING) else 0
            ids += prompt + answer
            weights += [0.0] * len(prompt) + [LISTING_WEIGHT] * listing + [1.0] * (len(answer) - listing)
        return ids, weights


def batch_ids(rows: list[tuple[list[int], list[float]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """-> ids [B, L], padded at the end; weights of the loss, float [B, L], 0 in the padding."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), pad)
    weights = torch.zeros(len(rows), length)
    for i, (row, weight) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        weights[i, : len(row)] = torch.tensor(weight)
    return ids, weights


def language_loss(
    llava: LlavaForConditionalGeneration,
    tokens: torch.Tensor,
    ids: torch.Tensor,
    weights: torch.Tensor,
) -> tuple[torch.Tensor, Metrics]:
    """Weighted next-token loss, with image tokens [B, N, C] in place of the image's ids."""
    inner = llava.model
    embeds = inner.language_model.get_input_embeddings()(ids)
    image = inner.multi_modal_projector(tokens).to(embeds.dtype)
    embeds = embeds.masked_scatter((ids == llava.config.image_token_index)[..., None], image)
    # No attention mask: padding comes last, where causal attention never looks, and plain causal attention is faster.
    hidden = inner.language_model(inputs_embeds=embeds).last_hidden_state
    on = weights[:, 1:] > 0
    goal, weight = ids[:, 1:][on], weights[:, 1:][on]
    # Only learned places go through the vocabulary matrix: they are a third of all.
    logits = llava.lm_head(hidden[:, :-1][on]).float()
    loss = (weight * F.cross_entropy(logits, goal, reduction="none")).sum() / weight.sum()
    right = (logits.argmax(-1) == goal).float()
    decided = weight == 1.0
    return loss, {"token_acc": right.mean().item(), "decision_acc": right[decided].mean().item()}


@dataclass
class Talk:
    """Draws training conversations about scenes."""

    encoder: Encoder
    data: FeatureSet

    def draw(self, rng: random.Random, phrasing: Phrasing = "known") -> tuple[int, list[Turn]]:
        """-> index of a scene, turns. Mostly the chain of thought; some one-turn replies, some about single objects."""
        while True:
            index = rng.randrange(len(self.data))
            scene = self.data.scenes[index]
            kind = rng.random()
            if kind < 0.12:
                turns = describe_turns(scene, rng)
                if turns:
                    return index, [rng.choice(turns)]
                continue
            dialogues = make_dialogues(scene, rng, phrasing=phrasing, count=1)
            if dialogues:
                return index, [fast_turn(dialogues[0])] if kind < 0.3 else dialogue_turns(dialogues[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train mllm`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of training scenes with features")
    parser.add_argument("--val", type=Path, help="folder of validation scenes with features")
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder of the sam stage; checkpoint and log go there too"
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32, help="conversations a step")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=1600, help="size of the tokenizer")
    parser.add_argument("--lr", type=float, default=1.5e-3)
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

    def loss_of(
        name: str, rng: random.Random, count: int, phrasing: Phrasing = "known"
    ) -> tuple[torch.Tensor, Metrics]:
        talk = Talk(encoder, sets[name])
        drawn = [talk.draw(rng, phrasing) for _ in range(count)]
        batch = batch_ids([encoder(turns) for _, turns in drawn], tokenizer.pad_token_id)
        return language_loss(llava, tokens[name][[i for i, _ in drawn]].float(), *batch)

    def validate() -> Metrics:
        out: Metrics = {}
        for phrasing in ("known", "held_out"):
            loss, metrics = loss_of("val", random.Random(1), 256, phrasing)
            out |= {f"loss_{phrasing}": loss.item(), **{f"{k}_{phrasing}": v for k, v in metrics.items()}}
        return out

    config = LoopConfig(steps=args.steps, lr=args.lr, seed=args.seed, weight_decay=0.05, validate_every=250)
    model = Learned(llava)
    fit("mllm", args.run, model, lambda rng: loss_of("train", rng, args.batch), config, validate if args.val else None)


def load_llava(run_folder: Path, **sizes: Any) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The small LLaVA of a finished or running stage, and its processor. sizes: width and depth of the language
    model."""
    state = torch.load(run_folder / "mllm.pt", map_location="cpu", weights_only=True)["model"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(run_folder / "tokenizer")
    tower = build_tower(load_pretrained(run_folder))
    llava = build_llava(tower, tokenizer, **sizes)
    Learned(llava).load_state_dict(state)
    return llava.eval(), build_processor(tower, tokenizer)
