# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg pick`: robot, model and planners as processes, one table and one command after the other, one page."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llavaseg_ros.demo.client import DemoError
from llavaseg_ros.demo.processes import Processes, end_on_sigterm, ros_parameters
from llavaseg_ros.demo.run import NODE
from llavaseg_ros.errors import BadRequest, ErrorCode
from llavaseg_ros.evaluation.metrics import overlap
from llavaseg_ros.files import write_whole
from llavaseg_ros.images import jpeg_bytes
from llavaseg_ros.nodes.example_grasp_planner import MIN_SCORE
from llavaseg_ros.pick import pictures
from llavaseg_ros.pick.client import OURS, TRUTH, PickClient, View, pose_arrays
from llavaseg_ros.pick.commands import choose_command
from llavaseg_ros.pick.page import write_page
from llavaseg_ros.pick.rates import line, results
from llavaseg_ros.pick.second_look import SECOND, THIRD, same_thing, turned, turned_back
from llavaseg_ros.pick.trials import Arm, Trial, masked_thing, read_trials, write_trials

ROBOT = "llavaseg_ros.nodes.simulated_robot"
PLANNER = "llavaseg_ros.nodes.example_grasp_planner"
# The node must not refuse a frame that waited for the machine.
PATIENCE = {"sync.max_image_age_s": 120.0, "sync.wait_for_image_s": 10.0}
TRIES = 3  # frames: the node's subscription is best effort, and may miss one
STALE = (ErrorCode.NO_IMAGE, ErrorCode.STALE_IMAGE)


@dataclass(frozen=True)
class PickOptions:
    """What `llavaseg pick` was asked for. picks: number of trials; first: number of the first table. true_masks_only:
    no model. resume: go on with the trials that are in `out`. domain: None = one of its own."""

    out: Path
    picks: int = 20
    first: int = 0
    split: str = "test"
    min_score: float | None = None
    true_masks_only: bool = False
    resume: bool = False
    model: str = "default"
    device: str = "auto"
    mode: str = "cot"
    timeout_s: float = 180.0
    domain: int | None = None

    def settings(self) -> dict[str, Any]:
        """What trials of one folder have in common."""
        names = ("first", "split", "min_score", "true_masks_only", "model", "mode")
        return {name: getattr(self, name) for name in names}


def run_pick(options: PickOptions, *, node_module: str = NODE) -> int:
    """Run it. 0 when every trial ran to its end, whatever was lifted. Ends with the rates on the last line.

    node_module: what to run as the node; tests put one with a scripted model there.
    """
    trials = _begin(options)
    domain = 1 + os.getpid() % 100 if options.domain is None else options.domain
    local = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    os.environ.update(local)
    end_on_sigterm()
    code = 0
    try:
        if len(trials) < options.picks:
            with Processes(options.out, local) as processes:
                try:
                    _run(options, domain, processes, node_module, trials)
                except DemoError as error:
                    print(f"llavaseg pick: {error}\n{processes.last_lines()}", file=sys.stderr)
                    code = 1
    finally:  # what is done is shown, also after Ctrl-C
        if len(trials) < options.picks:
            print(f"\nstopped after {len(trials)} of {options.picks} picks; --resume goes on", file=sys.stderr)
        if trials:
            page = write_page(options.out, trials, options.settings())
            write_whole(options.out / "rates.json", json.dumps(results(trials, options.settings()), indent=1) + "\n")
            print(f"\n{page}\n{line(trials)}", flush=True)
    return code


def _begin(options: PickOptions) -> list[Trial]:
    """Make the folder ready. Returns the trials that are done. Raises BadRequest when they are of another run."""
    out, settings = options.out, options.settings()
    file = out / "settings.json"
    if options.resume and file.exists():
        before = json.loads(file.read_text())
        if before != settings:
            changed = [name for name in settings if before.get(name) != settings[name]]
            text = f"{out}: its trials were made with other settings ({', '.join(changed)})"
            raise BadRequest(f"{text}; use another --out")
        return read_trials(out)[: options.picks]
    out.mkdir(parents=True, exist_ok=True)
    for old in (out / "pictures").glob("[0-9]*_*.jpg"):
        old.unlink()
    (out / "trials.jsonl").unlink(missing_ok=True)
    write_whole(file, json.dumps(settings) + "\n")
    return []


