# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How many threads the models compute with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from llavaseg_ros.device import use_cpu_threads


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("cores", "threads"), [({0}, 1), ({0, 1}, 1), (set(range(8)), 7)])
def test_one_core_is_left(monkeypatch: pytest.MonkeyPatch, cores: set[int], threads: int) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cores)
    use_cpu_threads()
    assert torch.get_num_threads() == threads


def test_a_number_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cpu_threads(3)
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    use_cpu_threads()
    assert torch.get_num_threads() == 3
