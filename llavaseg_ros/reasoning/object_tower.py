# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The vision tower of the embedded default's small LLaVA: it turns an image into one token an object.

Importing this module registers it with transformers, so that `AutoModelForImageTextToText.from_pretrained` loads the
folder by itself. The tower is the eye (see `segmentation/pyramid.py`), and a head that finds object centres; at each
centre the features, what the head thinks of name and color, and the box become one token. Tokens come in reading
order, left to right, after one token of the whole scene; relations between the objects follow them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from llavaseg_ros.reasoning.object_relations import SIDES, relation_tokens
from llavaseg_ros.reasoning.objects import SeenObject, without_twins
from llavaseg_ros.segmentation.pyramid import Eye, EyeConfig

BOX_BANDS = 4
ASPECT = 0.75  # height by width of the usual camera picture, 640 x 480
GRID = 3  # thirds of the picture, across and down: the places that people name
BOX_DIM = 6 * 2 * BOX_BANDS + GRID * GRID + 5


class ObjectTowerConfig(PreTrainedConfig):
    """Sizes of the tower. image_size, width, out: see `EyeConfig`. num_objects, num_relations: tokens a frame.
    label_names, color_names: what the head can say, in the order of its outputs. padded: pictures come padded to a
    square by LLaVA's own processor; else as SAM sees them, by `tight_images.TightImageProcessor`.

    A token holds, in this order: features (out), names and colors (num_words), where there are relations the words of
    a second object (num_words) and its side (SIDES), the box (BOX_DIM), the score.
    """

    model_type = "llavaseg_object_tower"

    backbone: str = "efficientnet-lite2"
    image_size: int = 512
    width: int = 192
    out: int = 128
    label_names: list[str] | tuple[str, ...] = ("thing",)
    color_names: list[str] | tuple[str, ...] = ("gray",)
    num_objects: int = 16
    num_relations: int = 0
    min_score: float = 0.15
    hidden_size: int = 128 + 1 + 1 + BOX_DIM + 1
    initializer_range: float = 0.02
    padded: bool = True

    @property
    def num_words(self) -> int:
        """Names and colors that the head can say."""
        return len(self.label_names) + len(self.color_names)

    @property
    def relation_size(self) -> int:
        """Features that only relation tokens have."""
        return self.num_words + len(SIDES) if self.num_relations else 0

    @property
    def token_size(self) -> int:
        """Features of a token, which hidden_size must be."""
        return self.out + self.num_words + self.relation_size + BOX_DIM + 1

    @property
    def num_tokens(self) -> int:
        """Tokens of a frame: the scene's, the objects', the relations'."""
        return 1 + self.num_objects + self.num_relations


