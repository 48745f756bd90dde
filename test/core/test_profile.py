# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model profiles: those that ship, a user's own, and what is wrong with a broken one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llavaseg_ros.bundle import default_bundle
from llavaseg_ros.checkpoints import OFFICIAL_SAMS
from llavaseg_ros.errors import BundleError
from llavaseg_ros.profile import load_profile, profile_folder, profile_names
from llavaseg_ros.reasoning.boxes import box_format
from llavaseg_ros.reasoning.prompt_style import load_style

SHIPPED = ("default", "desktop_24gb", "jetson_8gb", "paper_13b", "paper_7b", "server_80gb")
OWN: dict[str, Any] = {
    "name": "mine",
    "mllm": {"model": "llava", "box_format": "llava"},
    "segmenter": {"sam": "vit_b"},
    "prompt_source": "box",
}


def write(folder: Path, **changes: Any) -> Path:
    """OWN with changes; a key "mllm__dtype" changes an entry of a section, None takes a key out."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in OWN.items()}
    for key, value in changes.items():
        section, _, entry = key.partition("__")
        if value is None:
            del data[section]
        elif entry:
            data.setdefault(section, {})[entry] = value
        else:
            data[section] = value
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_profiles_that_ship() -> None:
    assert tuple(profile_names()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_each_names_what_it_is_made_of(name: str) -> None:
    profile = load_profile(name)
    written = yaml.safe_load((profile_folder() / f"{name}.yaml").read_text())
    assert {"model", "dtype", "prompts", "box_format"} <= set(written["mllm"])
    assert {"gpu_gb", "host_gb", "disk_gb"} <= set(written["memory"]) and profile.memory.host_gb > 0
    assert not profile.allow_download
    load_style(profile.mllm.prompts)
    if name != "default":
        assert {"quantization", "attention"} <= set(written["mllm"]) and profile.memory.gpu_gb > 0
        assert profile.segmenter.checkpoint == OFFICIAL_SAMS[profile.segmenter.sam].name
        assert profile.prompt_source == "box" and box_format(profile.mllm.box_format)


def test_a_profile_of_the_user(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, mllm__dtype="float16", memory__gpu_gb=7, allow_download=True))
    assert profile.folder == tmp_path and profile.bundle is None
    assert (profile.mllm.dtype, profile.memory.gpu_gb, profile.allow_download) == ("float16", 7.0, True)


def test_the_folder_of_a_bundle_is_a_profile() -> None:
    profile = load_profile(default_bundle())
    assert profile.bundle == default_bundle() and profile.prompt_source == "adapters"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": None}, "name is None, expected text"),
        ({"mllm__dtype": "half"}, "mllm.dtype is 'half', expected one of auto, float32, bfloat16, float16"),
        ({"mllm__quantization": 4}, "mllm.quantization is 4, expected text"),
        ({"mllm__modle": "x"}, "mllm has 'modle', expected only attention, box_format"),
        ({"models": {}}, "the file has 'models', expected only"),
        ({"mllm": ["llava"]}, "mllm holds list, expected keys and values"),
        ({"segmenter__sam": "vit_x"}, "segmenter.sam is 'vit_x', expected one of small, vit_b, vit_l, vit_h"),
        ({"segmenter__sam": "small"}, "give segmenter.folder"),
        ({"segmenter__folder": "default"}, "either folder .* or sam, and not both"),
        ({"segmenter": {}}, "either folder .* or sam"),
        ({"segmenter__offload": "yes"}, "segmenter.offload is 'yes', expected true or false"),
        ({"memory__gpu_gb": -1}, "memory.gpu_gb is -1, expected a number of at least 0"),
        ({"memory__gpu_gb": True}, "memory.gpu_gb is True, expected a number"),
        ({"prompt_source": "boxes"}, "prompt_source is 'boxes', expected one of adapters, box, both"),
        ({"prompt_source": "both"}, "needs adapters: give segmenter.folder, or prompt_source: box"),
        ({"mllm__box_format": "none"}, "prompt_source is 'box', which needs mllm.box_format"),
        ({"mllm__kind": "served"}, "mllm.server: served model: the setting 'base_url' is missing"),
        ({"mllm__kind": "served", "mllm__box_format": "qwen2_5_vl"}, "a server does not say that size"),
        ({"mllm__kind": "served", "mllm__server": {"base_url": "gpu-box"}}, "base_url: expected http"),
        ({"allow_download": "yes"}, "allow_download is 'yes', expected true or false"),
    ],
)
def test_a_broken_profile_says_what_is_wrong(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(BundleError, match=says) as error:
        load_profile(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(BundleError, match="cannot read the profile .*mine.yaml"):
        load_profile(path)
    for text, says in (("a: [1", "cannot read"), ("just words", "holds str"), ("", "holds NoneType")):
        path.write_text(text)
        with pytest.raises(BundleError, match=says):
            load_profile(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="cannot read"):
        load_profile(path)


def test_names_and_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="got 'paper_8b', expected one of default, desktop_24gb, .*paper_7b"):
        load_profile("paper_8b")
    with pytest.raises(BundleError, match="no model bundle at .*: no such folder"):
        load_profile(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="no model bundle at .*: it has no bundle.json"):
        load_profile(tmp_path)
