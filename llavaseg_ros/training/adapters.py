"""Stage `adapters`: train the attribute adapters, with SAM and the text encoder frozen.

Attributes are dropped and corrupted while training, so that the mask survives a slip in the words: with a wrong
location, name and color must still find the object, and the other way round.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from llavaseg_ros.segmentation.adapters import AdapterConfig, AdapterOutput, AttributeAdapters, batch_text
from llavaseg_ros.segmentation.segmenter import steered_masks
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.features import FeatureSet, Sample, collate
from llavaseg_ros.training.loop import LoopConfig, Metrics, fit
from llavaseg_ros.training.losses import dice_loss, mask_bce
from llavaseg_ros.training.sam import Pretrained, load_pretrained, mask_iou
from llavaseg_ros.training.scenes.catalog import LOCATIONS, load_catalog, location_name
from llavaseg_ros.types import Attributes

MIN_VISIBLE = 20  # pixels of the half-resolution id map; smaller targets teach nothing


@dataclass(frozen=True)
class Referral:
    """Words for one target of a scene. object_id None: the target is not there."""

    object_id: int | None
    target: str
    attributes: Attributes

    def phrases(self) -> tuple[str, ...]:
        """In the order of ATTRIBUTE_KINDS."""
        a = self.attributes
        return self.target, a.color, a.shape, a.location


def place_of(item: dict[str, Any], scene: dict[str, Any]) -> str:
    """One of the nine places, from the centre of the object's box."""
    x0, y0, x1, y1 = item["bbox"]
    return location_name((x0 + x1) / 2, (y0 + y1) / 2, scene["width"], scene["height"])


def true_referral(item: dict[str, Any], scene: dict[str, Any]) -> Referral:
    """Every attribute, and every one right."""
    shape = load_catalog().categories[item["category"]].shape
    name = f"{item['color']} {item['category']}"
    return Referral(item["id"], name, Attributes(item["color"], shape, place_of(item, scene)))


def singled_out(item: dict[str, Any], scene: dict[str, Any], *, color: bool, place: bool) -> bool:
    """True if name, with color and place where they are said, fits no other object of the scene."""
    for other in scene["objects"]:
        if other["id"] == item["id"] or other["category"] != item["category"]:
            continue
        if color and other["color"] != item["color"]:
            continue
        if place and place_of(other, scene) != place_of(item, scene):
            continue
        return False
    return True


def draw_present(sample: Sample, rng: random.Random) -> Referral | None:
    """Words for a random object, some of them dropped, sometimes one of them wrong; None if none can be singled out."""
    scene = sample.scene
    items = [o for o in scene["objects"] if o.get("listed", True)]
    rng.shuffle(items)
    places = [name for row in LOCATIONS for name in row]
    for item in items:
        if int((sample.ids == item["id"]).sum()) < MIN_VISIBLE:
            continue
        full = true_referral(item, scene)
        say_color, say_place = rng.random() < 0.85, rng.random() < 0.75
        if not singled_out(item, scene, color=say_color, place=say_place):
            say_color = say_place = True
            if not singled_out(item, scene, color=True, place=True):
                continue
        target = full.target if say_color and rng.random() < 0.8 else item["category"]
        color = item["color"] if say_color and (target == item["category"] or rng.random() < 0.85) else ""
        shape = full.attributes.shape if rng.random() < 0.75 else ""
        place = full.attributes.location if say_place else ""
        if say_place and rng.random() < 0.2 and singled_out(item, scene, color=say_color, place=False):
            place = rng.choice(places)
        if rng.random() < 0.05:
            shape = rng.choice(list(load_catalog().categories.values())).shape
        return Referral(item["id"], target, Attributes(color, shape, place))
    return None


def draw_absent(sample: Sample, rng: random.Random) -> Referral:
    """Words that fit no object of the scene: often the right name in a wrong color, or the right color on a wrong
    name."""
    catalog = load_catalog()
    objects = sample.scene["objects"]
    there = {(o["category"], o["color"]) for o in objects}
    while True:
        some = rng.choice(objects) if objects and rng.random() < 0.7 else None
        name, color = rng.choice(list(catalog.categories)), rng.choice(list(catalog.colors))
        if some is not None and rng.random() < 0.5:
            name = some["category"]
        elif some is not None:
            color = some["color"]
        if (name, color) in there or color not in catalog.categories[name].colors:
            continue
        bare = name not in {n for n, _ in there} and rng.random() < 0.3
        shape = catalog.categories[name].shape if rng.random() < 0.75 else ""
        place = rng.choice(rng.choice(LOCATIONS)) if rng.random() < 0.7 else ""
        if some is not None and place:
            place = place_of(some, sample.scene)
        return Referral(None, name if bare else f"{color} {name}", Attributes("" if bare else color, shape, place))


