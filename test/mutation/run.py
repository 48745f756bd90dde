# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mutation testing: change the code in one place at a time and see whether a test notices.

    python test/mutation/run.py [GROUP ...] [--modules TEXT] [--again] [--jobs N] [--only TEXT] [--list] [--out FILE]

Groups, modules and their tests are in targets.yaml; survivors.yaml says of every survivor why it is let live. Takes
about a second a mutant. Exits with 1 when a survivor has no reason, or a reason no survivor.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork has no threads of its parent's pool
os.environ.setdefault("LLAVASEG_TEST_WAIT_S", "15")  # many a mutant makes a test wait in vain

import yaml
from forks import ROOT, Trial, prefer_this_tree, preload, test_mutant
from mutants import Mutant, mutants_of

HERE = Path(__file__).resolve().parent
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
REASONS = ("equivalent", "logging", "accepted")


def main(arguments: list[str] | None = None) -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description="mutation testing of the modules in targets.yaml")
    parser.add_argument("groups", nargs="*", help="of targets.yaml; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the results; what did not run stays")
    parser.add_argument("--only", default="", help="mutants whose key holds this text; nothing is written")
    parser.add_argument("--again", action="store_true", help="survivors of the last run only: after tests were added")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="every Nth mutant only")
    parser.add_argument("--offset", type=int, default=0, help="of the sample: the first one's number")
    parser.add_argument("--modules", default="", help="modules whose path holds this text")
    parser.add_argument("--list", action="store_true", help="list the mutants, run nothing")
    options = parser.parse_args(arguments)
    targets = yaml.safe_load((HERE / "targets.yaml").read_text())
    if unknown := set(options.groups) - set(targets):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    prefer_this_tree()
    for group in options.groups or targets:
        chosen = {file: tests for file, tests in targets[group].items() if options.modules in file}
        if options.list:
            for module in chosen:
                for mutant in mutants_of((ROOT / module).read_text()):
                    print(f"{module}:{mutant.line} {mutant.key}")
            continue
        result = run_group(
            chosen,
            options.only,
            results.get(group) if options.again else None,
            options.jobs,
            (options.sample, options.offset),
        )
        killed, total = result["killed"], result["mutants"]
        print(f"{group}: {killed} of {total} killed ({100 * killed / max(1, total):.1f} %)", flush=True)
        if not options.only:
            results[group] = with_others(result, results.get(group), targets[group])
            ordered = {name: results[name] for name in targets if name in results}
            options.out.write_text(json.dumps(ordered, indent=1) + "\n")
    if options.list or options.only:
        return 0
    complaints = unexplained(results, yaml.safe_load((HERE / "survivors.yaml").read_text()) or {})
    print("\n".join(complaints))
    return int(bool(complaints))


