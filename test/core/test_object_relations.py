# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relation tokens: what stands on which side of what."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from llavaseg_ros.reasoning.object_relations import SIDES, nearest_by_side, relation_tokens
from llavaseg_ros.reasoning.object_tower import ObjectTower, ObjectTowerConfig, add_relations

# x to the right, y to the front: a row of three, and one in front of the middle one.
CENTRES = torch.tensor([[[0.22, 0.3], [0.4, 0.3], [0.75, 0.3], [0.4, 0.6]]])
FOUND = torch.ones(1, 4, dtype=torch.bool)
MIDDLE = 1


def neighbours(of: int, centres: torch.Tensor = CENTRES, found: torch.Tensor = FOUND) -> dict[str, int]:
    index, ratio = nearest_by_side(centres, found)
    return {side: int(index[0, of, k]) for k, side in enumerate(SIDES) if ratio[0, of, k] > 0}


def test_each_side_has_its_nearest_thing() -> None:
    assert neighbours(MIDDLE) == {"left": 0, "right": 2, "front": 3, "next": 0}
    assert neighbours(3) == {"right": 2}  # two things stand behind it, one about as near as the other


def test_nothing_is_said_of_two_that_are_as_near() -> None:
    centres = CENTRES.clone()
    centres[0, 3] = torch.tensor([0.24, 0.33])  # beside the leftmost, and as far from the middle one
    assert "left" not in neighbours(MIDDLE, centres)


def test_places_without_an_object_do_not_count() -> None:
    assert neighbours(MIDDLE, found=torch.tensor([[False, True, True, True]])) == {"right": 2, "front": 3}


def test_far_things_are_not_beside() -> None:
    assert neighbours(0, torch.tensor([[[0.05, 0.3], [0.95, 0.3]]]), torch.ones(1, 2, dtype=torch.bool)) == {}


def test_tokens_hold_the_clearest_relations_in_order_of_the_first_object() -> None:
    words = torch.eye(4)[None]
    first, second, side = relation_tokens(words, CENTRES, FOUND, 20)
    said = {
        (int(a.argmax()), SIDES[int(s.argmax())], int(b.argmax()))
        for a, b, s in zip(first[0], second[0], side[0], strict=True)
        if s.any()
    }
    index, ratio = nearest_by_side(CENTRES, FOUND)
    expected = {(i, side, int(index[0, i, k])) for i in range(4) for k, side in enumerate(SIDES) if ratio[0, i, k] > 0}
    assert said == expected and len(said) > 5
    few, _, few_sides = relation_tokens(words, CENTRES, FOUND, 3)
    assert few_sides.sum() == 3
    assert few[0].argmax(dim=-1).tolist() == sorted(few[0].argmax(dim=-1).tolist())
    threshold = ratio.flatten().sort(descending=True).values[2]
    kept = {(int(a.argmax()), int(s.argmax())) for a, s in zip(few[0], few_sides[0], strict=True)}
    assert all(ratio[0, i, k] >= threshold for i, k in kept)


def test_an_empty_table_has_no_relations() -> None:
    parts = relation_tokens(torch.eye(4)[None], CENTRES, torch.zeros(1, 4, dtype=torch.bool), 6)
    assert [tuple(part.shape) for part in parts] == [(1, 6, 4), (1, 6, 4), (1, 6, 5)]
    assert not any(part.any() for part in parts)


def test_objects_stay_as_they_were() -> None:
    config = ObjectTowerConfig(out=4, label_names=["cup", "mug"], color_names=["red"], num_objects=3, num_relations=5)
    plain = torch.rand(2, 4, config.token_size - config.relation_size)
    tokens = add_relations(plain, config)
    assert tokens.shape == (2, config.num_tokens, config.token_size)
    split = config.out + config.num_words
    kept = torch.cat([tokens[:, :4, :split], tokens[:, :4, split + config.relation_size :]], dim=-1)
    assert torch.equal(kept, plain) and not tokens[:, :4, split : split + config.relation_size].any()
    assert not tokens[:, 4:, -1].any()  # no score: a relation is not an object


def test_a_tower_of_other_sizes_than_its_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size is 7; tokens of these sizes have"):
        ObjectTower(ObjectTowerConfig(hidden_size=7, num_relations=4))
