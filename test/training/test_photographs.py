# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Speaking about photographs: kinds that no rendered scene shows, in pictures that show more than a record lists."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from llavaseg_ros.training.language import (
    KINDS,
    Dialogue,
    load_lexicon,
    load_photographs,
    make_dialogues,
    quiz_turns,
    random_photograph,
)
from llavaseg_ros.training.language.photographs import PHOTOGRAPHS_FILE, shape_of
from llavaseg_ros.training.language.phrases import normalized
from llavaseg_ros.training.scenes.catalog import load_catalog

# The names of the grocery data set.
NAMES = """apple, asparagus, aubergine, avocado, banana, cabbage, carrots, cucumber, garlic, ginger, juice, kiwi, leek,
lemon, lime, mango, melon, milk, mushroom, nectarine, oat milk, oatghurt, onion, orange, papaya, passion fruit, peach,
pear, pepper, pineapple, plum, pomegranate, potato, red beet, red grapefruit, satsumas, sour cream, sour milk, soy milk,
soyghurt, tomato, yoghurt, zucchini""".replace("\n", " ").split(", ")


def record(category: str, color: str, **others: Any) -> dict[str, Any]:
    thing = {"id": 1, "category": category, "color": color, "bbox": [60, 70, 160, 170], "area": 7000}
    thing |= {"visible": 1.0, "listed": True, "centroid": [110, 120]}
    return {"image": "a.jpg", "width": 224, "height": 224, "objects": [thing], **others}


def spoken_about(scene: dict[str, Any], count: int = 40) -> list[Dialogue]:
    return [d for seed in range(count) for d in make_dialogues(scene, random.Random(seed), phrasing="known", count=2)]


def test_every_name_of_the_data_set_can_be_spoken_about() -> None:
    photographs, lexicon = load_photographs(), load_lexicon()
    assert set(photographs.names) == set(NAMES) and len(NAMES) == 43
    for kind in photographs.names.values():
        color = photographs.colors[kind][0] if kind in photographs.colors else load_catalog().categories[kind].colors[0]
        made = spoken_about(record(kind, color, complete=False), 12)
        assert {"name", "use"} <= {d.kind for d in made}, kind
        for d in made:
            if d.found:
                assert (d.target, d.color, d.location) == (f"{color} {kind}", color, "middle")
                assert d.shape == shape_of(kind) != ""
    assert lexicon.photograph_only == set(photographs.shapes) <= set(photographs.names.values())
    assert set(photographs.fine_colors.values()) <= set(load_catalog().colors)


def test_a_photograph_is_spoken_about_in_all_ways_that_fit() -> None:
    kinds: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for seed in range(250):
        rng = random.Random(seed)
        scene = random_photograph(rng)
        for d in make_dialogues(scene, rng, phrasing="known", count=4):
            kinds[d.kind] += 1
            if d.kind == "question":
                asked[d.meaning[1]] += 1
    assert min(kinds[k] for k in ("name", "color", "use", "absent", "question")) > 40, kinds
    assert set(kinds) <= set(KINDS) - {"place", "size", "relation"}, kinds
    assert set(asked) == {"color", "is there", "where", "talk"}, "what the record does not list is not counted"


def test_other_food_is_never_called_absent_from_a_shelf() -> None:
    food = set(load_photographs().names.values())
    absent = [d for d in spoken_about(record("apple", "red", complete=False), 300) if d.kind == "absent"]
    assert len(absent) > 20
    for d in absent:
        assert d.meaning[2] and d.meaning[2] not in food and not d.meaning[3], d


def test_a_record_can_say_that_it_lists_everything() -> None:
    def counts(scene: dict[str, Any]) -> int:
        made = [
            d
            for seed in range(40)
            for d in make_dialogues(scene, random.Random(seed), phrasing="known", count=2, shares={"question": 1})
        ]
        return sum(d.meaning[1] == "count" for d in made)

    assert counts(record("mango", "yellow")) == 0, "a kind that only photographs show: taken as incomplete"
    assert counts(record("mango", "yellow", complete=True)) > 5
    assert counts(record("mug", "red")) > 5
    assert counts(record("mug", "red", complete=False)) == 0
    questions = {q.split()[1] for seed in range(30) for q, _ in quiz_turns(record("apple", "red", complete=False),
                                                                          random.Random(seed))}  # fmt: skip
    assert questions and not questions & {"all", "number", "count", "leftmost", "biggest"}


def test_rendered_scenes_are_not_asked_for_kinds_of_photographs() -> None:
    lexicon = load_lexicon()
    shown = record("mug", "red")
    named = {d.meaning[2] for d in spoken_about(shown, 400) if d.kind in ("absent", "question")}
    assert named & set(lexicon.rendered) and not named & (lexicon.photograph_only | lexicon.tests_only)


def test_uses_of_photographed_kinds() -> None:
    said = {
        normalized(d.command) for d in spoken_about(record("potato", "brown", complete=False), 200) if d.kind == "use"
    }
    assert any("cook" in text for text in said) and not any("drink" in text for text in said)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["names"].update(kale="kale"), "kale"),
        (lambda d: d["kinds"]["mango"].update(colors=["mauve"]), "mauve"),
        (lambda d: d["kinds"].update(apple=dict(d["kinds"]["mango"])), "apple"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, edit: Any, message: str) -> None:
    data = yaml.safe_load(PHOTOGRAPHS_FILE.read_text(encoding="utf-8"))
    edit(data)
    path = tmp_path / "photographs.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_photographs(path)
