# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model profiles: YAML files that say which models the pipeline is made of, how they run, and what memory that needs.

The profiles that ship are in `config/` ("default", "paper_7b", ...); a user's own is a file of the same form. The
folder of a bundle is taken as a profile too: that of its parts, with everything else at its default.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from llavaseg_ros.bundle import MANIFEST
from llavaseg_ros.errors import BadRequest, BundleError
from llavaseg_ros.plain_files import read_yaml
from llavaseg_ros.reasoning.served_config import ServedConfig

EMBEDDED = "default"
"""As a part's name: that part of the embedded bundle."""

PROMPT_SOURCES = ("adapters", "box", "both")
_CHOICES = {
    "mllm.kind": ("local", "served"),
    "mllm.dtype": ("auto", "float32", "bfloat16", "float16"),
    "mllm.quantization": ("none", "int8", "int4"),
    "mllm.attention": ("auto", "sdpa", "eager", "flash_attention_2"),
    "segmenter.sam": ("", "small", "vit_b", "vit_l", "vit_h"),
    "segmenter.dtype": ("auto", "float32", "bfloat16", "float16"),
    "prompt_source": PROMPT_SOURCES,
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class MLLMProfile:
    """The language model. kind: local (transformers in this process) or served (an OpenAI-compatible server).

    model: a folder, a name on the Hugging Face hub, or "default" for the embedded bundle's; for a server, the name that
    it goes by there. revision: of the hub's repository. dtype "auto": float32 on the CPU, the checkpoint's own on a
    GPU. quantization: of the language model's weights, by bitsandbytes. attention: transformers' attn_implementation.
    prompts: a prompt style, or the path of its file. box_format: how the model writes a box (`prompts/boxes.yaml`),
    "none" for one that cannot. server: settings of a served model, see `reasoning/served.py`.
    """

    kind: str = "local"
    model: str = EMBEDDED
    revision: str = ""
    dtype: str = "auto"
    quantization: str = "none"
    attention: str = "auto"
    prompts: str = "generic"
    box_format: str = "none"
    server: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmenterProfile:
    """SAM and its adapters. folder: a segmenter's folder with trained adapters, or "default" for the embedded bundle's;
    it names SAM and text encoder itself. Empty: SAM as named here, without adapters.

    sam: small, vit_b, vit_l or vit_h. checkpoint: the .pth file of an official SAM, a path or a file name in the models
    folder (`checkpoints.py`); empty: the official file's name. offload: keep SAM's encoder in the host's memory between
    frames.
    """

    folder: str = ""
    sam: str = ""
    checkpoint: str = ""
    text_encoder: str = "all-MiniLM-L6-v2"
    dtype: str = "auto"
    offload: bool = False


@dataclass(frozen=True)
class Memory:
    """What the profile needs in GiB. 0: nothing worth naming. disk: of the files that have to be fetched."""

    gpu_gb: float = 0.0
    host_gb: float = 0.0
    disk_gb: float = 0.0


@dataclass(frozen=True)
class Profile:
    """See the module's text. prompt_source: what SAM is prompted with: the adapters (attributes in words), a box that
    the language model names, or both. allow_download: fetch missing files; never unless the user says so.
    folder: of the file, against which relative paths are read. bundle: of a bundle's folder, else None.
    """

    name: str
    mllm: MLLMProfile = field(default_factory=MLLMProfile)
    segmenter: SegmenterProfile = field(default_factory=SegmenterProfile)
    prompt_source: str = "adapters"
    memory: Memory = field(default_factory=Memory)
    allow_download: bool = False
    folder: Path = Path()
    bundle: Path | None = None


def profile_folder() -> Path:
    """Where the profiles that ship are: `config/` of a checkout, or share/llavaseg_ros/config of an installation.
    Raises BundleError if neither is there."""
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "share" / "llavaseg_ros" / "config", parent / "config"):
            if (folder / f"{EMBEDDED}.yaml").is_file() and (folder / "paper_7b.yaml").is_file():
                return folder
    raise BundleError("the model profiles are not there: neither config/ nor share/llavaseg_ros/config; reinstall")


def profile_names() -> list[str]:
    """Names of the profiles that ship."""
    return sorted(p.stem for p in profile_folder().glob("*.yaml") if p.name != "node.yaml")