def _run(
    options: PickOptions, domain: int, processes: Processes, node_module: str, trials: list[Trial]
) -> None:  # fmt: skip
    """Start all, then trial after trial; each is written down when it is done."""
    print(f"starting the robot, the planners and the model (ROS domain {domain}) ...", flush=True)
    processes.start("robot", ROBOT, ros_parameters({"split": options.split, "table": options.first}))
    score: dict[str, object] = {} if options.min_score is None else {"min_score": options.min_score}
    theirs = ["-r", f"{OURS}:={TRUTH}", "-r", "__node:=true_mask_planner"]
    for topic in ("answer", "masks", "target_points", "scene_points"):
        theirs += ["-r", f"llavaseg/{topic}:=true_masks/{topic}"]
    processes.start("true_mask_planner", PLANNER, ["--ros-args", *theirs])
    if not options.true_masks_only:
        processes.start("planner", PLANNER, ros_parameters(score))
        settings = {"model": options.model, "device": options.device, "mode": options.mode}
        processes.start("node", node_module, ros_parameters({**settings, **PATIENCE, "timeout_s": options.timeout_s}))

    def alive() -> None:
        text = processes.ended()
        if text:
            raise DemoError(text)

    client = PickClient(domain, alive)
    try:
        client.wait_robot(options.timeout_s, ours=not options.true_masks_only)
        if not options.true_masks_only:
            client.wait_ready(options.timeout_s)
        for number in range(len(trials), options.picks):
            trial = _trial(options, client, options.first + number)
            trials.append(trial)
            write_trials(options.out, trials)
            print(f"[{number + 1}/{options.picks}] {trial.command}\n      {summary(trial)}", flush=True)
    finally:
        client.close()


def _trial(options: PickOptions, client: PickClient, number: int) -> Trial:
    """One table, one command, both masks."""
    wait, started = options.timeout_s, time.monotonic()
    view = client.set_out(number, wait)
    dialogue = choose_command(view.scene, number)
    if dialogue is None or dialogue.target_id is None:
        raise DemoError(f"no command fits table {number}")
    common: dict[str, Any] = {
        "number": number, "kind": dialogue.kind, "phrasing": dialogue.phrasing, "command": dialogue.command,
        "target": view.names[dialogue.target_id - 1], "things": view.names,
    }  # fmt: skip
    keep = _Keeper(options.out, number)
    ours: dict[str, Any] = {}
    if not options.true_masks_only:
        view, result, agreed = look(client, dialogue.command, view, wait)
        min_score = MIN_SCORE if options.min_score is None else options.min_score
        ours = _ours(client, view, result, dialogue.target_id, min_score, wait, keep) | agreed
        client.set_out(number, wait)
    true_mask = view.instances == dialogue.target_id
    client.tell_truth(true_mask, common["target"], view)
    plan = client.plan(TRUTH, view, wait)
    truth = Arm(refused="no grasp")
    if plan.poses:
        truth = Arm(client.execute(plan, wait))
    if not ours:
        grasp = pose_arrays(plan)
        keep("mask", pictures.mask_and_grasp(view.rgb, true_mask, common["target"], view.camera, grasp))
        _keep_points(keep, view, true_mask, grasp)
    keep("truth", client.look(wait).rgb)
    return Trial(**common, truth=truth, **ours, seconds=round(time.monotonic() - started, 1))


