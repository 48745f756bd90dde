# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands, trials, rates and the page of `llavaseg pick`, without a robot."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.geometry import Intrinsics
from llavaseg_ros.images import jpeg_bytes
from llavaseg_ros.pick.commands import KINDS, choose_command
from llavaseg_ros.pick.page import write_page
from llavaseg_ros.pick.pictures import GRASP, draw_grasp, from_above
from llavaseg_ros.pick.rates import by_kind, causes, line, rates, results
from llavaseg_ros.pick.second_look import SECOND, THIRD, same_thing, turned, turned_back
from llavaseg_ros.pick.trials import Arm, Trial, masked_thing, read_trials, write_trials

RIGHT, NONE, WRONG = Arm(("red mug",)), Arm(), Arm(("blue can",))


def trial(number: int, ours: Arm | None, truth: Arm = RIGHT, **fields: object) -> Trial:
    """One trial about a red mug; the mask lies on it unless told otherwise."""
    common = {"kind": "name", "phrasing": "known", "command": "the mug", "target": "red mug", "found": True,
              "on": "red mug", "score": 0.8}  # fmt: skip
    return Trial(number=number, ours=ours, truth=truth, **{**common, **fields})  # type: ignore[arg-type]


def scene() -> dict:
    """A red mug left of a blue can, as a line of scenes.jsonl."""
    def thing(number: int, category: str, color: str, x: int, size: int) -> dict:
        return {"id": number, "category": category, "color": color, "bbox": [x, 200, x + size, 200 + size],
                "area": size * size,
                "visible": 1.0, "listed": True}  # fmt: skip

    return {"image": "x", "width": 640, "height": 480,
            "objects": [thing(1, "mug", "red", 100, 80), thing(2, "can", "blue", 400, 140)]}  # fmt: skip


def test_commands_take_turns_and_are_the_same_every_time() -> None:
    drawn = [choose_command(scene(), number) for number in range(24)]
    again = [choose_command(scene(), number) for number in range(24)]
    assert [d and d.command for d in drawn] == [d and d.command for d in again]
    assert all(d is not None and d.target_id in (1, 2) for d in drawn)
    assert {d.kind for d in drawn if d} == set(KINDS)
    assert [d.phrasing for d in drawn if d] == (["known"] * 6 + ["held_out"] * 6) * 2


def test_what_counts_as_picked_and_as_wrong() -> None:
    t = trial(0, RIGHT)
    assert t.success(RIGHT) and not t.wrong(RIGHT)
    for arm, wrong in ((NONE, False), (WRONG, True), (Arm(("red mug", "blue can")), True)):
        assert not t.success(arm) and t.wrong(arm) is wrong


@pytest.mark.parametrize(
    ("fields", "ours", "cause"),
    [
        ({}, RIGHT, ""),
        ({"found": False}, Arm(refused="no target"), "refused: the model says it is not there"),
        ({"found": False, "error": "TIMEOUT"}, Arm(refused="no target"), "refused: TIMEOUT"),
        ({"score": 0.2}, Arm(refused="low score"), "refused: low score, on the right thing"),
        ({"on": "blue can"}, Arm(refused="low score"), "refused: low score, on another thing"),
        ({"on": "blue can"}, WRONG, "the wrong thing lifted"),
        ({}, NONE, "nothing lifted: the mask was on the right thing"),
        ({"on": ""}, NONE, "nothing lifted: the mask was on the table"),
    ],
)
def test_why_a_pick_failed(fields: dict, ours: Arm, cause: str) -> None:
    assert trial(0, ours, **fields).cause == cause


def test_rates_and_their_line() -> None:
    trials = [trial(i, RIGHT) for i in range(16)]
    trials += [trial(16, WRONG, on="blue can"), trial(17, Arm(refused="low score"), kind="use"), trial(18, NONE, NONE)]
    trials += [trial(19, RIGHT, NONE)]
    r = rates(trials)
    assert (r.ours.value, r.truth.value, r.wrong.value, r.refused.value) == (0.85, 0.9, 0.05, 0.05)
    assert r.ratio.value == pytest.approx(17 / 18)
    assert r.ratio.low is not None and r.ratio.high is not None and r.ratio.low < 17 / 18 < r.ratio.high
    assert line(trials).startswith("picks: 17/20 = 0.85 (0.64 to 0.95) with our masks, 18/20 = 0.90")
    assert "wrong object 1/20 = 0.05" in line(trials)
    assert causes(trials) == [
        ("the wrong thing lifted", 1, 0),
        ("refused: low score, on the right thing", 1, 0),
        ("nothing lifted: the mask was on the right thing", 1, 1),
    ]
    assert by_kind(trials)["use"].ours.value == 0
    kept = json.loads(json.dumps(results(trials, {"split": "val"})))
    assert kept["all"]["ours"]["value"] == 0.85 and kept["by_kind"]["use"]["truth"]["value"] == 1
    assert kept["causes"][2] == {"cause": causes(trials)[2][0], "picks": 1, "true_mask_too": 1}
    assert [Trial.from_json(row) for row in kept["trials"]] == trials


