# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the node `llavaseg`: declared from the table, guarded against nonsense, read as typed snapshots."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from llavaseg_ros.geometry import LiftSettings
from llavaseg_ros.nodes.parameter_table import SPECS, Spec, describe
from llavaseg_ros.ros.commands import Limits
from llavaseg_ros.ros.following import FollowLimits
from llavaseg_ros.ros.lane import WatchLimits
from llavaseg_ros.ros.lifting import GeometryLimits
from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.ros.monitor import Limits as HealthLimits
from llavaseg_ros.ros.waiting import Policy

WARM_UPS = 10.0  # a silent stage may last so many times as long as the model's whole warm-up

_BY_NAME = {spec.name: spec for spec in SPECS}
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class Settings:
    """The values at one moment. Field names are the parameters' with '_' for '.'."""

    autostart: bool
    model: str
    device: str
    mode: str
    gpu_memory_limit_gb: float
    cpu_threads: int
    warm_up: bool
    image_transport: str
    depth_enabled: bool
    max_targets: int
    timeout_s: float
    partial_answers: bool
    queue_policy: str
    queue_depth: int
    session_history_length: int
    follow_enabled: bool
    follow_relook_after_s: float
    sync_max_image_age_s: float
    sync_wait_for_image_s: float
    sync_ring_size: int
    sync_depth_slop_s: float
    geometry_required: bool
    geometry_target_frame: str
    geometry_rectified: bool
    geometry_erode_px: int
    geometry_min_depth_m: float
    geometry_max_depth_m: float
    geometry_max_jump_m: float
    geometry_min_points: int
    watchdog_stage_timeout_s: float
    watchdog_load_timeout_s: float
    diagnostics_no_image_warning_s: float
    diagnostics_max_drop_share: float

    def wanted(self) -> Wanted:
        """The model to load."""
        return Wanted(self.model, self.device, self.mode, self.gpu_memory_limit_gb, self.cpu_threads)

    def limits(self) -> Limits:
        """What a command obeys."""
        return Limits(
            max_targets=self.max_targets,
            timeout_s=self.timeout_s,
            policy=Policy(self.queue_policy),
            queue_depth=self.queue_depth,
            max_image_age_s=self.sync_max_image_age_s,
            wait_for_image_s=self.sync_wait_for_image_s,
            history_length=self.session_history_length,
            partial_answers=self.partial_answers,
        )

    def watch_limits(self, warm_up_s: float) -> WatchLimits:
        """How long a stage may be silent. warm_up_s: how long all stages together took on a blank image: a model that
        takes minutes for a command takes minutes for its warm-up, and must not be taken for one that hangs."""
        stage_s = self.watchdog_stage_timeout_s
        return WatchLimits(
            stage_s=max(stage_s, WARM_UPS * warm_up_s) if stage_s else 0.0, load_s=self.watchdog_load_timeout_s
        )

    def health_limits(self) -> HealthLimits:
        """What the levels in /diagnostics depend on."""
        return HealthLimits(
            max_image_age_s=self.sync_max_image_age_s,
            no_image_warning_s=self.diagnostics_no_image_warning_s,
            max_drop_share=self.diagnostics_max_drop_share,
            policy=Policy(self.queue_policy),
            queue_depth=self.queue_depth,
        )

    @classmethod
    def of(cls, node: Node) -> Settings:
        """Read all parameters of a node that has declared them."""
        return cls(**{spec.name.replace(".", "_"): _value(node, spec.name) for spec in SPECS})


def _value(node: Node, name: str) -> Any:
    return node.get_parameter(name).value


def follow_limits(node: Node) -> FollowLimits:
    """What following obeys. Read many times a second, hence not by way of all parameters."""
    value = partial(_value, node)
    return FollowLimits(
        enabled=value("follow.enabled"),
        relook_after_s=value("follow.relook_after_s"),
        max_image_age_s=value("sync.max_image_age_s"),
        timeout_s=value("timeout_s"),
    )


def geometry_limits(node: Node) -> GeometryLimits:
    """What lifting to 3-D obeys. Read at every followed frame, too."""
    value = partial(_value, node)
    return GeometryLimits(
        enabled=value("depth_enabled"),
        required=value("geometry.required"),
        target_frame=value("geometry.target_frame").strip().lstrip("/"),
        slop_s=value("sync.depth_slop_s"),
        rectified=value("geometry.rectified"),
        settings=LiftSettings(
            erode_px=value("geometry.erode_px"),
            min_depth_m=value("geometry.min_depth_m"),
            max_depth_m=value("geometry.max_depth_m"),
            max_jump_m=value("geometry.max_jump_m"),
            min_points=value("geometry.min_points"),
        ),
    )


def declare(node: Node) -> None:
    """Declare all parameters. Raises an error that names the parameter when a value given is not allowed."""
    for spec in SPECS:
        node.declare_parameter(spec.name, spec.default, describe(spec))
        reason = _refuse(spec, node.get_parameter(spec.name).value)
        if reason:
            raise ValueError(reason)
    if reason := _contradiction(node, []):
        raise ValueError(reason)


def guard_changes(node: Node, lifecycle: Callable[[], str]) -> None:
    """Refuse values that make no sense, and changes in the wrong lifecycle state. rclpy sees to ranges and types."""

    def check(parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            spec = _BY_NAME.get(parameter.name)
            if spec is None:
                continue
            reason = _refuse(spec, parameter.value) or _too_late(spec, lifecycle())
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        reason = _contradiction(node, parameters)
        return SetParametersResult(successful=not reason, reason=reason)

    node.add_on_set_parameters_callback(check)


def problem(name: str, value: Any) -> str:
    """Why a parameter cannot have a value; "" if it can."""
    return _refuse(_BY_NAME[name], value)


def _refuse(spec: Spec, value: Any) -> str:
    if spec.choices and value not in spec.choices:
        return f"parameter {spec.name}: {value!r} is not one of {', '.join(spec.choices)}"
    if spec.name == "device" and not _DEVICE.fullmatch(str(value)):
        return f"parameter device: {value!r} is not one of auto, cpu, cuda, cuda:N"
    if spec.name == "model" and not str(value).strip():
        return "parameter model: empty; expected the name of a profile, its file, or the folder of a bundle"
    return ""


def _contradiction(node: Node, changes: list[Parameter]) -> str:
    """Why the parameters would make no sense together after these changes; "" if they would."""
    near, far = "geometry.min_depth_m", "geometry.max_depth_m"
    values = {name: _value(node, name) for name in (near, far)}
    values.update({change.name: change.value for change in changes if change.name in values})
    if values[near] >= values[far]:
        return (
            f"parameter {near}: {values[near]:g} is not below {far}, {values[far]:g}: no depth could be believed; "
            "set the two together, or in the other order"
        )
    return ""


def _too_late(spec: Spec, state: str) -> str:
    if spec.change == "inactive" and state not in ("unconfigured", "inactive"):
        return f"parameter {spec.name}: cannot change while the node is {state}; deactivate it first"
    if spec.change == "unconfigured" and state != "unconfigured":
        return f"parameter {spec.name}: cannot change while the node is {state}; clean it up first"
    return ""