def look(client: PickClient, command: str, view: View, wait: float) -> tuple[View, Any, dict[str, bool]]:
    """Frame and result of the upright look, and whether another look was of the same thing, as fields of a trial."""

    def other(degrees: float) -> np.ndarray | None:
        mask = _mask(client.ask_about(command, turned(view.rgb, degrees), wait))
        return None if mask is None else turned_back(mask, degrees)

    second = other(SECOND)
    view, result = _ask(client, command, view, wait)
    first = _mask(result)
    twice = thrice = same_thing(first, second)
    if first is not None and not twice:
        thrice = same_thing(first, other(THIRD))
        view, result = _ask(client, command, view, wait)  # once more: the planner goes by the newest answer
    return view, result, {"agreed": twice, "agreed_at_last": thrice}


def _ask(client: PickClient, command: str, view: View, wait: float) -> tuple[View, Any]:
    """The node's result about a frame that it has; another frame of the same table when it has missed the first."""
    for _ in range(TRIES):
        result = client.ask(command, view, wait)
        if result.error_code not in STALE:
            return view, result
        view = client.look(wait)
    raise DemoError(f"the node has none of {TRIES} frames: {result.error_msg}")


def _ours(
    client: PickClient,
    view: View,
    result: Any,
    target_id: int,
    min_score: float,
    wait: float,
    keep: Callable[[str, np.ndarray], None],
) -> dict[str, Any]:
    """What our mask leads to, as fields of a trial."""
    answer, targets = result.answer, result.masks.targets
    code = ErrorCode(answer.error_code)
    honest = code in (ErrorCode.NONE, ErrorCode.NOT_FOUND)
    out: dict[str, Any] = {"found": answer.found, "answer": answer.text, "error": "" if honest else code.name}
    mask = _mask(result)
    if mask is not None:
        best = targets[0]
        shared, union = overlap(mask, view.instances == target_id)
        on = masked_thing(mask, view.instances, view.names)
        out |= {"said": best.label, "score": round(best.score, 4), "on": on, "iou": round(shared / max(union, 1), 4)}
    plan = client.plan(OURS, view, wait)
    grasp = pose_arrays(plan)
    keep("mask", pictures.mask_and_grasp(view.rgb, mask, out.get("said", ""), view.camera, grasp))
    if grasp is None:
        out["ours"] = Arm(refused=_refusal(out, min_score))
        return out
    assert mask is not None
    _keep_points(keep, view, mask, grasp)
    out["ours"] = Arm(client.execute(plan, wait))
    keep("ours", client.look(wait).rgb)
    return out


def _mask(result: Any) -> np.ndarray | None:
    """The best mask of a result, bool [H, W]; None without one."""
    if not result.masks.targets:
        return None
    msg = result.masks.targets[0].mask
    return np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width) > 0


def _refusal(out: dict[str, Any], min_score: float) -> str:
    if not out["found"] or out["error"]:
        return "no target"
    return "low score" if out["score"] < min_score else "no grasp"


def _keep_points(
    keep: Callable[[str, np.ndarray], None], view: View, mask: np.ndarray, grasp: tuple[np.ndarray, np.ndarray] | None
) -> None:
    if grasp is not None:
        lifted = view.lift(mask)
        keep("points", pictures.from_above(lifted.targets[0].points, lifted.points, lifted.colors, grasp))


class _Keeper:
    """Writes the pictures of one trial."""

    def __init__(self, out: Path, number: int) -> None:
        self._folder, self._number = out / "pictures", number
        self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, rgb: np.ndarray) -> None:
        write_whole(self._folder / f"{self._number:05d}_{name}.jpg", jpeg_bytes(rgb, 480))


def summary(trial: Trial) -> str:
    """What came of it, in one line."""
    true = "lifted" if trial.success(trial.truth) else trial.truth.refused or "not lifted"
    parts = [f"{trial.target}: with its true mask {true}"]
    if trial.acted is not None:
        parts.append(f"with ours {'lifted' if trial.success(trial.acted) else trial.cause}")
        parts.append(f"said {trial.said or 'nothing'}, score {trial.score:.2f}, IoU {trial.iou:.2f}")
    return " | ".join([*parts, f"{trial.seconds:.1f} s"])
