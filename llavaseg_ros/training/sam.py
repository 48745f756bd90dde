# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `sam`: pretrain the small SAM on points and boxes, and with it the object head that the small LLaVA sees
through.

Trained: the eye from stride 8 on (inside SAM's image encoder), SAM's prompt encoder and mask decoder, the object head.
Frozen: the early stages of the pretrained backbone. Real photographs, where given, teach the head their names.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from llavaseg_ros.bundle import read_bundle
from llavaseg_ros.device import select_device
from llavaseg_ros.reasoning.object_tower import ObjectHead
from llavaseg_ros.segmentation.sam import decode_masks
from llavaseg_ros.segmentation.segmenter import SMALL_SAM_FILE, load_into
from llavaseg_ros.segmentation.small_sam import SmallSamConfig, build_small_sam
from llavaseg_ros.training.images import IDS_STRIDE, Sample, SceneSet, normalised, stacked
from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.loop import LoopConfig, Metrics, add_machine_arguments, fit
from llavaseg_ros.training.losses import centre_loss, dice_loss, mask_bce
from llavaseg_ros.training.photographs import Mosaic, PhotographSet, Tile, naming_loss
from llavaseg_ros.training.scenes.catalog import load_catalog

MIN_PIXELS = 12  # of the half-resolution id map; less of an object is not to be seen
SMALL_SIDE = 384  # other sizes of the same things, and twice as many pictures in the same time


@lru_cache(maxsize=1)
def vocabulary() -> tuple[dict[str, int], dict[str, int]]:
    """Indices of the names that the head can say (those of the catalog, then those of photographs alone) and of the
    colors."""
    catalog = load_catalog()
    names = dict.fromkeys([*catalog.categories, *sorted(load_photographs().shapes)])
    return {n: i for i, n in enumerate(names)}, {n: i for i, n in enumerate(catalog.colors)}


class Pretrained(nn.Module):
    """The small SAM and the object head, which share one eye."""

    def __init__(self, config: SmallSamConfig | None = None) -> None:
        super().__init__()
        self.config = config or SmallSamConfig()
        names, colors = vocabulary()
        self.sam = build_small_sam(self.config)
        self.sam.image_encoder.eye.late.start_from_wheel()
        self.head = ObjectHead(self.config.eye.out, len(names), len(colors))


def draw_prompt(mask: torch.Tensor, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """A click in the object, or its box with a jitter, as two labelled points of SAM's prompt encoder.

    mask: bool [h, w] at IDS_STRIDE. Returns float [2, 2] in input pixels and int [2]; labels 1 click, -1 nothing, 2
    and 3 box corners.
    """
    ys, xs = torch.nonzero(mask, as_tuple=True)
    if rng.random() < 0.5:
        i = rng.randrange(len(ys))
        click = [(float(xs[i]) + 0.5) * IDS_STRIDE, (float(ys[i]) + 0.5) * IDS_STRIDE]
        return torch.tensor([click, [0.0, 0.0]]), torch.tensor([1, -1])
    box = [float(xs.min()), float(ys.min()), float(xs.max()) + 1, float(ys.max()) + 1]
    w, h = box[2] - box[0], box[3] - box[1]
    box = [v + rng.gauss(0, 0.06) * (w if k % 2 == 0 else h) for k, v in enumerate(box)]
    return torch.tensor(box).view(2, 2) * IDS_STRIDE, torch.tensor([2, 3])


def object_centre(mask: torch.Tensor) -> tuple[int, int] | None:
    """The cell (y, x) of the finest level where the head is to see an object; None if too little of it shows.

    mask: bool [h, w] at IDS_STRIDE. It is the cell of the pixel nearest to the centroid: a ring's or a covered object's
    centre may not be its own.
    """
    ys, xs = torch.nonzero(mask, as_tuple=True)
    if len(ys) < MIN_PIXELS:
        return None
    y, x = ys.float(), xs.float()
    nearest = int(((y - y.mean()) ** 2 + (x - x.mean()) ** 2).argmin())
    step = 8 // IDS_STRIDE
    return min(int(ys[nearest]) // step, mask.shape[0] // step - 1), min(
        int(xs[nearest]) // step, mask.shape[1] // step - 1
    )


def dense_targets(sample: Sample) -> dict[str, torch.Tensor]:
    """What the object head should say, per cell of the finest level [h, w] (stride 8): centre heat, label, color (-1
    = nothing), box, weight."""
    names, colors = vocabulary()
    step = 8 // IDS_STRIDE
    ids = sample.ids[step // 2 :: step, step // 2 :: step]
    h, w = ids.shape
    side = float(max(sample.ids.shape) * IDS_STRIDE)
    out = {
        "heat": torch.zeros(h, w),
        "label": torch.full((h, w), -1),
        "color": torch.full((h, w), -1),
        "box": torch.zeros(4, h, w),
        "weight": torch.zeros(h, w),
    }
    gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    for item in sample.scene["objects"]:
        mask = sample.ids == item["id"]
        centre = object_centre(mask)
        if centre is None or item["category"] not in names:  # held-out kinds of test packs have no name here
            continue
        cy, cx = centre
        y, x = (v.float() for v in torch.nonzero(mask, as_tuple=True))
        box = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]) * IDS_STRIDE / side
        spread = max(0.8, 0.15 * float((box[2:] - box[:2]).max()) * side / 8)
        out["heat"] = torch.maximum(out["heat"], torch.exp(-((gy - cy) ** 2 + (gx - cx) ** 2) / (2 * spread**2)))
        out["heat"][cy, cx] = 1.0
        inside = ids == item["id"]
        inside[cy, cx] = True
        if sample.colors_hold:
            out["color"][inside] = colors[item["color"]]
        elif len(load_catalog().category(item["category"]).colors) == 1:
            continue  # known by its color: an orange turned blue is as good as a ball
        out["label"][inside] = names[item["category"]]
        # Small objects count as much as large ones; the centre cell, which will be read out, counts most.
        out["weight"][inside] = 1.0 / float(inside.sum())
        out["weight"][cy, cx] += 1.0
        place = torch.stack([(gx + 0.5) * 8 / side, (gy + 0.5) * 8 / side])
        ltrb = torch.cat([place - box[:2, None, None], box[2:, None, None] - place])
        out["box"][:, inside] = ltrb[:, inside].clamp(min=0)
    return out


def head_loss(maps: tuple[torch.Tensor, ...], t: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Metrics]:
    """Loss of the object head on a batch, and the accuracy of name and color at the object centres. t: the targets of
    `dense_targets`, stacked."""
    centre, label, color, box = (m.float() for m in maps)
    heat = centre_loss(centre.squeeze(1), t["heat"])
    on = t["label"] >= 0
    weight = t["weight"][on] / t["weight"][on].sum().clamp(min=1e-6)
    ce_label = F.cross_entropy(label.permute(0, 2, 3, 1)[on], t["label"][on], reduction="none")
    ce_color = F.cross_entropy(color.permute(0, 2, 3, 1)[on], t["color"][on], reduction="none", ignore_index=-1)
    box_error = (box.permute(0, 2, 3, 1)[on] - t["box"].permute(0, 2, 3, 1)[on]).abs().sum(-1)
    loss = heat + (weight * ce_label).sum() + (weight * ce_color).sum() + 10.0 * (weight * box_error).sum()
    peak = t["heat"] == 1.0
    right = {k: (m.argmax(1) == t[k])[peak & (t[k] >= 0)].float() for k, m in (("label", label), ("color", color))}
    metrics = {
        "heat": heat.item(),
        **{f"{k}_acc": values.mean().item() for k, values in right.items() if len(values)},
        "box_err": (weight * box_error).sum().item(),
    }
    return loss, metrics


def draw_prompts(samples: list[Sample], per_image: int, rng: random.Random) -> tuple[torch.Tensor, ...] | None:
    """image index [N], points [N, 2, 2], labels [N, 2], masks, bool [N, h, w], for up to per_image objects an image."""
    rows = []
    for k, sample in enumerate(samples):
        ids = [o["id"] for o in sample.scene["objects"] if int((sample.ids == o["id"]).sum()) >= 20]
        for i in rng.sample(ids, min(per_image, len(ids))):
            mask = sample.ids == i
            rows.append((torch.tensor(k), *draw_prompt(mask, rng), mask))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True)) if rows else None