def run_group(
    target: dict[str, Any],
    only: str = "",
    last: dict[str, Any] | None = None,
    jobs: int = 1,
    sample: tuple[int, int] = (1, 0),
) -> dict[str, Any]:
    """The mutants of a group's modules: how many, how many were killed, and which live.

    only: those whose key holds this text. last: an earlier result; what was killed then is not tried again, unless its
    function has changed since. jobs: mutants at a time. sample: every so many-th only, from which one on.
    """
    for tests in dict.fromkeys(map(tuple, target.values())):
        preload(tests)
    began = time.monotonic()
    modules: dict[str, Any] = {}
    for file, files in target.items():
        path, name = ROOT / file, file.removesuffix(".py").replace("/", ".")
        source = path.read_text()
        start = time.monotonic()
        ended = test_mutant(name, path, source, files, 600.0)
        if ended != "passed":
            raise SystemExit(f"{file}: its tests end with {ended!r} without any change")
        timeout_s = 10.0 + 5 * (time.monotonic() - start)
        counts = {"mutants": 0, "killed": 0, "timeouts": 0}
        survivors = []
        digests = _digests(source)
        before = told_before(last, file)
        lived = {survivor["key"] for survivor in before.get("survivors", ())}
        same = {name for name, digest in before.get("source", {}).items() if digests.get(name) == digest}
        counts["timeouts"] = before.get("timeouts", 0)
        waiting = []
        for number, mutant in enumerate(mutants_of(source)):
            if only in mutant.key and number % sample[0] == sample[1]:
                counts["mutants"] += 1
                if mutant.key.split(":")[0].split(".")[0] in same and mutant.key not in lived:
                    counts["killed"] += 1
                else:
                    waiting.append(mutant)
        for mutant, ended in _trials(waiting, lambda one: Trial(name, path, one.tree, files, timeout_s), jobs):  # noqa: B023
            counts["killed"] += ended != "passed"
            counts["timeouts"] += ended == "timeout"
            if ended == "passed":
                survivors.append({"line": mutant.line, "key": mutant.key})
                print(f"  lives: {file}:{mutant.line} {mutant.key}", flush=True)
        survivors.sort(key=lambda survivor: (survivor["line"], survivor["key"]))
        print(f"{file}: {counts['killed']} of {counts['mutants']} killed", flush=True)
        modules[file] = {"tests": files, "sample": sample[0], **counts, "survivors": survivors, "source": digests}
    return {**_total(modules), "seconds": round(time.monotonic() - began), "modules": modules}


def told_before(last: dict[str, Any] | None, file: str) -> dict[str, Any]:
    """An earlier result of a module; nothing if it was a sample, which of most mutants does not tell how they ended."""
    before: dict[str, Any] = last["modules"].get(file, {}) if last else {}
    return before if before.get("sample", 1) == 1 else {}


def with_others(result: dict[str, Any], last: dict[str, Any] | None, files: Iterable[str]) -> dict[str, Any]:
    """A group's result, and of these files, the group's, those that did not run as they were in the last one.

    seconds: of this run alone.
    """
    known = {**(last["modules"] if last else {}), **result["modules"]}
    modules = {file: known[file] for file in files if file in known}
    return {**_total(modules), "seconds": result["seconds"], "modules": modules}


def _total(modules: dict[str, Any]) -> dict[str, int]:
    return {name: sum(module[name] for module in modules.values()) for name in ("mutants", "killed", "timeouts")}


def _trials(mutants: list[Mutant], begin: Callable[[Mutant], Trial], jobs: int) -> Iterator[tuple[Mutant, str]]:
    """Every mutant and how its tests ended, in the order of the ends."""
    waiting, running = mutants[::-1], list[tuple[Mutant, Trial]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running.append((mutant, begin(mutant)))
        ends = [(mutant, trial, trial.poll()) for mutant, trial in running]
        running = [(mutant, trial) for mutant, trial, ended in ends if not ended]
        yield from ((mutant, ended) for mutant, _, ended in ends if ended)
        time.sleep(0.02)


def _digests(source: str) -> dict[str, str]:
    """Of the syntax of every function and class of a module, and of the rest of it."""
    parts: dict[str, list[str]] = {}
    for node in ast.parse(source).body:
        parts.setdefault(getattr(node, "name", "module"), []).append(ast.dump(node))
    return {name: hashlib.sha256("".join(dumps).encode()).hexdigest()[:16] for name, dumps in parts.items()}


def unexplained(results: dict[str, Any], reasons: dict[str, dict[str, str]]) -> list[str]:
    """Survivors without a reason, reasons without a survivor, and reasons of no known kind."""
    complaints = []
    for group in results.values():
        for file, module in group["modules"].items():
            given = reasons.get(file) or {}
            living = {survivor["key"] for survivor in module["survivors"]}
            complaints += [f"{file}: no reason for {key!r}" for key in sorted(living - set(given))]
            complaints += [f"{file}: {key!r} does not live" for key in sorted(set(given) - living)]
            complaints += [
                f"{file}: the reason of {key!r} begins with none of {', '.join(REASONS)}"
                for key, text in given.items()
                if not text.startswith(REASONS)
            ]
    return complaints


if __name__ == "__main__":
    sys.exit(main())
