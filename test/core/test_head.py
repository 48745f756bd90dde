# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The likeliest token by way of bfloat16 is that of float32."""

from __future__ import annotations

import pytest
import torch

from llavaseg_ros.bundle import default_bundle
from llavaseg_ros.reasoning.head import Head
from llavaseg_ros.reasoning.local import LocalMLLM


def check(weight: torch.Tensor, x: torch.Tensor) -> None:
    narrow, plain = Head(weight, narrow=True), Head(weight, narrow=False)
    assert narrow.narrows
    assert not plain.narrows
    assert narrow.likeliest(x) == plain.likeliest(x) == (x @ weight.T).argmax(dim=-1).tolist()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_random_vocabularies(scale: float) -> None:
    generator = torch.Generator().manual_seed(7)
    for size in (1, 2, 500, 20000):
        check(scale * torch.randn(size, 64, generator=generator), torch.randn(40, 64, generator=generator))


def test_tokens_that_bfloat16_cannot_tell_apart() -> None:
    generator = torch.Generator().manual_seed(8)
    base = torch.randn(1, 64, generator=generator)
    # Differences far below bfloat16's rounding, but well above float32's: it alone would choose by chance.
    weight = base + 2e-4 * torch.randn(300, 64, generator=generator)
    x = base + 0.1 * torch.randn(50, 64, generator=generator)
    rough = (x.bfloat16() @ weight.bfloat16().T).float().argmax(dim=-1)
    assert (rough != (x @ weight.T).argmax(dim=-1)).any()
    check(weight, x)


def test_of_equal_tokens_the_first_is_chosen() -> None:
    """As the embedded default has them: letters that MiniLM does not tell apart."""
    generator = torch.Generator().manual_seed(10)
    some = torch.randn(700, 256, generator=generator)
    weight = some[torch.randint(700, (5001,), generator=generator)]
    check(weight, torch.randn(300, 256, generator=generator))


def test_the_embedded_defaults_vocabulary() -> None:
    model = LocalMLLM.load(default_bundle() / "mllm", decoding="plain").model
    weight = model.lm_head.weight.detach()
    norm = model.model.language_model.norm.weight.detach()
    x = torch.randn(200, weight.shape[1], generator=torch.Generator().manual_seed(9)) * norm
    check(weight, x)
    check(weight, weight[::150] * 3.0)
