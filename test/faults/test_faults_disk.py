# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A full disk while something is written: it says what could not be written, ends with an error, leaves no half file
under a final name, and the same command completes when there is room again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import fault
from full_disk import files_end_at, files_in, fill, small_disk
from process_room import Room
from scripted_pipeline import ScriptedPipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bags"))

from bag_material import camera_bag, read_back

from llavaseg_ros.cli import _args
from llavaseg_ros.cli import main as cli
from llavaseg_ros.evaluation.dataset import write_jsonl
from llavaseg_ros.files import named_errors, whole_file, write_tensors, write_whole
from llavaseg_ros.images import write_rgb

FULL = re.compile("No space left on device|File too large")
TOPICS = "the topics are not touched"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line with a scripted model."""
    monkeypatch.setattr(_args, "load_model", lambda _: ScriptedPipeline(tokens=1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A DATA.jsonl: three commands on a noisy picture with a red box."""
    rgb = np.random.default_rng(0).integers(0, 100, (48, 64, 3), np.uint8)
    rgb[8:20, 10:30] = (220, 20, 30)
    folder = tmp_path / "data"
    write_rgb(folder / "a.png", rgb)
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[8:20, 10:30] = 255
    write_rgb(folder / "m.png", mask)
    rows = [{"image": "a.png", "command": f"the mug {n}", "mask": "m.png", "target": "red mug"} for n in range(3)]
    write_jsonl(folder / "data.jsonl", rows)
    return folder / "data.jsonl"


