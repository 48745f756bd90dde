# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adapters trained on the public sets: each kind of set lowers the loss and ends in something that the node loads."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForImageTextToText

pytest.importorskip("accelerate", reason="needs the extra `public`")
pytest.importorskip("pycocotools", reason="needs the extra `public`")
sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

import published_sets as published  # noqa: E402
from scripted import ScriptedMLLM  # noqa: E402
from tiny_families import FAMILIES, bits, plain_reply  # noqa: E402

from llavaseg_ros.bundle import default_bundle  # noqa: E402
from llavaseg_ros.errors import BundleError  # noqa: E402
from llavaseg_ros.pipeline import LLaVASeg  # noqa: E402
from llavaseg_ros.reasoning.chain import ChainOfThought  # noqa: E402
from llavaseg_ros.reasoning.prompt_style import load_style  # noqa: E402
from llavaseg_ros.segmentation.adapters import AdapterConfig, AttributeAdapters  # noqa: E402
from llavaseg_ros.training.public import thoughts, train  # noqa: E402
from llavaseg_ros.training.public.examples import Examples, words_of  # noqa: E402
from llavaseg_ros.training.public.sets import mixed, parse_spec, read_sets  # noqa: E402
from llavaseg_ros.training.public.thoughts import Kept, key_of, read_thoughts  # noqa: E402

WRITERS: dict[str, Callable[[Path], None]] = {
    "refcoco:train": published.write_refcoco,
    "grefcoco:train": published.write_grefcoco,
    "reasonseg:train": published.write_reasonseg,
    "ade20k:train": published.write_ade20k,
    "coco-stuff:train": published.write_coco_stuff,
    "paco:train": published.write_paco,
    "pascal-part:train": published.write_pascal_part,
}


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded models, with a SAM that sees 128 pixels: the same weights, and a sixteenth of the time."""
    folder = tmp_path_factory.mktemp("profile")
    shutil.copytree(default_bundle() / "segmenter", folder / "segmenter")
    path = folder / "segmenter" / "segmenter.json"
    config = json.loads(path.read_text())
    config["sam"]["config"]["eye"]["img_size"] = 128
    path.write_text(json.dumps(config))
    data = {"name": "tiny", "mllm": {"prompts": "embedded"}, "segmenter": {"folder": "segmenter"}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data))
    return folder / "tiny.yaml"


def arguments(stage: Any, **given: Any) -> argparse.Namespace:
    """The stage's own defaults with `given` on top."""
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    for action in parser._actions:
        action.required = False
    return argparse.Namespace(**{**vars(parser.parse_args([])), **given})


def small_run(spec: str, root: Path, run: Path, profile: Path, **given: Any) -> argparse.Namespace:
    """Arguments of a short run on the CPU, with thoughts that repeat the command."""
    specs = [parse_spec(f"{spec}={root}")]
    lines = [asdict(Kept(key_of(r), r.command, not r.absent, "red")) for reading in read_sets(specs) for r in reading]
    file = root / "thoughts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sizes = {"width": 32, "heads": 2, "queries": 2, "batch": 4, "workers": 0, "keep_encoded": 50, "lr": 2e-3}
    base = {"sets": specs, "thoughts": [file], "run": run, "profile": str(profile), "device": "cpu", "precision": "no"}
    return arguments(train, **{**base, **sizes, "steps": 200, "save_every": 100, **given})


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in map(json.loads, (run / train.LOG).read_text().splitlines())]


