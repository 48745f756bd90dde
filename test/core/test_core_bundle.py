# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bundles: written, read back, and every kind of damage named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llavaseg_ros.bundle import default_bundle, read_bundle, verify, write_bundle
from llavaseg_ros.errors import BundleError, ErrorCode


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    for part, name in (("mllm", "config.json"), ("segmenter", "segmenter.json")):
        (folder / part).mkdir(parents=True)
        (folder / part / name).write_text('{"a": 1}')
    (folder / "mllm" / "model.safetensors").write_bytes(bytes(range(256)) * 20)
    (folder / "mllm" / "sub").mkdir()
    (folder / "mllm" / "sub" / "vocab.txt").write_text("mug")
    write_bundle(folder, "tiny", "embedded", created="2026-01-02T03:04:05+00:00")
    return folder


def manifest(folder: Path, **changes: object) -> None:
    path = folder / "bundle.json"
    data = json.loads(path.read_text())
    data.update(changes)
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_written_and_read_back(bundle: Path) -> None:
    read = verify(bundle, deep=True)
    assert (read.name, read.prompts, read.licence, read.created) == (
        "tiny",
        "embedded",
        "Apache-2.0",
        "2026-01-02T03:04:05+00:00",
    )
    assert (read.mllm, read.segmenter) == (bundle / "mllm", bundle / "segmenter")
    assert sorted(read.files) == [
        "mllm/config.json",
        "mllm/model.safetensors",
        "mllm/sub/vocab.txt",
        "segmenter/segmenter.json",
    ]
    assert read.total_bytes == 2 * 8 + 256 * 20 + 3
    assert not [p for p in bundle.iterdir() if p.name.startswith(".")]


def test_parts_elsewhere_and_own_prompts(bundle: Path, tmp_path: Path) -> None:
    (bundle / "words.yaml").write_text("system: ''")
    read = write_bundle(bundle, "far", "words.yaml", mllm=str(bundle / "mllm"))
    assert read.mllm == bundle / "mllm" and read.prompts == str(bundle / "words.yaml")
    assert sorted(read.files) == ["segmenter/segmenter.json", "words.yaml"]
    (bundle / "mllm" / "config.json").unlink()
    with pytest.raises(BundleError, match="no mllm"):
        verify(bundle)


def test_every_damage_is_named(bundle: Path) -> None:
    weights = bundle / "mllm" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-7])
    with pytest.raises(BundleError, match=r"model\.safetensors has 5113 bytes, expected 5120"):
        verify(bundle)
    weights.write_bytes(good[:100] + b"\0" + good[101:])
    verify(bundle)  # the size is right
    with pytest.raises(BundleError, match=r"model\.safetensors is damaged"):
        verify(bundle, deep=True)
    weights.unlink()
    with pytest.raises(BundleError, match="lacks the file mllm/model.safetensors") as caught:
        verify(bundle)
    assert caught.value.code == ErrorCode.MODEL_NOT_READY


def test_unlisted_part_must_be_there(bundle: Path) -> None:
    manifest(bundle, files={})
    (bundle / "segmenter" / "segmenter.json").unlink()
    with pytest.raises(BundleError, match="no segmenter"):
        verify(bundle)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format is 2, this version reads format 1"),
        ({"format": None}, "format is None"),
        ({"name": 3}, "'name' is 3"),
        ({"mllm": ""}, "'mllm'"),
        ({"mllm": "../elsewhere"}, "not a path inside the bundle"),
        ({"prompts": "../x.yaml"}, "not a path inside the bundle"),
        ({"files": []}, "'files' is list"),
        ({"files": {"../../etc/passwd": {"bytes": 1, "sha256": ""}}}, "not a path inside the bundle"),
        ({"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, "not a path inside the bundle"),
        ({"files": {"a": {"bytes": 1}}}, "the entry of a"),
        ({"files": {"a": 5}}, "the entry of a"),
        ({"files": {"a": {"bytes": "1", "sha256": "x"}}}, "the entry of a"),
    ],
)
def test_wrong_manifests(bundle: Path, changes: dict, says: str) -> None:
    manifest(bundle, **changes)
    with pytest.raises(BundleError, match=says):
        read_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\ufeff{}", "null"])
def test_unreadable_manifests(bundle: Path, text: str) -> None:
    (bundle / "bundle.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(bundle)
    (bundle / "bundle.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(bundle)


def test_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        read_bundle(tmp_path)
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(tmp_path, "empty", "embedded")


def test_default_is_in_the_package() -> None:
    assert default_bundle().name == "weights" and default_bundle().parent.name == "llavaseg_ros"


def test_what_a_download_leaves_hidden_is_no_part_of_a_bundle(tmp_path: Path) -> None:
    left = ("mllm/.cache/huggingface/a.metadata", "mllm/.DS_Store")
    for name in ("mllm/config.json", "segmenter/segmenter.json", *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    written = write_bundle(tmp_path, "mine", "embedded")
    assert set(written.files) == {"mllm/config.json", "segmenter/segmenter.json"}
    (tmp_path / "mllm" / ".cache" / "huggingface" / "b.metadata").write_text("{}")
    verify(tmp_path, deep=True)
    (tmp_path / "mllm" / "shown").mkdir()
    (tmp_path / "mllm" / "shown" / "b.json").write_text("{}")
    with pytest.raises(BundleError, match="b.json does not belong"):
        verify(tmp_path, deep=True)
