# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The part of `llavaseg doctor` that looks at a model profile: which files are here, whether they fit the machine, and
the exact commands that get what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from llavaseg_ros.bundle import default_bundle, verify
from llavaseg_ros.checkpoints import OFFICIAL_SAMS, check_sam, fetch_command, hub_command, sam_path
from llavaseg_ros.cli.doctor import PIP, Finding
from llavaseg_ros.errors import BundleError
from llavaseg_ros.profile import EMBEDDED, Profile

Check = tuple[str, Callable[[], Finding]]
GIB = 2**30


def checks(profile: Profile) -> Iterator[Check]:
    """Names of findings, and what finds them, for the parts of a profile."""
    yield "model profile", partial(summary, profile)
    if profile.bundle is not None:
        yield "model bundle", partial(bundle, profile.bundle)
        return
    embedded = EMBEDDED in (profile.mllm.model, profile.segmenter.folder)
    if embedded:
        yield "model bundle", partial(bundle, default_bundle())
    if profile.mllm.kind == "local" and profile.mllm.model != EMBEDDED:
        yield "language model", partial(language_model, profile)
    if profile.mllm.kind == "served":
        yield "model server", partial(server, profile)
    if profile.mllm.quantization != "none":
        yield "quantization", partial(quantization, profile)
    if profile.segmenter.sam:
        yield "SAM", partial(sam, profile)
    elif profile.segmenter.folder != EMBEDDED:
        yield "adapters", partial(adapters, profile)
    if profile.memory.gpu_gb:
        yield "GPU memory", partial(gpu_memory, profile)
    yield "host memory", partial(host_memory, profile)


def summary(profile: Profile) -> Finding:
    """What the profile is."""
    parts = [profile.name]
    if profile.bundle is None:
        mllm = profile.mllm
        bits = "" if mllm.quantization == "none" else f", {mllm.quantization}"
        parts.append(f"{mllm.kind} {mllm.model} ({mllm.dtype}{bits}), prompt source: {profile.prompt_source}")
    return Finding("model profile", True, "; ".join(parts))


def bundle(folder: Path) -> Finding:
    """A bundle, every file checked against its hash."""
    found = verify(folder, deep=True)
    text = f"{found.name}, {len(found.files)} files, {found.total_bytes / 2**20:.0f} MiB, {folder}"
    return Finding("model bundle", True, text)


def language_model(profile: Profile) -> Finding:
    """The folder of a local language model, with all the weights that its index names."""
    fix = hub_command(profile.mllm.model, profile.mllm.revision)
    try:
        folder = importlib.import_module("llavaseg_ros.assemble").mllm_folder(without_download(profile))
    except BundleError as error:
        return Finding("language model", False, str(error).split("; to get it")[0], fix)
    missing = missing_files(folder)
    if missing:
        text = f"{folder} lacks {len(missing)} files, {missing[0]} among them"
        return Finding("language model", False, text, fix)
    size = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    return Finding("language model", True, f"{profile.mllm.model}, {size / GIB:.1f} GiB, {folder}")


def server(profile: Profile) -> Finding:
    """Whether the server of a served model is up, and has the model."""
    module = importlib.import_module("llavaseg_ros.reasoning.served")
    told = module.ServedMLLM(
        module.ServedConfig.from_dict({"model": profile.mllm.model, **profile.mllm.server})
    ).check()
    fix = "start the server, or mend mllm.server in the profile (docs/fleet.md)"
    if told["state"] != "up":
        return Finding("model server", False, f"{told['url']} is {told['state']}: {told['last_error']}", fix)
    if told["model_listed"] is False:
        names = ", ".join(told["models"]) or "none"
        return Finding("model server", False, f"{told['url']} does not list {told['model']!r}, but: {names}", fix)
    return Finding("model server", True, f"{told['url']} is up and has {told['model']!r}")


def without_download(profile: Profile) -> Profile:
    """Doctor only looks, whatever the profile allows."""
    return replace(profile, allow_download=False)


def missing_files(folder: Path) -> list[str]:
    """What a transformers folder lacks, as far as its own index tells."""
    wanted = ["config.json", "tokenizer_config.json"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted += sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        wanted.append("model.safetensors")
    if not any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        wanted.append("preprocessor_config.json")
    return [name for name in wanted if not (folder / name).is_file()]


def quantization(profile: Profile) -> Finding:
    """The library that packs the weights."""
    missing = [name for name in ("bitsandbytes", "accelerate") if importlib.util.find_spec(name) is None]
    text = f"missing: {', '.join(missing)}" if missing else f"{profile.mllm.quantization} by bitsandbytes"
    return Finding(
        "quantization", not missing, text, f"{PIP} 'llavaseg_ros[quantized]' (from a checkout: '.[quantized]')"
    )


def sam(profile: Profile) -> Finding:
    """The checkpoint of an official SAM, by size and hash."""
    wanted = profile.segmenter
    path = sam_path(wanted.sam, wanted.checkpoint, profile.folder)
    fix = fetch_command(wanted.sam, path)
    if path.name != OFFICIAL_SAMS[wanted.sam].name:
        fix = f"put your checkpoint of {wanted.sam} at {path}"
    try:
        check_sam(wanted.sam, path)
    except BundleError as error:
        return Finding("SAM", False, str(error).split("; to get it")[0], fix)
    return Finding("SAM", True, f"{wanted.sam}, {path.stat().st_size / GIB:.2f} GiB, {path}")


def adapters(profile: Profile) -> Finding:
    """The folder with the user's trained adapters."""
    folder = Path(profile.segmenter.folder).expanduser()
    folder = folder if folder.is_absolute() else profile.folder / folder
    ok = (folder / "segmenter.json").is_file()
    fix = "train them (docs/training.md), or set segmenter.sam and prompt_source: box in the profile"
    return Finding("adapters", ok, str(folder) if ok else f"{folder} has no segmenter.json", fix)


def gpu_memory(profile: Profile) -> Finding:
    """Whether the profile fits the largest GPU."""
    need = profile.memory.gpu_gb
    lib: Any = importlib.import_module("torch")
    if not lib.cuda.is_available():
        fix = "take a GPU machine, a served model (docs/fleet.md), or --profile default"
        return Finding("GPU memory", False, f"{need:g} GiB are needed, torch sees no GPU", fix, needed=False)
    sizes = [lib.cuda.get_device_properties(i).total_memory / GIB for i in range(lib.cuda.device_count())]
    text = f"{need:g} GiB are needed, the largest GPU has {max(sizes):.0f}"
    return Finding("GPU memory", max(sizes) >= need, text, "take a smaller profile, or quantization: int4")


def host_memory(profile: Profile) -> Finding:
    """Whether the weights fit through the host's memory on their way."""
    need = profile.memory.host_gb
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB if sys.platform == "linux" else 0.0
    text = f"{need:g} GiB are needed, this machine has {have:.0f}"
    return Finding("host memory", have >= need, text, "take a smaller profile", needed=False)
