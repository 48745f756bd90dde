# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run comes back as it was."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.bags.state import Counts, State, Track, load_state, save_state
from llavaseg_ros.errors import BadRequest, ErrorCode
from llavaseg_ros.types import Attributes, Result, Segment, Thought


def mask(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((48, 64)) > 0.5


def rich() -> Result:
    """A result whose every field has a value of its own."""
    blue = Attributes("blue", "tall", "right")
    other = Thought("blue mug", blue, "And this.", "Hm.", True, ("r",), (0.1, 2.0, 3.0, 4.0))
    thought = Thought(
        "red mug",
        Attributes("red", "round", "left"),
        "Here: \u00fc\u20ac.",
        "I see.",
        True,
        ("one", "two"),
        (1 / 3, 2.0, 3.5, 4.0),
        (other,),
        True,
    )
    segments = (
        Segment(mask(1), 0.1 + 0.2, (1, 2, 3, 4), "red mug", Attributes("red", "x", "y")),
        Segment(mask(2), 0.5, (5, 6, 7, 8), "blue mug", None),
    )
    seconds = {"encode": 0.1, "reason": 1 / 3, "segment": 0.0}
    return Result("the mugs", thought, "Here.", True, segments, np.float32(0.9).item(), seconds, ErrorCode.NO_DEPTH)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray):
        return bool(first.dtype == second.dtype and (first == second).all())
    if isinstance(first, tuple):
        return isinstance(second, tuple) and len(first) == len(second) and all(map(same, first, second))
    if hasattr(first, "__dataclass_fields__"):
        return type(first) is type(second) and all(
            same(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)
        )
    return bool(type(first) is type(second) and first == second)


def test_the_sample_sets_every_field() -> None:
    """A field that is new in the core must come back, too: give it a value here."""
    result = rich()
    for value in (result, result.thought, result.thought.attributes, result.segments[0]):
        for one in fields(value):
            if one.default is not MISSING:
                assert getattr(value, one.name) != one.default, f"{type(value).__name__}.{one.name}"


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = State(
        17,
        Counts(9, 8, 7, 6, 5, 4, "image 3: \u00fc"),
        [Track(rich(), 123456789012345678, 42, True), Track(), Track(rich(), 1, None, False)],
    )
    save_state(state, tmp_path / "state.npz")
    back = load_state(tmp_path / "state.npz")
    assert (back.next_frame, back.counts) == (17, state.counts)
    assert len(back.tracks) == 3
    for before, after in zip(state.tracks, back.tracks, strict=True):
        assert same(before, after)


def test_numbers_of_numpy_can_be_kept(tmp_path: Path) -> None:
    segment = Segment(mask(1), np.float32(0.5), tuple(np.array([1, 2, 3, 4])))  # type: ignore[arg-type]
    result = Result("x", Thought("mug"), "", True, (segment,), np.float64(0.25), {})
    save_state(State(tracks=[Track(result)]), tmp_path / "state.npz")
    back = load_state(tmp_path / "state.npz").tracks[0].result
    assert back is not None
    assert (back.segments[0].score, back.segments[0].roi, back.presence) == (0.5, (1, 2, 3, 4), 0.25)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_what_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.npz").write_bytes(content)
    with pytest.raises(BadRequest, match=r"state.npz cannot be read.*--restart"):
        load_state(tmp_path / "state.npz")
