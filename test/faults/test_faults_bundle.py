# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bundles that came to harm: a wrong byte anywhere, cut, grown, swapped, with files that do not belong to them.

The bundle is small, but whole: a LLaVA and a segmenter of the real classes, with random weights.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import fault
from ros_harness import wait_until

from llavaseg_ros.assemble import load_mllm, resolved
from llavaseg_ros.bundle import MANIFEST, read_bundle, write_bundle
from llavaseg_ros.errors import BundleError, ErrorCode, LLaVASegError
from llavaseg_ros.profile import load_profile
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.segmentation.adapters import AdapterConfig, AttributeAdapters
from llavaseg_ros.segmentation.pyramid import EyeConfig
from llavaseg_ros.segmentation.sam import TappedSam
from llavaseg_ros.segmentation.segmenter import Segmenter, load_into, save_segmenter
from llavaseg_ros.segmentation.small_sam import SmallSamConfig, build_small_sam
from llavaseg_ros.segmentation.text_encoder import TextEncoder
from llavaseg_ros.srv import SetModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core"))

from scripted_pipeline import ScriptedPipeline
from tiny_models import save_llava

EVERY = 10  # bytes
FLIPS = (0x01, 0x80, 0xFF, 0x20)  # a low bit, a high bit, all of them, the case of a letter
_SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}

