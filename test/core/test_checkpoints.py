# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files that do not come with the package: looked for, checked, never fetched unasked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from llavaseg_ros import checkpoints
from llavaseg_ros.checkpoints import (
    OFFICIAL_SAMS,
    check_sam,
    check_transformers_folder,
    fetch_sam,
    hub_folder,
    models_folder,
    sam_path,
)
from llavaseg_ros.errors import BundleError

VIT_B = OFFICIAL_SAMS["vit_b"].name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLAVASEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_where_a_checkpoint_is_looked_for(folder: Path) -> None:
    assert models_folder() == folder / "models"
    assert sam_path("vit_b", "", folder) == folder / "models" / VIT_B
    assert sam_path("vit_b", "mine.pth", folder) == folder / "models" / "mine.pth"
    (folder / "mine.pth").write_bytes(b"")
    assert sam_path("vit_b", "mine.pth", folder) == folder / "mine.pth"  # beside the file that names it comes first
    assert sam_path("vit_b", "sub/mine.pth", folder) == folder / "sub" / "mine.pth"
    assert sam_path("vit_b", "/data/mine.pth", folder) == Path("/data/mine.pth")


def test_a_missing_checkpoint_comes_with_the_command_that_gets_it(folder: Path) -> None:
    path = folder / "my models" / VIT_B
    with pytest.raises(BundleError) as error:
        check_sam("vit_b", path)
    quoted = f"'{folder}/my models"
    assert f"mkdir -p {quoted}' && curl -L -o {quoted}/{VIT_B}' https://dl.fbaipublicfiles.com/" in str(error.value)


def test_an_official_name_must_be_the_official_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights" * 100
    official = replace(OFFICIAL_SAMS["vit_b"], bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(checkpoints.OFFICIAL_SAMS, "vit_b", official)
    path = folder / VIT_B
    path.write_bytes(content)
    check_sam("vit_b", path)
    with pytest.raises(BundleError, match="is the official vit_b, but vit_l was asked for"):
        check_sam("vit_l", path)
    path.write_bytes(content[:-1])
    with pytest.raises(BundleError, match="has 699 bytes, expected 700: truncated or changed"):
        check_sam("vit_b", path)
    path.write_bytes(b"X" + content[1:])
    with pytest.raises(BundleError, match="is damaged: its SHA-256 is"):
        check_sam("vit_b", path)
    path.rename(folder / "finetuned.pth")
    check_sam("vit_b", folder / "finetuned.pth")  # of which nobody knows the hash


def test_fetching_ends_in_the_whole_file_or_in_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder / "offered.pth"
    source.write_bytes(b"not the weights")
    monkeypatch.setattr(checkpoints.OfficialSam, "url", property(lambda self: source.as_uri()))
    path = folder / "models" / VIT_B
    with pytest.raises(BundleError, match="cannot fetch file://.*invalid hash"):
        fetch_sam("vit_b", path)
    assert not path.exists()
    official = replace(OFFICIAL_SAMS["vit_b"], sha256=hashlib.sha256(source.read_bytes()).hexdigest())
    monkeypatch.setitem(checkpoints.OFFICIAL_SAMS, "vit_b", official)
    fetch_sam("vit_b", path)
    assert path.read_bytes() == source.read_bytes()


def test_a_model_of_the_hub_that_is_not_here_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened without consent")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(BundleError, match="llava-hf/llava-1.5-7b-hf is not on this machine; to get it: hf download"):
        hub_folder("llava-hf/llava-1.5-7b-hf")
    with pytest.raises(BundleError, match="cannot get the model a/b/c"):
        hub_folder("a/b/c")


def test_no_type_of_model_is_refused_for_its_sizes(tmp_path: Path) -> None:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as TYPES

    for kind in TYPES:
        try:
            config = AutoConfig.for_model(kind)
        except (KeyError, ValueError, ImportError):  # some have no sizes of their own, or need further packages
            continue
        (tmp_path / "config.json").write_text(config.to_json_string(use_diff=False))
        assert check_transformers_folder(tmp_path)["model_type"] == config.model_type
