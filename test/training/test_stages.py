# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every training stage runs for a few steps on freshly rendered scenes and ends in a bundle that loads."""

from __future__ import annotations

import argparse
import errno
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

pytest.importorskip("llavaseg_ros.training.scenes.gl", exc_type=ImportError)

from llavaseg_ros.bundle import verify  # noqa: E402
from llavaseg_ros.errors import LLaVASegError  # noqa: E402
from llavaseg_ros.images import read_rgb  # noqa: E402
from llavaseg_ros.reasoning import object_tower  # noqa: E402
from llavaseg_ros.reasoning.object_tower import ObjectTowerConfig  # noqa: E402
from llavaseg_ros.segmentation.segmenter import ADAPTERS_FILE  # noqa: E402
from llavaseg_ros.segmentation.text_encoder import TextEncoder  # noqa: E402
from llavaseg_ros.training import adapters, default, mllm, sam  # noqa: E402
from llavaseg_ros.training import export as export_module  # noqa: E402
from llavaseg_ros.training.export import export_from_bundle  # noqa: E402
from llavaseg_ros.training.images import SceneSet, collate, normalised  # noqa: E402
from llavaseg_ros.training.language import random_scene  # noqa: E402
from llavaseg_ros.training.language.dialogue import FAST_SUFFIX  # noqa: E402
from llavaseg_ros.training.llava import start_from_words, word_vector  # noqa: E402
from llavaseg_ros.training.loop import LoopConfig, fit, learning_rate  # noqa: E402
from llavaseg_ros.training.object_tokens import swap_names, tower_tokens  # noqa: E402
from llavaseg_ros.training.photographs import Mosaic, Photograph  # noqa: E402
from llavaseg_ros.training.referrals import Referral, draw_absent, draw_named, draw_present, misread  # noqa: E402
from llavaseg_ros.training.sam import dense_targets, draw_prompt, vocabulary  # noqa: E402
from llavaseg_ros.training.tokenizer import word_embeddings  # noqa: E402
from llavaseg_ros.types import Attributes  # noqa: E402


