# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files from elsewhere: rubbish in them ends in the error that the reader promises, and in no other."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from examples import share
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from llavaseg_ros.bundle import Bundle, read_bundle, verify, write_bundle
from llavaseg_ros.datasets.rle import MissingPackage, Shapes, check, check_size, unpacked
from llavaseg_ros.errors import BadRequest, BundleError
from llavaseg_ros.evaluation.dataset import DatasetError, Prediction, Sample, read_dataset, read_predictions
from llavaseg_ros.plain_files import read_json, read_yaml
from llavaseg_ros.profile import Profile, load_profile
from llavaseg_ros.reasoning.served_config import ServedConfig

# Numbers, texts and nesting that a file can hold and a program seldom meets.
ODD = st.sampled_from(
    [10**400, -(10**400), 2**63, -1, 0, 1e308, "\0", "../up", "/etc/passwd", "x" * 300, "", " ", "\ud800"]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | ODD
KEYS = [
    *("image", "command", "mask", "target", "ignore", "kind", "attributes", "color", "expected", "value", "meaning"),
    *("found", "score", "seconds", "error", "answer", "held_out_pair", "id", "phrasing"),
]
BUNDLE_KEYS = ["format", "name", "mllm", "segmenter", "prompts", "files", "licence", "bytes", "sha256"]
PROFILE_KEYS = [
    *("name", "mllm", "segmenter", "prompt_source", "memory", "allow_download", "kind", "model", "dtype", "server"),
    *("folder", "sam", "gpu_gb", "base_url", "retries", "token_timeout_s", "box_format", "extra_body", "offload"),
]


def values(keys: list[str]) -> st.SearchStrategy[Any]:
    """Any value of JSON, with keys that mean something more often than not."""
    return st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(keys) | st.text(max_size=4), inner, max_size=5)
        ),
        max_leaves=8,
    )


def in_folder(test: Callable[[Path], None]) -> None:
    """Run with a folder of its own for every example."""
    with tempfile.TemporaryDirectory() as folder:
        test(Path(folder))


def changed(good: dict[str, Any], keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """A good object with some of its values, or values inside of these, put in place of others, or left out."""
    return st.tuples(
        st.dictionaries(st.sampled_from(sorted(good)), values(keys), max_size=3),
        st.sets(st.sampled_from(sorted(good)), max_size=1),
    ).map(lambda both: {key: value for key, value in {**good, **both[0]}.items() if key not in both[1]})


SAMPLE = {
    "image": "a.png",
    "command": "the mug",
    "mask": None,
    "target": None,
    "ignore": "a.png",
    "kind": "name",
    "attributes": {"color": "red"},
    "expected": {"kind": "count", "value": 3},
    "meaning": ["question", "count"],
    "held_out_pair": True,
    "id": 4,
}
PREDICTION = {
    **{"image": "a.png", "command": "the mug", "answer": "Here.", "target": "mug", "attributes": {}, "found": True},
    **{"score": 0.5, "mask": "a.png", "seconds": 1.5, "error": ""},
}


@share(1.5)
@given(
    rows=st.lists(changed(SAMPLE, KEYS) | changed(PREDICTION, KEYS) | values(KEYS), min_size=1, max_size=4),
    tail=st.sampled_from(
        [b"", b"\n\n", b"{", b"\xff", b"\xef\xbb\xbf", b"NaN", b"[" * 9000, b'{"a":' * 9000, b"1" * 5000]
    ),
)
def test_lines_are_read_or_named(rows: list[Any], tail: bytes) -> None:
    def run(folder: Path) -> None:
        (folder / "a.png").write_bytes(b"png")
        path = folder / "data.jsonl"
        path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows) + tail)
        for read, kind in ((read_dataset, Sample), (read_predictions, Prediction)):
            try:
                found = read(path)
            except DatasetError as error:
                assert str(path) in str(error)
            else:
                assert found and all(isinstance(one, kind) for one in found)

    in_folder(run)


