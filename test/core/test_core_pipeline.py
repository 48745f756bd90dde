# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""LLaVASeg: what it refuses, what it returns, and how its parts are called. The parts are scripted here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scripted import ScriptedMLLM, ScriptedSegmenter

from llavaseg_ros.device import limit_gpu_memory, select_device
from llavaseg_ros.errors import BadRequest, BundleError, Cancelled, ErrorCode, LLaVASegError, NoImage, OutOfMemory
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.segmentation.segmenter import PRESENCE_THRESHOLD
from llavaseg_ros.types import Attributes, Stage, Thought

REASON = "I see a red mug."
NAME = "target: red mug; found: yes; answer: The red mug can be used to drink."
DESCRIBE = "color: red; shape: cylinder with a handle; location: front left"
MASK = np.zeros((48, 64), bool)
MASK[10:20, 30:40] = True


def make(*replies: str | Exception, mask: Any = MASK, presence: float = 0.9) -> Any:
    segmenter: Any = ScriptedSegmenter(mask, presence)
    return LLaVASeg(ScriptedMLLM(*replies), segmenter, load_style("embedded"), name="scripted")


def test_found(image: np.ndarray) -> None:
    model = make(REASON, NAME, DESCRIBE)
    model.set_image(image)
    assert model.image_shape == (48, 64)
    result = model.segment("  I am thirsty ")
    assert result.found and result.error_code == ErrorCode.NONE and result.command == "I am thirsty"
    assert result.answer == "The red mug can be used to drink." and result.presence == 0.9
    assert np.array_equal(result.segments[0].mask, MASK)
    assert model.segmenter.asked == [("red mug", Attributes("red", "cylinder with a handle", "front left"))]
    assert set(result.seconds) == {"encode", "reason", "segment"}


def test_encoded_once_a_frame(image: np.ndarray) -> None:
    model = make(*[REASON, NAME, DESCRIBE] * 2, REASON)
    model.set_image(image)
    first, second = model.segment("I am thirsty"), model.segment("the red one")
    model.chat("What do you see?")
    assert len(model.segmenter.encoded) == 1
    assert first.seconds["encode"] > 0 and second.seconds["encode"] == 0


def test_the_callers_array_may_be_reused(image: np.ndarray) -> None:
    model = make()
    model.set_image(image)
    image[:] = 0
    assert model.segmenter.encoded[0].any() and model.mllm.image.any()
    view = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)[::2, ::-2]
    model.set_image(view)
    assert model.segmenter.encoded[1].flags.c_contiguous and np.array_equal(model.segmenter.encoded[1], view)


def test_question_has_no_mask(image: np.ndarray) -> None:
    model = make("Three.", "target: none; found: no; answer: There are three cups.")
    model.set_image(image)
    result = model.segment("How many cups are there?")
    assert not result.found and result.segments == () and result.error_code == ErrorCode.NONE
    assert result.answer == "There are three cups." and model.segmenter.asked == []


def test_absent_by_word_of_the_mllm(image: np.ndarray) -> None:
    model = make("No fruit.", "target: banana; found: no; answer: I do not see a banana.")
    model.set_image(image)
    result = model.segment("the banana")
    assert not result.found and result.error_code == ErrorCode.NOT_FOUND and model.segmenter.asked == []
    assert result.answer == "I do not see a banana."


def test_absent_by_the_presence_head(image: np.ndarray) -> None:
    model = make(REASON, NAME, DESCRIBE, presence=0.6 * PRESENCE_THRESHOLD)
    model.set_image(image)
    result = model.segment("I am thirsty")
    assert not result.found and result.segments == () and result.error_code == ErrorCode.NOT_FOUND
    assert result.answer == "I looked for the red mug, but I am not sure that it is in view."
    assert result.presence == 0.6 * PRESENCE_THRESHOLD and result.thought.found


@pytest.mark.parametrize("mask", [None, np.zeros((48, 64), bool)])
def test_empty_mask(image: np.ndarray, mask: np.ndarray | None) -> None:
    model = make(REASON, NAME, DESCRIBE, mask=mask)
    model.set_image(image)
    result = model.segment("I am thirsty")
    assert not result.found and result.segments == () and result.error_code == ErrorCode.EMPTY_MASK
    assert "red mug" in result.answer


