# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparing names and counting what was taken for what."""

from __future__ import annotations

from llavaseg_ros.evaluation.names import (
    COLORS,
    confused,
    confusion_matrix,
    normalise_name,
    same_name,
    without_color,
)
from llavaseg_ros.training.scenes.catalog import load_catalog


def test_names_are_compared_without_case_articles_and_full_stops() -> None:
    assert normalise_name("  A Red\tMug. ") == "red mug"
    assert normalise_name(None) == ""
    assert same_name("the red mug", "Red mug") is True
    assert same_name("red cup", "red mug") is False
    assert same_name(None, "red mug") is False
    assert same_name("red mug", None) is None


def test_colors_come_off_names_but_fruits_stay() -> None:
    assert [without_color(n) for n in ("Red mug", "orange orange", "orange", "mug", "toy car", "")] == [
        "mug", "orange", "orange", "mug", "toy car", "",
    ]  # fmt: skip
    assert set(COLORS) == set(load_catalog().colors)


def test_confused_counts_what_differs() -> None:
    pairs = [("red mug", "the red mug"), ("cup", "mug"), ("cup", "mug"), ("cup", ""), ("", "mug")]
    assert confused(pairs) == [("cup", "mug", 2), ("cup", "", 1)]


def test_a_matrix_in_a_given_order() -> None:
    pairs = [("red", "red"), ("red", "blue"), ("blue", ""), ("red", "teal"), ("lime", "red"), ("", "red")]
    found = confusion_matrix(pairs, ("red", "green", "blue"))
    assert found.rows == ("red", "green", "blue", "lime")
    assert found.columns == ("red", "green", "blue", "lime", "(other)", "(none)")
    assert found.counts == ((1, 0, 1, 0, 1, 0), (0,) * 6, (0, 0, 0, 0, 0, 1), (1, 0, 0, 0, 0, 0))
    assert found.as_json()["said"] == list(found.columns)


def test_a_matrix_of_other_words_has_no_empty_rows() -> None:
    found = confusion_matrix([("north", "north"), ("east", "north")], ("left", "right"))
    assert found.rows == found.columns == ("east", "north")
    assert confusion_matrix([], ("left",)).rows == ()


def test_rare_words_are_folded_together() -> None:
    pairs = [("mug", "mug")] * 3 + [("cup", "cup")] * 2 + [("pen", "mug"), ("can", "can")]
    found = confusion_matrix(pairs, most=2)
    assert found.rows == ("cup", "mug", "(other)")
    assert found.columns == ("cup", "mug", "(other)")
    assert found.counts == ((2, 0, 0), (0, 3, 0), (0, 1, 1))
