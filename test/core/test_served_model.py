# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The served MLLM against a real server: `transformers serve`, in a process of its own, with the embedded LLaVA.

It runs the very same weights in the same precision as LocalMLLM, so greedy replies must be equal, word for word.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

for module in ("openai", "fastapi", "uvicorn", "accelerate"):
    pytest.importorskip(module, reason="`transformers serve` needs it (extra `test`)")

from faulty_server import held_port

from llavaseg_ros.bundle import default_bundle
from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.errors import Cancelled, ErrorCode, LLaVASegError
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.reasoning.served import ServedConfig, ServedMLLM

FOLDER = default_bundle() / "mllm"
START_S = 240.0
COMMANDS = (
    "hand me something to drink from",
    "give me the fruit",
    "how many cups are there?",
    "hand me the umbrella",
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.fixture(scope="module")
def server(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of `transformers serve` with the embedded default's language model; it may not use the network."""
    home = tmp_path_factory.mktemp("serve")
    (home / "hub").mkdir()  # GET /v1/models lists this folder, and fails without it
    script = Path(__file__).with_name("serve_transformers.py")
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    url = f"http://127.0.0.1:{port}/v1"
    log = home / "log.txt"
    with log.open("wb") as file:
        command = [sys.executable, str(script), str(FOLDER), str(port)]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=home)
    try:
        asking = ServedMLLM(ServedConfig(url, str(FOLDER)))
        deadline = time.monotonic() + START_S
        while (told := asking.check())["state"] != "up":
            if process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace")[-3000:]
                pytest.fail(f"the server did not start ({told['last_error']}):\n{text}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Two pictures of the demo bag, uint8 [H, W, 3] RGB."""
    return [frame.rgb for frame in islice(read_frames(DEMO_BAG), 0, 31, 30)]


@pytest.fixture(scope="module")
def local() -> LocalMLLM:
    return LocalMLLM.load(FOLDER)


def client(url: str) -> ServedMLLM:
    return ServedMLLM(
        ServedConfig(url, str(FOLDER), first_token_timeout_s=120.0, token_timeout_s=120.0, image_format="png")
    )


def test_turns_are_those_of_the_local_model(server: str, local: LocalMLLM, frames: list[np.ndarray]) -> None:
    """Four turns on each of two pictures, one without any; the pieces grow into the reply."""
    mllm = client(server)
    style = load_style("embedded")
    for frame in (*frames, None):
        for model in (mllm, local):
            model.reset_image()
            if frame is not None:
                model.set_image(frame.copy())
        talk: list[Message] = []
        asks = [style.reason.replace("{command}", COMMANDS[0]), style.name, style.describe, "what do you see?"]
        for text in asks:
            talk.append(Message("user", text))
            parts: list[str] = []
            said = mllm.reply(talk, max_new_tokens=48, on_token=parts.append)
            assert said == local.reply(talk, max_new_tokens=48)
            assert parts[-1] == said and all(b.startswith(a) for a, b in zip(parts, parts[1:], strict=False))
            assert len(parts) > 1
            talk.append(Message("assistant", said))
    assert mllm.describe()["state"] == "up"


@pytest.mark.parametrize("mode", ["cot", "fast"])
def test_the_chain_of_thought_is_that_of_the_local_model(
    server: str, local: LocalMLLM, frames: list[np.ndarray], mode: str
) -> None:
    """Targets, a question and something that is not there, one after another on a picture."""
    style, mllm = load_style("embedded"), client(server)
    mllm.set_image(frames[0].copy())
    local.set_image(frames[0].copy())
    thoughts = []
    for command in COMMANDS:
        thought = ChainOfThought(mllm, style, mode).think(command)
        assert thought == ChainOfThought(local, style, mode).think(command)
        thoughts.append(thought)
    assert any(thought.found for thought in thoughts) and not all(thought.found for thought in thoughts)


def test_a_cancel_leaves_the_server_usable(server: str, local: LocalMLLM, frames: list[np.ndarray]) -> None:
    mllm = client(server)
    mllm.set_image(frames[0].copy())
    local.set_image(frames[0].copy())
    ask = [Message("user", "what do you see?")]
    parts: list[str] = []
    with pytest.raises(Cancelled, match="characters"):
        mllm.reply(ask, max_new_tokens=48, on_token=parts.append, should_cancel=lambda: len(parts) >= 2)
    assert mllm.reply(ask, max_new_tokens=48) == local.reply(ask, max_new_tokens=48)


def test_another_model_than_the_server_has(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llavaseg_ros.reasoning.served.CHECK_TIMEOUT_S", 60.0)  # for the list of models that it has
    mllm = ServedMLLM(ServedConfig(server, "llava-7b"))
    with pytest.raises(LLaVASegError, match="llava-7b") as caught:
        mllm.reply([Message("user", "hi")], max_new_tokens=2)
    assert caught.value.code == ErrorCode.MODEL_NOT_READY and str(FOLDER) in str(caught.value)
