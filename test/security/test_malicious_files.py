# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files of a stranger: nothing in them runs, nothing is fetched on their word, none takes the process along."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import save_llava

from llavaseg_ros.assemble import load_mllm, load_parts
from llavaseg_ros.bags.state import load_state
from llavaseg_ros.checkpoints import hub_folder, no_network
from llavaseg_ros.datasets.plain_pickle import loads, read_plain_pickle
from llavaseg_ros.errors import BadRequest, BundleError
from llavaseg_ros.evaluation.dataset import DatasetError
from llavaseg_ros.images import read_ids, read_mask, read_rgb
from llavaseg_ros.plain_files import read_json, read_yaml
from llavaseg_ros.profile import load_profile
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.segmentation.sam import load_official_sam
from llavaseg_ros.segmentation.text_encoder import TextEncoder

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


class Touch:
    """Makes a file in whatever unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def marker(tmp_path: Path) -> Any:
    """A path that no malicious file may make; checked at the end."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "the file ran"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No test here may as much as look up a name; checked at the end."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    # Whoever runs the tests may have switched the hub off already: it must hold without that.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield tried
    assert not tried, f"somebody was asked: {tried}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("mllm"), text={**SMALL, "num_key_value_heads": 1}, vision=SMALL)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "mllm"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# --- language models ---


def test_pickled_weights_are_not_even_opened(folder: Path, marker: Path, wire: Any) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(marker)))
    with pytest.raises(BundleError, match="cannot load the language model"):
        LocalMLLM.load(folder)


def test_code_in_the_folder_does_not_run(folder: Path, marker: Path, wire: Any) -> None:
    """A class of transformers' own is taken in its place, or the folder is refused."""
    (folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()\nclass Model: pass\n")
    names = ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        change(folder / name, auto_map={auto: "evil.Model" for auto in (*names, "AutoImageProcessor")})
    LocalMLLM.load(folder)


@pytest.mark.parametrize("kind", ["not_of_transformers", "llavaseg_object_tower", "../evil", ["llava"], None])
def test_a_type_that_only_its_own_code_knows_is_refused(folder: Path, marker: Path, wire: Any, kind: Any) -> None:
    (folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n")
    change(folder / "config.json", model_type=kind, auto_map={"AutoConfig": "evil.Config"})
    with pytest.raises(BundleError, match="does not look at images"):
        LocalMLLM.load(folder)


TEMPLATES = [
    "{{ cycler.__init__.__globals__.os.system('touch MARKER') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__ }}{% set x = raise_exception.__globals__ %}{{ x }}",
    "{% include '/etc/passwd' %}",
    "{% for a in range(10**9) %}x{% endfor %}",
    "no turns at all",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_is_no_program(folder: Path, marker: Path, wire: Any, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template.replace("MARKER", str(marker)))
    with pytest.raises(BundleError, match=r"cannot load the language model|leaves turns out"):
        LocalMLLM.load(folder)


def test_adapters_on_a_model_elsewhere_are_refused(folder: Path, wire: Any) -> None:
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "somebody/else", "peft_type": "LORA"})
    )
    with pytest.raises(BundleError, match="adapter_config.json"):
        LocalMLLM.load(folder)


@pytest.mark.parametrize("place", ["config.json", "text_config"])
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_attention_code_of_a_hub_is_refused(folder: Path, wire: Any, place: str, key: str) -> None:
    path = folder / "config.json"
    name = "kernels-community/flash-attn2@main"
    if place == "config.json":
        change(path, **{key: name})
    else:
        change(path, text_config=json.loads(path.read_text())["text_config"] | {key: name})
    with pytest.raises(BundleError, match="expected the name of an attention of transformers"):
        LocalMLLM.load(folder)


def test_the_text_encoder_is_held_to_the_same(folder: Path, marker: Path, wire: Any) -> None:
    with pytest.raises(BundleError, match="expected 'all-MiniLM-L6-v2' or a folder"):
        TextEncoder("somebody/encoder")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(marker)))
    with pytest.raises(BundleError, match="cannot load the text encoder"):
        TextEncoder(str(folder))


# --- consent ---


def test_a_model_of_the_hub_is_not_fetched_without_leave(tmp_path: Path, wire: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmllm: {model: nobody/nothing-llavaseg}\nsegmenter: {folder: default}\n")
    with pytest.raises(BundleError, match="is not on this machine; to get it: hf download nobody/nothing-llavaseg"):
        load_mllm(load_profile(path), torch.device("cpu"))
    with pytest.raises(BundleError, match="is not on this machine"):
        hub_folder("nobody/nothing-llavaseg", "main")


def test_an_official_sam_is_not_fetched_without_leave(tmp_path: Path, wire: Any, monkeypatch: Any, whole: Path) -> None:
    monkeypatch.setenv("LLAVASEG_MODELS", str(tmp_path / "none"))
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\nmllm: {{model: {whole}, box_format: llava}}\nsegmenter: {{sam: vit_b}}\nprompt_source: box\n"
    )
    with pytest.raises(BundleError, match="does not exist; to get it: mkdir -p"):
        load_parts(load_profile(path), torch.device("cpu"))


