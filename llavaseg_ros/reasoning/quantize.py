# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Weights of eight and four bits for the language model, by bitsandbytes."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from llavaseg_ros.errors import BundleError

# What turns pixels into tokens is small beside the language model, and four bits there cost more than they save.
# As patterns for whole names of modules, whatever they are part of.
_KEPT = ["lm_head", r"(.*\.)?(visual|vision_tower|vision_model|multi_modal_projector|connector)"]


def quantized(bits: str, dtype: torch.dtype | str) -> Any:
    """transformers' settings for "int8" or "int4". dtype: of the arithmetic, and of all that is not quantized.

    BundleError says what to install where a library is missing.
    """
    if bits not in ("int8", "int4"):
        raise BundleError(f"quantization: got {bits!r}, expected none, int8 or int4")
    missing = [name for name in ("bitsandbytes", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise BundleError(
            f"quantization {bits} needs {' and '.join(missing)}; install with: pip install 'llavaseg_ros[quantized]'"
        )
    from transformers import BitsAndBytesConfig

    if bits == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_KEPT)
    arithmetic = torch.bfloat16 if dtype == "auto" else dtype
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=arithmetic,
        llm_int8_skip_modules=_KEPT,
    )


def weight_count(model: torch.nn.Module) -> int:
    """Number of weights; a matrix of four bits is stored as half as many bytes."""
    total = 0
    for parameter in model.parameters():
        packed = getattr(parameter, "quant_state", None)
        total += packed.shape.numel() if packed is not None else parameter.numel()
    return total