@pytest.fixture(scope="module")
def trained(off_screen: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`llavaseg train default --recipe smoke`: the whole way from nothing to a bundle."""
    out = tmp_path_factory.mktemp("train")
    default.run(argparse.Namespace(out=out, recipe="smoke", photographs=None, seed=0, workers=1))
    return out


def test_the_bundle_loads_and_answers(trained: Path) -> None:
    from llavaseg_ros.pipeline import LLaVASeg

    pipeline = LLaVASeg.from_pretrained(trained / "bundle")
    pipeline.set_image(read_rgb(next(iter(sorted((trained / "val").glob("*.jpg"))))))
    try:
        result = pipeline.segment("hand me the red mug")
    except LLaVASegError as error:  # four steps teach no grammar; the error must still be the documented one
        assert error.code.name == "BAD_REPLY"
    else:
        assert result.command == "hand me the red mug"


def test_each_stage_left_a_checkpoint_and_a_log_that_plots(trained: Path) -> None:
    for stage in ("sam", "quiz", "mllm", "adapters", "presence"):
        assert torch.load(trained / "run" / f"{stage}.pt", weights_only=True)["step"] == 4
        assert (trained / "run" / f"{stage}.jsonl").read_text().count("val_") >= 1


def test_a_second_call_has_nothing_left_to_do(trained: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (trained / "run").glob("*.pt")}
    default.run(argparse.Namespace(out=trained, recipe="smoke", photographs=None, seed=0, workers=1))
    assert {p: p.stat().st_mtime_ns for p in (trained / "run").glob("*.pt")} == before


@pytest.fixture(scope="module")
def went_on(trained: Path) -> Path:
    """A run that has nothing but the bundle to go on from."""
    run = trained / "went_on"
    given = {"data": [trained / "train"], "val": trained / "val", "run": run, "from_bundle": trained / "bundle"}
    mllm.run(default.stage_arguments(mllm, {**given, "steps": 2, "batch": 2, "fast": 1.0}))
    return run


def test_training_goes_on_from_a_bundle(trained: Path, went_on: Path) -> None:
    assert torch.load(went_on / "mllm.pt", weights_only=True)["step"] == 2
    assert not (went_on / "quiz.pt").exists()
    assert '"val_loss_fast"' in (went_on / "mllm.jsonl").read_text()
    old, _ = mllm.load_bundle_llava(trained / "bundle")
    new, _ = mllm.load_bundle_llava(trained / "bundle", went_on)
    learned = {name for name, _ in mllm.Learned(old).named_parameters()} - {"language_model.embed_tokens.weight"}
    before, after = mllm.Learned(old).state_dict(), mllm.Learned(new).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved <= learned and len(moved) > len(learned) / 2
    # Two steps at a rate that is still warming up: weights of another start would be far off.
    assert max((before[name] - after[name]).abs().max() for name in moved) < 1e-3
    tower = old.model.vision_tower.state_dict()
    assert all(torch.equal(value, tower[name]) for name, value in new.model.vision_tower.state_dict().items())


def test_a_bundle_takes_over_what_went_on_from_it(trained: Path, went_on: Path, tmp_path: Path) -> None:
    export_from_bundle(trained / "bundle", went_on, tmp_path, name="went on")
    old, new = verify(trained / "bundle", deep=True), verify(tmp_path, deep=True)
    assert new.name == "went on" and new.files.keys() == old.files.keys()
    assert {name for name in old.files if old.files[name] != new.files[name]} == {"mllm/model.safetensors"}
    trained_on, _ = mllm.load_bundle_llava(trained / "bundle", went_on)
    loaded, _ = mllm.load_bundle_llava(tmp_path)
    for name, value in mllm.Learned(loaded).state_dict().items():
        torch.testing.assert_close(value, mllm.Learned(trained_on).state_dict()[name].half().float(), atol=0, rtol=0)


def test_eye_and_sam_go_on_from_a_bundle(trained: Path) -> None:
    begun, run = sam.bundle_pretrained(trained / "bundle"), sam.load_pretrained(trained / "run")
    for name, value in begun.state_dict().items():
        torch.testing.assert_close(value.float(), run.state_dict()[name].half().float(), atol=0, rtol=0)


def test_adapters_go_on_from_a_bundle_and_presence_sees_photographs(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs, run = tmp_path / "photographs", tmp_path / "run"
    run.mkdir()
    photographs.mkdir()
    (run / "sam.pt").symlink_to(trained / "run" / "sam.pt")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(photographs / "kiwi.png")
    (photographs / "labels.jsonl").write_text('{"image": "kiwi.png", "name": "kiwi", "split": "train"}\n')
    given = {"data": [trained / "train"], "run": run, "from_bundle": trained / "bundle", "photographs": photographs}
    named: list[bool] = []
    draw = adapters.draw_named

    def watched(mosaic: Mosaic, rng: random.Random, *, absent: bool) -> Referral:
        named.append(absent)
        return draw(mosaic, rng, absent=absent)

    monkeypatch.setattr(adapters, "draw_named", watched)
    sizes = {"steps": 1, "presence_steps": 8, "batch": 2, "targets": 2, "workers": 1}
    adapters.run(default.stage_arguments(adapters, {**given, **sizes}))
    assert len(named) == 8 * 2 and set(named) == {True, False}  # a mosaic a step of presence, none while masks train
    begun = load_file(trained / "bundle" / "segmenter" / ADAPTERS_FILE)
    now = torch.load(run / "adapters.pt", weights_only=True)["model"]
    # One step at a rate that has hardly begun to rise; weights of another start would be far off.
    assert max((begun[name].float() - value).abs().max() for name, value in now.items()) < 1e-3


def test_words_for_a_photograph_name_it_or_nothing_of_the_mosaic() -> None:
    kiwi, lime = Photograph("a.jpg", "kiwi", ""), Photograph("b.jpg", "lime", "green")
    tiles = [((0, 0, 100, 100), kiwi), ((100, 0, 200, 100), lime)]
    mosaic = Mosaic(np.zeros((100, 200, 3), np.uint8), tiles)
    ids = adapters.tiled(mosaic).ids
    assert ids.shape == (50, 100) and ids[0, 0] == 1 and ids[49, 99] == 2
    for seed in range(60):
        present, absent = (draw_named(mosaic, random.Random(seed), absent=gone) for gone in (False, True))
        assert present.object_id is not None
        _, photograph = tiles[present.object_id - 1]
        assert present.target.endswith(photograph.word) and present.attributes.color in ("", photograph.color)
        assert present.attributes.location in ("", "left" if present.object_id == 1 else "right")
        assert absent.object_id is None and not absent.target.endswith(("kiwi", "lime"))


def test_an_export_that_fails_leaves_the_older_bundle_whole(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "bundle", tmp_path / "bundle")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left.*bundle"):
        patch.setattr(export_module, "write_bundle", full)  # the last thing that is written
        export_module.export(trained / "run", tmp_path / "bundle", name="newer", width=192, depth=2)
    assert {p.name for p in (tmp_path / "bundle").iterdir()} == {"bundle.json", "mllm", "segmenter"}
    kept, old = verify(tmp_path / "bundle", deep=True), verify(trained / "bundle")
    assert (kept.name, kept.files) == (old.name, old.files)
    export_module.export(trained / "run", tmp_path / "bundle", name="newer", width=192, depth=2)
    assert verify(tmp_path / "bundle", deep=True).name == "newer"


@pytest.mark.parametrize("fast", [0.0, 1.0])
def test_the_share_of_fast_replies_is_kept(fast: float) -> None:
    talk = mllm.Talk([random_scene(random.Random(0))], fast=fast)
    drawn = [talk.dialogue(random.Random(i), typical=False).turns for i in range(20)]
    asked = [user for turns in drawn for user, _ in turns]
    assert all(user.endswith(FAST_SUFFIX) == bool(fast) for user in asked)
    assert {len(turns) for turns in drawn} == ({mllm.FAST_TURNS} if fast else {2, 3})


def test_token_ids_are_those_of_the_chat_template(trained: Path) -> None:
    llava, processor = mllm.load_llava(trained / "run", width=192, depth=2)
    turns = [
        ("hand me the red mug", "I see a red mug."),
        ("Name the target.", "target: red mug; found: yes; answer: It is here."),
    ]
    messages = []
    for k, (user, reply) in enumerate(turns):
        parts = ([{"type": "image"}] if k == 0 else []) + [{"type": "text", "text": user}]
        messages += [
            {"role": "user", "content": parts},
            {"role": "assistant", "content": [{"type": "text", "text": reply}]},
        ]
    text = processor.apply_chat_template(messages)
    inputs = processor(images=Image.new("RGB", (640, 480)), text=text, return_tensors="pt")
    ids, learned = mllm.Encoder(processor.tokenizer, llava.config.vision_config.num_tokens)(turns)
    assert inputs["input_ids"][0].tolist() == ids
    reply = processor.tokenizer.decode([i for i, on in zip(ids, learned, strict=True) if on])
    assert reply == "".join(f"{r}<end>" for _, r in turns)


def test_loss_on_cached_tokens_is_the_loss_of_the_whole_model(trained: Path) -> None:
    """Training skips the vision tower; transformers' own forward pass on the image must give the same loss."""
    llava, processor = mllm.load_llava(trained / "run", width=192, depth=2)
    data = SceneSet(trained / "val", 512)
    encoder = mllm.Encoder(processor.tokenizer, llava.config.vision_config.num_tokens)
    ids, learned = mllm.batch_ids([encoder([("where is the mug?", "on the left")])], processor.tokenizer.pad_token_id)
    tower = llava.model.vision_tower
    tokens = tower_tokens(tower, data)[:1].float()
    with torch.inference_mode():
        ours, _ = mllm.language_loss(llava, tokens, ids, learned)
        tower.forward = lambda *a, **k: type("Out", (), {"hidden_states": (tokens,), "last_hidden_state": tokens})()
        labels = ids.masked_fill(~learned, -100)
        theirs = llava(input_ids=ids, pixel_values=torch.zeros(1, 3, 512, 512), labels=labels).loss
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_training_starts_with_objects_that_read_like_their_words(trained: Path) -> None:
    llava, processor = mllm.load_llava(trained / "run", width=192, depth=2)
    embeddings = word_embeddings(processor.tokenizer, TextEncoder(), 192)
    start_from_words(llava, processor.tokenizer, embeddings)
    assert not llava.get_input_embeddings().weight.requires_grad
    tower = llava.model.vision_tower.config
    tokens = torch.zeros(len(tower.label_names), 1, tower.hidden_size)
    for i in range(len(tokens)):
        tokens[i, 0, tower.out + i] = 1.0
    with torch.inference_mode():
        seen = llava.model.multi_modal_projector(tokens)[:, 0]
        words = torch.stack([word_vector(n, embeddings, processor.tokenizer) for n in tower.label_names])
    likeness = torch.nn.functional.cosine_similarity(seen[:, None], words[None], dim=-1)
    assert torch.equal(likeness.argmax(dim=1), torch.arange(len(tokens))) and likeness.diagonal().min() > 0.9


def test_what_stands_beside_a_thing_does_not_read_like_the_thing(trained: Path) -> None:
    llava, processor = mllm.load_llava(trained / "run", width=192, depth=2)
    start_from_words(llava, processor.tokenizer, word_embeddings(processor.tokenizer, TextEncoder(), 192))
    tower = llava.model.vision_tower.config
    names = len(tower.label_names)
    tokens = torch.zeros(2, names, tower.hidden_size)
    for name in range(names):
        tokens[0, name, tower.out + name] = tokens[1, name, tower.out + tower.num_words + name] = 1.0
    with torch.inference_mode():
        itself, beside = llava.model.multi_modal_projector(tokens)
    likeness = torch.nn.functional.cosine_similarity
    assert likeness(itself, beside, dim=-1).abs().max() < 0.5
    among = likeness(beside[:, None], beside[None], dim=-1) - torch.eye(names)
    assert among.max() < 0.9  # and two things that stand there do not read the same


def test_names_change_places_in_objects_and_in_relations() -> None:
    config = ObjectTowerConfig(out=2, label_names=["cup", "mug"], color_names=["red"], num_objects=1, num_relations=1)
    tokens = torch.arange(3.0 * config.token_size).view(3, config.token_size)
    swapped = tokens.clone()
    swap_names(swapped, ("cup", "mug"), config)
    moved = (swapped != tokens).any(dim=0).nonzero().flatten().tolist()
    assert moved == [2, 3, 5, 6]  # of the token's own words and of the second object's
    assert swapped[:, 5].equal(tokens[:, 6]) and swapped[:, 3].equal(tokens[:, 2])


@pytest.mark.parametrize(("muon", "workers"), [(False, 0), (True, 0), (False, 2)])
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(tmp_path: Path, muon: bool, workers: int) -> None:
    config = LoopConfig(steps=10, lr=0.1, warmup=2, save_every=5, bf16=False, muon=muon)

    def train(folder: Path, stops: list[int], workers: int) -> torch.Tensor:
        for stop in stops:
            torch.manual_seed(0)
            model = nn.Linear(3, 1)

            def draw(rng: random.Random) -> torch.Tensor:
                return torch.tensor([[rng.random() for _ in range(3)]])

            def killed(x: torch.Tensor, model: nn.Linear = model, calls: list[int] = [0], stop: int = stop):  # noqa: B006
                calls[0] += 1
                if calls[0] > stop:
                    raise KeyboardInterrupt
                return (model(x) - x.sum()).pow(2).mean(), {}

            try:
                fit("m", folder, model, draw, killed, config, workers=workers)
            except KeyboardInterrupt:
                continue
        return model.weight.detach()

    # Drawn ahead or not, the batches are the same.
    assert torch.equal(train(tmp_path / "once", [99], 0), train(tmp_path / "twice", [7, 99], workers))


def test_learning_rate_warms_up_and_falls() -> None:
    config = LoopConfig(steps=100, lr=1.0, warmup=10)
    rates = [learning_rate(s, config) for s in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[-1] < 0.06
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)


def test_targets_of_the_object_head_match_the_scene(trained: Path) -> None:
    sample = SceneSet(trained / "train", 512)[0]
    targets = dense_targets(sample)
    names, colors = vocabulary()
    centres = torch.nonzero(targets["heat"] == 1.0)
    drawn = [o for o in sample.scene["objects"] if int((sample.ids == o["id"]).sum()) >= 12]
    assert len(centres) == len(drawn)
    labels = sorted(int(targets["label"][y, x]) for y, x in centres)
    assert labels == sorted(names[o["category"]] for o in drawn)
    for y, x in centres.tolist():
        here = next(
            o
            for o in drawn
            if int(targets["label"][y, x]) == names[o["category"]] and int(targets["color"][y, x]) == colors[o["color"]]
        )
        assert here["color"] in colors
        box = targets["box"][:, y, x] * 640
        assert (box >= 0).all() and box.max() <= 640


def test_prompts_are_inside_their_object() -> None:
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[40:60, 30:70] = True
    for seed in range(50):
        points, labels = draw_prompt(mask, random.Random(seed))
        if labels[0] == 1:
            x, y = (points[0] / 2).int().tolist()
            assert mask[y, x]
        else:
            assert labels.tolist() == [2, 3] and abs(points[0, 0] / 2 - 30) < 15


def test_words_single_one_object_out_or_none(trained: Path) -> None:
    data = SceneSet(trained / "train", 512)
    rng = random.Random(0)
    for i in range(len(data)):
        sample = data[i]
        there = {(o["category"], o["color"]) for o in sample.scene["objects"]}
        for _ in range(40):
            absent = draw_absent(sample, rng)
            words = tuple(absent.target.split(" ", 1))
            assert absent.object_id is None
            assert absent.target not in {n for n, _ in there}
            assert not (len(words) == 2 and (words[1], words[0]) in there)
            right = {o["id"]: (o["category"], o["color"]) for o in sample.scene["objects"]}
            present = draw_present(sample, right, rng)
            if present is not None:
                item = next(o for o in sample.scene["objects"] if o["id"] == present.object_id)
                assert item["category"] in present.target
                assert present.attributes.color in ("", item["color"])


def test_words_as_the_eye_misread_them_never_name_another_object() -> None:
    objects = [{"id": 1, "category": "mug", "color": "gray"}, {"id": 2, "category": "cup", "color": "white"}]
    scene = {"objects": objects}
    words = Referral(1, "gray mug", Attributes("gray", "cylinder with a handle", "left"))
    slip = misread(words, objects[0], scene, ("mug", "white"))
    assert slip.target == "white mug" and slip.attributes == Attributes("white", "cylinder with a handle", "left")
    assert misread(words, objects[0], scene, ("cup", "white")) == words


def test_a_better_mask_has_a_lower_loss() -> None:
    from llavaseg_ros.training.losses import centre_loss, dice_loss, mask_bce

    masks = torch.zeros(1, 8, 8)
    masks[:, 2:5, 2:5] = 1
    good, bad = (masks * 2 - 1) * 4, (masks * 2 - 1) * -4
    assert dice_loss(good, masks) < dice_loss(bad, masks) and mask_bce(good, masks) < mask_bce(bad, masks)
    assert centre_loss(good, masks) < centre_loss(bad, masks)
    assert np.isfinite(centre_loss(good, torch.zeros_like(masks)).item())


def test_the_tower_sees_in_a_file_what_it_saw_in_training(trained: Path) -> None:
    """Tokens from the processor's pixels and tokens from the training features agree, boxes included."""
    llava, processor = mllm.load_llava(trained / "run", width=192, depth=2)
    tower, data = llava.model.vision_tower, SceneSet(trained / "val", 512)
    image = Image.open(data.rows[0][0] / data.scenes[0]["image"])
    pixels = processor.image_processor(image, return_tensors="pt")["pixel_values"]
    sample = data[0]
    seen: list[torch.Tensor] = []
    pick = object_tower.pick_objects

    def watch(level: torch.Tensor, head: tuple, extent: torch.Tensor, *rest: float) -> torch.Tensor:
        seen.append(extent)
        return pick(level, head, extent, *rest)

    object_tower.pick_objects = watch
    try:
        with torch.no_grad():
            tower(pixels)
            pictures, extent = collate([sample])
            tower.tokens(normalised(pictures), extent)
    finally:
        object_tower.pick_objects = pick
    torch.testing.assert_close(seen[0], seen[1], atol=0.01, rtol=0)
    torch.testing.assert_close(seen[1], torch.tensor([[1.0, 0.75]]), atol=1e-6, rtol=0)
