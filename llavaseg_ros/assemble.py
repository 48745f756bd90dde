# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a profile to loaded models. Only here is it known which part of a profile becomes which class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from llavaseg_ros.bundle import Bundle, default_bundle, verify
from llavaseg_ros.checkpoints import OFFICIAL_SAMS, fetch_sam, hub_folder, sam_path
from llavaseg_ros.errors import BundleError
from llavaseg_ros.profile import EMBEDDED, MLLMProfile, Profile, SegmenterProfile
from llavaseg_ros.reasoning.base import MLLM
from llavaseg_ros.reasoning.boxes import BoxFormat, box_format
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prompt_style import PromptStyle, load_style
from llavaseg_ros.reasoning.served import ServedConfig, ServedMLLM
from llavaseg_ros.segmentation.encoder_place import EncoderPlace
from llavaseg_ros.segmentation.frozen_eye import share_eye
from llavaseg_ros.segmentation.segmenter import Segmenter

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Parts:
    """What the pipeline is made of. form: how the model writes boxes, None where it is not asked for any."""

    name: str
    mllm: MLLM
    segmenter: Segmenter
    style: PromptStyle
    prompt_source: str
    form: BoxFormat | None


def load_parts(profile: Profile, device: torch.device, *, plain: bool = False) -> Parts:
    """Load everything that a profile names. No network unless the profile allows it.

    plain: each model as its own library runs it, nothing shared, folded or joined; what `llavaseg bench` measures
    against. Raises BundleError that says what is missing or does not fit, and where it can, the command that mends it.
    """
    profile = resolved(profile)
    form = None if profile.prompt_source == "adapters" else box_format(profile.mllm.box_format)
    prompts = profile.mllm.prompts
    style = load_style(_near(prompts, profile.folder) if prompts.endswith(".yaml") else prompts)
    mllm, segmenter = load_mllm(profile, device, plain=plain), load_segmenter(profile, device)
    if not plain:
        share_eye(segmenter.sam.sam.image_encoder, mllm.vision_tower if isinstance(mllm, LocalMLLM) else None)
    return Parts(profile.name, mllm, segmenter, style, profile.prompt_source, form)


def resolved(profile: Profile) -> Profile:
    """The same profile, or that of a bundle's parts, whose files are checked."""
    if profile.bundle is None:
        return profile
    bundle = checked_bundle(profile.bundle)
    return replace(
        profile,
        name=bundle.name,
        mllm=MLLMProfile(model=str(bundle.mllm), prompts=bundle.prompts),
        segmenter=SegmenterProfile(folder=str(bundle.segmenter)),
    )


def load_mllm(profile: Profile, device: torch.device, *, plain: bool = False) -> MLLM:
    """The language model of a profile: loaded here, or at the other end of a connection that is not opened yet."""
    wanted = profile.mllm
    if wanted.kind == "served":
        return ServedMLLM(ServedConfig.from_dict({"model": wanted.model, **wanted.server}))
    return LocalMLLM.load(
        mllm_folder(profile),
        device=device,
        dtype=_DTYPES.get(wanted.dtype, "auto"),
        quantization=wanted.quantization,
        attention=wanted.attention,
        decoding="plain" if plain else "auto",
    )


def mllm_folder(profile: Profile) -> Path:
    """The folder of a local language model: the embedded one's, the user's, or one that came from the hub."""
    wanted = profile.mllm
    if wanted.model == EMBEDDED:
        return checked_bundle(default_bundle()).mllm
    folder = _near(wanted.model, profile.folder)
    if folder.is_dir():
        return folder
    if wanted.model.startswith((".", "/", "~")) or wanted.model.count("/") != 1:
        raise BundleError(f"the language model's folder {folder} does not exist")
    return hub_folder(wanted.model, wanted.revision, allow_download=profile.allow_download)


def load_segmenter(profile: Profile, device: torch.device) -> Segmenter:
    """SAM, with the adapters if the profile has any."""
    wanted = profile.segmenter
    # Half precision on a CPU is slower than single, and some of its operations do not exist.
    automatic = torch.float16 if device.type == "cuda" and not wanted.folder else torch.float32
    encoder = EncoderPlace(_DTYPES.get(wanted.dtype, automatic), wanted.offload)
    if wanted.folder:
        return Segmenter.load(segmenter_folder(profile), device=device, encoder=encoder)
    path = sam_path(wanted.sam, wanted.checkpoint, profile.folder)
    if not path.is_file() and profile.allow_download and path.name == OFFICIAL_SAMS[wanted.sam].name:
        fetch_sam(wanted.sam, path)
    return Segmenter.of_sam(wanted.sam, path, device=device, encoder=encoder)


def segmenter_folder(profile: Profile) -> Path:
    """The folder with a profile's trained adapters."""
    if profile.segmenter.folder == EMBEDDED:
        return checked_bundle(default_bundle()).segmenter
    return _near(profile.segmenter.folder, profile.folder)


def checked_bundle(folder: Path) -> Bundle:
    """A bundle whose files are there, each with its right hash: a wrong bit in a weight may show nowhere else."""
    return verify(folder, deep=True)


def _near(value: str, folder: Path) -> Path:
    path = Path(value).expanduser()
    return path if path.is_absolute() else folder / path
