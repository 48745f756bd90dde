# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a conversation never changes a reply, family by family; the image is looked at once a frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_families import FAMILIES, MORE_FAMILIES
from torch._dynamo.utils import counters
from transformers import CompileConfig, PaliGemmaConfig

from llavaseg_ros.errors import BadRequest, Cancelled
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prefix import PrefixSnapshot, prefix_of
from llavaseg_ros.reasoning.static import StaticGeneration

ALL = {**FAMILIES, **MORE_FAMILIES}
STATIC = ("llava", "llava_next", "qwen2_5_vl", "qwen3_vl")
SNAPSHOT = ("llava_mistral", "qwen3_5")
TALKS = (["I am thirsty", "Name the target.", "Describe it."], ["the leftmost"], ["I am thirsty", "Describe it."])
TOKENS = 10


@pytest.fixture(scope="module", params=ALL)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    if request.param == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    return request.param, ALL[request.param](tmp_path_factory.mktemp(request.param))


def looks(mllm: LocalMLLM) -> list[int]:
    """Grows by one whenever the vision tower runs."""
    calls: list[int] = []
    inner = mllm.model.model
    tower = next(getattr(inner, name) for name in ("vision_tower", "visual", "vision_model") if hasattr(inner, name))
    tower.register_forward_hook(lambda *_: calls.append(1))
    return calls


def conversations(mllm: LocalMLLM) -> Iterator[str]:
    """The replies of three conversations, one after the other, on the current image."""
    for talk in TALKS:
        history: list[Message] = []
        for text in talk:
            history.append(Message("user", text))
            said = mllm.reply(history, max_new_tokens=TOKENS)
            yield said
            # random weights also say control bytes, which do not come back into a conversation
            history.append(Message("assistant", mllm._guard.clean(said)))


def cancelled(mllm: LocalMLLM, text: str, after: int) -> None:
    polls = iter([False] * (after + 1))
    with pytest.raises(Cancelled):
        mllm.reply([Message("user", text)], max_new_tokens=TOKENS, should_cancel=lambda: next(polls, True))


@pytest.mark.parametrize("decoding", ["reuse", "static"])
def test_replies_are_those_of_plain_transformers(family: tuple[str, Path], image: np.ndarray, decoding: str) -> None:
    """Several turns, several commands on a frame, a new frame with the same words, a cancelled command in between."""
    name, folder = family
    plain, kept = LocalMLLM.load(folder, decoding="plain"), LocalMLLM.load(folder, decoding=decoding)
    assert plain.describe()["prefix_reuse"] is False and kept.describe()["prefix_reuse"] is True
    assert (kept.describe()["decoding"] == "static cache") == (decoding == "static" and name in STATIC)
    seen, seen_plainly = looks(kept), looks(plain)
    frames = (image, image[::-1].copy())
    said: list[list[str]] = []
    for count, frame in enumerate(frames, start=1):
        plain.set_image(frame)
        kept.set_image(frame)
        expected = list(conversations(plain))
        assert list(conversations(kept)) == expected
        cancelled(kept, "What is behind the red mug?", after=count)
        assert list(conversations(kept)) == expected
        assert len(seen) == count and len(seen_plainly) == 6 * count
        said.append(expected)
    assert len({reply for replies in said for reply in replies}) > 2  # random, but not the same word for ever


def test_how_each_family_keeps_its_prefix(family: tuple[str, Path]) -> None:
    name, folder = family
    mllm: Any = LocalMLLM.load(folder, decoding="reuse")
    assert isinstance(mllm._generation._prefix, PrefixSnapshot) == (name in SNAPSHOT)


def test_a_family_whose_early_words_see_later_ones_keeps_nothing() -> None:
    assert prefix_of(SimpleNamespace(config=PaliGemmaConfig()), None) is None


def test_without_an_image(family: tuple[str, Path], image: np.ndarray) -> None:
    """Text alone, after an image and before another, which its positions must not outlive."""
    _, folder = family
    plain, kept = LocalMLLM.load(folder, decoding="plain"), LocalMLLM.load(folder, decoding="reuse")
    for frame in (image, None, image[:, ::-1].copy()):
        for mllm in (plain, kept):
            mllm.reset_image() if frame is None else mllm.set_image(frame)
        assert list(conversations(kept)) == list(conversations(plain))


