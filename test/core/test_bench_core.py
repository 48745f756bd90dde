# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmark around stand-ins that cost nothing: what the baseline does, what is compared and told. No times."""

from __future__ import annotations

import json
import mmap
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scripted import ScriptedMLLM, ScriptedSegmenter

from llavaseg_ros.assemble import Parts
from llavaseg_ros.bench import growth, material, memory
from llavaseg_ros.bench import run as bench
from llavaseg_ros.bench.figures import NO_GROWTH, Figure, figures, memory_lines, text
from llavaseg_ros.bench.plain import Plain
from llavaseg_ros.bench.rounds import FAST_FIRST, FIRST, FOLLOW, OURS, PLAIN, SECOND, Log, Shot, Subject, compare
from llavaseg_ros.bench.stopwatch import Reply, Stopwatch
from llavaseg_ros.errors import BadReply, BadRequest
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.types import Result, Segment, Thought

NAMED, WORDS = "target: red mug; found: yes; answer: Here.", "color: red; shape: round; location: left"
ABSENT = "target: red mug; found: no; answer: No."
BOX = np.zeros((48, 64), bool)
BOX[10:30, 20:40] = True


class Text:
    """Stands for the text encoder, which keeps phrases."""

    forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1


def plain_of(*replies: str) -> tuple[Plain, ScriptedMLLM, ScriptedSegmenter, list[str]]:
    """The baseline around stand-ins, and what they were asked to do, in order."""
    mllm, segmenter, steps = ScriptedMLLM(*replies), ScriptedSegmenter(BOX), []
    segmenter.text = Text()  # type: ignore[attr-defined]

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            steps.append(name)
            return call(*args, **kwargs)

        return run

    mllm.set_image = noted("image", mllm.set_image)  # type: ignore[method-assign]
    mllm.reply = noted("turn", mllm.reply)  # type: ignore[method-assign]
    segmenter.encode = noted("sam", segmenter.encode)  # type: ignore[method-assign]
    segmenter.segment = noted("mask", segmenter.segment)  # type: ignore[method-assign]
    parts = Parts("scripted", mllm, segmenter, load_style("embedded"), "adapters", None)  # type: ignore[arg-type]
    return Plain(parts), mllm, segmenter, steps


def test_the_plain_way_begins_every_turn_with_the_image_and_every_mask_with_sam(image: np.ndarray) -> None:
    plain, _, segmenter, steps = plain_of("I see a mug.", NAMED, WORDS, "Hm.", NAMED, WORDS, "Three.")
    plain.set_image(image)
    assert steps == []
    for _ in range(2):
        result = plain.segment("the mug")
        assert result.found and np.array_equal(result.segments[0].mask, BOX)
        assert set(result.seconds) == {"encode", "reason", "segment"} and min(result.seconds.values()) > 0
    a_command = ["image", "turn", "image", "turn", "image", "turn", "sam", "mask"]
    assert steps == 2 * a_command
    assert segmenter.text.forgotten == 2  # type: ignore[attr-defined]
    assert plain.chat("how many?") == "Three."
    assert steps[16:] == ["image", "turn"]


def test_the_plain_way_spares_sam_where_there_is_nothing(image: np.ndarray) -> None:
    plain, _, segmenter, steps = plain_of(ABSENT)
    plain.mode = "fast"
    plain.set_image(image)
    result = plain.segment("the mug")
    assert not result.found and result.answer == "No." and "sam" not in steps


def test_a_served_model_has_no_plain_way(tmp_path: Path) -> None:
    profile = tmp_path / "served.yaml"
    profile.write_text(
        "name: far away\nmllm: {kind: served, model: m, server: {base_url: http://localhost:9/v1}}\n"
        "segmenter: {folder: default}\n"
    )
    with pytest.raises(BadRequest, match="far away: its language model runs on a server"):
        Plain.load(profile, torch.device("cpu"))


def test_the_stopwatch_counts_tokens_and_changes_nothing() -> None:
    mllm = ScriptedMLLM("one two three", "four")
    watch = Stopwatch(mllm)
    seen: list[str] = []
    assert mllm.reply([Message("user", "?")], max_new_tokens=5, on_token=seen.append) == "one two three"
    assert seen[-1] == "one two three" and mllm.limits == [5]
    with pytest.raises(Exception, match="cancelled"):
        mllm.reply([Message("user", "?")], max_new_tokens=5, should_cancel=lambda: True)
    (reply,) = watch.take()
    assert reply.text == "one two three" and reply.tokens == 2  # the first poll is before the first token
    assert watch.take() == []


