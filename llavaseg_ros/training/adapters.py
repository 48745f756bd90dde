# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `adapters`: train the attribute adapters, with SAM and the text encoder frozen.

Attributes are dropped and corrupted while training, so that the mask survives a slip in the words: with a wrong
location, name and color must still find the object, and the other way round.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from llavaseg_ros.bundle import read_bundle
from llavaseg_ros.device import select_device
from llavaseg_ros.segmentation.adapters import AdapterConfig, AdapterOutput, AttributeAdapters, batch_text
from llavaseg_ros.segmentation.segmenter import ADAPTERS_FILE, load_into, steered_masks
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.images import IDS_STRIDE, Sample, SceneSet, collate, normalised
from llavaseg_ros.training.loop import LoopConfig, Metrics, add_machine_arguments, fit
from llavaseg_ros.training.losses import dice_loss, mask_bce
from llavaseg_ros.training.photographs import Mosaic, PhotographSet
from llavaseg_ros.training.referrals import Referral, draw_absent, draw_named, draw_present, singled_out, true_referral
from llavaseg_ros.training.sam import Pretrained, load_pretrained, mask_iou, object_centre, vocabulary


@dataclass
class Batch:
    """Referrals of a few scenes. index: scene of each referral, long [N]. masks: bool [N, h, w]. present: float
    [N]."""

    index: torch.Tensor
    referrals: list[Referral]
    masks: torch.Tensor
    present: torch.Tensor


def make_batch(samples: list[Sample], draws: list[list[Referral]]) -> Batch:
    """draws: for each scene its referrals."""
    rows = [(k, s, r) for k, (s, rs) in enumerate(zip(samples, draws, strict=True)) for r in rs]
    masks = [s.ids == r.object_id if r.object_id is not None else torch.zeros_like(s.ids) for _, s, r in rows]
    present = [float(r.object_id is not None) for _, _, r in rows]
    index = torch.tensor([k for k, _, _ in rows])
    return Batch(index, [r for _, _, r in rows], torch.stack(masks), torch.tensor(present))


@dataclass(frozen=True)
class Scenes:
    """A few scenes as they are read, and mosaics of photographs after them. pixels, extent: see `collate`. centres:
    for each scene, by object id, the cell (y, x) of the finest level at which the head reads it. rng: for the words,
    which depend on what the eye sees."""

    samples: list[Sample]
    mosaics: list[Mosaic]
    pixels: torch.Tensor
    extent: torch.Tensor
    centres: list[dict[int, tuple[int, int]]]
    rng: random.Random


def read_scenes(samples: list[Sample], rng: random.Random, mosaics: Sequence[Mosaic] = ()) -> Scenes:
    """All that a batch needs and that the eye is not needed for. A mosaic's ids are the numbers of its tiles."""
    samples = samples + [tiled(mosaic) for mosaic in mosaics]
    centres = [{o["id"]: object_centre(s.ids == o["id"]) for o in s.scene["objects"]} for s in samples]
    shown = [{key: cell for key, cell in of_scene.items() if cell is not None} for of_scene in centres]
    return Scenes(samples, list(mosaics), *collate(samples), shown, rng)


