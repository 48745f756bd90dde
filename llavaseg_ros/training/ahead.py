# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Batches that are made while the model computes: in processes of their own, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2
from torch.utils.data import DataLoader, Dataset

Item = TypeVar("Item")
Made = TypeVar("Made")


class _Calls(Dataset):
    def __init__(self, make: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.make, self.items = make, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.make(self.items[index])


def ahead(make: Callable[[Item], Made], items: Sequence[Item], workers: int) -> Iterator[Made]:
    """make(item) of each item, in order; with workers, in so many processes that run ahead of the caller.

    They are forked, so `make` may be anything that does not touch the GPU. What it raises is raised here.
    """
    if workers <= 0:
        yield from map(make, items)
        return
    yield from DataLoader(
        _Calls(make, items),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        collate_fn=_unchanged,
        worker_init_fn=_one_thread,
        multiprocessing_context="fork",
    )


def _unchanged(made: Any) -> Any:
    return made


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)  # torch does the same for its own