@pytest.mark.parametrize("spec", WRITERS)
def test_two_hundred_steps_lower_the_loss_and_end_in_a_bundle(spec: str, tmp_path: Path, profile: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    WRITERS[spec](data)
    args = small_run(spec, data, run, profile)
    train.run(argparse.Namespace(**{**vars(args), "val": args.sets, "val_every": 100}))
    found = losses(run)
    assert len(found) == 10 and np.mean(found[-2:]) < 0.8 * found[0]
    last = json.loads((run / train.LOG).read_text().splitlines()[-1])
    name = "val/" + spec.replace(":", "/")
    assert 0 <= last[f"{name}/giou"] <= 1 and last[f"{name}/words"] == 1.0
    assert list(run.glob("tensorboard/*tfevents*")), "TensorBoard has its file"
    rgb = np.zeros((48, 64, 3), np.uint8)
    for model in (run, run / "profile.yaml"):
        pipeline = LLaVASeg.from_pretrained(model, device="cpu")
        assert pipeline.describe()["segmenter"]["adapter_parameters"] == sum(
            p.numel() for p in train.new_adapters(pipeline_frozen(pipeline), args).parameters()
        )
        pipeline.set_image(rgb)
        assert pipeline.segment("hand me the mug").command == "hand me the mug"


def pipeline_frozen(pipeline: LLaVASeg) -> Any:
    return argparse.Namespace(sam=pipeline.segmenter.sam, text=pipeline.segmenter.text)


def test_a_run_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path, profile: Path) -> None:
    published.write_refcoco(tmp_path)
    whole = small_run("refcoco:train", tmp_path, tmp_path / "whole", profile, steps=8, save_every=4)
    train.run(whole)
    broken = small_run("refcoco:train", tmp_path, tmp_path / "broken", profile, steps=8, save_every=4)
    seen: list[int] = []

    def killed(path: Path, *rest: Any) -> None:
        save(path, *rest)
        seen.append(rest[-1])
        if rest[-1] == 4:
            raise KeyboardInterrupt

    save = train.save
    train.save = killed
    try:
        with pytest.raises(KeyboardInterrupt):
            train.run(broken)
        train.run(broken)
    finally:
        train.save = save
    assert seen == [4, 8]
    a, b = (torch.load(tmp_path / r / train.CHECKPOINT, weights_only=True)["adapters"] for r in ("whole", "broken"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=name)
    wider = argparse.Namespace(**{**vars(broken), "width": 64})
    with pytest.raises(BundleError, match="adapters of other sizes; give the same --profile, --width"):
        train.run(wider)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_adapters_leaves_the_language_model_alone(
    family: str, tmp_path: Path, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After adapters were trained and loaded: every weight bit by bit as saved, dialogue as plain transformers says."""
    if family == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    folder = FAMILIES[family](tmp_path / "mllm")
    saved = bits(AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32))
    parts = {"mllm": {"model": str(folder)}, "segmenter": {"folder": str(profile.parent / "segmenter")}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"name": family, **parts}))
    published.write_refcoco(tmp_path)
    train.run(small_run("refcoco:train", tmp_path, tmp_path / "run", tmp_path / "own.yaml", steps=2))
    pipeline = LLaVASeg.from_pretrained(tmp_path / "run" / "profile.yaml", device="cpu")
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pipeline.set_image(rgb)
    assert bits(pipeline.mllm.model) == saved  # type: ignore[attr-defined]
    monkeypatch.setitem(pipeline._chain.style.max_new_tokens, "chat", 64)  # random weights never stop by themselves
    assert pipeline.chat("How many mugs are there?") == plain_reply(folder, rgb, "How many mugs are there?", 64)


def test_accelerate_launch_on_two_processes(tmp_path: Path, profile: Path) -> None:
    """The real launcher: two processes share the batch and end with one set of weights."""
    published.write_refcoco(tmp_path)
    args = small_run("refcoco:train", tmp_path, tmp_path / "run", profile)
    words = ["--profile", str(profile), "--set", f"refcoco:train={tmp_path}", "--thoughts", str(args.thoughts[0])]
    words += ["--run", str(args.run), "--steps", "4", "--batch", "2", "--accumulate", "2", "--workers", "0"]
    words += ["--width", "32", "--heads", "2", "--queries", "2", "--device", "cpu", "--precision", "no"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "llavaseg_ros", "train", "public", *words],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("adapters, profile and bundle written") == 1
    assert torch.load(args.run / train.CHECKPOINT, weights_only=True)["step"] == 4


def test_every_example_is_seen_once_by_all_processes_together() -> None:
    alone = [k for b in train.step_batches(range(3), 2, 4, 0, 1) for k in b]
    assert alone == list(range(24))
    shared = [k for rank in range(2) for b in train.step_batches(range(3), 2, 2, rank, 2) for k in b]
    assert sorted(shared) == alone


def test_thoughts_are_kept_and_resumed(tmp_path: Path) -> None:
    published.write_refcoco(tmp_path)
    (reading,) = read_sets([parse_spec(f"refcoco:train={tmp_path}")])
    replies = ["I see it.", "target: red mug; found: yes; answer: Here.", "color: red; shape: round; location: left"]
    unreadable = ["Hm.", "hm", "hm"]
    style = load_style("embedded")
    first = thoughts.think_over(ChainOfThought(ScriptedMLLM(*replies, *unreadable), style), reading.referrals[:2], {})
    said = {kept.key: kept for kept in first}
    one, two = (said[key_of(r)] for r in reading.referrals[:2])
    assert one.target == "red mug" and one.found and one.attributes.shape == "round" and not one.error
    assert "could not be read" in two.error and not two.found
    assert words_of(reading[0], said) == ("red mug", "red", "round", "left")
    assert words_of(reading[1], said) is None
    assert not list(thoughts.think_over(ChainOfThought(ScriptedMLLM(), style), reading.referrals[:2], said))

    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(asdict(one)) + "\n" + json.dumps(asdict(two))[:20])
    assert list(read_thoughts([path])) == [one.key]  # the cut-off line does not count
    with thoughts.open_for_more(path) as file:
        file.write(json.dumps(asdict(two)) + "\n")
    assert list(read_thoughts([path])) == [one.key, two.key]
    path.write_text("{}\n" + json.dumps(asdict(two)) + "\n")
    with pytest.raises(ValueError, match="t.jsonl, line 1: not a thought"):
        read_thoughts([path])


def test_shards_share_the_pictures(tmp_path: Path) -> None:
    published.write_refcoco(tmp_path)
    (reading,) = read_sets([parse_spec(f"refcoco:train={tmp_path}")])
    parts = [thoughts.mine(reading, (which, 2)) for which in range(2)]
    assert sorted(map(key_of, parts[0] + parts[1])) == sorted(map(key_of, reading))
    assert not {r.image_path for r in parts[0]} & {r.image_path for r in parts[1]}
    for text in ("2/2", "1", "a/b", "-1/2"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected WHICH/COUNT"):
            thoughts.parse_shard(text)


def test_examples_depend_on_their_number_alone(tmp_path: Path) -> None:
    published.write_refcoco(tmp_path)
    specs = [parse_spec(f"refcoco:{split}={tmp_path}") for split in ("train", "val", "testA")]
    readings = read_sets(specs)
    assert len({r.image_path for reading in readings for r in reading}) > 1
    known = {
        key_of(r): Kept(key_of(r), r.command, True, "red", "round", "left") for reading in readings for r in reading
    }
    first, second = (Examples(mixed(specs, readings, 0), known, 64, 4) for _ in range(2))
    for k in range(40):
        a, b = first[k], second[k]
        assert a.phrases == b.phrases and a.present == b.present and torch.equal(a.mask, b.mask)
        assert a.mask.any() == a.present
    drawn = [first[k] for k in range(200)]
    share = np.mean([not e.present for e in drawn])
    assert 0.05 < share < 0.3  # of all examples a fifth is tried with another picture's words
    assert 0.15 < np.mean([not e.phrases[1] for e in drawn]) < 0.35
    with pytest.raises(ValueError, match="run `llavaseg train thoughts` over these sets"):
        Examples(mixed(specs, readings, 0), {}, 64, 4)[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("refcoco", "expected NAME:SPLIT=ROOT"),
        ("refcoco:train", "expected NAME:SPLIT=ROOT"),
        ("nonsense:train=/data", "no data set 'nonsense'"),
        ("refcoco:testC=/data", "no split 'testC'"),
        ("refcoco:train=/data*x", "expected NAME:SPLIT=ROOT"),
    ],
)
def test_sets_that_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=says):
        parse_spec(text)


@pytest.mark.parametrize(("channels", "millions"), [(768, 5.5), (1024, 5.7), (1280, 6.0)])
def test_sizes_of_adapters_for_the_official_sams(channels: int, millions: float) -> None:
    defaults = arguments(train)
    config = AdapterConfig((channels,) * 4, 256, 384, defaults.width, defaults.heads, defaults.queries)
    count = sum(p.numel() for p in AttributeAdapters(config).parameters())
    assert round(count / 1e6, 1) == millions
