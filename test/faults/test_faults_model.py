# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Models that raise, and models that answer with what no planner may get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faults import fault
from real_parts import DESCRIBE, NAME, REASON, TalkativeMLLM, real_pipeline
from ros_harness import wait_until
from scripted_pipeline import ScriptedPipeline, make_segment, red_mask

from llavaseg_ros.errors import Cancelled, ErrorCode
from llavaseg_ros.ros.messages import MAX_NAME_LENGTH, MAX_TEXT_LENGTH
from llavaseg_ros.types import Result, Segment


def works(stack: Any) -> None:
    image = stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header, result.error_msg


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(
            where,
            id=where,
            marks=fault(
                f"the model raises while it {does}",
                group="Model",
                node="logs the traceback, ends the command, goes on",
                planner="UNKNOWN, and the text says what was raised; no mask; the next command works",
            ),
        )
        for where, does in (("on_image", "takes an image"), ("on_segment", "reasons"))
    ],
)
def test_model_raises(make_stack: Any, where: str) -> None:
    armed = [ValueError("a tensor of a strange shape"), SystemExit(3), KeyboardInterrupt()]

    def fail(*_: Any) -> None:
        if armed:
            raise armed.pop(0)

    stack = make_stack(ScriptedPipeline(**{where: fail}))
    for said in ("strange shape", "SystemExit", "KeyboardInterrupt"):
        stack.send_image()
        result = stack.do("take the mug").result
        assert result.error_code == ErrorCode.UNKNOWN and said in result.error_msg and not result.masks.targets
    works(stack)


def nan_mask(good: Result) -> Result:
    mask = np.full(good.segments[0].mask.shape, np.nan, np.float32)
    return replace(good, segments=(Segment(mask, 0.9, (0, 0, 4, 4)),))  # type: ignore[arg-type]


def wrong_size(good: Result) -> Result:
    return replace(good, segments=(make_segment(np.ones((24, 32), bool)),))


def turned(good: Result) -> Result:
    return replace(good, segments=(make_segment(good.segments[0].mask.T.copy()),))


def wrong_dtype(good: Result) -> Result:
    mask = good.segments[0].mask.astype(np.uint8) * 255
    return replace(good, segments=(replace(good.segments[0], mask=mask),))


def nan_score(good: Result) -> Result:
    return replace(good, segments=(replace(good.segments[0], score=float("nan")),))


def no_mask(good: Result) -> Result:
    return replace(good, segments=())


def no_array(good: Result) -> Result:
    return replace(good, segments=(replace(good.segments[0], mask=None),))  # type: ignore[arg-type]


def no_result(good: Result) -> Any:
    return "I see a mug"


WRONG: list[tuple[str, Callable[[Result], Any], str]] = [
    ("a mask of NaN", nan_mask, "float32"),
    ("a mask of another size", wrong_size, "[24, 32]"),
    ("a mask whose height and width are exchanged", turned, "[64, 48]"),
    ("a mask of another type (0 and 255)", wrong_dtype, "uint8"),
    ("a score that is not a number", nan_score, "nan"),
    ("a target, and no mask", no_mask, "no mask"),
    ("a target whose mask is no array", no_array, "NoneType"),
    ("something that is no result", no_result, "str"),
]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(
            spoil,
            said,
            id=spoil.__name__,
            marks=fault(
                f"the model returns {name}",
                group="Model",
                node="refuses it before anything is published",
                planner="UNKNOWN, and the text says what was got and expected; no mask; the next command works",
            ),
        )
        for name, spoil, said in WRONG
    ],
)
def test_model_returns(make_stack: Any, spoil: Callable[[Result], Any], said: str) -> None:
    pipeline = ScriptedPipeline()
    pipeline.on_segment = lambda command, rgb: spoil(pipeline.result(command, rgb)) if command == "spoil it" else None
    stack = make_stack(pipeline)
    stack.send_image()
    result = stack.do("spoil it").result
    assert result.error_code == ErrorCode.UNKNOWN and said in result.error_msg, result.error_msg
    assert not result.masks.targets and not result.answer.found
    works(stack)


@fault(
    "following gives a mask of another size",
    group="Model",
    node="takes the target for lost on that frame, and goes on with the next",
    planner="an empty mask with that frame's stamp",
)
def test_following_returns_a_wrong_size(make_stack: Any) -> None:
    class Shrinking(ScriptedPipeline):
        def follow(self, last: Result, *, gap_s: float = 0.1) -> Result:
            return wrong_size(super().follow(last, gap_s=gap_s))

    stack = make_stack(Shrinking(), follow__enabled=True, follow__relook_after_s=0.0)
    works(stack)
    image = stack.send_image()

    def empty() -> bool:
        return any(m.header == image.header and not m.targets for m in stack.masks.messages)

    wait_until(empty, what="the empty masks of that frame")