def test_known_attributes_need_no_mllm(image: np.ndarray) -> None:
    model = make()
    model.set_image(image)
    thought = Thought("red mug", Attributes("red"), "Here.", found=True)
    result = model.segment_thought(thought, command="follow")
    assert result.found and result.command == "follow" and result.seconds["reason"] == 0
    assert model.segmenter.asked == [("red mug", Attributes("red"))] and model.mllm.asked == []


BAD_IMAGES = [
    (None, "NoneType"),
    ([[1, 2, 3]], "list"),
    (np.zeros((48, 64, 3), np.float32), "float32"),
    (np.zeros((48, 64), np.uint8), r"\[48, 64\]"),
    (np.zeros((48, 64, 4), np.uint8), r"\[48, 64, 4\]"),
    (np.zeros((3, 48, 64), np.uint8), r"\[3, 48, 64\]"),
    (np.zeros((0, 0, 3), np.uint8), "0 x 0"),
    (np.zeros((15, 64, 3), np.uint8), "64 x 15"),
    (np.zeros((16, 8193, 3), np.uint8), "8193 x 16"),
]


@pytest.mark.parametrize(("bad", "says"), BAD_IMAGES)
def test_bad_images_are_named_and_change_nothing(image: np.ndarray, bad: Any, says: str) -> None:
    model = make(REASON, NAME, DESCRIBE)
    model.set_image(image)
    with pytest.raises(BadRequest, match=f"image: got .*{says}"):
        model.set_image(bad)
    assert model.image_shape == (48, 64) and model.segment("I am thirsty").found


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("\0\u200b\ud800", "empty"),
        ("x" * 10_000, "10000 characters"),
        (None, "NoneType"),
        (b"mug", "bytes"),
        (5, "int"),
    ],
)
def test_bad_commands_are_named_and_the_next_one_works(image: np.ndarray, bad: Any, says: str) -> None:
    model = make(REASON, NAME, DESCRIBE)
    model.set_image(image)
    for call in (model.segment, model.chat):
        with pytest.raises(BadRequest, match=f"command: got .*{says}"):
            call(bad)
    assert model.segment("x" * 2000).found


def test_no_image_yet(image: np.ndarray) -> None:
    model = make()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("segment", {"command": "mug"}),
        ("chat", {"question": "mug"}),
        ("segment_prompt", {"box": np.array([0, 0, 5, 5])}),
        ("segment_thought", {"thought": Thought("mug", found=True)}),
    ]
    for name, arguments in calls:
        with pytest.raises(NoImage):
            getattr(model, name)(**arguments)
        model.set_image(image)
        model.reset_image()
    assert model.image_shape is None and model.mllm.image is None


def test_prompts_are_checked(image: np.ndarray) -> None:
    model = make()
    model.set_image(image)
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "neither"),
        ({"labels": [1], "box": [0, 0, 5, 5]}, "labels without points"),
        ({"points": [1.0, 2.0]}, "shape"),
        ({"points": np.zeros((0, 2))}, "shape"),
        ({"points": [[64.0, 2.0]]}, "inside the image of 64 x 48"),
        ({"points": [[1.0, float("nan")]]}, "not finite"),
        ({"points": "mug"}, "numbers"),
        ({"points": [[1.0, 2.0]], "labels": [2]}, "0 or 1"),
        ({"points": [[1.0, 2.0]], "labels": [1, 0]}, "each of 1"),
        ({"box": [5, 5, 1, 9]}, "x0 < x1"),
        ({"box": [0, 0, 65, 9]}, "inside the image"),
        ({"box": [0, 0, 9]}, "shape"),
    ]
    for prompt, says in bad:
        with pytest.raises(BadRequest, match=says):
            model.segment_prompt(**prompt)
    assert model.segmenter.prompts == []
    model.segment_prompt(points=np.array([[1, 2], [63.5, 47]]), labels=np.array([1, 0]), box=np.array([0, 0, 64, 48]))
    told = model.segmenter.prompts[0]
    assert told["points"].dtype == np.float32 and told["labels"].tolist() == [1, 0] and told["box"].shape == (4,)
    model.segment_prompt(points=[[1, 2]])
    assert model.segmenter.prompts[1]["labels"].tolist() == [1] and model.segmenter.prompts[1]["box"] is None


