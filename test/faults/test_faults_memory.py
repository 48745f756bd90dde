# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Memory that runs out: really, in torch's own allocator, wherever that is possible."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults import fault
from hanging import wait_for
from lifecycle_msgs.msg import Transition
from real_parts import TOO_MUCH, HungrySegmenter, TalkativeMLLM, real_pipeline
from ros_harness import wait_until
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.errors import BundleError, ErrorCode, ServerAway, is_out_of_memory
from llavaseg_ros.ros.jobs import as_error
from llavaseg_ros.ros.worker import ModelState

AGAIN = "smaller image"


def served(stack: Any) -> Any:
    """The next image and command work. Returns the result."""
    image = stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header, result.error_msg
    mask = result.masks.targets[0].mask
    assert (mask.height, mask.width) == (48, 64)
    return result


def hungry(where: str, what: str) -> Any:
    return pytest.param(
        where,
        id=where,
        marks=fault(
            f"memory runs out while {what}, at the image's full size",
            group="Memory",
            node="frees its caches, and does it once more with the image at three quarters of its size",
            planner="a mask of the image's size, its edges coarser",
        ),
    )


@pytest.mark.parametrize("where", [hungry("encode", "SAM encodes"), hungry("segment", "SAM decodes a mask")])
def test_once_smaller(make_stack: Any, where: str) -> None:
    model = real_pipeline(segmenter=HungrySegmenter(where, "full"))
    stack = make_stack(model)
    served(stack)
    assert model._image.made_smaller == 1
    model.segmenter.hungry = "never"
    served(stack)  # the next frame is tried at its full size again
    assert model._image.made_smaller == 1


def starving(where: str, what: str) -> Any:
    return pytest.param(
        where,
        id=where,
        marks=fault(
            f"memory runs out while {what}, also with a smaller image",
            group="Memory",
            node="gives the command up, and stays active",
            planner="OUT_OF_MEMORY, no mask; the next command is tried as if nothing had been",
        ),
    )


@pytest.mark.parametrize("where", [starving("encode", "SAM encodes"), starving("segment", "SAM decodes a mask")])
def test_out_of_memory(make_stack: Any, where: str) -> None:
    model = real_pipeline(segmenter=HungrySegmenter(where, "always"))
    stack = make_stack(model)
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.OUT_OF_MEMORY and AGAIN in result.error_msg and not result.masks.targets
    assert "can't allocate memory" in result.error_msg  # torch's own words
    model.segmenter.hungry = "never"
    served(stack)


class HungryMLLM(TalkativeMLLM):
    """Takes too much memory for its next `times` replies."""

    times = 1

    def reply(self, *arguments: Any, **options: Any) -> str:
        if self.times:
            self.times -= 1
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        return super().reply(*arguments, **options)


@fault(
    "memory runs out while the language model reasons",
    group="Memory",
    node="frees what it kept of the conversation, and asks once more with a smaller image",
    planner="an answer; if it happens again OUT_OF_MEMORY, and the next command works",
)
def test_reasoning(make_stack: Any) -> None:
    mllm = HungryMLLM()
    stack = make_stack(real_pipeline(mllm))
    served(stack)
    mllm.times = 2
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.OUT_OF_MEMORY and "reasoning" in result.error_msg
    served(stack)


@fault(
    "memory runs out while an image that is only followed is encoded",
    group="Memory",
    node="drops the frame, counts it, and follows on with the next",
    planner="no mask for that frame; masks of later ones",
)
def test_following(make_stack: Any) -> None:
    fails = [False]

    def eat(_: np.ndarray) -> None:
        if fails[0]:
            fails[0] = False
            torch.empty(TOO_MUCH, dtype=torch.uint8)

    stack = make_stack(ScriptedPipeline(on_image=eat), follow__enabled=True)
    served(stack)
    fails[0] = True
    lost = stack.send_image()
    wait_until(lambda: stack.node.following.dropped == 1, what="the frame to be dropped")
    kept = stack.send_image()
    wait_until(lambda: any(m.header == kept.header for m in stack.masks.messages), what="the next frame's mask")
    assert not any(m.header == lost.header for m in stack.masks.messages)


@fault(
    "memory runs out while the model loads",
    group="Memory",
    node="is active, without a model; `activate` tries again",
    planner="MODEL_NOT_READY, and the text says OUT_OF_MEMORY; /diagnostics says ERROR",
)
def test_loading(make_stack: Any) -> None:
    """Under a real limit of the process's address space, for the moment of the load."""
    limited = [True]

    def loader(_: Any) -> ScriptedPipeline:
        if limited[0]:
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, hard))
            try:
                torch.zeros(2**32, dtype=torch.uint8)
            except RuntimeError as error:  # as a loader of weights wraps it
                raise BundleError("weights.safetensors cannot be read") from error
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        return ScriptedPipeline()

    stack = make_stack(None, loader=loader, ready=False)
    wait_for(stack, ModelState.ERROR)
    stack.observer.wait_connected()
    stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and "OUT_OF_MEMORY" in result.error_msg
    limited[0] = False
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    wait_for(stack, ModelState.READY)
    served(stack)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (ValueError("shape mismatch"), False),
        (BundleError("weights are out of memory of man"), False),
    ],
)
def test_what_running_out_of_memory_looks_like(raised: Exception, expected: bool) -> None:
    assert is_out_of_memory(raised) is expected
    assert (as_error(raised).code is ErrorCode.OUT_OF_MEMORY) is expected


def test_a_servers_memory_is_not_ours() -> None:
    error = ServerAway("http://gpu-box:8000/v1 answers 500: CUDA out of memory")
    error.__cause__ = RuntimeError("CUDA out of memory")
    assert not is_out_of_memory(error) and as_error(error) is error