@fault(
    "the answer is ten million characters long",
    group="Model",
    node="cuts it",
    planner=f"the mask, and an answer of {MAX_TEXT_LENGTH} characters",
)
def test_a_very_long_answer(make_stack: Any) -> None:
    pipeline = ScriptedPipeline()

    def verbose(command: str, rgb: np.ndarray) -> Result | None:
        good = pipeline.result(command, rgb)
        thought = replace(good.thought, reasoning="so " * 3_000_000, target="mug " * 1_000_000)
        return replace(good, thought=thought, answer="ten million " * 850_000)

    pipeline.on_segment = verbose
    stack = make_stack(pipeline)
    stack.send_image()
    answer = stack.ask("take the mug", session_id="a")
    assert answer.found and len(answer.text) == len(answer.reasoning) == MAX_TEXT_LENGTH
    wait_until(lambda: stack.masks.messages and stack.masks.messages[-1].targets, what="the masks")
    assert len(stack.masks.messages[-1].targets[0].label) == MAX_NAME_LENGTH
    pipeline.on_segment = None
    assert stack.ask("take the mug", session_id="a").found
    assert sum(len(message.text) for message in pipeline.histories[-1]) < 2 * MAX_TEXT_LENGTH  # nor is it remembered


# --- the language model's replies, by way of the real pipeline ---


@fault(
    "the language model says nothing, twice",
    group="Model",
    node="asks again once, then gives up",
    planner="BAD_REPLY, no mask; the next command works",
)
def test_empty_replies(make_stack: Any) -> None:
    model = real_pipeline(TalkativeMLLM("", "", ""))
    stack = make_stack(model)
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.BAD_REPLY and result.error_msg and not result.masks.targets
    assert len(model.mllm.asked) == 3
    works(stack)


@fault(
    "the language model's reply cannot be read, once",
    group="Model",
    node="asks again once",
    planner="an answer, a little later",
)
def test_one_bad_reply(make_stack: Any) -> None:
    model = real_pipeline(TalkativeMLLM(REASON, "the mug, I guess", NAME, DESCRIBE))
    stack = make_stack(model)
    works(stack)
    assert len(model.mllm.asked) == 4


@fault(
    "the language model's reply cannot be read, twice",
    group="Model",
    node="gives up",
    planner="BAD_REPLY, and the text holds the last reply; no mask; the next command works",
)
def test_two_bad_replies(make_stack: Any) -> None:
    stack = make_stack(real_pipeline(TalkativeMLLM(REASON, "the mug, I guess", "well, the mug")))
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.BAD_REPLY and "well, the mug" in result.error_msg
    assert not result.masks.targets
    works(stack)


class EndlessMLLM(TalkativeMLLM):
    """Its first reply never ends; it polls at every word, as the real ones do."""

    endless = True

    def reply(self, messages: Any, *, max_new_tokens: int, on_token: Any = None, should_cancel: Any = None) -> str:
        said = "so"
        while self.endless:
            if should_cancel is not None and should_cancel():
                raise Cancelled("cancelled")
            said = said[-1000:] + " so"
            if on_token is not None:
                on_token(said)
        return super().reply(messages, max_new_tokens=max_new_tokens, on_token=on_token, should_cancel=should_cancel)


@fault(
    "the language model never ends its reply",
    group="Model",
    node="ends the command at its time-out; the model stops at its next token",
    planner="TIMEOUT, no mask; the next command works",
)
def test_endless_text(make_stack: Any) -> None:
    mllm = EndlessMLLM()
    stack = make_stack(real_pipeline(mllm), timeout_s=0.5)
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.TIMEOUT and not result.masks.targets
    mllm.endless = False  # the command may have ended before it was the model's turn
    stack.node.set_parameters([stack.parameter("timeout_s", 60.0)])
    works(stack)


@fault(
    "SAM computes NaN (a broken GPU, a half precision that overflows)",
    group="Model",
    node="refuses the mask",
    planner="UNKNOWN, and the text says so; no mask, in place of one with holes",
)
def test_sam_computes_nan(make_stack: Any) -> None:
    import torch

    from llavaseg_ros.segmentation.preprocess import fit_to
    from llavaseg_ros.segmentation.segmenter import Segmenter

    class NaNSegmenter:
        """The last step of the real one, on logits of which a corner is broken."""

        def encode(self, rgb: np.ndarray) -> Any:
            return fit_to(rgb.shape[0], rgb.shape[1], 64, 32)

        encode_smaller = encode
        broken = True

        def segment(self, encoded: Any, *_: Any) -> tuple[Segment, float]:
            logits = torch.full((16, 16), -5.0)
            logits[4:8, 4:8] = 5.0
            if self.broken:
                logits[5, 5] = float("nan")
            return Segmenter._segment(None, logits, 0.9, encoded), 0.9  # type: ignore[arg-type]

        def describe(self) -> dict[str, Any]:
            return {}

    segmenter = NaNSegmenter()
    stack = make_stack(real_pipeline(segmenter=segmenter))
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.UNKNOWN and "not numbers" in result.error_msg and not result.masks.targets
    segmenter.broken = False
    works(stack)


def test_the_scripted_mask_is_the_red_one() -> None:
    """What `works` relies on."""
    from ros_harness import picture

    assert red_mask(picture()).sum() == 20 * 12