def test_an_error_half_way_leaves_nothing_wrong(family: tuple[str, Path], image: np.ndarray) -> None:
    """The second layer fails once, after the first has taken its keys in."""
    _, folder = family
    mllm = LocalMLLM.load(folder, decoding="reuse")
    mllm.set_image(image)
    expected = list(conversations(mllm))
    layer = mllm.model.model.get_decoder().layers[1] if hasattr(mllm.model.model, "get_decoder") else None
    layer = layer or mllm.model.get_decoder().layers[1]

    def fail(*_: Any) -> None:
        handle.remove()
        raise RuntimeError("broken")

    handle = layer.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken"):
        mllm.reply([Message("user", "hello")], max_new_tokens=TOKENS)
    assert list(conversations(mllm)) == expected


def compiled(backend: Any) -> CompileConfig:
    """Settings with which generate compiles on the CPU too."""
    config = CompileConfig(backend=backend, mode=None)
    config._compile_all_devices = True
    return config


def static(folder: Path, backend: Any) -> LocalMLLM:
    mllm = LocalMLLM.load(folder, decoding="plain")
    mllm._generation = StaticGeneration(mllm.model, compiled(backend))
    return mllm


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["llava", "qwen3_vl"])
def test_compiled_steps_say_the_same_and_are_compiled_by_the_first_reply(
    tmp_path: Path, image: np.ndarray, fresh_compiler: None, name: str
) -> None:
    """Traced as for a GPU, then run as it is: what inductor makes of it takes a minute here."""
    folder = FAMILIES[name](tmp_path)
    plain, mllm = LocalMLLM.load(folder, decoding="plain"), static(folder, "eager")
    mllm.set_image(np.zeros_like(image))
    cancelled(mllm, "What do you see?", after=1)  # as in `LLaVASeg.warm_up`
    graphs = counters["stats"]["unique_graphs"]
    assert graphs >= 1
    for frame in (image, image[::-1].copy()):
        plain.set_image(frame)
        mllm.set_image(frame)
        assert list(conversations(mllm)) == list(conversations(plain))
    assert counters["stats"]["unique_graphs"] == graphs and not counters["graph_break"]
    assert mllm.describe()["decoding"] == "static cache"


def test_a_machine_without_a_compiler_decodes_on_uncompiled(
    llava_folder: Path, image: np.ndarray, fresh_compiler: None, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(*_: Any) -> Callable[..., Any]:
        raise RuntimeError("Failed to find C compiler\nand so on")

    plain, mllm = LocalMLLM.load(llava_folder, decoding="plain"), static(llava_folder, no_compiler)
    for frame in (image, image[::-1].copy()):
        plain.set_image(frame)
        mllm.set_image(frame)
        with caplog.at_level(logging.WARNING, logger="llavaseg_ros"):
            assert list(conversations(mllm)) == list(conversations(plain))
    (record,) = (r for r in caplog.records if r.name.startswith("llavaseg_ros"))
    assert "Failed to find C compiler" in record.getMessage() and "and so on" not in record.getMessage()
    assert mllm.describe()["decoding"] == "transformers" and mllm.describe()["prefix_reuse"] is True


def test_an_error_of_the_prompt_is_not_taken_for_the_compilers(
    llava_folder: Path, image: np.ndarray, fresh_compiler: None
) -> None:
    mllm = static(llava_folder, "eager")
    mllm.set_image(image)

    def fail(*_: Any) -> None:
        handle.remove()
        raise RuntimeError("broken")

    handle = mllm.model.model.vision_tower.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken"):
        mllm.reply([Message("user", "hello")], max_new_tokens=TOKENS)
    assert mllm.describe()["decoding"] == "static cache"


def test_a_static_cache_grows_with_a_long_conversation(llava_folder: Path, image: np.ndarray) -> None:
    plain, mllm = LocalMLLM.load(llava_folder, decoding="plain"), LocalMLLM.load(llava_folder, decoding="static")
    for one in (plain, mllm):
        one.set_image(image)
    long = [Message("user", "hello"), Message("assistant", "ä" * 1100), Message("user", "hello again")]
    for talk in (long[:1], long, long[:1]):
        assert mllm.reply(talk, max_new_tokens=6) == plain.reply(talk, max_new_tokens=6)


def test_an_unknown_way_of_decoding(llava_folder: Path) -> None:
    with pytest.raises(BadRequest, match="'fastest', expected one of auto, static, reuse, plain"):
        LocalMLLM.load(llava_folder, decoding="fastest")
