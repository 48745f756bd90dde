"""Features of the frozen backbone, computed once a scene and kept on disk: every training stage starts from them.

A scene's file holds float16 features at strides 8, 16 and 32 and the instance ids at half the input's resolution.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from llavaseg_ros.images import read_ids, read_rgb
from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD, Backbone
from llavaseg_ros.segmentation.preprocess import fit_to, to_pixels
from llavaseg_ros.segmentation.small_sam import SmallSamConfig
from llavaseg_ros.training.scenes.dataset import read_index

IDS_STRIDE = 2  # instance ids are kept at this stride of SAM's input: that of the decoder's mask logits


@dataclass
class Sample:
    """One scene, ready to train on. features: float32 [C, h, w] at strides 8, 16, 32. ids: uint8 [H/2, W/2], the
    values are object ids. extent: part of the input that holds image (x, y). scene: its line of scenes.jsonl."""

    features: list[torch.Tensor]
    ids: torch.Tensor
    extent: tuple[float, float]
    scene: dict[str, Any]


def _feature_file(folder: Path, scene: dict[str, Any]) -> Path:
    return folder / "features" / (Path(scene["image"]).stem + ".npz")


def extract(
    folder: Path, config: SmallSamConfig, *, workers: tuple[int, int] = (0, 1), limit: int | None = None
) -> int:
    """Write the missing feature files of a scene folder; a second call goes on where the first was stopped.

    workers: (index, count), so that several processes can share a folder. limit: at most so many scenes of the folder.
    Returns how many files were written.
    """
    backbone = Backbone(config.backbone, config.img_size)
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's annotations
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    todo = read_index(folder)[:limit][workers[0] :: workers[1]]
    todo = [s for s in todo if not _feature_file(folder, s).exists()]
    (folder / "features").mkdir(exist_ok=True)
    for scene in tqdm(todo, desc=f"features {folder.name}", unit="img", mininterval=5.0):
        fit = fit_to(scene["height"], scene["width"], config.img_size, 32)
        pixels = to_pixels(read_rgb(folder / scene["image"]), fit, mean, std).to(memory_format=torch.channels_last)
        # bfloat16 halves the time; its rounding is far below the camera noise that the models must bear anyway.
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            features = backbone(pixels)
        ids = read_ids(folder / scene["instances"])
        size = (fit.active[1] // IDS_STRIDE, fit.active[0] // IDS_STRIDE)
        half = np.zeros((fit.padded[0] // IDS_STRIDE, fit.padded[1] // IDS_STRIDE), np.uint8)
        half[: size[1], : size[0]] = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT)
        arrays = {f"f{i}": f[0].contiguous().to(torch.float16).numpy() for i, f in enumerate(features)}
        target = _feature_file(folder, scene)
        part = target.with_suffix(".part.npz")
        np.savez(part, ids=half, extent=np.array(fit.extent, np.float32), **arrays)
        os.replace(part, target)
    return len(todo)


class FeatureSet:
    """The scenes of a folder whose features are on disk."""

    def __init__(self, folder: Path | str, limit: int | None = None) -> None:
        self.folder = Path(folder)
        scenes = read_index(self.folder)[:limit]
        self.scenes = [s for s in scenes if _feature_file(self.folder, s).exists()]
        if not self.scenes:
            raise FileNotFoundError(f"{self.folder}/features: no feature files; run: llavaseg train scenes")

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> Sample:
        scene = self.scenes[i]
        with np.load(_feature_file(self.folder, scene)) as arrays:
            features = [torch.from_numpy(arrays[f"f{k}"]).float() for k in range(3)]
            return Sample(features, torch.from_numpy(arrays["ids"]), tuple(arrays["extent"].tolist()), scene)


def collate(samples: list[Sample]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """-> features, a list of float [B, C, h, w]; extent, float [B, 2]."""
    features = [torch.stack([s.features[k] for s in samples]) for k in range(3)]
    return features, torch.tensor([s.extent for s in samples])