def test_questions_and_commands_are_all_different_and_pictures_fit() -> None:
    texts = material.commands() + material.commands(other=True)
    assert len(set(texts)) == len(texts) == 128
    for first, second in zip(texts, texts[1:], strict=False):
        assert not {name for name in material.OBJECTS if name in first and name in second}
    rgb = material.frames()[0]
    for size in growth.SIZES:
        assert material.resized(rgb, size).shape == (size[1], size[0], 3)
    assert np.array_equal(material.resized(rgb, (640, 480)), rgb)
    whole, bare = material.table_with(material.OBJECTS, 0), material.table_with(["red mug"], 0)
    assert np.array_equal(whole, rgb)
    changed = (bare != rgb).any(axis=2)
    assert not changed[230:300, 165:235].any() and changed[300:370, 300:400].mean() > 0.4  # mug stays, banana goes


class FakeModel:
    """Finds everything at once. leak: bytes that are kept of every command. wrong: draws half of what others draw."""

    device = torch.device("cpu")

    def __init__(self, *, leak: int = 0, wrong: bool = False, mumbles: bool = False) -> None:
        self.mllm = ScriptedMLLM()
        self.mode = "cot"
        self.shapes: list[tuple[int, ...]] = []
        self.modes: list[str] = []
        self.leak, self.wrong, self.mumbles = leak, wrong, mumbles
        self.kept: list[mmap.mmap] = []

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        self.shapes.append(rgb.shape)

    def segment(self, command: str) -> Result:
        if self.mumbles:
            raise BadReply("the reply could not be read", "hmpf")
        self.modes.append(self.mode)
        if self.leak:
            fresh = mmap.mmap(-1, self.leak)  # not of the heap, where there may be room that counts as taken already
            fresh.write(b"\1" * self.leak)
            self.kept.append(fresh)
        self.mllm.replies.append("There are three." if self.wrong else "There are two.")
        self.mllm.reply([Message("user", command)], max_new_tokens=9)
        return self.segment_thought(Thought("mug", found=True), command=command)

    def segment_thought(self, thought: Thought, *, command: str = "") -> Result:
        mask = BOX.copy()
        mask[:20] &= not self.wrong
        seconds = {"encode": 0.0, "reason": 0.0, "segment": 0.0}
        return Result(command, thought, "", True, (Segment(mask, 0.9, (0, 0, 1, 1)),), 0.9, seconds)

    def follow(self, last: Result) -> Result:
        return self.segment_thought(last.thought, command=last.command)

    def chat(self, question: str) -> str:
        self.mllm.replies.append("There are two.")
        return self.mllm.reply([Message("user", question)], max_new_tokens=9)

    def describe(self) -> dict[str, Any]:
        return {"name": "fake", "segmenter": {"sam": "small"}}


PLAN = bench.Plan(rounds=2, growth=1, commands=22, frames=22)


def report_of(
    monkeypatch: pytest.MonkeyPatch, ours: FakeModel, plain: FakeModel | None, plan: bench.Plan = PLAN
) -> dict[str, Any]:
    def load(name: str, device: torch.device) -> Any:
        if plain is None:
            raise BadRequest("its language model runs on a server")
        return plain

    monkeypatch.setattr(Plain, "load", load)
    told: list[str] = []
    report = bench.run(ours, "fake", plan, told.append)  # type: ignore[arg-type]
    assert told[-1].startswith("memory") and "round 2 of 2" in told
    return json.loads(json.dumps(report))


