# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The language of the training data: each command must single out its target, by rules written here a second time.

The oracle below knows nothing of the package's own geometry: it reads a dialogue's `meaning` and looks in the raw scene
dict for every object that a person could mean by it.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from llavaseg_ros.evaluation.answers import answer_is_right
from llavaseg_ros.evaluation.dataset import read_dataset
from llavaseg_ros.places import location_name
from llavaseg_ros.reasoning.parser import parse_fields
from llavaseg_ros.training.language import (
    KINDS,
    LANGUAGE_FILE,
    Dialogue,
    corpus,
    dialogue_turns,
    fast_turn,
    load_lexicon,
    make_dialogues,
    quiz_turns,
    random_scene,
    write_test_set,
)
from llavaseg_ros.training.language.phrases import Phrasing, normalized
from llavaseg_ros.training.language.words import AT, NUMBERS, with_strange_words
from llavaseg_ros.training.scenes.catalog import allowed_colors, held_out_pairs, load_catalog

RAW = yaml.safe_load(LANGUAGE_FILE.read_text(encoding="utf-8"))
SEEDS = range(150)


def center(o: dict[str, Any]) -> tuple[float, float]:
    x0, y0, x1, y1 = o["bbox"]
    return (x0 + x1) / 2, (y0 + y1) / 2


def in_view(scene: dict[str, Any]) -> list[dict[str, Any]]:
    return [o for o in scene["objects"] if o["area"] > 0]


def by_id(scene: dict[str, Any], key: int | str | None) -> dict[str, Any]:
    return next(o for o in scene["objects"] if o["id"] == int(key or -1))


def of_head(objects: list[dict[str, Any]], category: str, color: str, group: str) -> list[dict[str, Any]]:
    kinds = {category, *RAW["nouns"].get(category, {}).get("covers", ())}
    if group:
        kinds = {*RAW["groups"][group]["of"], *RAW["groups"][group].get("also", ())}
    anything = not category and not group
    return [o for o in objects if (anything or o["category"] in kinds) and color in ("", o["color"])]


def beside(o: dict[str, Any], relation: str, ref: dict[str, Any]) -> bool:
    dx, dy = (a - b for a, b in zip(center(o), center(ref), strict=True))
    along, across = {
        "left of": (-dx, dy),
        "right of": (dx, dy),
        "in front of": (dy, dx),
        "behind": (-dy, dx),
        "next to": (1e9, 0),
    }[relation]
    return along > 0 and abs(across) <= along


