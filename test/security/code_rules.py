# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What no source of the package may do: run code or fetch things that come with data. An AST walk, no more.

`violations` gives (rule, line, what) of a source text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Violation = tuple[str, int, str]

# Modules that can do nothing good here. pickletools only takes pickles apart.
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
NETWORK = {
    "urllib.request",
    "requests",
    "httpx",
    "httpx2",
    "aiohttp",
    "ftplib",
    "openai",
    "huggingface_hub",
    "torch.hub",
}
ARCHIVES = {"tarfile", "zipfile"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "os.spawnl", "os.execl", "subprocess.getoutput", "subprocess.getstatusoutput"}
UNSAFE_CALLS = {
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all", "torch.jit.load", "torch.hub.load",
    "torch.package.PackageImporter", "shutil.unpack_archive", "pandas.read_pickle", "runpy.run_path",
    "runpy.run_module", "pty.spawn",
}  # fmt: skip
# Our own class method of that name, which loads by the profile's rules.
OWN_LOADERS = {"LLaVASeg", "pipeline", "cls"}


def violations(source: str) -> Iterator[Violation]:
    """Every place that breaks a rule."""
    tree = ast.parse(source)
    locals_ = _local_options(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _import(node.module, node.lineno)
        elif isinstance(node, ast.Call):
            yield from _call(node, locals_)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "trust_remote_code" and not _is(value, False):
                    yield "trust_remote_code", node.lineno, ast.unparse(value)


def _import(name: str, line: int) -> Iterator[Violation]:
    root = name.split(".")[0]
    for rule, modules in (("pickle", PICKLES), ("network", NETWORK), ("archive", ARCHIVES)):
        if name in modules or root in modules or any(name.startswith(f"{module}.") for module in modules):
            yield rule, line, name


def _call(node: ast.Call, locals_: set[str]) -> Iterator[Violation]:
    name = _dotted(node.func)
    last = name.rsplit(".", 1)[-1]
    given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    spread = {keyword.value.id for keyword in node.keywords if not keyword.arg and isinstance(keyword.value, ast.Name)}
    if name in RUNS_CODE or name in UNSAFE_CALLS or last in ("extractall", "read_pickle"):
        yield "code", node.lineno, name
    if name in SHELLS or "shell" in given and not _is(given["shell"], False):
        yield "shell", node.lineno, name
    if "trust_remote_code" in given and not _is(given["trust_remote_code"], False):
        yield "trust_remote_code", node.lineno, name
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "weights_only", node.lineno, name
    if name in ("np.load", "numpy.load") and not _is(given.get("allow_pickle"), False):
        yield "allow_pickle", node.lineno, name
    if "allow_pickle" in given and not _is(given["allow_pickle"], False):
        yield "allow_pickle", node.lineno, name
    if name == "yaml.load" and not _safe_loader(node):
        yield "yaml", node.lineno, ast.unparse(node)
    if (
        last == "from_pretrained"
        and name.split(".")[0] not in OWN_LOADERS
        and ".LLaVASeg" not in ast.unparse(node.func)
    ):
        local = _is(given.get("local_files_only"), True) or bool(spread & locals_)
        if not local:
            yield "local_files_only", node.lineno, name
    if last == "import_module" and not (node.args and isinstance(node.args[0], ast.Constant)):
        yield "import", node.lineno, ast.unparse(node)


def _local_options(tree: ast.AST) -> set[str]:
    """Names of dictionaries that hold `"local_files_only": True`."""
    names = set()
    for node in ast.walk(tree):
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
            for key, given in zip(value.keys, value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "local_files_only" and _is(given, True):
                    names.add(target.id)
    return names


def _safe_loader(node: ast.Call) -> bool:
    loader = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "Loader"), None)
    text = "" if loader is None else ast.unparse(loader)
    return text == "_NoAliases" or (bool(text) and "SafeLoader" in text and "Unsafe" not in text)


def _is(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