def test_everything_is_measured_of_both_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, plain = FakeModel(), FakeModel()
    report = report_of(monkeypatch, ours, plain)
    assert ours.mode == plain.mode == "cot" and {"cot", "fast"} == set(ours.modes) == set(plain.modes)
    rows = {row["key"]: row for row in report["figures"]}
    assert list(rows) == ["first", "second", "question", "fast_first", "fast_second", "fast_plain", "follow",
                          "follow_plain"]  # fmt: skip
    assert all(row["ratio"] > 0 and not row["missing"] for row in rows.values())
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in rows.values())
    assert (rows["first"]["bar"], rows["second"]["moonshot"], rows["follow"]["bar"]) == (2.5, 10, 8)
    for subject, cases in report["stages"].items():
        assert {"first", "second", "question", "fast_first"} <= set(cases), subject
        for parts in cases.values():
            assert set(parts) == {"read image and prompt", "decode", "SAM encoder", "mask", "other", "total", "tokens"}
        assert cases["first"]["tokens"] == 2
    assert "follow" in report["stages"]["ours"] and "follow" not in report["stages"]["plain"]
    assert report["followed"] == {"frames": 12, "masks": 12}
    grown = report["growth"]
    assert [(row["width"], row["height"]) for row in grown["image"]] == list(growth.SIZES)
    assert {(height, width, 3) for width, height in growth.SIZES} <= set(ours.shapes) & set(plain.shapes)
    for name in (PLAIN, OURS):
        assert all(row[name]["first"] > 0 for row in grown["image"] + grown["objects"])
        spent = [row[name] for row in grown["commands"]]
        assert len(spent) == growth.COMMANDS and spent == sorted(spent)
    assert [row["targets"] for row in grown["targets"]] == list(growth.COUNTS)
    assert {tokens for tokens, _ in report["replies"]["ours"]} == {2}
    assert len(report["replies"]["ours"]) == len(report["replies"]["plain"]) > 30
    assert report["same"]["equal"] == report["same"]["replies"] > 20 and report["same"]["lowest_iou"] == 1
    assert report["memory"]["commands"]["count"] == 22 and report["machine"]["cores"] >= 1
    report["machine"] |= {"load_at_start": 0.5, "cores": 2}
    page = text(report)
    assert "warning" not in page
    assert "warning: the machine was busy" in text(report | {"machine": report["machine"] | {"load_at_start": 1.5}})
    assert page.splitlines()[-1].startswith("against the plain way: first command ")
    assert page.count("first command on a frame") == 1 and "answers the same" in page.splitlines()[-1]


def test_other_answers_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(monkeypatch, FakeModel(), FakeModel(wrong=True))
    same = report["same"]
    assert same["equal"] < same["replies"] and same["lowest_iou"] == pytest.approx(0.5)
    assert "warning: the plain way gives other answers" in text(report) and "There are three." in text(report)


def test_without_a_baseline_it_says_which_figures_do_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(monkeypatch, FakeModel(), None)
    rows = {row["key"]: row for row in report["figures"]}
    for key in ("first", "second", "question", "fast_plain", "follow_plain"):
        assert rows[key]["ratio"] is None and rows[key]["this"] > 0 and "server" in rows[key]["missing"]
    assert rows["fast_first"]["ratio"] > 0 and rows["follow"]["ratio"] > 0
    page = text(report)
    assert "no figure (first, second, question, fast_plain, follow_plain): its language model runs on a server" in page
    assert page.splitlines()[-1].startswith("mode fast against three turns")
    assert list(report["stages"]) == ["ours"]


def test_a_model_that_is_never_understood_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "chat", FakeModel.segment)
    with pytest.raises(BadRequest, match="not one command"):
        report_of(monkeypatch, FakeModel(mumbles=True), None)


def test_commands_that_are_not_understood_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(monkeypatch, FakeModel(mumbles=True), FakeModel(), replace(PLAN, growth=0))
    rows = {row["key"]: row for row in report["figures"]}
    assert rows["question"]["ratio"] > 0 and rows["first"]["ratio"] is None
    assert "no command got a readable reply" in text(report) and len(report["failed"]) == 8


def memory_of(leak: int) -> dict[str, Any]:
    model = FakeModel(leak=leak)
    return memory.measure(Subject(OURS, model, Stopwatch(model.mllm)), 44, 0)["commands"]["resident_mb"]


def test_memory_that_grows_is_seen() -> None:
    # Not in pytest's process, whose memory comes and goes with the other tests.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        sound, leaky = fresh.map(memory_of, (0, 4_000_000))
    assert len(leaky["samples"]) == 17 and leaky["growth"] == pytest.approx(4 * 28, rel=0.2)  # 14 samples, 2 commands
    assert leaky["share"] > NO_GROWTH and leaky["growth"] > 20 * abs(sound["growth"])


