# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tiny models, made once for all tests of the core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_llava


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of a tiny LLaVA with random weights."""
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture
def image() -> np.ndarray:
    """uint8 [48, 64, 3] of noise."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