REFUSED = "refuses to load it and names the file; the model before it goes on serving"
UNSEEN = "answers of the model before, or MODEL_NOT_READY where there was none; never a mask of damaged weights"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle."""
    folder = tmp_path_factory.mktemp("whole")
    save_llava(folder / "mllm", text={**_SMALL, "num_key_value_heads": 1}, vision=_SMALL)
    torch.manual_seed(0)
    config = SmallSamConfig(
        eye=EyeConfig(img_size=64, width=8, out=16), decoder_depth=1, decoder_heads=2, decoder_mlp=16, mask_in_chans=4
    )
    sam = build_small_sam(config)
    tapped = TappedSam(sam)
    wanted = AdapterConfig(tapped.tap_channels, tapped.embed_dim, TextEncoder().dim, width=8, heads=1, queries=1)
    save_segmenter(folder / "segmenter", sam, config, AttributeAdapters(wanted))
    write_bundle(folder, "small", "embedded")
    return folder


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


@pytest.fixture
def light(bundle: Path) -> Path:
    """The same without the one large file, and with smaller weights: for what is done thousands of times."""
    from safetensors.torch import load_file, save_file

    (bundle / "segmenter" / "sam.safetensors").unlink()
    for path in bundle.rglob("*.safetensors"):
        save_file({name: value.half()[:8].contiguous() for name, value in load_file(path).items()}, path)
    write_bundle(bundle, "light", "embedded", created="2026-01-01T00:00:00+00:00")
    return bundle


def files_of(folder: Path) -> list[Path]:
    return [folder / MANIFEST, *(folder / name for name in read_bundle(folder).files)]


def flipped(path: Path, every: int = EVERY, end: int | None = None, first: int = 0) -> Iterator[int]:
    """Damages the file at every so many bytes, one place at a time; each is whole again before the next."""
    good = path.read_bytes()
    with path.open("r+b", buffering=0) as stream:
        for number, place in enumerate(range(first, len(good) if end is None else end, every)):
            stream.seek(place)
            stream.write(bytes([good[place] ^ FLIPS[number % len(FLIPS)]]))
            yield place
            stream.seek(place)
            stream.write(good[place : place + 1])


def parts(folder: Path) -> tuple[Any, ...]:
    """What would be loaded from a bundle, once its files are checked."""
    profile = resolved(load_profile(folder))
    return profile.mllm, profile.segmenter


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        resolved(load_profile(folder))
    assert caught.value.code == ErrorCode.MODEL_NOT_READY
    return str(caught.value)


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_whole_bundle_loads(whole: Path) -> None:
    """Else every refusal below would prove nothing."""
    profile = resolved(load_profile(whole))
    assert load_mllm(profile, torch.device("cpu")).describe()["family"] == "llava"
    assert Segmenter.load(whole / "segmenter").describe()["sam"] == "small"


@fault("a byte of a weight or settings file is wrong, any byte", group="Bundles", node=REFUSED, planner=UNSEEN)
def test_every_tenth_byte(light: Path) -> None:
    wrong = 0
    for path in files_of(light)[1:]:
        for place in flipped(path):
            try:
                resolved(load_profile(light))
            except BundleError as error:
                assert path.name in str(error) and "is damaged" in str(error)
                wrong += 1
            else:
                pytest.fail(f"byte {place} of {path.name} is wrong, and nobody saw it")
    resolved(load_profile(light))  # whole again
    assert wrong > 3000


@fault(
    "a byte of bundle.json is wrong, any byte",
    group="Bundles",
    node="refuses to load it, or, where the byte is of the name, the licence or the date, loads the same weights",
    planner=UNSEEN,
)
def test_every_tenth_byte_of_the_manifest(light: Path) -> None:
    whole = parts(light)
    refused = 0
    for place in flipped(light / MANIFEST):
        try:
            assert parts(light) == whole, f"byte {place} makes it load something else"
        except BundleError:
            refused += 1
    assert refused > 50


@fault("a file of a bundle is cut off, anywhere", group="Bundles", node=REFUSED, planner=UNSEEN)
def test_truncated_at_every_tenth_percent(bundle: Path) -> None:
    for path in files_of(bundle):
        good = path.read_bytes()
        for tenth in range(10):
            path.write_bytes(good[: len(good) * tenth // 10])
            assert path.name in refusal(bundle)
        path.write_bytes(good)
    resolved(load_profile(bundle))


@fault("a file of a bundle has grown", group="Bundles", node=REFUSED, planner=UNSEEN)
def test_extra_bytes(bundle: Path) -> None:
    for path in files_of(bundle):
        good = path.read_bytes()
        for extra in (b"\0", b"}", bytes(1000)):
            path.write_bytes(good + extra)
            assert path.name in refusal(bundle)
        path.write_bytes(good)
    resolved(load_profile(bundle))


@fault("two files of a bundle are swapped", group="Bundles", node=REFUSED, planner=UNSEEN)
def test_swapped_files(bundle: Path, tmp_path: Path) -> None:
    files = files_of(bundle)
    for one, other in zip(files, files[1:] + files[:1], strict=True):
        for source, target in ((one, tmp_path / "x"), (other, one), (tmp_path / "x", other)):
            source.rename(target)
        said = refusal(bundle)
        assert one.name in said or other.name in said
        for source, target in ((one, tmp_path / "x"), (other, one), (tmp_path / "x", other)):
            source.rename(target)
    resolved(load_profile(bundle))


@fault("a file of a bundle is missing", group="Bundles", node=REFUSED, planner=UNSEEN)
def test_missing_file(bundle: Path) -> None:
    for path in files_of(bundle):
        good = path.read_bytes()
        path.unlink()
        assert path.name in refusal(bundle)
        path.mkdir()  # or something else stands in its place
        assert path.name in refusal(bundle)
        path.rmdir()
        path.write_bytes(good)
    resolved(load_profile(bundle))


@fault(
    "a bundle holds a file that it does not list",
    group="Bundles",
    node="refuses to load it: libraries take some files (adapter_config.json) by their names alone",
    planner=UNSEEN,
)
@pytest.mark.parametrize(
    "name", ["mllm/adapter_config.json", "mllm/modeling_x.py", "segmenter/sam.pth", "mllm/extra/a.json"]
)
def test_unlisted_file(bundle: Path, name: str) -> None:
    path = bundle / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"base_model_name_or_path": "somebody/else", "peft_type": "LORA"}))
    assert f"{path} does not belong to the bundle" in refusal(bundle)
    path.rename(path.with_name(".hidden"))  # nothing loads these, and editors leave them about
    resolved(load_profile(bundle))


@fault("a folder in a bundle leads elsewhere by a link", group="Bundles", node=REFUSED, planner=UNSEEN)
def test_linked_folder(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (bundle / "mllm" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "more does not belong to the bundle" in refusal(bundle)


@fault(
    "bundle.json names paths outside of the bundle",
    group="Bundles",
    node="refuses to load it and names the path",
    planner=UNSEEN,
)
@pytest.mark.parametrize("value", ["../mllm", "mllm/../../x", "a\\..\\b", "/etc/passwd"])
@pytest.mark.parametrize("key", ["mllm", "segmenter", "prompts", "files"])
def test_paths_that_lead_out(bundle: Path, key: str, value: str) -> None:
    data = json.loads((bundle / MANIFEST).read_text())
    if key == "files":
        data[key][value] = data[key].popitem()[1]
    else:
        data[key] = value + ".yaml" if key == "prompts" else value
    (bundle / MANIFEST).write_text(json.dumps(data))
    assert "passwd" in refusal(bundle) if value.startswith("/") else repr(value)[1:-1] in refusal(bundle)


@fault(
    "bundle.json is a trap: nested a hundred thousand deep, or without end",
    group="Bundles",
    node="refuses to load it, at once",
    planner=UNSEEN,
)
@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, "9" * 5000, '{"format": 1e999}', " " * (2**26 + 1)])
def test_manifest_as_a_trap(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    assert MANIFEST in refusal(bundle)


# --- a folder without hashes: a user's own model, or one of the hub ---


@fault(
    "the header of a weight file without a hash is damaged, any byte of it",
    group="Bundles",
    node="refuses to load it, or loads the same weights",
    planner=UNSEEN,
)
def test_weight_header_without_a_hash(bundle: Path) -> None:
    path = bundle / "segmenter" / "adapters.safetensors"
    wanted = json.loads((bundle / "segmenter" / "segmenter.json").read_text())["adapters"]
    module = AttributeAdapters(AdapterConfig(**{**wanted, "tap_channels": tuple(wanted["tap_channels"])}))
    load_into(module, path)
    good = weights_of(module)
    refused = 0
    for place in flipped(path, end=8 + int.from_bytes(path.read_bytes()[:8], "little")):
        try:
            load_into(module, path)
        except BundleError as error:
            assert path.name in str(error)
            refused += 1
        else:
            assert equal(weights_of(module), good), f"byte {place} of the header gives other weights"
    assert refused > 100


@fault(
    "a settings, tokenizer or template file without a hash is damaged",
    group="Bundles",
    node="refuses to load it, or loads the same weights; nothing crashes or hangs",
    planner=UNSEEN,
)
def test_settings_without_hashes(bundle: Path) -> None:
    """A sample of the places; all of every tenth were tried once (docs/security.md)."""
    folder = bundle / "mllm"
    good = weights_of(LocalMLLM.load(folder).model)
    refused = 0
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".jinja")):
        size = path.stat().st_size
        for place in flipped(path, every=max(size // 8, 1), first=size // 16):
            try:
                model = LocalMLLM.load(folder).model
            except LLaVASegError as error:
                assert str(folder) in str(error)
                refused += 1
            else:
                assert equal(weights_of(model), good), f"byte {place} of {path.name} gives other weights"
    assert refused > 12


@fault(
    "weights without a hash are no numbers (NaN, infinity)",
    group="Bundles",
    node="refuses to load them and names the first",
    planner=UNSEEN,
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["mllm/model.safetensors", "segmenter/adapters.safetensors"])
def test_weights_that_are_no_numbers(bundle: Path, name: str, value: float) -> None:
    from safetensors.torch import load_file, save_file

    path = bundle / name
    tensors = load_file(path)
    key = sorted(tensors)[-1]
    tensors[key].view(-1)[-1] = value
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(BundleError, match=r"is damaged: the weights .* are not all finite"):
        (LocalMLLM if name.startswith("mllm") else Segmenter).load(path.parent)


@fault(
    "a settings file asks for a network without end",
    group="Bundles",
    node="refuses to load it and names the entry",
    planner=UNSEEN,
)
@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("mllm/config.json", ("text_config", "num_hidden_layers"), 10**9),
        ("mllm/config.json", ("vision_config", "num_hidden_layers"), 10**9),
        ("mllm/config.json", ("text_config", "hidden_size"), 2**40),
        ("segmenter/segmenter.json", ("sam", "config", "decoder_depth"), 10**9),
        ("segmenter/segmenter.json", ("adapters", "width"), 10**7),
        ("segmenter/segmenter.json", ("adapters", "heads"), 0),
        ("segmenter/segmenter.json", ("adapters", "width"), -8),
        ("segmenter/segmenter.json", ("sam", "config", "eye", "out"), "16"),
        ("segmenter/segmenter.json", ("score",), {"offset": "x"}),
        ("segmenter/segmenter.json", ("text_encoder",), 7),
    ],
)
def test_settings_that_cannot_be_built(bundle: Path, name: str, keys: tuple[str, ...], value: Any) -> None:
    path = bundle / name
    data = inner = json.loads(path.read_text())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(data))
    with pytest.raises(BundleError):
        (LocalMLLM if name.startswith("mllm") else Segmenter).load(path.parent)


# --- and in the node ---


def loader(wanted: Any) -> Any:
    """A scripted pipeline for "default"; else as far as the node's own loader goes before it builds networks."""
    if wanted.model != "default":
        resolved(load_profile(wanted.model))
    return ScriptedPipeline()