def fails_then_completes(
    argv: list[str], size: int, names: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[set[str], set[str]]:
    """Run a verb with a full disk and again with room. The files that there were after each."""
    with files_end_at(size):
        assert cli.main(argv) == 1
    said = capsys.readouterr().err
    assert FULL.search(said) and names in said and "Traceback" not in said, said
    half = files_in(out)
    assert not [name for name in half if Path(name).name.startswith(".")], "a temporary file stayed behind"
    assert cli.main(argv) == 0
    return half, files_in(out)


@fault(
    "disk full while a bag's segment is written (llavaseg annotate)",
    group="Disk", node="ends with code 1 and names the new bag; what was done before stays for the next run",
    planner="no bag under the final name; the same command completes it",
)  # fmt: skip
def test_annotate_segment(tmp_path: Path, scripted: None, capsys: pytest.CaptureFixture[str]) -> None:
    bag, out = camera_bag(tmp_path / "bag", 5), tmp_path / "out"
    argv = ["annotate", str(bag), "--command", "the mug", "--out", str(out)]
    half, whole = fails_then_completes(argv, 4000, "bag_llavaseg", out, capsys)
    assert not [name for name in half if name.startswith("bag_llavaseg/")]
    assert whole == {"bag_llavaseg/bag_llavaseg.mcap", "bag_llavaseg/metadata.yaml"}
    assert len(read_back(out / "bag_llavaseg").of("/llavaseg/masks")) == 5


@fault(
    "disk full when the segments become one bag (llavaseg annotate --copy)",
    group="Disk", node="ends with code 1; every frame is kept in the segments, none is worked on again",
    planner="no bag under the final name; the same command completes it",
)  # fmt: skip
def test_annotate_merge(
    tmp_path: Path, scripted: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llavaseg_ros.bags import annotate

    monkeypatch.setattr(annotate, "SEGMENT_FRAMES", 1)
    models: list[ScriptedPipeline] = []

    def load(_: Any) -> ScriptedPipeline:
        models.append(ScriptedPipeline(tokens=1))
        return models[-1]

    monkeypatch.setattr(_args, "load_model", load)
    bag, out = camera_bag(tmp_path / "bag", 6), tmp_path / "out"
    argv = ["annotate", str(bag), "--command", "the mug", "--out", str(out), "--copy"]
    half, whole = fails_then_completes(argv, 12_000, "bag_llavaseg", out, capsys)
    assert half and not [name for name in half if name.startswith("bag_llavaseg/")]
    assert whole == {"bag_llavaseg/bag_llavaseg.mcap", "bag_llavaseg/metadata.yaml"}
    assert [len(model.commands) for model in models] == [6, 0]
    assert len(read_back(out / "bag_llavaseg").of("/llavaseg/masks")) == 6


@fault(
    "disk really full (a tmpfs) while a bag is annotated",
    group="Disk", node="ends with code 1 and `No space left on device`, with the name of the new bag",
    planner="no bag under the final name; the same command completes it",
)  # fmt: skip
def test_annotate_on_a_small_disk(tmp_path: Path, scripted: None, capsys: pytest.CaptureFixture[str]) -> None:
    bag = camera_bag(tmp_path / "bag", 5)
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        ballast = fill(disk, 8192)
        argv = ["annotate", str(bag), "--command", "the mug", "--out", str(disk)]
        assert cli.main(argv) == 1
        said = capsys.readouterr().err
        assert "No space left on device" in said and "bag_llavaseg" in said
        assert not (disk / "bag_llavaseg").exists()
        ballast.unlink()
        assert cli.main(argv) == 0
        assert len(read_back(disk / "bag_llavaseg").of("/llavaseg/masks")) == 5


@fault(
    "disk full while predictions are written (llavaseg predict)",
    group="Disk", node="ends with code 1; the lines so far stay in predictions.jsonl.part",
    planner="no predictions.jsonl that could be taken for the whole",
)  # fmt: skip
def test_predict(data: Path, tmp_path: Path, scripted: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    half, whole = fails_then_completes(["predict", str(data), "--out", str(out)], 400, "predictions", out, capsys)
    assert "predictions.jsonl" not in half and "predictions.jsonl.part" in half
    assert "predictions.jsonl" in whole and "predictions.jsonl.part" not in whole
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 3


@fault(
    "disk full while the report is written (llavaseg evaluate)",
    group="Disk", node="ends with code 1 and names report.html; the predictions are kept",
    planner="no report.html, or the older one, whole",
)  # fmt: skip
def test_evaluate(data: Path, tmp_path: Path, scripted: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["predict", str(data), "--out", str(out)]) == 0
    capsys.readouterr()
    argv = ["evaluate", str(data), "--predictions", str(out / "predictions.jsonl"), "--out", str(out)]
    half, whole = fails_then_completes(argv, 6000, "report.html", out, capsys)
    assert "report.html" not in half and {"metrics.json", "report.html"} <= whole
    old = (out / "report.html").read_text()
    with files_end_at(6000):
        assert cli.main(argv) == 1
    assert (out / "report.html").read_text() == old and old.rstrip().endswith("</html>")


@fault(
    "disk full while an overlay is written (llavaseg ask)",
    group="Disk", node="ends with code 1 and names the picture", planner="no half picture",
)  # fmt: skip
def test_ask(data: Path, tmp_path: Path, scripted: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    argv = ["ask", str(data.parent / "a.png"), "the mug", "--out", str(out)]
    half, whole = fails_then_completes(argv, 500, "a_overlay.png", out, capsys)
    assert not half and whole == {"a_overlay.png", "a_mask.png"}


def demo_page(folder: Path) -> Path:
    from llavaseg_ros.demo.client import Exchange
    from llavaseg_ros.demo.page import write_page

    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    return write_page(folder, [Exchange("the mug", "topic", overlay=noise)], source="test", model="m", frames=1)


def pick_trials(folder: Path) -> Path:
    from llavaseg_ros.pick.trials import FILE, Arm, Trial, write_trials

    trial = Trial(0, "name", "known", "the mug " * 200, "mug", Arm(("mug",)))
    write_trials(folder, [trial] * 3)
    return folder / FILE


def tensors(folder: Path) -> Path:
    import torch

    write_tensors(folder / "adapters.safetensors", {"w": torch.arange(4000.0)}, {"format": "pt"})
    return folder / "adapters.safetensors"


WRITERS = [
    pytest.param(
        demo_page, 3000, id="demo page",
        marks=fault("disk full while the page is written (llavaseg demo)", group="Disk",
                    node="the demo ends with code 1 and names index.html", planner=TOPICS),
    ),
    pytest.param(
        pick_trials, 1000, id="picks",
        marks=fault("disk full while a trial is written down (llavaseg pick)", group="Disk",
                    node="the run ends with code 1; the trials before stay whole, --resume goes on", planner=TOPICS),
    ),
    pytest.param(
        tensors, 3000, id="weights",
        marks=fault("disk full while weights are exported", group="Disk",
                    node="OSError names the file", planner="no half weights; those before stay"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("write", "size"), WRITERS)
def test_file_is_whole_or_not_there(write: Callable[[Path], Path], size: int, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with files_end_at(size), pytest.raises(OSError, match=FULL):
        write(folder)
    final = write(folder)
    assert final.stat().st_size > size
    before, files = final.read_bytes(), files_in(folder)
    with files_end_at(size), pytest.raises(OSError) as raised:
        write(folder)
    assert str(folder) in str(raised.value) and final.read_bytes() == before and files_in(folder) == files


@fault(
    "disk full while a bundle is exported over an older one",
    group="Disk", node="the export fails and names bundle.json; the mixed bundle is refused: its hashes do not fit",
    planner="MODEL_NOT_READY, or the model that served before; never a mask of mixed weights",
)  # fmt: skip
def test_bundle(tmp_path: Path) -> None:
    from llavaseg_ros.bundle import MANIFEST, verify, write_bundle
    from llavaseg_ros.errors import BundleError

    bundle = tmp_path / "bundle"
    for name in ("mllm/config.json", "mllm/model.safetensors", "segmenter/segmenter.json"):
        write_whole(bundle / name, b"{}" + b" " * 100)
    write_bundle(bundle, "old", "embedded")
    verify(bundle, deep=True)
    before, files = (bundle / MANIFEST).read_bytes(), files_in(bundle)
    write_whole(bundle / "mllm" / "model.safetensors", b"{}" + b"\n" * 100)
    with files_end_at(200), pytest.raises(OSError, match=MANIFEST):
        write_bundle(bundle, "new", "embedded")
    assert (bundle / MANIFEST).read_bytes() == before and files_in(bundle) == files
    with pytest.raises(BundleError, match="model.safetensors"):
        verify(bundle, deep=True)
    write_bundle(bundle, "new", "embedded")
    verify(bundle, deep=True)


@fault(
    "disk full while a training checkpoint is written",
    group="Disk", node="the stage ends with the error; the checkpoint before stays, the same command goes on from it",
    planner=TOPICS,
)  # fmt: skip
def test_training_checkpoint(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from llavaseg_ros.training.loop import LoopConfig, fit

    def train(out: Path, stop_at: int = 100) -> Any:
        torch.manual_seed(0)
        model = torch.nn.Linear(64, 64)
        steps = 0

        def loss(batch: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == stop_at:
                raise KeyboardInterrupt
            return model(batch).square().mean(), {}

        config = LoopConfig(steps=4, lr=0.01, save_every=2)
        fit("toy", out, model, lambda rng: torch.full((1, 64), rng.random()), loss, config)
        return model.weight, steps

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=4)
    before = (tmp_path / "toy.pt").read_bytes()
    with files_end_at(len(before) // 2), pytest.raises((OSError, RuntimeError)):
        train(tmp_path)
    assert (tmp_path / "toy.pt").read_bytes() == before
    weight, steps = train(tmp_path)
    unbroken, _ = train(tmp_path / "other")
    assert torch.equal(weight, unbroken) and steps == 2


@fault(
    "the disk of the node's log is full",
    group="Disk", node="goes on without a log file", planner="answers and masks as ever",
)  # fmt: skip
def test_node_whose_log_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "log", 1 << 20) as log:
        fill(log, 0)
        monkeypatch.setenv("ROS_LOG_DIR", str(log))
        room = Room(f"/log{os.getpid()}")
        try:
            room.start()
            room.ready()
            for _ in range(3):
                room.check_right()
            assert room.end(signal.SIGINT) == 0
            room.observer.check()
        finally:
            room.close()


def test_an_error_of_the_disk_names_the_file_and_others_stay(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="report.html"), named_errors(tmp_path / "report.html"):
        raise OSError(28, "No space left on device")
    with pytest.raises(ConnectionRefusedError) as raised, named_errors(tmp_path / "report.html"):
        raise ConnectionRefusedError(111, "Connection refused")
    assert "report.html" not in str(raised.value)
    with pytest.raises(OSError, match="other.txt"), named_errors(tmp_path / "report.html"):
        raise OSError(28, "No space left on device", "other.txt")


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "sub" / "a.json", json.dumps([1]))
    with pytest.raises(ValueError, match="broken"), whole_file(tmp_path / "sub" / "a.json") as file:
        file.write("[1,")
        raise ValueError("broken")
    assert files_in(tmp_path) == {"sub/a.json"} and (tmp_path / "sub" / "a.json").read_text() == "[1]"
