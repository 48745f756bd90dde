# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""No source of the package runs code or fetches things that come with data; what must, stands in a list, with why."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_rules import violations

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("llavaseg_ros", "benchmarks", "launch", ".ci", "setup.py")

TABLE = "the name is one of a table in this file"
ALLOWED = {
    ("llavaseg_ros/checkpoints.py", "network"): "fetches what the user allows, by name and hash",
    ("llavaseg_ros/reasoning/served_http.py", "network"): "the server that the profile names",
    ("llavaseg_ros/reasoning/served_errors.py", "network"): "the library's error classes",
    ("llavaseg_ros/bags/state.py", "archive"): "the error of a broken .npz",
    ("benchmarks/out_of_domain/robosuite_meshes.py", "archive"): "a wheel that the user names",
    ("benchmarks/out_of_domain/robosuite_meshes.py", "code"): "zipfile leaves no member outside of the folder",
    ("llavaseg_ros/training/mllm.py", "local_files_only"): "a folder that the stage itself has written",
    ("llavaseg_ros/reasoning/local.py", "import"): TABLE,
    ("llavaseg_ros/bridges/__init__.py", "import"): TABLE,
    ("llavaseg_ros/cli/main.py", "import"): "a verb that is a file of the folder",
    ("llavaseg_ros/cli/train.py", "import"): "a stage that is one of the parser's choices",
}


def sources() -> list[Path]:
    found = [
        path for name in SOURCES for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
    ]
    assert len(found) > 250
    return found


def test_no_source_breaks_a_rule() -> None:
    used, broken = set(), []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        for rule, line, what in violations(path.read_text(encoding="utf-8")):
            if (name, rule) in ALLOWED:
                used.add((name, rule))
            else:
                broken.append(f"{name}:{line}: {rule}: {what}")
    assert not broken, "\n".join(broken)
    assert not ALLOWED.keys() - used, f"allowed, and not needed any more: {sorted(ALLOWED.keys() - used)}"


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import joblib.numpy_pickle", "pickle"),
        ("import urllib.request", "network"),
        ("from torch.hub import load_state_dict_from_url", "network"),
        ("import tarfile", "archive"),
        ("eval('1')", "code"),
        ("exec(text)", "code"),
        ("archive.extractall(folder)", "code"),
        ("torch.jit.load(path)", "code"),
        ("os.system('ls')", "shell"),
        ("subprocess.run(text, shell=True)", "shell"),
        ("subprocess.run(text, shell=maybe)", "shell"),
        ("AutoModel.from_pretrained(f, local_files_only=True, trust_remote_code=True)", "trust_remote_code"),
        ("options = {'trust_remote_code': wanted}", "trust_remote_code"),
        ("torch.load(path)", "weights_only"),
        ("torch.load(path, weights_only=False)", "weights_only"),
        ("np.load(path)", "allow_pickle"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("yaml.load(text)", "yaml"),
        ("yaml.load(text, yaml.Loader)", "yaml"),
        ("yaml.load(text, Loader=yaml.UnsafeLoader)", "yaml"),
        ("yaml.unsafe_load(text)", "code"),
        ("AutoTokenizer.from_pretrained(name)", "local_files_only"),
        ("AutoTokenizer.from_pretrained(name, local_files_only=False)", "local_files_only"),
        ("AutoTokenizer.from_pretrained(name, **options)", "local_files_only"),
        ("importlib.import_module(name)", "import"),
    ],
)
def test_each_rule_catches(source: str, rule: str) -> None:
    assert rule in {found for found, _, _ in violations(source)}


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "yaml.load(text, yaml.SafeLoader)",
        "model.eval()",
        "re.compile('x')",
        "import pickletools",
        "LLaVASeg.from_pretrained('default')",
        "local = {'local_files_only': True}\nAutoModel.from_pretrained(f, **local)",
        "importlib.import_module('rclpy')",
        "subprocess.run([sys.executable, '-c', code])",
    ],
)
def test_what_is_meant_well_passes(source: str) -> None:
    assert not list(violations(source))