@dataclass
class Batch:
    """Referrals of a few scenes. index: scene of each referral, long [N]. masks: float [N, h, w]. present: float
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
    return Batch(index, [r for _, _, r in rows], torch.stack(masks).float(), torch.tensor(present))


class Steering:
    """The frozen parts, and the adapters that are being trained."""

    def __init__(self, pretrained: Pretrained, adapters: AttributeAdapters, text: TextEncoder) -> None:
        self.sam = pretrained.sam.requires_grad_(False).eval()
        self.adapters = adapters
        self.text = text

    def prompts(self, samples: list[Sample], batch: Batch) -> tuple[torch.Tensor, AdapterOutput]:
        """-> image embeddings [N, C, h, w] and the adapters' prompts, both per referral."""
        features, extent = collate(samples)
        with torch.no_grad():
            taps = self.sam.image_encoder.pyramid(features)
        taps = [t[batch.index] for t in taps]
        words = batch_text([[(k, self.text(p)) for k, p in enumerate(r.phrases())] for r in batch.referrals])
        return taps[-1], self.adapters(taps, *words, extent[batch.index])

    def __call__(self, samples: list[Sample], batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """-> mask logits [N, h, w], presence logits [N]."""
        embedding, out = self.prompts(samples, batch)
        logits, _ = steered_masks(self.sam, embedding, out)
        return logits[:, 0].float(), out.presence


def steering_loss(steering: Steering, samples: list[Sample], batch: Batch) -> tuple[torch.Tensor, Metrics]:
    """2.0 BCE + 0.5 Dice on the masks of targets that are there (weights of LISA) + 1.0 BCE on presence."""
    logits, presence = steering(samples, batch)
    there = batch.present > 0.5
    # Masks of absent targets never leave the segmenter, which asks the presence first; they are not trained.
    masks = 2.0 * mask_bce(logits[there], batch.masks[there]) + 0.5 * dice_loss(logits[there], batch.masks[there])
    seen = F.binary_cross_entropy_with_logits(presence, batch.present)
    metrics = {
        "iou": mask_iou(logits[there].detach(), batch.masks[there]).mean().item(),
        "presence_acc": ((presence > 0) == there).float().mean().item(),
    }
    return masks.mean() + seen, metrics


def presence_loss(steering: Steering, samples: list[Sample], batch: Batch) -> tuple[torch.Tensor, Metrics]:
    """Presence alone; SAM's decoder does not run."""
    presence = steering.prompts(samples, batch)[1].presence
    there = batch.present > 0.5
    right = (presence > 0) == there
    metrics = {
        "presence": right[there].float().mean().item() if there.any() else 1.0,
        "absent": right[~there].float().mean().item() if (~there).any() else 1.0,
    }
    return F.binary_cross_entropy_with_logits(presence, batch.present), metrics


def evaluate(steering: Steering, data: FeatureSet, change: Callable[[Referral], Referral] = lambda r: r) -> Metrics:
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
        logits, presence = steering([sample], batch)
        there = batch.present > 0.5
        ious += mask_iou(logits[there], batch.masks[there]).tolist()
        seen += (presence[there] > 0).tolist()
        refused += (presence[~there] <= 0).tolist()
    mean = lambda values: sum(values) / max(1, len(values))  # noqa: E731
    return {"miou": mean(ious), "presence": mean(seen), "absent": mean(refused)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train adapters`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of training scenes with features")
    parser.add_argument("--val", type=Path, help="folder of validation scenes with features")
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder of the sam stage; checkpoint and log go there too"
    )
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--presence-steps", type=int, default=800, help="steps for the presence head alone, at the end")
    parser.add_argument("--batch", type=int, default=6, help="scenes a step")
    parser.add_argument(
        "--targets", type=int, default=3, help="targets a scene and step, about a quarter of them absent"
    )
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)


def new_adapters(pretrained: Pretrained, text: TextEncoder) -> AttributeAdapters:
    """Untrained adapters of the small SAM's sizes."""
    encoder = pretrained.sam.image_encoder
    return AttributeAdapters(AdapterConfig(encoder.tap_channels, pretrained.config.embed_dim, text.dim))


def run(args: argparse.Namespace) -> None:
    """Train until args.steps; resumes from args.run."""
    torch.manual_seed(args.seed)
    data = FeatureSet(args.data)
    val = FeatureSet(args.val, limit=120) if args.val else None
    pretrained, text = load_pretrained(args.run), TextEncoder()
    adapters = new_adapters(pretrained, text)
    steering = Steering(pretrained, adapters, text)

    def draw(rng: random.Random, absent: float) -> tuple[list[Sample], Batch]:
        while True:
            samples = [data[rng.randrange(len(data))] for _ in range(args.batch)]
            draws = []
            for s in samples:
                picks = (
                    draw_absent(s, rng) if rng.random() < absent else draw_present(s, rng) for _ in range(args.targets)
                )
                draws.append([p for p in picks if p is not None])
            if any(r.object_id is not None for rs in draws for r in rs):
                return samples, make_batch(samples, draws)

    def validate() -> Metrics:
        assert val is not None
        unplaced = evaluate(steering, val, lambda r: replace(r, attributes=replace(r.attributes, location="")))
        return {**evaluate(steering, val), "miou_unplaced": unplaced["miou"]}

    check = validate if val else None
    config = LoopConfig(steps=args.steps, lr=args.lr, seed=args.seed, weight_decay=0.01, validate_every=1000)
    fit("adapters", args.run, adapters, lambda rng: steering_loss(steering, *draw(rng, 0.25)), config, check)
    # Presence takes longer to learn than masks, and its steps are cheap once the masks stand.
    adapters.requires_grad_(False).to_presence.requires_grad_(True)
    config = replace(config, steps=args.presence_steps, seed=args.seed + 1)
    head = adapters.to_presence
    fit("presence", args.run, head, lambda rng: presence_loss(steering, *draw(rng, 0.5)), config, check)


def load_adapters(run_folder: Path, pretrained: Pretrained, text: TextEncoder) -> AttributeAdapters:
    """The adapters of a finished or running stage, in evaluation mode."""
    adapters = new_adapters(pretrained, text)
    for name, module in (("adapters", adapters), ("presence", adapters.to_presence)):
        module.load_state_dict(torch.load(run_folder / f"{name}.pt", map_location="cpu", weights_only=True)["model"])
    return adapters.eval()