def test_progress_by_stage(image: np.ndarray) -> None:
    model = make(REASON, NAME, DESCRIBE)
    model.set_image(image)
    seen: list[tuple[Stage, str]] = []
    model.segment("I am thirsty", on_progress=lambda stage, text: seen.append((stage, text)))
    stages = [stage for stage, _ in seen]
    assert stages[0] == Stage.REASONING and stages[-1] == Stage.SEGMENTING and len(stages) > 10
    assert stages == sorted(stages, key=[Stage.REASONING, Stage.SEGMENTING].index)
    assert seen[-2][1].endswith("location: front left")


def test_cancel_anywhere_and_go_on(image: np.ndarray) -> None:
    words = len(f"{REASON} {NAME} {DESCRIBE}".split())
    for allowed in (0, 1, 5, words + 3):  # the last: after the last token, before segmenting
        model = make(REASON, NAME, DESCRIBE)
        model.set_image(image)
        polls = iter([False] * allowed + [True] * 100)
        with pytest.raises(Cancelled) as caught:
            model.segment("I am thirsty", should_cancel=lambda polls=polls: next(polls))
        assert caught.value.code == ErrorCode.PREEMPTED and model.segmenter.asked == []
        model.mllm.replies = [REASON, NAME, DESCRIBE]
        assert model.segment("I am thirsty").found


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_has_its_code(image: np.ndarray, error: Exception) -> None:
    model = make(REASON, NAME, DESCRIBE, mask=error)
    model.set_image(image)
    with pytest.raises(OutOfMemory, match="while segmenting") as caught:
        model.segment("I am thirsty")
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    model = make(error, error)  # the second is what the try with a smaller image ends with
    model.set_image(image)
    with pytest.raises(OutOfMemory, match="while reasoning.*smaller image"):
        model.chat("What is this?")


def test_other_errors_stay_what_they_are(image: np.ndarray) -> None:
    model = make(RuntimeError("shape mismatch"))
    model.set_image(image)
    with pytest.raises(RuntimeError, match="shape mismatch") as caught:
        model.chat("What is this?")
    assert not isinstance(caught.value, LLaVASegError)


def test_an_image_that_fails_to_encode_leaves_none(image: np.ndarray) -> None:
    model = make()
    model.set_image(image)

    def fail(rgb: np.ndarray) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.segmenter.encode = fail
    with pytest.raises(OutOfMemory, match="64 x 48"):
        model.set_image(image)
    assert model.image_shape is None
    with pytest.raises(NoImage):
        model.segment("mug")


def test_devices() -> None:
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    bad: Any
    for bad in ("gpu", "cuda:x", "cuda:-1", "", "mps", None):
        with pytest.raises(BadRequest, match="device: got"):
            select_device(bad)
    with pytest.raises(BadRequest, match="device: cuda:99"):
        select_device("cuda:99")


def test_from_pretrained_refuses(tmp_path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        LLaVASeg.from_pretrained(tmp_path / "nowhere", device="cpu")
    with pytest.raises(BadRequest, match="mode"):
        LLaVASeg.from_pretrained(tmp_path, mode="slow", device="cpu")
    with pytest.raises(BadRequest, match="device"):
        LLaVASeg.from_pretrained(tmp_path, device="tpu")


def test_describe() -> None:
    told = make().describe()
    assert told["mllm"] == {"name": "scripted"} and told["mode"] == "cot" and told["device"] == "cpu"


@pytest.mark.parametrize(("limit_gb", "share"), [(6.0, 0.25), (0.0, 1.0)])
def test_the_memory_limit_is_torchs(monkeypatch: pytest.MonkeyPatch, limit_gb: float, share: float) -> None:
    told: list[Any] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=24 * 2**30))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *args: told.append(args))
    limit_gpu_memory(torch.device("cpu"), limit_gb)
    assert not told
    limit_gpu_memory(torch.device("cuda:1"), limit_gb)
    assert told == [(share, torch.device("cuda:1"))]


@pytest.mark.parametrize(
    ("limit_gb", "says"),
    [(-1.0, "got -1.0"), (float("nan"), "got nan"), (float("inf"), "got inf"), (25.0, "cuda:0 has 24.0 GiB")],
)
def test_a_memory_limit_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch, limit_gb: float, says: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=24 * 2**30))
    with pytest.raises(BadRequest, match=f"gpu_memory_limit_gb: .*{says}"):
        limit_gpu_memory(torch.device("cuda:0"), limit_gb)
