# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""SAM's encoding beside the language model: what is computed, where, and where its errors come out."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from test_core_pipeline import DESCRIBE, NAME, REASON, make

from llavaseg_ros.errors import NoImage, OutOfMemory
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.segmentation.encoding import EncodingLane

IMAGE = np.zeros((48, 64, 3), np.uint8)


def test_beside_the_caller_goes_on_and_gets_the_same() -> None:
    free = threading.Event()
    threads: list[str] = []

    def encode() -> object:
        free.wait(20.0)
        threads.append(threading.current_thread().name)
        return "encoded"

    encoding = EncodingLane(torch.device("cpu"), beside=True).start(encode)  # type: ignore[arg-type]
    assert not threads  # start has returned, and encode waits for us
    free.set()
    assert encoding.result() == encoding.result() == "encoded"
    assert threads[0] != threading.current_thread().name


def test_in_turn_by_default() -> None:
    threads: list[str] = []
    lane = EncodingLane(torch.device("cpu"), beside=False)
    encoding = lane.start(lambda: threads.append(threading.current_thread().name))  # type: ignore[arg-type,return-value]
    assert threads == [threading.current_thread().name]
    assert encoding.spent() > 0
    assert encoding.spent() == 0


def beside() -> LLaVASeg:
    model = make(REASON, NAME, DESCRIBE)
    model._image._lane = EncodingLane(model.device, beside=True)
    return model


def failing(model: LLaVASeg, error: Exception) -> None:
    def encode(_: np.ndarray) -> None:
        raise error

    model.segmenter.encode = encode  # type: ignore[method-assign,assignment]


def test_an_error_beside_comes_out_of_the_command_and_leaves_no_image() -> None:
    model = beside()
    failing(model, MemoryError())
    model.set_image(IMAGE)
    with pytest.raises(OutOfMemory):
        model.segment("I am thirsty")
    with pytest.raises(NoImage):
        model.segment("I am thirsty")


def test_memory_that_runs_out_beside_is_tried_once_more_and_smaller() -> None:
    model = beside()
    smaller = model.segmenter.encode
    failing(model, MemoryError())
    model.segmenter.encode_smaller = smaller  # type: ignore[method-assign]
    model.set_image(IMAGE)
    assert model.segment("I am thirsty").found and model._image.made_smaller == 1


def test_a_new_frame_does_not_get_the_old_ones_error() -> None:
    model = beside()
    encode = model.segmenter.encode
    failing(model, MemoryError())
    model.set_image(IMAGE)
    model.segmenter.encode = encode  # type: ignore[method-assign]
    model.set_image(IMAGE)
    assert model.segment("I am thirsty").found


def test_an_encoder_that_hangs_does_not_keep_the_process_alive() -> None:
    script = """
import threading, time, torch
from llavaseg_ros.segmentation.encoding import EncodingLane
inside = threading.Event()
lane = EncodingLane(torch.device("cpu"), beside=True)
lane.start(lambda: inside.set() or time.sleep(600))
inside.wait()
print("at the end", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "at the end" in done.stdout, done.stderr


def test_an_encoder_at_work_is_waited_for_at_the_end_of_the_process() -> None:
    # Torch's own C++ code aborts the process when the interpreter ends under it.
    script = """
import threading, torch
from llavaseg_ros.segmentation.encoding import EncodingLane
torch.set_num_threads(1)
inside = threading.Event()
layers = torch.nn.Sequential(*[torch.nn.Conv2d(32, 32, 3, padding=1) for _ in range(30)])
def encode():
    inside.set()
    with torch.inference_mode():
        layers(torch.randn(1, 32, 200, 200))
    print("encoded", flush=True)
lane = EncodingLane(torch.device("cpu"), beside=True)
lane.start(encode)
inside.wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "encoded" in done.stdout, done.stderr


def test_the_thread_ends_with_its_lane() -> None:
    before = set(threading.enumerate())
    lane = EncodingLane(torch.device("cpu"), beside=True)
    (thread,) = set(threading.enumerate()) - before
    assert lane.start(lambda: "encoded").result() == "encoded"  # type: ignore[arg-type,return-value,comparison-overlap]
    assert thread.is_alive()
    del lane
    thread.join(60.0)
    assert not thread.is_alive()