def test_good_lines_are_read() -> None:
    """So that the test above does not pass by refusing all."""

    def run(folder: Path) -> None:
        (folder / "a.png").write_bytes(b"png")
        path = folder / "data.jsonl"
        path.write_text(json.dumps(SAMPLE) + "\n")
        assert read_dataset(path, need_truth=True)[0].asks == "count"
        path.write_text(json.dumps(PREDICTION) + "\n")
        assert read_predictions(path)[0].as_json() == {
            **{key: value for key, value in PREDICTION.items() if key != "error"},
            "attributes": {"color": "", "shape": "", "location": ""},
        }

    in_folder(run)


@given(st.text(max_size=50), st.floats(0, 1), st.floats(0, 1e6))
def test_predictions_come_back(text: str, score: float, seconds: float) -> None:
    command = text.encode("utf-8", "ignore").decode().strip() or "x"
    row = Prediction("a.png", command, text.encode("utf-8", "ignore").decode(), None, score=score, seconds=seconds)

    def run(folder: Path) -> None:
        path = folder / "p.jsonl"
        path.write_text(json.dumps(row.as_json()) + "\n")
        (back,) = read_predictions(path)
        assert (back.command, back.answer, back.found) == (row.command, row.answer, False)
        assert back.score == round(score, 4) and back.seconds == round(seconds, 4)

    in_folder(run)


@share(2)
@given(mask=hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_runs_of_a_mask_give_the_mask(mask: np.ndarray) -> None:
    pytest.importorskip("pycocotools")
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int)))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    rle = {"size": list(mask.shape), "counts": counts}
    check(rle, *mask.shape)
    assert np.array_equal(Shapes(*mask.shape, (rle,)).mask(), mask)


@share(2)
@given(
    segmentation=values(["size", "counts"])
    | st.fixed_dictionaries(
        {"size": st.just([4, 5]), "counts": st.text(max_size=8) | st.lists(st.integers() | ODD, max_size=5)}
    )
    | st.lists(st.lists(st.integers(-20, 20) | st.floats() | ODD, min_size=6, max_size=8), max_size=3)
)
def test_any_shape_is_drawn_or_refused(segmentation: Any) -> None:
    try:
        check(segmentation, 4, 5)
    except ValueError:
        return
    try:
        mask = Shapes(4, 5, (segmentation,)).mask()
    except MissingPackage:
        pytest.skip("pycocotools is not installed")
    assert mask.shape == (4, 5) and mask.dtype == bool


@share(2)
@given(
    st.text(max_size=12)
    | st.binary(max_size=12)
    | st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=20)
)
def test_any_packed_counts_are_runs_or_refused(counts: str | bytes) -> None:
    try:
        runs = unpacked(counts)
    except ValueError:
        return
    assert runs.dtype == np.int64 and runs.ndim == 1 and 0 < runs.size <= len(counts)


@given(PLAIN, PLAIN)
def test_a_size_is_whole_numbers_or_refused(height: Any, width: Any) -> None:
    try:
        check_size(height, width)
    except ValueError:
        return
    assert type(height) is int and type(width) is int and min(height, width) > 0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    for part, name in (("mllm", "config.json"), ("segmenter", "segmenter.json")):
        (folder / part).mkdir(parents=True)
        (folder / part / name).write_text('{"a": 1}')
    write_bundle(folder, "tiny", "embedded")
    return folder


@share(0.8)
@given(data=st.data())
def test_a_manifest_is_read_or_refused(bundle: Path, data: st.DataObject) -> None:
    good = json.loads((bundle / "bundle.json").read_text())
    manifest = data.draw(changed(good, BUNDLE_KEYS + list(good["files"])) | values(BUNDLE_KEYS))
    path = bundle / "bundle.json"
    before = path.read_bytes()
    try:
        path.write_text(json.dumps(manifest))
        for read in (read_bundle, lambda folder: verify(folder, deep=True)):
            try:
                assert isinstance(read(bundle), Bundle)
            except BundleError as error:
                assert str(error)
    finally:
        path.write_bytes(before)
    assert isinstance(verify(bundle, deep=True), Bundle)