def tiled(mosaic: Mosaic) -> Sample:
    """A mosaic as a scene of which nothing is recorded."""
    ids = torch.zeros([side // IDS_STRIDE for side in mosaic.rgb.shape[:2]], dtype=torch.uint8)
    for number, ((x0, y0, x1, y1), _) in enumerate(mosaic.tiles, 1):
        ids[y0 // IDS_STRIDE : y1 // IDS_STRIDE, x0 // IDS_STRIDE : x1 // IDS_STRIDE] = number
    return Sample(mosaic.rgb, ids, (1.0, 1.0), {"objects": []})


@dataclass
class Look:
    """What the frozen eye makes of a few scenes. taps: float [B, C_s, h_s, w_s]. extent: float [B, 2]. seen: for each
    scene, by object id, the name and color that the head reads at the object's centre."""

    taps: list[torch.Tensor]
    extent: torch.Tensor
    seen: list[dict[int, tuple[str, str]]]


class Steering:
    """The frozen parts, and the adapters that are being trained."""

    def __init__(self, pretrained: Pretrained, adapters: AttributeAdapters, text: TextEncoder) -> None:
        self.pretrained = pretrained.requires_grad_(False).eval()
        self.sam = pretrained.sam
        self.adapters = adapters
        self.text = text

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return self.adapters.gamma.device

    @torch.no_grad()
    def look(self, scenes: Scenes) -> Look:
        """Everything that does not depend on words."""
        taps = self.sam.image_encoder.levels(normalised(scenes.pixels.to(self.device)))
        _, labels, colors, _ = self.pretrained.head(taps[-1])
        read = torch.stack([labels.argmax(1), colors.argmax(1)], dim=-1).cpu()  # at once: a GPU is slow cell by cell
        names, color_names = (list(index) for index in vocabulary())
        seen: list[dict[int, tuple[str, str]]] = []
        for of_scene, centres in zip(read, scenes.centres, strict=True):
            words = {key: of_scene[y, x].tolist() for key, (y, x) in centres.items()}
            seen.append({key: (names[label], color_names[color]) for key, (label, color) in words.items()})
        return Look(taps, scenes.extent.to(self.device), seen)

    def prompts(self, look: Look, batch: Batch) -> tuple[torch.Tensor, AdapterOutput]:
        """-> image embeddings [N, C, h, w] and the adapters' prompts, both per referral."""
        index = batch.index.to(self.device)
        taps = [t[index] for t in look.taps]
        words = batch_text([[(k, self.text(p)) for k, p in enumerate(r.phrases())] for r in batch.referrals])
        return taps[-1], self.adapters(taps, *words, look.extent[index])

    def __call__(self, look: Look, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """-> mask logits [N, h, w], presence logits [N]."""
        embedding, out = self.prompts(look, batch)
        logits, _ = steered_masks(self.sam, embedding, out)
        return logits[:, 0].float(), out.presence


def steering_loss(steering: Steering, look: Look, batch: Batch) -> tuple[torch.Tensor, Metrics]:
    """2.0 BCE + 0.5 Dice on the masks of targets that are there (weights of LISA) + 1.0 BCE on presence."""
    logits, presence = steering(look, batch)
    present = batch.present.to(presence.device)
    there = present > 0.5
    # Masks of absent targets never leave the segmenter, which asks the presence first; they are not trained.
    logits, true = logits[there], batch.masks.to(presence.device)[there].float()
    masks = 2.0 * mask_bce(logits, true) + 0.5 * dice_loss(logits, true)
    seen = F.binary_cross_entropy_with_logits(presence, present)
    metrics = {
        "iou": mask_iou(logits.detach(), true).mean().item(),
        "presence_acc": ((presence > 0) == there).float().mean().item(),
    }
    return masks.mean() + seen, metrics


def presence_loss(steering: Steering, look: Look, batch: Batch) -> tuple[torch.Tensor, Metrics]:
    """Presence alone; SAM's decoder does not run."""
    presence = steering.prompts(look, batch)[1].presence
    present = batch.present.to(presence.device)
    there = present > 0.5
    right = (presence > 0) == there
    metrics = {
        "presence": right[there].float().mean().item() if there.any() else 1.0,
        "absent": right[~there].float().mean().item() if (~there).any() else 1.0,
    }
    return F.binary_cross_entropy_with_logits(presence, present), metrics


def evaluate(steering: Steering, data: SceneSet, change: Callable[[Referral], Referral] = lambda r: r) -> Metrics:
    """mIoU and presence over every listed object of a scene folder, and presence over as many absent targets.

    change: what is done to the true words first (a dropped or wrong attribute).
    """
    ious, seen, refused = [], [], []
    rng = random.Random(0)
    for i in range(len(data)):
        sample = data[i]
        items = [o for o in sample.scene["objects"] if o.get("listed", True)]
        items = [o for o in items if singled_out(o, sample.scene, color=True, place=True)]
        draws = [change(true_referral(o, sample.scene)) for o in items[:4]] + [
            draw_absent(sample, rng) for _ in items[:2]
        ]
        if not draws:
            continue
        batch = make_batch([sample], [draws])
        logits, presence = (out.cpu() for out in steering(steering.look(read_scenes([sample], rng)), batch))
        there = batch.present > 0.5
        ious += mask_iou(logits[there], batch.masks[there]).tolist()
        seen += (presence[there] > 0).tolist()
        refused += (presence[~there] <= 0).tolist()
    mean = lambda values: sum(values) / max(1, len(values))  # noqa: E731
    return {"miou": mean(ious), "presence": mean(seen), "absent": mean(refused)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train adapters`."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of training scenes")
    parser.add_argument("--val", type=Path, help="folder of validation scenes")
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder of the sam stage; checkpoint and log go there too"
    )
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--presence-steps", type=int, default=800, help="steps for the presence head alone, at the end")
    parser.add_argument("--batch", type=int, default=6, help="scenes a step")
    parser.add_argument(
        "--targets", type=int, default=3, help="targets a scene and step, about a quarter of them absent"
    )
    parser.add_argument("--photographs", type=Path, help="folder of named photographs, for the presence head")
    parser.add_argument("--from-bundle", type=Path, help="begin with the adapters of this bundle")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    add_machine_arguments(parser)


def new_adapters(pretrained: Pretrained, text: TextEncoder) -> AttributeAdapters:
    """Untrained adapters of the small SAM's sizes."""
    encoder = pretrained.sam.image_encoder
    return AttributeAdapters(AdapterConfig(encoder.tap_channels, pretrained.config.eye.out, text.dim))


def run(args: argparse.Namespace) -> None:
    """Train until args.steps; resumes from args.run."""
    torch.manual_seed(args.seed)
    device = select_device(args.device)
    pretrained, text = load_pretrained(args.run).to(device), TextEncoder(device=device)
    side = pretrained.config.eye.img_size
    data = SceneSet(args.data, side)
    val = SceneSet(args.val, side, limit=120) if args.val else None
    photographs = PhotographSet(args.photographs, "train") if args.photographs else None
    adapters = new_adapters(pretrained, text)
    if args.from_bundle:
        load_into(adapters, read_bundle(args.from_bundle).segmenter / ADAPTERS_FILE)
    steering = Steering(pretrained, adapters.to(device), text)

    def read(rng: random.Random, mosaics: int = 0) -> Scenes:
        samples = [data[rng.randrange(len(data))] for _ in range(args.batch)]
        height, width = samples[0].rgb.shape[:2]
        shown = [photographs.mosaic(height, width, rng) for _ in range(mosaics)] if photographs else []
        return read_scenes(samples, rng, shown)

    def about(scenes: Scenes, absent: float) -> tuple[Look, Batch]:
        """What the eye sees, and words for it."""
        while True:
            look, rng = steering.look(scenes), scenes.rng
            draws: list[Referral | None] = []
            for k, (s, seen) in enumerate(zip(scenes.samples, look.seen, strict=True)):
                for _ in range(args.targets):
                    gone, mosaic = rng.random() < absent, k - len(scenes.samples) + len(scenes.mosaics)
                    if mosaic >= 0:
                        draws.append(draw_named(scenes.mosaics[mosaic], rng, absent=gone))
                    else:
                        draws.append(draw_absent(s, rng) if gone else draw_present(s, seen, rng))
            each = [draws[i : i + args.targets] for i in range(0, len(draws), args.targets)]
            there = [[r for r in rs if r is not None] for rs in each]
            if any(r.object_id is not None for rs in there for r in rs):
                return look, make_batch(scenes.samples, there)
            scenes = read(rng)

    def validate() -> Metrics:
        assert val is not None
        unplaced = evaluate(steering, val, lambda r: replace(r, attributes=replace(r.attributes, location="")))
        return {**evaluate(steering, val), "miou_unplaced": unplaced["miou"]}

    check = validate if val else None
    config = LoopConfig(steps=args.steps, lr=args.lr, seed=args.seed, weight_decay=0.01, validate_every=1000)
    loss_of = lambda scenes: steering_loss(steering, *about(scenes, 0.25))  # noqa: E731
    fit("adapters", args.run, adapters, read, loss_of, config, check, workers=args.workers)
    # Presence takes longer to learn than masks, and its steps are cheap once the masks stand.
    adapters.requires_grad_(False).to_presence.requires_grad_(True)
    config = replace(config, steps=args.presence_steps, seed=args.seed + 1)
    head, shown = adapters.to_presence, partial(read, mosaics=max(1, args.batch // 4))
    loss_of = lambda scenes: presence_loss(steering, *about(scenes, 0.5))  # noqa: E731
    fit("presence", args.run, head, shown, loss_of, config, check, workers=args.workers)


def load_adapters(run_folder: Path, pretrained: Pretrained, text: TextEncoder) -> AttributeAdapters:
    """The adapters of a finished or running stage, in evaluation mode."""
    adapters = new_adapters(pretrained, text)
    for name, module in (("adapters", adapters), ("presence", adapters.to_presence)):
        module.load_state_dict(torch.load(run_folder / f"{name}.pt", map_location="cpu", weights_only=True)["model"])
    return adapters.eval()
