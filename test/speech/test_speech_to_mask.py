# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a voice to a mask: the speech node and the node with the embedded default, over real DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

import rclpy
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from ros_harness import DOMAIN, Stack, spin_in_thread, wait_until

from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.nodes.llavaseg_node import load_pipeline
from llavaseg_ros.nodes.speech_command import SpeechCommand
from llavaseg_ros.speech.stop_words import words_of

# Torch's import and the model's load are part of it; CI machines are slow.
pytestmark = pytest.mark.timeout(900)


def test_a_spoken_command_becomes_a_mask(recordings: Path) -> None:
    stack = Stack(None, loader=load_pipeline, device="cpu", timeout_s=600.0)
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN, args=[])
    executor: Any = MultiThreadedExecutor(2, context=context)
    speech = None
    try:
        stack.wait_ready(timeout_s=280.0)
        frame = next(iter(read_frames()))
        image = stack.send_image(frame.rgb)
        # As a person starts it: the file, and everything else as it ships.
        speech = SpeechCommand(
            namespace=stack.namespace,
            context=context,
            use_global_arguments=False,
            parameter_overrides=[Parameter("source", value=str(recordings / "red_mug.wav"))],
        )
        executor.add_node(speech)
        spin_in_thread(executor)
        answer = wait_until(lambda: stack.final_answers(), 280.0, "the answer to what was said")[0]
        assert words_of(answer.command) == ["hand", "me", "the", "red", "mug"]
        assert answer.error_code == ErrorCode.NONE and answer.found, answer.text
        mask = stack.mask.wait(1)[0]
        (target,) = stack.masks.wait(1)[0].targets
        assert mask.header == image.header == answer.header
        drawn = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width) > 0
        assert drawn.shape == frame.rgb.shape[:2] and "mug" in target.label
        red, green, blue = (frame.rgb[drawn][:, channel].astype(float).mean() for channel in range(3))
        assert drawn.sum() > 200 and red > 1.5 * green and red > 1.5 * blue, (red, green, blue)
    finally:
        if speech is not None:
            assert speech.close()
        executor.shutdown(timeout_sec=20.0)
        if speech is not None:
            speech.destroy_node()
        rclpy.shutdown(context=context)
        stack.close()
