# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model files that do not come with the package: where they are looked for, how they are checked, what fetches them.

Nothing is fetched unless the user allows it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llavaseg_ros.errors import BundleError, LLaVASegError, is_out_of_memory
from llavaseg_ros.plain_files import read_json

MODELS_VARIABLE = "LLAVASEG_MODELS"
# What a transformers folder is made of; pickled weights stay where they are.
HUB_PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
# No network has more; a file that says so would be built for ever.
_MOST_LAYERS, _MOST_SIZE = 1000, 2**40 - 1
_LAYERS = re.compile(r"(?:num|n)_\w*(?:layers?|blocks|repeats?)|(?:\w+_)?depth")


@dataclass(frozen=True)
class OfficialSam:
    """One of the checkpoints of segment_anything's authors. sha256: hex."""

    kind: str
    name: str
    bytes: int
    sha256: str

    @property
    def url(self) -> str:
        """Where its authors offer it."""
        return f"https://dl.fbaipublicfiles.com/segment_anything/{self.name}"


OFFICIAL_SAMS = {
    sam.kind: sam
    for sam in (
        OfficialSam(
            "vit_b",
            "sam_vit_b_01ec64.pth",
            375042383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        OfficialSam(
            "vit_l",
            "sam_vit_l_0b3195.pth",
            1249524607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        OfficialSam(
            "vit_h",
            "sam_vit_h_4b8939.pth",
            2564550879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
}


def models_folder() -> Path:
    """Where checkpoints are kept: $LLAVASEG_MODELS, or ~/.cache/llavaseg_ros."""
    return Path(os.environ.get(MODELS_VARIABLE) or Path.home() / ".cache" / "llavaseg_ros").expanduser()


def sam_path(kind: str, checkpoint: str, near: Path) -> Path:
    """The file of a SAM, whether it is there or not.

    checkpoint: a path, absolute or relative to `near`, or the name of a file in `models_folder`; empty: the official
    one's name.
    """
    name = checkpoint or OFFICIAL_SAMS[kind].name
    path = Path(name).expanduser()
    if path.is_absolute():
        return path
    return near / path if (near / path).is_file() or len(path.parts) > 1 else models_folder() / path


def check_sam(kind: str, path: Path) -> None:
    """Raises BundleError unless the file is there and, where it bears an official name, is that file: size and hash."""
    if not path.is_file():
        raise BundleError(f"SAM checkpoint {path} does not exist; to get it: {fetch_command(kind, path)}")
    official = next((sam for sam in OFFICIAL_SAMS.values() if sam.name == path.name), None)
    if official is None:
        return
    if official.kind != kind:
        raise BundleError(f"SAM checkpoint {path} is the official {official.kind}, but {kind} was asked for")
    size = path.stat().st_size
    if size != official.bytes:
        raise BundleError(f"SAM checkpoint {path} has {size} bytes, expected {official.bytes}: truncated or changed")
    if (found := sha256(path)) != official.sha256:
        raise BundleError(f"SAM checkpoint {path} is damaged: its SHA-256 is {found}, expected {official.sha256}")


def fetch_command(kind: str, path: Path) -> str:
    """The shell command that gets an official checkpoint."""
    folder = shlex.quote(str(path.parent))
    return f"mkdir -p {folder} && curl -L -o {shlex.quote(str(path))} {OFFICIAL_SAMS[kind].url}"


def fetch_sam(kind: str, path: Path) -> None:
    """Download an official checkpoint to `path`; it appears whole, with the right hash, or not at all. BundleError."""
    from torch.hub import download_url_to_file

    official = OFFICIAL_SAMS[kind]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(official.url, str(path), hash_prefix=official.sha256, progress=False)
    except (OSError, RuntimeError) as error:
        raise BundleError(f"cannot fetch {official.url} to {path}: {error}") from error


def hub_folder(name: str, revision: str = "", *, allow_download: bool = False) -> Path:
    """The local folder of a model on the Hugging Face hub. It is fetched only if that is allowed.

    Raises BundleError with the command that gets it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            local_files_only=not allow_download,
            allow_patterns=list(HUB_PATTERNS),
        )
    except LocalEntryNotFoundError:
        why = "cannot be fetched: is there a network?" if allow_download else "is not on this machine"
        raise BundleError(f"the model {name} {why}; to get it: {hub_command(name, revision)}") from None
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise BundleError(f"cannot get the model {name}: {str(error).splitlines()[0]}") from error
    return Path(folder)


def hub_command(name: str, revision: str = "") -> str:
    """The shell command that gets a model of the hub into the cache that transformers reads."""
    patterns = " ".join(f"--include {shlex.quote(pattern)}" for pattern in HUB_PATTERNS)
    return f"hf download {name} {f'--revision {revision} ' if revision else ''}{patterns}"


def check_transformers_folder(folder: Path) -> dict[str, Any]:
    """The `config.json` of a transformers folder. Raises BundleError if it cannot be read, or if the folder asks for
    what transformers would get from elsewhere by itself: adapters on another model, or attention code from a hub."""
    path = folder / "config.json"
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"cannot read {path}: it holds {type(config).__name__}, expected a JSON object")
    check_sizes(config, path)
    for key, value in _entries(config):
        # A name with a slash is code on the hub that transformers fetches and runs; "sdpa" and the like are its own.
        if key.endswith("attn_implementation") and not re.fullmatch(r"[a-z0-9_]*", str(value or "")):
            raise BundleError(f"{path}: {key} is {value!r:.100}, expected the name of an attention of transformers")
    if (folder / "adapter_config.json").exists():
        raise BundleError(f"{folder} holds adapters on another model (adapter_config.json); expected a merged model")
    return config


def check_sizes(config: Any, path: Path, *, least: int = -_MOST_SIZE, most: int = _MOST_SIZE) -> None:
    """Raises BundleError for a number of layers that would keep its builder busy for ever, or any number that no
    size of a network is. config: what a JSON file holds. path: of the file, for the message. least, most: sizes."""
    for key, value in _entries(config):
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if not least <= value <= (min(most, _MOST_LAYERS) if _LAYERS.fullmatch(key) else most):
            raise BundleError(f"{path}: {key} is {value!r:.40}, which is no size of a network")


def check_finite(module: Any, path: Path) -> None:
    """Raises BundleError unless every weight is a number: damage often shows as NaN or infinity. module: of torch.
    path: where the weights are from, for the message."""
    import torch

    for name, weights in module.named_parameters():
        if weights.is_floating_point() and not bool(torch.isfinite(weights.sum(dtype=torch.float32))):
            raise BundleError(f"{path} is damaged: the weights {name} are not all finite")


@contextmanager
def broken_folder(what: str) -> Iterator[None]:
    """Whatever loading a folder raises, as a BundleError that begins with "cannot load" and `what`.

    Errors of this package and lack of memory pass. transformers, safetensors and tokenizers raise a dozen kinds for a
    broken folder; a panic of the tokenizers, which are written in Rust, is not even an Exception.
    """
    try:
        yield
    except (LLaVASegError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if is_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines()
        raise BundleError(f"cannot load {what}: {type(error).__name__}: {lines[0] if lines else ''}") from error


_offline_lock = threading.Lock()
_offline_users = 0
_offline_before = False


@contextmanager
def no_network() -> Iterator[None]:
    """While this is open, the Hugging Face libraries of this process ask nobody: a request to the hub is an error.

    `local_files_only` keeps the folder itself from being fetched; this holds for whatever its files refer to, too.
    """
    from huggingface_hub import constants

    global _offline_users, _offline_before
    with _offline_lock:
        if not _offline_users:
            _offline_before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        _offline_users += 1
    try:
        yield
    finally:
        with _offline_lock:
            _offline_users -= 1
            if not _offline_users:
                constants.HF_HUB_OFFLINE = _offline_before


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                yield str(key), inner
                if isinstance(inner, (dict, list)):
                    todo.append(inner)
        elif isinstance(value, list):
            todo += [inner for inner in value if isinstance(inner, (dict, list))]


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