def load_profile(name_or_path: str | Path) -> Profile:
    """A profile that ships, by name; one of the user's, by the path of its .yaml file; or that of a bundle's folder.

    Raises BundleError that names the file, the entry, what was got and what was expected.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if path.is_dir() or (os.sep in text and path.suffix != ".yaml"):
        if not (path / MANIFEST).is_file():
            what = f"it has no {MANIFEST}" if path.is_dir() else "no such folder"
            raise BundleError(f"there is no model bundle at {path}: {what}")
        return Profile(name=path.name, mllm=MLLMProfile(prompts=""), folder=path, bundle=path)
    if path.suffix != ".yaml":
        if text not in profile_names():
            raise BundleError(
                f"model: got {text!r}, expected one of {', '.join(profile_names())}, the path of a profile (.yaml), or "
                "the folder of a bundle"
            )
        path = profile_folder() / f"{text}.yaml"
    try:
        data = read_yaml(path)
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read the profile {path}: {error}") from error
    return _profile(data, path)


def _profile(data: Any, path: Path) -> Profile:
    known = {"name", "mllm", "segmenter", "prompt_source", "memory", "allow_download"}
    values = _table(data, "", known, path)
    name = values.get("name")
    if not isinstance(name, str) or not name:
        raise BundleError(f"{path}: name is {name!r}, expected text")
    profile = Profile(
        name=name,
        mllm=_section(MLLMProfile, values.get("mllm", {}), "mllm", path),
        segmenter=_section(SegmenterProfile, values.get("segmenter", {}), "segmenter", path),
        prompt_source=_value("prompt_source", values.get("prompt_source", "adapters"), "", path),
        memory=_section(Memory, values.get("memory", {}), "memory", path),
        allow_download=_value("allow_download", values.get("allow_download", False), False, path),
        folder=path.resolve().parent,
    )
    _fits_together(profile, path)
    return profile


def _fits_together(profile: Profile, path: Path) -> None:
    segmenter, mllm = profile.segmenter, profile.mllm
    if bool(segmenter.folder) == bool(segmenter.sam):
        raise BundleError(f"{path}: segmenter needs either folder (trained adapters) or sam, and not both")
    if segmenter.sam == "small":
        raise BundleError(f"{path}: segmenter.sam is 'small', which comes with adapters only; give segmenter.folder")
    if not segmenter.folder and profile.prompt_source != "box":
        raise BundleError(
            f"{path}: prompt_source is {profile.prompt_source!r}, which needs adapters: give segmenter.folder, or "
            "prompt_source: box"
        )
    if profile.prompt_source != "adapters" and mllm.box_format == "none":
        raise BundleError(f"{path}: prompt_source is {profile.prompt_source!r}, which needs mllm.box_format")
    if mllm.kind == "served":
        if profile.prompt_source != "adapters" and mllm.box_format == "qwen2_5_vl":
            raise BundleError(
                f"{path}: box_format is 'qwen2_5_vl', whose boxes are in pixels of the image as the model resized it; "
                "a server does not say that size: take adapters, or a model with another format"
            )
        try:
            ServedConfig.from_dict({"model": mllm.model, **mllm.server})
        except BadRequest as error:
            raise BundleError(f"{path}: mllm.server: {error}") from error


def _table(data: Any, name: str, known: set[str], path: Path) -> dict[str, Any]:
    label = name or "the file"
    if not isinstance(data, dict):
        raise BundleError(f"{path}: {label} holds {type(data).__name__}, expected keys and values")
    if unknown := sorted(str(key) for key in data if key not in known):
        raise BundleError(f"{path}: {label} has {unknown[0]!r}, expected only {', '.join(sorted(known))}")
    return data


def _section(kind: type[_T], data: Any, name: str, path: Path) -> _T:
    defaults = kind()
    values = _table(data, name, {f.name for f in fields(kind)}, path)  # type: ignore[arg-type]
    return kind(**{key: _value(f"{name}.{key}", value, getattr(defaults, key), path) for key, value in values.items()})


def _value(name: str, value: Any, default: Any, path: Path) -> Any:
    """The value, once it is known to be of the default's type and one of the choices."""
    if isinstance(default, float) and isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
            return float(value)
    if isinstance(default, float) or type(value) is not type(default):
        words = {str: "text", bool: "true or false", float: "a number of at least 0", dict: "keys and values"}
        raise BundleError(f"{path}: {name} is {value!r}, expected {words[type(default)]}")
    choices = _CHOICES.get(name)
    if choices and value not in choices:
        raise BundleError(f"{path}: {name} is {value!r}, expected one of {', '.join(c for c in choices if c)}")
    return value
