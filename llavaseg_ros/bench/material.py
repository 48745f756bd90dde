# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark asks, and about which pictures: the recording of the demo, whose objects are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import cv2
import numpy as np

from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.images import read_ids

OBJECTS = (
    *("red mug", "green bowl", "yellow banana", "purple book"),
    *("orange scissors", "gray hammer", "pink ball", "black phone"),
)
_WAYS = (
    *("Hand me the {}.", "Give me the {}, please.", "I want the {}.", "Can you bring me the {}?", "Pick up the {}."),
    *("Where is the {}?", "Show me the {}.", "Point at the {}."),
)
_OTHER_WAYS = (
    *("I need the {}.", "Pass me the {}.", "Fetch the {}, please.", "Get me the {}.", "Could you find the {}?"),
    *("Take the {}.", "Which one is the {}?", "Grasp the {}."),
)
QUESTIONS = (
    "What is on the table?", "What color is the ball?", "How many objects are there?", "Is there a banana?",
    "Where is the phone?", "What is left of the bowl?", "Is there a spoon?", "What color is the mug?",
    "Where is the hammer?", "Do you see scissors?", "How many mugs are there?", "What color is the book?",
)  # fmt: skip


def commands(*, other: bool = False) -> list[str]:
    """64 commands that are all different, since decoding may learn from what was said before; neighbors in the list
    have neither object nor words in common. other: another 64."""
    ways, steps = _OTHER_WAYS if other else _WAYS, product(range(8), range(8))
    return [ways[(i + turn) % 8].format(OBJECTS[(5 * i + 2 * turn) % 8]) for turn, i in steps]


@lru_cache(maxsize=1)
def frames() -> tuple[np.ndarray, ...]:
    """The recording's pictures in order of time, uint8 [480, 640, 3] RGB, ten a second."""
    return tuple(frame.rgb for frame in read_frames())


def resized(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture cut to the shape of `size` (width, height in pixels) around its middle, and resized to it."""
    height, width = rgb.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    w, h = round(size[0] / scale), round(size[1] / scale)
    left, top = (width - w) // 2, (height - h) // 2
    cut = rgb[top : top + h, left : left + w]
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


@lru_cache(maxsize=1)
def _known() -> tuple[tuple[np.ndarray, np.ndarray, dict[str, int]], ...]:
    """Of the frames whose objects are known pixel by pixel: picture, ids [H, W], and object -> its id."""
    folder = DEMO_BAG.parent
    truth = json.loads((folder / f"{DEMO_BAG.name}_truth.json").read_text(encoding="utf-8"))
    return tuple(
        (
            frames()[entry["frame"]],
            read_ids(folder / entry["instances"]),
            {f"{item['color']} {item['category']}": item["id"] for item in entry["objects"]},
        )
        for entry in truth["frames"]
    )


def table_with(kept: Sequence[str], number: int) -> np.ndarray:
    """A frame of the recording, uint8 [480, 640, 3], on which all but these objects are painted over with the table
    around them."""
    rgb, ids, known = _known()[number % len(_known())]
    others = [place for name, place in known.items() if name not in kept]
    hidden = cv2.dilate(np.isin(ids, others).astype(np.uint8), np.ones((17, 17), np.uint8))
    return cv2.inpaint(rgb, hidden, 5, cv2.INPAINT_TELEA)