@fault(
    "~/set_model to a damaged bundle while the node serves",
    group="Bundles",
    node="says which file is damaged; the old model goes on, with its parameter",
    planner="a command before and after is answered by the same model, with fresh masks",
)
def test_set_model_to_a_damaged_bundle(make_stack: Any, bundle: Path) -> None:
    stack = make_stack(None, loader=loader)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    old = stack.node.worker._model
    path = bundle / "segmenter" / "adapters.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    reply = stack.call(SetModel, "llavaseg/set_model", SetModel.Request(model=str(bundle)))
    assert not reply.success and reply.error_code == ErrorCode.MODEL_NOT_READY
    assert "adapters.safetensors is damaged" in reply.message
    assert stack.node.worker._model is old and stack.node.get_parameter("model").value == "default"
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "the node starts with a damaged bundle",
    group="Bundles",
    node="stays active without a model, says which file is damaged, and serves once it is told another",
    planner="each command is answered with MODEL_NOT_READY, found=false and no target",
)
def test_start_with_a_damaged_bundle(make_stack: Any, bundle: Path) -> None:
    path = bundle / "mllm" / "config.json"
    path.write_bytes(path.read_bytes()[:-1])
    stack = make_stack(None, loader=loader, ready=False, model=str(bundle))
    wait_until(lambda: stack.node.worker.error, what="the error of loading")
    assert "config.json" in str(stack.node.worker.error)
    stack.observer.wait_connected()
    stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and not result.masks.targets
    assert stack.call(SetModel, "llavaseg/set_model", SetModel.Request(model="default")).success
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