def test_nobody_is_asked_while_a_folder_loads(monkeypatch: Any) -> None:
    """Whatever a folder's files refer to: the hub's own library refuses before it looks up a name."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with no_network(), no_network():
        assert constants.is_offline_mode()
        with pytest.raises((OfflineModeIsEnabled, LocalEntryNotFoundError)):
            snapshot_download("nobody/nothing-llavaseg")
    assert not constants.is_offline_mode()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # the user's own wish outlives it
    with pytest.raises(ZeroDivisionError), no_network():
        raise ZeroDivisionError
    assert constants.is_offline_mode()


# --- checkpoints, profiles, prompts, states, refs ---


def test_a_pickled_sam_does_not_run(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "mine.pth"
    for write in (
        lambda: path.write_bytes(pickle.dumps(Touch(marker))),
        lambda: torch.save({"a": Touch(marker)}, path),
    ):
        write()
        with pytest.raises(BundleError, match="does not load as vit_b"):
            load_official_sam("vit_b", path)


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:pathlib.Path.touch [MARKER]",
        "name: !!python/object/apply:os.system ['touch MARKER']",
        "!!python/module:os",
        "name: &a [&b [x, x], *b]",
        "a: &a x\n" + "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else '*a'] * 9)}]\n" for n in range(30)),
        "[" * 3000,
        "name: " + "x" * 2**20,
        "\x00",
    ],
)
def test_yaml_is_data(tmp_path: Path, marker: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("MARKER", str(marker)))
    with pytest.raises(BundleError, match="mine.yaml"):
        load_profile(path)
    with pytest.raises(BundleError, match="mine.yaml"):
        load_style(path)


def test_a_state_of_pickled_objects_is_refused(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "state.npz"
    np.savez(path, text=np.array([Touch(marker)], dtype=object))
    with pytest.raises(BadRequest, match="state.npz"):
        load_state(path)


def test_files_that_are_too_large_or_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("[" * 20_000)
    for read in (read_json, read_yaml):
        with pytest.raises(ValueError):
            read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError):
        read_json(path)
    with path.open("wb") as stream:
        stream.truncate(2**40)  # sparse: it takes no room
    for read in (read_json, read_yaml):
        with pytest.raises(ValueError, match="more than"):
            read(path)


def test_a_picture_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    """A PNG of a few kilobytes says that it has 30,000 x 30,000 pixels."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    for read in (read_rgb, read_mask, read_ids):
        with pytest.raises(BadRequest, match="more than 100000000 pixels"):
            read(path)


def twice(times: int) -> bytes:
    """A pickle whose value is a tuple of twice the same tuple of twice the same..."""
    return b"\x80\x02K\x01" + b"".join(
        b"r" + n.to_bytes(4, "little") + b"j" + n.to_bytes(4, "little") + b"\x86" for n in range(times)
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (twice(200) + b".", "stands for more values"),
        (b"\x80\x02}" + twice(60) + b"K\x01s.", "as a key"),
        (b"\x80\x02})" + b"\x85" * 20_000 + b"K\x01s.", "as a key"),
        (b"\x80\x02)" + b"\x85" * 20_000 + b".", "nested more than"),
        (pickle.dumps([[]], 2), ""),
        (b"\x80\x02\x8b\xff\xff\xff\x7fabc.", "not a pickle"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b"a.", "not a pickle"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7fa.", "not a pickle"),
        (b"I" + b"9" * 1_000_000 + b"\n.", "not a pickle"),
        (b"c" + b"a" * 1_000_000 + b"\nb\n.", "GLOBAL"),
    ],
)
def test_traps_in_pickles(data: bytes, says: str) -> None:
    if not says:
        assert loads(data) == [[]]  # harmless: the reader is not merely against everything
        return
    with pytest.raises(ValueError, match=says) as caught:
        loads(data)
    assert len(str(caught.value)) < 600


def test_a_pickle_of_refs_that_runs_code(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "refs(unc).p"
    for protocol in range(6):
        path.write_bytes(pickle.dumps([{"sentences": [Touch(marker)]}], protocol))
        with pytest.raises(DatasetError, match=r"refs\(unc\)"):
            read_plain_pickle(path)