def shots(**seconds: float) -> Log:
    """A log of ours and of the baseline: "plain_first" and the like."""
    log = Log()
    for name, value in seconds.items():
        subject, _, case = name.partition("_")
        log.shots.append(Shot(subject, case, "", "", value, {"mask": value}, (Reply("a", 3, 0.0, 0.0),)))
    return log


def test_a_ratio_is_that_of_calls_in_the_same_round() -> None:
    log = Log()
    for number, (plain, ours) in enumerate([(1.0, 0.5), (40.0, 10.0), (2.0, 0.25)]):  # the machine is busy for a while
        for subject, seconds in ((PLAIN, plain), (OURS, ours)):
            log.shots.append(Shot(subject, FIRST, str(number), "", seconds, {}, (), None, number))
    log.shots.append(Shot(PLAIN, FIRST, "3", "", 9.0, {}, (), None, 3))  # ours got no reply in that round
    (row, *_) = figures(log, missing="", embedded_on_cpu=True, vit_h_on_gpu=False)
    assert (row.that, row.this, row.ratio, row.low, row.high) == (5.5, 0.5, 4, 3, 6)
    assert row.verdict == "moonshot"


def test_growth_of_memory_is_judged_over_enough_work_only() -> None:
    def line(count: int, share: float) -> str:
        figures_of = {"samples": [], "growth": 1.0, "share": share}
        return memory_lines({"commands": {"count": count, "resident_mb": figures_of, "gpu_mb": None}})[0]

    assert line(1000, 0.001).endswith("bar none: met") and line(1000, 0.02).endswith("short of the bar")
    assert "bar" not in line(999, 0.5)


@pytest.mark.parametrize(("ours", "verdict"), [(0.5, "short"), (0.4, "met"), (0.25, "moonshot")])
def test_bars_are_held(ours: float, verdict: str) -> None:
    log = shots(plain_first=1.0, ours_first=ours)
    (row, *_) = figures(log, missing="", embedded_on_cpu=True, vit_h_on_gpu=False)
    assert (row.key, row.ratio, row.verdict) == ("first", 1 / ours, verdict)
    (row, *_) = figures(log, missing="", embedded_on_cpu=False, vit_h_on_gpu=False)
    assert (row.ratio, row.bar, row.verdict) == (1 / ours, None, "")


@pytest.mark.parametrize(
    ("cpu", "gpu", "bars"), [(True, False, (8, 15)), (False, True, (20, 30)), (False, False, (None, None))]
)
def test_following_is_held_by_its_rate(cpu: bool, gpu: bool, bars: tuple[int | None, int | None]) -> None:
    log = shots(**{f"ours_{FIRST}": 1.0, f"ours_{FOLLOW}": 0.04, f"ours_{SECOND}": 0.6, f"ours_{FAST_FIRST}": 0.3})
    rows = {row.key: row for row in figures(log, missing="none", embedded_on_cpu=cpu, vit_h_on_gpu=gpu)}
    row = rows["follow"]
    assert (row.this, row.ratio) == (pytest.approx(25), pytest.approx(25)) and (row.bar, row.moonshot) == bars
    assert row.verdict == {8: "moonshot", 20: "met", None: ""}[bars[0]]
    assert rows["fast_first"].ratio == pytest.approx(1 / 0.3) and rows["fast_first"].verdict == "moonshot"


def test_only_the_same_command_on_the_same_picture_is_compared() -> None:
    def shot(subject: str, place: str, said: str, mask: np.ndarray | None) -> Shot:
        return Shot(subject, FIRST, place, "the mug", 1.0, {}, (Reply(said, 1, 0.0, 0.0),), mask)

    log = Log(
        [shot(PLAIN, "a", "x", BOX), shot(OURS, "a", "x", None), shot(PLAIN, "b", "y", BOX), shot(OURS, "c", "z", BOX)]
    )
    same = compare(log)
    assert (same.replies, same.equal, same.masks, same.lowest_iou) == (1, 1, 1, 0.0)


def test_a_figure_of_nothing_has_no_verdict() -> None:
    assert Figure("first", "", "", "s", missing="why", bar=2.0, moonshot=3.0).verdict == ""
