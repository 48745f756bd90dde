# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a training run starts from and ends in: a frozen SAM, and a folder that the node loads."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from llavaseg_ros.assemble import load_segmenter, mllm_folder, resolved, segmenter_folder
from llavaseg_ros.bundle import write_bundle
from llavaseg_ros.checkpoints import sam_path
from llavaseg_ros.errors import BundleError
from llavaseg_ros.profile import EMBEDDED, MLLMProfile, Profile, load_profile
from llavaseg_ros.segmentation.adapters import AttributeAdapters
from llavaseg_ros.segmentation.segmenter import ADAPTERS_FILE, CONFIG_FILE, SMALL_SAM_FILE
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.training.public.steering import Frozen


def load_frozen(profile_name: str, device: torch.device, *, keep: int = 0) -> Frozen:
    """SAM and text encoder of a profile; adapters that it may have are left aside. Raises BundleError."""
    profile = resolved(load_profile(profile_name))
    segmenter = load_segmenter(profile, device)
    text = segmenter.text or TextEncoder(profile.segmenter.text_encoder, device)
    return Frozen(segmenter, text, keep=keep)


def write_result(run: Path, profile_name: str, adapters: AttributeAdapters) -> None:
    """Write segmenter/ with the adapters, and profile.yaml: the run's profile with them. Where the language model's
    folder is on this machine, bundle.json makes the run's folder a bundle as well.
    """
    profile = resolved(load_profile(profile_name))
    folder = run / "segmenter"
    folder.mkdir(parents=True, exist_ok=True)
    config = {**_sam_of(profile, folder), "adapters": asdict(adapters.config)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = {k: v.detach().cpu().contiguous().half() for k, v in adapters.state_dict().items()}
    save_file(weights, folder / ADAPTERS_FILE, {"format": "pt"})
    name = f"{profile.name}, adapters of {run.resolve().name}"
    (run / "profile.yaml").write_text(yaml.safe_dump(_trained(profile, name), sort_keys=False), encoding="utf-8")
    try:
        mllm = mllm_folder(profile)
    except BundleError:  # it thinks on another machine
        return
    prompts = profile.mllm.prompts
    if prompts.endswith(".yaml"):
        shutil.copy(prompts if Path(prompts).is_absolute() else profile.folder / prompts, run / "prompts.yaml")
        prompts = "prompts.yaml"
    write_bundle(run, name, prompts, mllm=str(mllm.resolve()), segmenter="segmenter")


def _sam_of(profile: Profile, folder: Path) -> dict[str, Any]:
    """The entries `sam` and `text_encoder` of segmenter.json; the small SAM's weights are copied to `folder`."""
    wanted = profile.segmenter
    if not wanted.folder:
        path = sam_path(wanted.sam, wanted.checkpoint, profile.folder).resolve()
        return {"sam": {"kind": wanted.sam, "checkpoint": str(path)}, "text_encoder": wanted.text_encoder}
    source = segmenter_folder(profile)
    config = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
    if (source / SMALL_SAM_FILE).is_file():
        shutil.copy(source / SMALL_SAM_FILE, folder / SMALL_SAM_FILE)
    return {"sam": config["sam"], "text_encoder": config["text_encoder"]}


def _trained(profile: Profile, name: str) -> dict[str, Any]:
    """The content of a profile file: like `profile`, with the adapters in segmenter/ beside it."""
    mllm = {key: value for key, value in asdict(profile.mllm).items() if value != getattr(MLLMProfile(), key)}
    model = profile.folder / profile.mllm.model
    if profile.mllm.kind == "local" and profile.mllm.model != EMBEDDED and model.is_dir():
        mllm["model"] = str(model.resolve())
    segmenter = {"folder": "segmenter", "dtype": profile.segmenter.dtype, "offload": profile.segmenter.offload}
    return {
        "name": name,
        "mllm": mllm,
        "segmenter": segmenter,
        "prompt_source": "adapters",
        "memory": asdict(profile.memory),
        "allow_download": profile.allow_download,
    }