PROFILE = {
    "name": "mine",
    "mllm": {"kind": "served", "model": "m", "server": {"base_url": "http://127.0.0.1:8000/v1", "retries": 2}},
    "segmenter": {"folder": "default"},
    "prompt_source": "adapters",
    "memory": {"gpu_gb": 2.5},
    "allow_download": False,
}
PROFILES = st.recursive(
    PLAIN.filter(lambda value: value != "\ud800"),  # YAML cannot hold it
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PROFILE_KEYS), inner, max_size=4),
    max_leaves=8,
)


@share(1)
@given(
    data=st.dictionaries(st.sampled_from(sorted(PROFILE)), PROFILES, max_size=2).map(lambda more: {**PROFILE, **more})
    | st.dictionaries(st.sampled_from(PROFILE_KEYS), PROFILES, max_size=3).map(
        lambda more: {**PROFILE, "mllm": {**PROFILE["mllm"], **more}}
    )  # type: ignore[dict-item]
    | PROFILES
)
def test_a_profile_is_loaded_or_refused(data: Any) -> None:
    def run(folder: Path) -> None:
        path = folder / "mine.yaml"
        path.write_text(yaml.safe_dump(data, allow_unicode=True))
        try:
            assert isinstance(load_profile(path), Profile)
        except BundleError as error:
            assert str(path) in str(error)

    in_folder(run)


@share(2)
@given(
    st.dictionaries(
        st.sampled_from(["base_url", "model", "retries", "token_timeout_s", "extra_body", "backoff_s"]), PROFILES
    )
)
def test_settings_of_a_server_are_taken_or_refused(data: dict[str, Any]) -> None:
    good = {"base_url": "http://127.0.0.1:8000/v1", "model": "m"}
    assert isinstance(ServedConfig.from_dict(good), ServedConfig)
    for settings in (data, {**good, **data}):
        try:
            assert isinstance(ServedConfig.from_dict(settings), ServedConfig)
        except BadRequest as error:
            assert str(error)


@share(2)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_settings_file_or_refused(data: bytes) -> None:
    def run(folder: Path) -> None:
        for name, read in (("a.json", read_json), ("a.yaml", read_yaml)):
            path = folder / name
            path.write_bytes(data)
            with contextlib.suppress(ValueError):
                read(path)
        for reader in (read_dataset, read_predictions, load_profile, read_bundle):
            with pytest.raises((DatasetError, BundleError)):
                reader(folder / "a.yaml")  # no good file is so short

    in_folder(run)


HUGE = [10**400, -(10**400), 10**5000]


@pytest.mark.parametrize("number", HUGE, ids=["1e400", "-1e400", "1e5000"])
def test_numbers_of_hundreds_of_digits_are_refused_everywhere(number: int) -> None:
    """JSON and YAML can hold them, a float cannot."""

    def run(folder: Path) -> None:
        lines, profile = folder / "a.jsonl", folder / "a.yaml"
        (folder / "a.png").write_bytes(b"png")
        for key in ("score", "seconds"):
            lines.write_text(json.dumps(PREDICTION).replace(f'"{key}": {PREDICTION[key]}', f'"{key}": {digits}'))
            with pytest.raises(DatasetError, match=str(lines)):
                read_predictions(lines)
        for section in (f"memory: {{gpu_gb: {digits}}}", f"segmenter: {{folder: default, offload: {digits}}}"):
            profile.write_text(f"name: a\n{section}\n")
            with pytest.raises(BundleError, match=str(profile)):
                load_profile(profile)

    digits = f"{'-' * (number < 0)}1{'0' * (400 if abs(number) < 10**500 else 5000)}"
    in_folder(run)
    if abs(number) < 10**500:
        for key in ("token_timeout_s", "backoff_s", "retries"):
            with pytest.raises(BadRequest, match=key):
                ServedConfig.from_dict({"base_url": "http://127.0.0.1:8000/v1", "model": "m", key: number})
        for segmentation in ([[0, 0, 4, 0, 4, number]], {"size": [4, 5], "counts": [number, 20]}):
            with pytest.raises(ValueError, match="polygon|larger"):
                check(segmentation, 4, 5)