def candidates(scene: dict[str, Any], meaning: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every object that the command could mean."""
    kind, what, category, color, group, ref_id = meaning
    width, height = scene["width"], scene["height"]
    shown = in_view(scene)
    if kind == "use":
        use = RAW["uses"][what]
        fit = [o for o in shown if o["category"] in use["serves"] + use.get("also", [])]
        return [o for o in fit if color in ("", o["color"])]
    matches = of_head(shown, category, color, group)
    if kind in ("name", "color"):
        return matches
    if kind == "size":
        areas = {o["id"]: (o["bbox"][2] - o["bbox"][0]) * (o["bbox"][3] - o["bbox"][1]) for o in matches}
        if what == "smallest":
            return [o for o in matches if areas[o["id"]] <= 1.2 * min(areas.values())]
        return [o for o in matches if areas[o["id"]] >= max(areas.values()) / 1.2]
    if kind == "relation":
        ref = by_id(scene, ref_id)
        there = [o for o in matches if o is not ref and beside(o, what, ref)]
        far = {o["id"]: np.hypot(*np.subtract(center(o), center(ref))) for o in there}
        if (category or color) and what != "next to":
            return there
        return [o for o in there if far[o["id"]] <= 1.2 * min(far.values())]
    return placed(matches, what, width, height)


def placed(objects: list[dict[str, Any]], what: str, width: int, height: int) -> list[dict[str, Any]]:
    """Objects at a place, those that are nearly there too."""
    keys = {
        "leftmost": lambda o: center(o)[0],
        "rightmost": lambda o: -center(o)[0],
        "nearest": lambda o: -o["bbox"][3],
        "farthest": lambda o: o["bbox"][3],
        "middle": lambda o: np.hypot(center(o)[0] - width / 2, center(o)[1] - height / 2),
    }
    if what in keys:
        best = min(keys[what](o) for o in objects)
        return [o for o in objects if keys[what](o) <= best + 0.02 * width]
    wanted = what.split()[:-1] if what.endswith("side") else what.split()
    return [o for o in objects if set(wanted) <= set(location_name(*center(o), width, height).split())]


def everything(phrasing: Phrasing, count: int = 14) -> list[tuple[dict[str, Any], Dialogue]]:
    pairs = []
    for seed in SEEDS:
        rng = random.Random(seed)
        scene = random_scene(rng, training=seed % 2 == 0)
        pairs += [(scene, d) for d in make_dialogues(scene, rng, phrasing=phrasing, count=count, typos=False)]
    return pairs


@pytest.fixture(scope="module")
def known() -> list[tuple[dict[str, Any], Dialogue]]:
    return everything("known")


@pytest.fixture(scope="module")
def held_out() -> list[tuple[dict[str, Any], Dialogue]]:
    return everything("held_out")


def test_every_found_target_is_the_only_one_meant(known: list, held_out: list) -> None:
    seen: Counter[str] = Counter()
    for scene, d in known + held_out:
        if not d.found:
            assert d.target_id is None
            continue
        target = by_id(scene, d.target_id)
        meant = candidates(scene, d.meaning)
        assert [o["id"] for o in meant] == [d.target_id], (d, meant)
        assert target["listed"], d
        seen[d.kind] += 1
    assert set(seen) == set(KINDS) - {"absent", "question"} and min(seen.values()) > 100, seen


def test_attributes_are_those_of_the_target_and_single_it_out(known: list) -> None:
    for scene, d in known:
        if not d.found:
            assert (d.color, d.shape, d.location) == ("", "", "")
            continue
        target = by_id(scene, d.target_id)
        assert d.target == f"{target['color']} {target['category']}"
        assert d.color == target["color"]
        assert d.shape == load_catalog().categories[target["category"]].shape
        assert d.location == location_name(*center(target), scene["width"], scene["height"])
        same = [
            o
            for o in in_view(scene)
            if f"{o['color']} {o['category']}" == d.target and location_name(*center(o), 640, 480) == d.location
        ]
        assert len(same) == 1, d


def names_of(pool: Any) -> list[str]:
    """All names of a kind or group, as they stand in a command."""
    return [normalized(name) for name in (*pool.all_known(), *pool.held_out)]


def test_the_words_say_what_the_meaning_says(known: list, held_out: list) -> None:
    """The command's text names the kind, color, place or reference of its meaning, in words of the data file."""
    lexicon = load_lexicon()
    for scene, d in known + held_out:
        text = normalized(d.command)
        if d.kind not in KINDS or d.meaning[1] in ("talk", "list"):
            continue
        category, color, group = d.meaning[2:5]
        if color:
            assert re.search(rf"\b{color}\b", text), d
        counted = d.meaning[1] == "count"
        if category and not (d.kind == "absent" and d.meaning[1]):
            noun = lexicon.nouns[category]
            assert any(n in text for n in ([noun.plural] if counted else names_of(noun.names))), d
        if group:
            words = lexicon.groups[group]
            assert any(n in text for n in ([words.plural] if counted else names_of(words.names))), d
        if d.kind == "relation":
            ref = by_id(scene, d.meaning[5])
            assert any(r in text for r in names_of(lexicon.relations[d.meaning[1]])), d
            assert any(n in text for n in names_of(lexicon.nouns[ref["category"]].names)), d


def test_absent_things_are_absent(known: list, held_out: list) -> None:
    asked: Counter[str] = Counter()
    for scene, d in known + held_out:
        if d.kind != "absent":
            continue
        _, _, category, color, _, _ = d.meaning
        assert not d.found and d.target == f"{color} {category or 'object'}".strip()
        assert of_head(scene["objects"], category, color, "") == [], d
        assert (category, color) not in held_out_pairs()
        kinds = {o["category"] for o in scene["objects"]}
        if category in kinds:
            asked["right kind, wrong color"] += 1
        elif color in {o["color"] for o in scene["objects"]}:
            asked["right color, wrong kind"] += 1
        else:
            asked["neither"] += 1
        near = {frozenset(pair) for pair in RAW["near_colors"]}
        for o in scene["objects"]:
            if category in ("", o["category"]):
                assert frozenset((o["color"], color)) not in near, d
    assert min(asked.values()) > 20 and len(asked) == 3, asked


def test_answers_to_questions_are_right(known: list, held_out: list) -> None:
    numbers = {word: number for number, word in enumerate(NUMBERS)}
    seen: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for scene, d in known + held_out:
        if d.kind != "question":
            continue
        assert not d.found and d.target == ""
        what = d.meaning[1]
        seen[what] += 1
        assert bool(d.expected) == (what != "talk") and (not d.expected or answer_is_right(d.answer, d.expected)), d
        category, color, group = d.meaning[2:5]
        matches = of_head(in_view(scene), category, color, group)
        if what == "count":
            said = numbers[d.answer.split()[2]]
            assert said == len(matches) == len([o for o in matches if o["listed"]]), d
            assert d.expected == {"kind": "count", "value": said}
            everything = not (category or color or group)
            counted["everything" if everything else "a kind" if category else "a color" if color else "a group"] += 1
            answers[str(said)] += 1
        elif what == "color":
            assert len(matches) == 1 and d.answer.endswith(f"{matches[0]['color']}."), d
        elif what == "is there":
            yes = d.answer.startswith("Yes")
            assert yes == bool(matches), d
            answers["yes" if yes else "no"] += 1
        elif what == "where":
            assert len(matches) == 1
            place = location_name(*center(matches[0]), 640, 480)
            assert d.answer.rstrip(".").endswith(place) and d.expected["value"] == place, d
        elif what == "beside":
            ref_id, relation, thing_id = d.meaning[5:8]
            meant = candidates(scene, ("relation", relation, "", "", "", ref_id))
            assert [o["id"] for o in meant] == [int(thing_id)], d
            assert d.answer.endswith(f"the {meant[0]['color']} {meant[0]['category']}."), d
            ref = by_id(scene, ref_id)
            there = {
                f"{o['color']} {o['category']}" for o in in_view(scene) if o is not ref and beside(o, relation, ref)
            }
            assert set(d.expected["value"]) <= there and d.expected["aside"] == [f"{ref['color']} {ref['category']}"], d
        elif what == "list":
            assert set(d.expected["value"]) == {f"{o['color']} {o['category']}" for o in in_view(scene)}
    assert set(seen) == {"count", "color", "is there", "beside", "where", "list", "talk"}
    assert 0.6 < answers["yes"] / answers["no"] < 1.7
    assert all(answers[str(n)] for n in range(4)), answers
    assert min(counted[k] for k in ("everything", "a kind", "a color", "a group")) > 10, counted
    assert seen["count"] > 0.25 * seen.total(), seen


def listed_as(objects: list[dict[str, Any]]) -> str:
    """The sentence that lists objects from left to right, with their places."""
    words = []
    for o in sorted(objects, key=lambda o: center(o)[0]):
        name = f"{o['color']} {o['category']}"
        article = "" if o["category"] == "scissors" else "an " if name[0] in "aeiou" else "a "
        words.append(f"{article}{name} {AT[location_name(*center(o), 640, 480)]}")
    return f"I see {', '.join(words[:-1])}{' and ' if len(words) > 1 else ''}{words[-1]}."


def test_reasoning_goes_from_what_it_looks_at_to_the_target_and_its_place(known: list) -> None:
    seen: Counter[str] = Counter()
    for scene, d in known:
        kind, what, category, color, group = d.meaning[:5]
        if d.found:
            target = by_id(scene, d.target_id)
            place = AT[location_name(*center(target), scene["width"], scene["height"])]
            assert d.reasoning.endswith(f" {place}.") and d.target in d.reasoning, d
        first = d.reasoning.split(". ")[0]
        if kind == "relation" or what == "beside":
            ref = by_id(scene, d.meaning[5])
            assert f"The {ref['color']} {ref['category']}" in first, d
            assert first.endswith(AT[location_name(*center(ref), 640, 480)]), d
        elif what == "count" and "no " not in d.answer:
            # Things are numbered, so that the last number is the answer.
            among = sorted(of_head(in_view(scene), category, color, group), key=lambda o: center(o)[0])
            names = [f"{n} {o['color']} {o['category']}" for n, o in enumerate(among, 1)]
            if category:
                names = [f"{n} {AT[location_name(*center(o), 640, 480)]}" for n, o in zip(names, among, strict=True)]
            assert d.reasoning == f"{', '.join(names)}. {d.answer}", d
        elif kind in ("place", "size"):
            among = [o for o in of_head(in_view(scene), category, color, group) if o["listed"]]
            free = kind in ("place", "size") and not (category or color or group)  # everything is a candidate
            assert d.reasoning.startswith("I see ") != free, d
            assert free or d.reasoning.startswith(listed_as(among)), d
        else:
            assert d.reasoning.startswith("I see ") == (what == "list"), d
        seen[what if kind == "question" else kind] += 1
    assert min(seen.values()) > 10, seen


def test_articles_fit(known: list) -> None:
    for _, d in known:
        for text in (d.reasoning, d.answer, d.command.lower()):
            assert not re.search(r"\ba (?!one\b)[aeio]\w", text) and not re.search(r"\ban [^aeio]", text), d


def test_held_out_phrasings_never_occur_among_known_ones(known: list, held_out: list) -> None:
    assert {d.phrasing for _, d in known} == {"known"} and {d.phrasing for _, d in held_out} == {"held_out"}

    def texts(pairs: list) -> set[str]:
        return {normalized(d.command) for _, d in pairs}

    assert len(texts(known)) > 1500
    assert texts(known) & texts(held_out) == set()


def test_strange_words_leave_the_command_in_order() -> None:
    rng = random.Random(0)
    for _ in range(50):
        strange = with_strange_words("give me the red mug", rng).split(" ")
        rest = iter(strange)
        assert all(word in rest for word in ["give", "me", "the", "red", "mug"]) and 6 <= len(strange) <= 8


def test_corpus_holds_no_held_out_wording() -> None:
    texts = list(corpus(9000))
    assert len(texts) == 9000
    text = f" {normalized(' . '.join(texts))} "
    for phrase in ("would you mind passing me", "drinking mug", "ripe apple", "kindly pass me", "reach for"):
        assert f" {phrase} " not in text
    assert " hand me " in text and " name the target " in text and " place of " in text
    lexicon, words = load_lexicon(), set(text.split())
    for name, pool in lexicon.pools():
        if name.removeprefix("nouns.") in lexicon.tests_only:
            assert not any(f" {normalized(n)} " in text for n in pool.all_known()), name
        else:
            assert {w for t in pool.all_words() for w in normalized(t).split() if "{" not in w} <= words, name
    assert list(corpus(50)) == list(corpus(50)) and len(list(corpus(50))) == 50


def test_replies_parse_back(known: list, held_out: list) -> None:
    for _, d in known + held_out:
        turns = dialogue_turns(d)
        assert [user for user, _ in turns] == [d.command, "Name the target.", "Describe it."][: 3 if d.found else 2]
        fields = parse_fields(turns[1][1])
        assert (fields.target or "", fields.found, fields.answer) == (d.target, d.found, d.answer)
        if d.found:
            fields = parse_fields(turns[2][1])
            assert (fields.color, fields.shape, fields.location) == (d.color, d.shape, d.location)
        user, reply = fast_turn(d)
        assert user == f"{d.command} Answer in fields."
        fields = parse_fields(reply)
        assert (fields.target or "", fields.found, fields.answer) == (d.target, d.found, d.answer)
        assert (fields.color or "", fields.shape or "", fields.location or "") == (d.color, d.shape, d.location)


def test_kinds_come_in_their_shares() -> None:
    rng = random.Random(3)
    made: Counter[str] = Counter()
    for _ in range(400):
        made.update(d.kind for d in make_dialogues(random_scene(rng), rng, phrasing="known", count=4))
    assert made.total() == 1600
    for kind, share in load_lexicon().shares.items():
        assert abs(made[kind] / made.total() - share) < 0.05, (kind, made)


def test_same_seed_same_dialogues_and_the_scene_is_not_changed() -> None:
    scene = random_scene(random.Random(5))
    before = json.dumps(scene)
    one, two, other = (make_dialogues(scene, random.Random(s), phrasing="held_out", count=8) for s in (1, 1, 2))
    assert one == two != other
    assert json.dumps(scene) == before
    assert len({d.command for d in one}) == 8


@pytest.mark.parametrize("objects", [0, 1, 2])
def test_poor_scenes_give_what_they_can(objects: int) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        scene = random_scene(rng, objects=objects, unlisted=1)
        dialogues = make_dialogues(scene, rng, phrasing="held_out", count=6)
        assert len(dialogues) == 6
        if objects == 0:
            assert {d.kind for d in dialogues} <= {"absent", "question"}
        assert isinstance(quiz_turns(scene, random.Random(0)), list)


def test_an_unlisted_twin_makes_a_name_ambiguous() -> None:
    def entry(key: int, category: str, color: str, x: int, listed: bool) -> dict[str, Any]:
        box = [x, 200, x + 50, 260]
        seen = {"bbox": box, "area": 900, "visible": 0.9, "listed": listed}
        return {"id": key, "category": category, "color": color, **seen}

    objects = [entry(1, "mug", "red", 100, True), entry(2, "bowl", "blue", 300, True)]
    objects.append(entry(3, "mug", "green", 500, False))
    scene = {"image": "a.jpg", "width": 640, "height": 480, "objects": objects}
    rng = random.Random(0)
    named = {d.meaning[2:4] for d in make_dialogues(scene, rng, phrasing="known", count=40, shares={"name": 1})}
    assert ("mug", "") not in named
    assert {("mug", "red"), ("bowl", "")} <= named
    # The half-hidden mug stands further right than the bowl, so nothing is clearly the rightmost target.
    places = {d.meaning[1] for d in make_dialogues(scene, rng, phrasing="known", count=40, shares={"place": 1})}
    assert "leftmost" in places and "rightmost" not in places
    counts = make_dialogues(scene, rng, phrasing="known", count=60, shares={"question": 1})
    assert not [d for d in counts if d.meaning[1] == "count" and d.meaning[2:4] == ("mug", "")]


def test_relative_location_is_an_option() -> None:
    rng = random.Random(0)
    found = 0
    for _ in range(30):
        scene = random_scene(rng)
        for d in make_dialogues(scene, rng, phrasing="known", count=4, shares={"relation": 1}, relative_location=1.0):
            ref = by_id(scene, d.meaning[5])
            assert d.location.endswith(f", {d.meaning[1]} the {ref['color']} {ref['category']}")
            found += 1
    assert found > 20


def right_reply(scene: dict[str, Any], question: str, reply: str) -> bool | None:
    """Whether a quiz's reply is right; None where this oracle has no rule for the question."""
    shown = in_view(scene)
    named = {f"{o['color']} {o['category']}": o for o in shown}
    kinds = sorted({o["category"] for o in shown}, key=len)
    what, _, rest = question.removeprefix("? ").partition(" of ")
    place = {id(o): location_name(*center(o), 640, 480) for o in shown}
    area = {id(o): (o["bbox"][2] - o["bbox"][0]) * (o["bbox"][3] - o["bbox"][1]) for o in shown}
    if what == "place":
        fits = [o for o in shown if rest in (o["category"], f"{o['color']} {o['category']}")]
        return [place[id(o)] for o in fits] == [reply]
    if what == "color":
        return [o["color"] for o in shown if o["category"] == rest] == [reply] and rest in kinds
    if what == "bigger":
        first, second = (named[n] for n in rest.split(", "))
        return area[id(named[reply])] == max(area[id(first)], area[id(second)])
    if what.startswith("more "):
        first, second = (named[n] for n in rest.split(", "))
        sign, axis = {"left": (-1, 0), "right": (1, 0), "front": (1, 1), "back": (-1, 1)}[what.removeprefix("more ")]
        return named[reply] is max(first, second, key=lambda o: sign * center(o)[axis])
    if what == "all":
        return reply.split(", ") == [n for n, _ in sorted(named.items(), key=lambda i: center(i[1])[0])]
    if what.startswith("what at "):
        there = sorted((o for o in shown if place[id(o)] == what.removeprefix("what at ")), key=lambda o: center(o)[0])
        return reply.split(", ") == [f"{o['color']} {o['category']}" for o in there]
    if what.startswith("what is "):
        return [o["category"] for o in shown if o["color"] == what.removeprefix("what is ")] == [reply]
    if what == "leftmost thing":
        return named[reply] is min(shown, key=lambda o: center(o)[0])
    if what == "biggest thing":
        return area[id(named[reply])] == max(area.values())
    return None


def test_quiz_is_true_and_never_asks_twice() -> None:
    rng = random.Random(1)
    checked: Counter[str] = Counter()
    for _ in range(150):
        scene = random_scene(rng, unlisted=0)
        names = [(o["color"], o["category"]) for o in scene["objects"]]
        if len(set(names)) < len(names) or {"box", "cereal box"} <= {c for _, c in names}:
            continue
        turns = quiz_turns(scene, rng, count=12)
        assert len({question for question, _ in turns}) == len(turns) <= 12
        for question, reply in turns:
            assert question.startswith("? ")
            right = right_reply(scene, question, reply)
            assert right is not False, (question, reply, scene)
            checked[question.split()[1]] += right is not None
    assert min(checked[w] for w in ("place", "color", "what", "bigger", "more", "leftmost", "biggest")) > 5, checked
    scene = random_scene(random.Random(3))
    assert quiz_turns(scene, random.Random(4)) == quiz_turns(scene, random.Random(4))


def test_quiz_counts_what_is_there() -> None:
    rng = random.Random(2)
    counted: Counter[str] = Counter()
    for _ in range(100):
        scene = random_scene(rng, unlisted=0)
        for question, reply in quiz_turns(scene, rng, count=12):
            words = question.removeprefix("? count ").split()
            if question.startswith("? number "):
                among = sorted(of_what(scene, question.removeprefix("? number ")), key=lambda o: center(o)[0])
                names = [f"{n} {o['color']} {o['category']}" for n, o in enumerate(among, 1)]
                said = reply.split(", ")
                assert len(said) == len(names) and all(a.startswith(b) for a, b in zip(said, names, strict=True))
                counted["numbered"] += 1
            if question.startswith("? count") and words[-1] == "object":
                number = sum(o["color"] == words[0] for o in scene["objects"])
                assert reply == ("no", "one", "two", "three", "four")[number]
                counted[reply] += 1
    assert len(counted) >= 5 and counted["numbered"] > 20, counted


def of_what(scene: dict[str, Any], words: str) -> list[dict[str, Any]]:
    """The objects that a quiz means by "thing", "red object" or "mug"."""
    if words == "thing":
        return in_view(scene)
    if words.endswith(" object"):
        return of_head(in_view(scene), "", words.removesuffix(" object"), "")
    return of_head(in_view(scene), words, "", "")


@pytest.fixture
def scenes_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    folder.mkdir()
    rng = random.Random(9)
    lines = []
    held_out = sorted(load_catalog().held_out)
    for index in range(16):
        scene = random_scene(rng)
        scene["pack"] = 1000
        # As in the packs of the test range: some things are of kinds that training never shows.
        for o in scene["objects"][: 2 if index % 2 else 0]:
            kind = held_out[(index + o["id"]) % len(held_out)]
            color = allowed_colors(kind, training=False)[index % 5]
            o.update(category=kind, color=color, held_out=True)
        scene |= {"image": f"{index:06d}.jpg", "instances": f"{index:06d}.png"}
        instances = np.zeros((480, 640), np.uint8)
        for o in scene["objects"]:
            x, y = (int(v) for v in center(o))
            cv2.circle(instances, (x, y), 8, int(o["id"]), -1)
        cv2.imwrite(str(folder / scene["instances"]), instances)
        cv2.imwrite(str(folder / scene["image"]), np.zeros((480, 640, 3), np.uint8))
        lines.append(json.dumps(scene))
    (folder / "scenes.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_write_test_set(scenes_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sets" / "test.jsonl"
    assert write_test_set(scenes_folder, out, seed=4, per_scene=4) == 64
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    scenes = {s["image"]: s for s in map(json.loads, (scenes_folder / "scenes.jsonl").read_text().splitlines())}
    kinds, sides = Counter(r["kind"] for r in rows), Counter(r["phrasing"] for r in rows)
    assert sides == {"known": 32, "held_out": 32}
    assert set(kinds) == set(KINDS) and max(kinds.values()) - min(kinds.values()) <= 4, kinds
    for row in rows:
        image = (out.parent / row["image"]).resolve()
        assert image.is_file() and not Path(row["image"]).is_absolute()
        objects = scenes[image.name]["objects"]
        about = {str(o["id"]): o for o in objects}
        named = [about[k] for k in (str(row["id"]), *row["meaning"][5:]) if k in about]
        strange = any(o.get("held_out") for o in named) or row["meaning"][2] in load_catalog().held_out
        assert row["held_out_category"] == strange, row
        assert (row["expected"] is not None) == (row["kind"] == "question") and row["meaning"][1] != "talk"
        pair = (about[str(row["id"])]["category"], about[str(row["id"])]["color"]) if row["id"] else None
        assert row["held_out_pair"] == (pair in held_out_pairs())
        if row["kind"] in ("absent", "question"):
            assert row["mask"] is None and row["attributes"] is None and row["id"] is None and not row["found"]
            assert (row["target"] is None) == (row["kind"] == "question")
            continue
        mask = cv2.imread(str(out.parent / row["mask"]), cv2.IMREAD_UNCHANGED)
        instances = cv2.imread(str(scenes_folder / scenes[image.name]["instances"]), cv2.IMREAD_UNCHANGED)
        assert mask is not None and instances is not None
        assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
        assert np.array_equal(mask > 0, instances == row["id"])
        target = by_id(scenes[image.name], row["id"])
        assert row["target"] == f"{target['color']} {target['category']}"
        assert set(row["attributes"]) == {"color", "shape", "location"}
    samples = read_dataset(out, need_truth=True)
    assert [sample.command for sample in samples] == [row["command"] for row in rows]
    assert {"count", "color", "yes_no", "objects"} <= {row["expected"]["kind"] for row in rows if row["expected"]}
    reached = Counter(row["kind"] for row in rows if row["held_out_category"])
    assert sum(reached.values()) > 5 and len(reached) > 2, reached
    before = out.read_text()
    write_test_set(scenes_folder, out, seed=4, per_scene=4)
    assert out.read_text() == before
    write_test_set(scenes_folder, out, seed=5, per_scene=4, phrasing="known")
    assert {json.loads(line)["phrasing"] for line in out.read_text().splitlines()} == {"known"}


def test_write_test_set_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scenes.jsonl"):
        write_test_set(tmp_path, tmp_path / "out.jsonl")
    (tmp_path / "scenes.jsonl").write_text('{"image": \n')
    with pytest.raises(ValueError, match=r"scenes.jsonl:1"):
        write_test_set(tmp_path, tmp_path / "out.jsonl")


def test_bad_arguments_are_named() -> None:
    scene = random_scene(random.Random(0))
    with pytest.raises(ValueError, match="phrasing is 'new'"):
        make_dialogues(scene, random.Random(0), phrasing="new", count=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        make_dialogues(scene, random.Random(0), phrasing="known", count=1, shares={"shape": 1.0})
    scene["objects"][0]["category"] = "dragon"
    with pytest.raises(ValueError, match="dragon"):
        make_dialogues(scene, random.Random(0), phrasing="known", count=1)


def _edited(tmp_path: Path, edit: Any) -> Path:
    data = yaml.safe_load(LANGUAGE_FILE.read_text(encoding="utf-8"))
    edit(data)
    path = tmp_path / "language.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["frames"]["held_out"].append("hand me {the}"), "both known and held out"),
        (lambda d: d["uses"]["nail"]["serves"].append("anvil"), "anvil"),
        (lambda d: d["uses"].pop("nail"), "hammer"),
        (lambda d: d["places"].pop("middle"), "places"),
        (lambda d: d["nouns"]["mug"].update(like=["goblet"]), "goblet"),
        (lambda d: d["frames"]["known"].append("<hand it to> {the}."), "hand it to"),
        (lambda d: d["frames"]["known"].append("(hand|give me {the}."), "parentheses"),
        (lambda d: d["slots"]["take"].append("<find>") or d["slots"]["find"].append("<take>"), "hold each other"),
        (lambda d: d["questions"]["count"].update(known=[]), "questions.count"),
        (lambda d: d["shares"].pop("use"), "shares"),
    ],
)
def test_a_wrong_language_file_is_named(tmp_path: Path, edit: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_lexicon(_edited(tmp_path, edit))


def test_a_user_can_add_an_object_and_phrasings(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["nouns"]["teapot"] = {"known": ["teapot"], "held_out": ["pot of tea"], "plural": "teapots"}
        data["uses"]["coffee"]["serves"].append("teapot")
        data["frames"]["known"] = ["Go get {the}, robot friend."]

    lexicon = load_lexicon(_edited(tmp_path, edit))
    box = [100, 100, 160, 160]
    scene = {
        "width": 640,
        "height": 480,
        "objects": [{"id": 1, "category": "teapot", "color": "blue", "bbox": box, "area": 900, "visible": 1.0}],
    }
    texts = [
        normalized(d.command)
        for d in make_dialogues(scene, random.Random(0), phrasing="known", count=6, shares={"name": 1}, lexicon=lexicon)
    ]
    assert texts and all("go get the" in t and "teapot" in t for t in texts)


def test_every_catalog_kind_has_words_and_a_purpose() -> None:
    lexicon, catalog = load_lexicon(), load_catalog()
    assert set(lexicon.nouns) - lexicon.photograph_only == {*catalog.categories, *catalog.held_out}
    assert lexicon.tests_only == set(catalog.held_out)
    for name, noun in lexicon.nouns.items():
        assert noun.names.known[0] == name and noun.names.held_out
        assert [u for u in lexicon.uses.values() if name in u.serves] or name in lexicon.tests_only