class ObjectHead(nn.Module):
    """Dense head over the finest pyramid level: centre, name, color and box of the object under each cell."""

    def __init__(self, channels: int, labels: int, colors: int) -> None:
        super().__init__()
        self.sizes = (1, labels, colors, 4)
        self.trunk = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GELU())
        self.out = nn.Conv2d(channels, sum(self.sizes), 1)

    def forward(self, level: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """[B, C, h, w] -> logits: centre [B, 1, h, w], label [B, labels, h, w], color [B, colors, h, w]; and
        box [B, 4, h, w]: distances from the cell to left, top, right, bottom, as a part of the image's longer side,
        >= 0."""
        centre, label, color, box = self.out(self.trunk(level)).split(self.sizes, dim=1)
        # A bias of -4 lets training start from "no object anywhere", which is nearly right for nearly every cell.
        return centre - 4.0, label, color, F.softplus(box - 2.0)


def encode_boxes(boxes: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
    """float [B, N, 4] xyxy and extent [B, 2], both as a part of the padded square's side -> float [B, N, BOX_DIM].

    Places are relative to the picture: x runs from 0 to 1 and y from 0 to ASPECT, whatever the camera's format, so that
    "front left" means the same on each. Sizes stay relative to the longer side.
    """
    full = torch.tensor([1.0, ASPECT, 1.0, ASPECT], device=boxes.device)
    scaled = boxes / extent.repeat(1, 2)[:, None] * full
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    centre = (scaled[..., :2] + scaled[..., 2:]) / 2
    values = torch.cat([centre, size, scaled[..., 3:], scaled[..., :1]], dim=-1)
    angles = (values[..., None] * (math.pi * 2.0 ** torch.arange(BOX_BANDS, device=boxes.device))).flatten(2)
    # Which third, said outright: a small language model needs thousands of steps more to read it off sines.
    third = (centre / full[:2] * GRID).long().clamp(0, GRID - 1)
    place = F.one_hot(third[..., 1] * GRID + third[..., 0], GRID * GRID)
    area = (size[..., :1] * size[..., 1:]).sqrt()
    return torch.cat([angles.sin(), angles.cos(), place, centre, size, area], dim=-1)


def pick_objects(
    level: torch.Tensor,
    head: tuple[torch.Tensor, ...],
    extent: torch.Tensor,
    count: int,
    min_score: float,
    stride: float,
) -> torch.Tensor:
    """Tokens [B, 1 + count, C] from the pyramid's finest level [B, C8, h, w] and the head's maps.

    extent, stride: as a part of the padded square's side. Places beyond the last object found are zero.
    """
    centre, label, color, box = (t.float() for t in head)
    b, _, h, w = centre.shape
    score = centre.sigmoid()
    peak = score * (F.max_pool2d(score, 3, stride=1, padding=1) == score)
    top, index = peak.flatten(1).topk(count, dim=1)
    gather = lambda m: m.flatten(2).gather(2, index[:, None].expand(-1, m.shape[1], -1)).transpose(1, 2)  # noqa: E731
    cell = torch.stack([(index % w + 0.5) * stride, (index // w + 0.5) * stride], dim=-1)
    ltrb = gather(box)
    boxes = torch.cat([cell - ltrb[..., :2], cell + ltrb[..., 2:]], dim=-1)
    found = top >= min_score
    parts = [
        gather(level.float()),
        gather(label).softmax(-1),
        gather(color).softmax(-1),
        encode_boxes(boxes, extent),
        top[..., None],
    ]
    tokens = torch.cat(parts, dim=-1) * found[..., None]
    # Reading order, with the empty places last.
    order = torch.where(found, (boxes[..., 0] + boxes[..., 2]) / 2, torch.full_like(top, 9.0)).argsort(dim=1)
    tokens = tokens.gather(1, order[..., None].expand_as(tokens))
    scene = torch.zeros_like(tokens[:, :1])
    scene[..., : level.shape[1]] = level.float().mean(dim=(2, 3))[:, None]
    return torch.cat([scene, tokens], dim=1)


def add_relations(tokens: torch.Tensor, config: ObjectTowerConfig) -> torch.Tensor:
    """Object tokens [B, 1 + num_objects, C] of `pick_objects` -> all tokens [B, num_tokens, token_size]."""
    split = config.out + config.num_words
    objects = tokens[:, 1:]
    words, centres = objects[..., config.out : split], objects[..., -6:-4]
    first, second, side = relation_tokens(words, centres, objects[..., -1] > 0, config.num_relations)
    rows = tokens.new_zeros(len(tokens), config.num_tokens, config.token_size)
    seen = tokens.shape[1]
    rows[:, :seen, :split], rows[:, :seen, split + config.relation_size :] = tokens[..., :split], tokens[..., split:]
    rows[:, seen:, config.out : split] = first
    rows[:, seen:, split : split + config.relation_size] = torch.cat([second, side], dim=-1)
    return rows


def crop_padding(
    pixels: torch.Tensor, multiple: int = 32, tolerance: float = 0.03
) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo LLaVA's padding to a square: cut the borders of the mean color off and lay the rest at the top left.

    float [B, 3, S, S] normalised -> float [B, 3, h, w] with h, w multiples of `multiple`, zero outside the image, as
    the small SAM sees it; and the extent, float [B, 2]: the part of (w, h) that holds picture.
    """
    side = pixels.shape[-1]
    spans = []
    for image in pixels:
        inked = image.abs().amax(dim=0) > tolerance
        span = []
        for dim in (0, 1):
            lines = torch.nonzero(inked.any(dim=dim)).flatten()
            low, high = (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, side)
            # LLaVA pads both ends alike; a dark or plain border of the picture itself does not look like that.
            pad = min(low, side - high)
            # Resizing smears one line of picture over the border.
            pad += pad > 0
            span.append((pad, side - pad))
        spans.append(span)
    if any(span[0][0] and span[1][0] for span in spans):  # padding is on one axis only; a frame all round is picture
        spans = [[(0, side), (0, side)] if s[0][0] and s[1][0] else s for s in spans]
    up = lambda n: -(-n // multiple) * multiple  # noqa: E731
    width = max(up(s[0][1] - s[0][0]) for s in spans)
    height = max(up(s[1][1] - s[1][0]) for s in spans)
    out = pixels.new_zeros(len(pixels), 3, height, width)
    extent = []
    for i, ((x0, x1), (y0, y1)) in enumerate(spans):
        out[i, :, : y1 - y0, : x1 - x0] = pixels[i, :, y0:y1, x0:x1]
        extent.append([(x1 - x0) / width, (y1 - y0) / height])
    return out, pixels.new_tensor(extent)


def picture_extent(pixels: torch.Tensor) -> torch.Tensor:
    """The part of (w, h) of float [B, 3, h, w] that holds picture, float [B, 2]. The rest, at the right and at the
    bottom, is exactly 0, which no pixel is: the means that were taken off are no whole numbers."""
    inked = (pixels != 0).any(dim=1)
    size = torch.stack([inked.any(dim=1).sum(dim=1), inked.any(dim=2).sum(dim=1)], dim=1)
    return size / size.new_tensor([pixels.shape[-1], pixels.shape[-2]])


class ObjectTower(PreTrainedModel):
    """The tower as a transformers model."""

    config_class = ObjectTowerConfig
    config: ObjectTowerConfig
    main_input_name = "pixel_values"
    base_model_prefix = "tower"

    def __init__(self, config: ObjectTowerConfig) -> None:
        super().__init__(config)
        labels, colors = len(config.label_names), len(config.color_names)
        if config.hidden_size != config.token_size:
            raise ValueError(
                f"hidden_size is {config.hidden_size}; tokens of these sizes have {config.token_size} features"
            )
        self.eye = Eye(EyeConfig(config.backbone, config.image_size, config.width, config.out))
        self.head = ObjectHead(config.out, labels, colors)
        self.post_init()

    def tokens(self, pixels: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
        """Pixels as the small SAM sees them, float [B, 3, H, W], and extent -> tokens, float [B, num_tokens,
        hidden_size].

        extent: float [B, 2], the part of the padded input that holds picture, (x, y).
        """
        level = self.eye(pixels)[-1]
        stride = 8.0 / self.config.image_size
        extent = extent * extent.new_tensor([level.shape[-1] * stride, level.shape[-2] * stride])
        config = self.config
        objects = pick_objects(level, self.head(level), extent, config.num_objects, config.min_score, stride)
        return add_relations(objects, config) if config.num_relations else objects

    def read(self, tokens: torch.Tensor, size: tuple[int, int]) -> tuple[SeenObject, ...]:
        """The objects that the tokens of one frame, float [num_tokens, hidden_size], speak of, left to right.

        size: width and height of the image in pixels.
        """
        config, (width, height) = self.config, size
        rows = tokens[1 : 1 + config.num_objects].float().cpu()
        kinds, colors = rows[:, config.out : config.out + config.num_words].split(
            [len(config.label_names), len(config.color_names)], dim=1
        )
        seen = []
        for kind, color, tail in zip(kinds, colors, rows[:, -6:].tolist(), strict=True):
            x, y, w, h, _, score = tail
            if score <= 0:
                continue
            x, y, half_w, half_h = x * width, y / ASPECT * height, w * max(size) / 2, h * max(size) / 2
            corners = (max(x - half_w, 0.0), max(y - half_h, 0.0), min(x + half_w, width), min(y + half_h, height))
            names = config.label_names[int(kind.argmax())], config.color_names[int(color.argmax())]
            seen.append(SeenObject(*names, corners, score))
        return without_twins(seen)

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """pixel_values: float [B, 3, S, S], padded to a square and normalised, or [B, 3, h, w] where the configuration
        says so. Hidden states: [B, num_tokens, hidden_size]."""
        if self.config.padded:
            pixels, extent = crop_padding(pixel_values.float())
        else:
            pixels, extent = pixel_values.float(), picture_extent(pixel_values)
        tokens = self.tokens(pixels.to(self.dtype), extent).to(self.dtype)
        return BaseModelOutputWithPooling(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(ObjectTowerConfig.model_type, ObjectTowerConfig, exist_ok=True)
AutoModel.register(ObjectTowerConfig, ObjectTower, exist_ok=True)
