# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tests of one mutant at a time, in a forked process that has everything imported but this package."""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "llavaseg_ros"
TEST_TIMEOUT_S = 120


class _OneModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module's code; every other module is found as ever."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        if fullname != self.name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(self.path))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def prefer_this_tree() -> None:
    """Import the package from the folder that these tests are in, whichever an editable installation names."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "_editable_" not in type(finder).__module__]
    sys.path.insert(0, str(ROOT))


def preload(files: Sequence[str]) -> None:
    """Import what these test files import, without this package and the tests themselves."""
    reader, writer = os.pipe()

    def tell() -> int:
        code = run_tests(files)
        with os.fdopen(writer, "w") as out:
            out.write("\n".join(sorted(name for name, module in sys.modules.items() if _is_library(module))))
        return code

    process = _fork(tell, quiet=True)
    os.close(writer)
    with os.fdopen(reader) as names:
        for name in names.read().split():
            if name not in sys.modules:
                try:
                    importlib.import_module(name)
                except Exception:  # half of a library that only its own other half may import
                    continue
    os.waitpid(process, 0)


def _is_library(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")
    if not file or name.split(".")[0] == PACKAGE or name in ("__main__", "conftest") or "_pytest" in name:
        return False
    return ROOT not in Path(file).parents or Path(sys.prefix) in Path(file).parents


class Trial:
    """The tests of these files with another tree in the place of a module, in a process that has begun."""

    def __init__(self, module: str, path: Path, tree: ast.Module | str, files: Sequence[str], timeout_s: float) -> None:
        code = compile(tree, str(path), "exec")

        def run() -> int:
            sys.meta_path.insert(0, _OneModule(module, path, code))
            return run_tests(files)

        self._end = time.monotonic() + timeout_s
        self._process = _fork(run, quiet=True)

    def poll(self) -> str:
        """How the tests ended: "passed", "failed", "broken" (not even collected), or "timeout"; "" while they run."""
        done, status = os.waitpid(self._process, os.WNOHANG)
        if done:
            return {0: "passed", 1: "failed"}.get(os.waitstatus_to_exitcode(status), "broken")
        if time.monotonic() < self._end:
            return ""
        with contextlib.suppress(ProcessLookupError):  # no group yet, if it has not had the time to make one
            os.killpg(self._process, signal.SIGKILL)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        return "timeout"


def test_mutant(module: str, path: Path, tree: ast.Module | str, files: Sequence[str], timeout_s: float) -> str:
    """Wait for the end of one `Trial`."""
    trial = Trial(module, path, tree, files, timeout_s)
    while not (ended := trial.poll()):
        time.sleep(0.01)
    return ended


test_mutant.__test__ = False  # type: ignore[attr-defined]


def run_tests(files: Sequence[str]) -> int:
    """pytest's exit code for these files, stopped at the first failure."""
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", str(ROOT)]
    options += ["--timeout", str(TEST_TIMEOUT_S)]  # a mutant often makes a test wait in vain
    return int(pytest.main([*options, *(str(ROOT / file) for file in files)]))


def _fork(call: Callable[[], int], *, quiet: bool) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 3
    gc.freeze()  # the parent's: imports, and every mutant's tree, which tests that collect garbage would go through
    try:
        os.setsid()
        if quiet:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
        os.chdir(ROOT)
        code = call()
    finally:
        os._exit(code)