def mask_iou(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """float [N, h, w] logits against {0, 1} masks -> IoU, float [N]; two empty masks agree."""
    a, b = logits > 0, masks > 0.5
    union = (a | b).flatten(1).sum(1)
    return torch.where(union > 0, (a & b).flatten(1).sum(1) / union.clamp(min=1), 1.0)


@dataclass(frozen=True)
class Drawn:
    """A batch of scenes, and mosaics of photographs after them, all of one size.

    pixels: uint8 [B, H, W, 3] RGB. targets: of the object head, stacked over the scenes. tiles: those of each mosaic.
    prompts: see `draw_prompts`.
    """

    pixels: torch.Tensor
    targets: dict[str, torch.Tensor]
    tiles: list[list[Tile]]
    prompts: tuple[torch.Tensor, ...] | None


def make_batch(samples: list[Sample], mosaics: list[Mosaic], per_image: int, rng: random.Random) -> Drawn:
    """per_image: masks a scene; 0: none, which saves half of the time."""
    targets = [dense_targets(s) for s in samples]
    return Drawn(
        stacked([s.rgb for s in samples] + [m.rgb for m in mosaics]),
        {k: torch.stack([t[k] for t in targets]) for k in targets[0]},
        [m.tiles for m in mosaics],
        draw_prompts(samples, per_image, rng) if per_image else None,
    )


def batch_loss(model: Pretrained, batch: Drawn) -> tuple[torch.Tensor, Metrics]:
    """The whole loss of the stage on a batch."""
    device = next(model.parameters()).device
    level = model.sam.image_encoder(normalised(batch.pixels.to(device)))
    maps, scenes = model.head(level), len(batch.pixels) - len(batch.tiles)
    targets = {k: v.to(device) for k, v in batch.targets.items()}
    loss, metrics = head_loss(tuple(m[:scenes] for m in maps), targets)
    if batch.tiles:
        stride = batch.pixels.shape[2] / level.shape[-1]
        of_mosaics = tuple(m[scenes:] for m in maps)
        naming, metrics["photo_acc"] = naming_loss(of_mosaics, batch.tiles, stride, *vocabulary())
        loss = loss + 0.5 * naming
    if batch.prompts is not None:
        index, points, labels, masks = (part.to(device) for part in batch.prompts)
        sparse, dense = model.sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        dense = dense[..., : level.shape[-2], : level.shape[-1]]
        logits, quality = decode_masks(model.sam, level[index], sparse, dense, all_masks=True)
        logits, quality, masks = logits.float(), quality.float(), masks.float()
        iou = mask_iou(logits[:, 0].detach(), masks)
        for k in range(logits.shape[1]):
            loss = (
                loss
                + (2.0 * mask_bce(logits[:, k], masks) + 0.5 * dice_loss(logits[:, k], masks)).mean() / logits.shape[1]
            )
        loss = loss + F.mse_loss(quality[:, 0], iou)
        metrics["iou"] = iou.mean().item()
    return loss, metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train sam`."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of training scenes")
    parser.add_argument("--val", type=Path, help="folder of validation scenes")
    parser.add_argument("--photographs", type=Path, help="folder of named photographs with labels.jsonl")
    parser.add_argument(
        "--out", type=Path, required=True, help="run folder: checkpoint and log; the same folder resumes"
    )
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--small-share", type=float, default=0.5, help="share of the steps on smaller pictures")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step; one in eight is a mosaic of photographs")
    parser.add_argument("--prompts", type=int, default=2, help="masks a scene and step")
    parser.add_argument("--prompt-share", type=float, default=1.0, help="share of the steps that train masks")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from-bundle", type=Path, help="begin with the eye, SAM and object head of this bundle")
    parser.add_argument(
        "--whole", action="store_true", help="train the backbone's depthwise filters too; slow on a CPU, not on a GPU"
    )
    add_machine_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train until args.steps; resumes from args.out."""
    torch.manual_seed(args.seed)
    model = bundle_pretrained(args.from_bundle) if args.from_bundle else Pretrained()
    model.to(select_device(args.device))
    if args.whole:
        model.sam.image_encoder.eye.late.requires_grad_(True)
    model.sam.image_encoder.to(memory_format=torch.channels_last)
    side = model.config.eye.img_size
    photographs = {s: PhotographSet(args.photographs, s) for s in ("train", "val")} if args.photographs else {}
    data = SceneSet(args.data, side)
    small = SceneSet(args.data, SMALL_SIDE)
    val = SceneSet(args.val, side, limit=200) if args.val else None

    of_photographs = max(1, args.batch // 8) if photographs else 0

    def mosaics(split: str, sample: Sample, rng: random.Random) -> list[Mosaic]:
        height, width = sample.rgb.shape[:2]
        return [photographs[split].mosaic(height, width, rng) for _ in range(of_photographs)]

    def draw(rng: random.Random) -> Drawn:
        scenes = small if rng.random() < args.small_share else data
        prompts = args.prompts if rng.random() < args.prompt_share else 0
        samples = [scenes.read(rng.randrange(len(scenes)), rng) for _ in range(args.batch - of_photographs)]
        return make_batch(samples, mosaics("train", samples[0], rng), prompts, rng)

    def validate() -> Metrics:
        assert val is not None
        rng = random.Random(0)
        rows = []
        for i in range(0, len(val), 8):
            samples = [val[j] for j in range(i, min(i + 8, len(val)))]
            rows.append(batch_loss(model, make_batch(samples, mosaics("val", samples[0], rng), 2, rng))[1])
        return {k: sum(r.get(k, 0.0) for r in rows) / len(rows) for k in rows[0]}

    config = LoopConfig(steps=args.steps, lr=args.lr, seed=args.seed, validate_every=500)
    loss_of = lambda batch: batch_loss(model, batch)  # noqa: E731
    fit("sam", args.out, model, draw, loss_of, config, validate if val else None, workers=args.workers)


def bundle_pretrained(bundle: Path) -> Pretrained:
    """The eye, SAM and object head of a bundle of the default sizes, float32. Raises BundleError if it is not whole."""
    parts, model = read_bundle(bundle), Pretrained()
    load_into(model.sam, parts.segmenter / SMALL_SAM_FILE)
    language, prefix = load_file(parts.mllm / "model.safetensors"), "vision_tower.head."
    model.head.load_state_dict({k.split(prefix)[1]: v.float() for k, v in language.items() if prefix in k})
    return model


def load_pretrained(run_folder: Path) -> Pretrained:
    """The model of a finished or running `sam` stage, in evaluation mode."""
    model = Pretrained()
    model.load_state_dict(torch.load(run_folder / "sam.pt", map_location="cpu", weights_only=True)["model"])
    return model.eval()