def test_looks_of_other_things_are_a_refusal() -> None:
    t = trial(0, WRONG, on="blue can", agreed=False, agreed_at_last=False)
    assert t.acted == t.acted_on_two == Arm(refused="the other looks were of other things")
    assert t.cause == "refused: the other looks were of other things, on another thing"
    saved = trial(2, RIGHT, agreed=False)  # by the third look
    assert saved.acted == RIGHT and not saved.cause and saved.acted_on_two == t.acted
    trials = [t, trial(1, RIGHT), saved, trial(3, Arm(refused="low score"), agreed=False, agreed_at_last=False)]
    r = rates(trials)
    assert (r.ours.value, r.wrong.value, r.refused.value) == (0.5, 0.0, 0.5)
    assert (r.twice.value, r.twice_wrong.value, r.twice_ratio.value) == (0.25, 0.0, 0.25)
    assert (r.once.value, r.once_wrong.value, r.once_ratio.value) == (0.5, 0.25, 0.5)
    assert "without the third look 0.25" in line(trials) and "with one look 0.50" in line(trials)


@pytest.mark.parametrize("degrees", [SECOND, THIRD])
def test_a_mask_of_another_look_comes_back_to_its_place(degrees: float) -> None:
    rgb = np.zeros((480, 640, 3), np.uint8)
    first = np.zeros((480, 640), bool)
    first[90:150, 500:580] = True
    rgb[first] = 255
    second = turned(rgb, degrees)[..., 0] > 127
    assert same_thing(first, turned_back(second, degrees)) and not same_thing(first, np.roll(first, 90, 1))
    assert int((first ^ turned_back(second, degrees)).sum()) < 0.05 * first.sum()
    # Left as it was turned it lies elsewhere: there is something to turn back.
    assert int((first ^ second).sum()) > 0.2 * first.sum()
    nothing = np.zeros_like(first)
    assert not any(same_thing(a, b) for a, b in ((None, first), (first, None), (nothing, nothing)))


def test_true_masks_alone_have_no_rates_of_ours() -> None:
    trials = [trial(0, None), trial(1, None, WRONG)]
    assert rates(trials).ours.value is None and rates(trials).ratio.value is None
    assert line(trials).startswith("picks: 1/2 = 0.50")
    assert "wrong object 1/2" in line(trials) and "ours" not in line(trials)


def test_trials_outlive_the_run_and_a_cut_line(tmp_path: Path) -> None:
    trials = [trial(0, RIGHT, things=("red mug", "blue can")), trial(1, None)]
    write_trials(tmp_path, trials)
    assert read_trials(tmp_path) == trials
    file = tmp_path / "trials.jsonl"
    file.write_text(file.read_text()[:-20])
    assert read_trials(tmp_path) == trials[:1]
    assert read_trials(tmp_path / "nowhere") == []


def test_the_thing_under_a_mask() -> None:
    ids = np.zeros((4, 6), np.uint8)
    ids[:, :2], ids[:, 4:] = 1, 2
    names = ("red mug", "blue can")
    for columns, name in ((slice(0, 3), "red mug"), (slice(3, 6), "blue can"), (slice(2, 4), "")):
        mask = np.zeros((4, 6), bool)
        mask[:, columns] = True
        assert masked_thing(mask, ids, names) == name


def test_the_page_shows_failures_first_and_ends_with_the_rates(tmp_path: Path) -> None:
    trials = [trial(i, RIGHT, command=f"command {i}") for i in range(30)] + [
        dataclasses.replace(trial(30, WRONG, on="blue can"), command="<b>the mug</b>")
    ]
    (tmp_path / "pictures").mkdir()
    for name in ("mask", "points", "ours", "truth"):
        (tmp_path / "pictures" / f"00030_{name}.jpg").write_bytes(jpeg_bytes(np.zeros((48, 64, 3), np.uint8)))
    text = write_page(tmp_path, trials, {"split": "val", "first": 0}).read_text()
    assert text.count("<img") == 4
    assert "&lt;b&gt;the mug&lt;/b&gt;" in text and "<b>the mug" not in text
    assert text.index("the mug&lt;") < text.index("command 0")
    assert line(trials) in text.rsplit("<p>", 1)[1]
    assert "the wrong thing lifted" in text


def test_pictures_show_the_grasp() -> None:
    camera = Intrinsics(640, 480, 600, 600, 319.5, 239.5)
    grasp = np.array([0, 0, 0.7]), np.eye(3)
    plain = np.zeros((480, 640, 3), np.uint8)
    drawn = draw_grasp(plain, camera, *grasp)
    assert not plain.any()
    rows, columns = np.nonzero((drawn == GRASP).all(2))
    half = 600 * 0.0425 / (0.7 - 0.055)  # px from the middle to a finger's upper end, the nearest to the camera
    assert columns.min() == pytest.approx(319.5 - half, abs=3) and columns.max() == pytest.approx(319.5 + half, abs=3)
    target = np.array([[0.0, 0.0, 0.7]] * 5)
    scene_points = np.array([[0.05, 0.0, 0.72], [9.0, 9.0, 9.0]])
    view = from_above(target, scene_points, np.array([[0, 255, 0], [1, 2, 3]], np.uint8), grasp)
    assert (view[180, 240] == (236, 64, 122)).all()
    assert (view == (0, 255, 0)).all(2).any() and not (view == (1, 2, 3)).all(2).any()


def test_a_folder_of_other_settings_is_not_mixed(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")
    from llavaseg_ros.pick.run import PickOptions, _begin

    options = PickOptions(out=tmp_path, picks=5, resume=True)
    assert _begin(options) == []
    write_trials(tmp_path, [trial(0, RIGHT), trial(1, RIGHT)])
    assert [t.number for t in _begin(options)] == [0, 1]
    with pytest.raises(BadRequest, match="other settings .split."):
        _begin(dataclasses.replace(options, split="val"))
    assert _begin(dataclasses.replace(options, resume=False)) == []
    assert not (tmp_path / "trials.jsonl").exists()
    assert json.loads((tmp_path / "settings.json").read_text())["split"] == "test"
