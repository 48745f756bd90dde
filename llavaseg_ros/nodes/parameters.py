"""Parameters of the node `llavaseg`: one table with descriptors, and one typed snapshot of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from llavaseg_ros.geometry import LiftSettings
from llavaseg_ros.ros.commands import Limits
from llavaseg_ros.ros.following import FollowLimits
from llavaseg_ros.ros.lane import WatchLimits
from llavaseg_ros.ros.lifting import GeometryLimits
from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.ros.monitor import Limits as HealthLimits
from llavaseg_ros.ros.waiting import Policy

WARM_UPS = 10.0  # a silent stage may last so many times as long as the model's whole warm-up


@dataclass(frozen=True)
class Spec:
    """One parameter. limits: smallest and largest value. choices: the strings that are allowed.

    change: "live", or the lifecycle state up to which it may be changed: "inactive" (takes effect at the next
    activation), "unconfigured" (at the next configuration), "never" (read only).
    """

    name: str
    default: Any
    text: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    change: str = "live"


def describe(spec: Spec) -> ParameterDescriptor:
    """For `ros2 param describe`."""
    when = {
        "live": "",
        "inactive": " Takes effect at the next activation.",
        "unconfigured": " Takes effect at the next configuration.",
        "never": " Read only.",
    }[spec.change]
    descriptor = ParameterDescriptor(
        name=spec.name,
        description=spec.text + when,
        read_only=spec.change == "never",
        additional_constraints="one of: " + ", ".join(spec.choices) if spec.choices else "",
    )
    if spec.limits is not None and isinstance(spec.default, int):
        low, high = (int(limit) for limit in spec.limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
    elif spec.limits is not None:
        low_s, high_s = (float(limit) for limit in spec.limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low_s, to_value=high_s, step=0.0)]
    return descriptor


SPECS = (
    Spec("autostart", True, "Configure and activate at the start, without a lifecycle manager.", change="never"),
    Spec(
        "model",
        "default",
        "Model profile: a name ('default' is the embedded one), a .yaml file, or the folder of a bundle. While the "
        "node is active the old model serves until the new one is warm, and stays, with the parameter, if that fails.",
    ),
    Spec("device", "auto", "Where the model runs: auto, cpu, cuda or cuda:N. Changes as `model` does."),
    Spec(
        "mode",
        "cot",
        "Reasoning: 'cot' in three turns (reason, name, describe), 'fast' in one, 'auto' by the command.",
        choices=("cot", "fast", "auto"),
        change="inactive",
    ),
    Spec(
        "gpu_memory_limit_gb",
        0.0,
        "Most memory, GiB, that the models may take of the GPU, two of them while one takes the other's place; "
        "0 = all of it.",
        (0, 1024),
        change="inactive",
    ),
    Spec(
        "cpu_threads",
        0,
        "Threads that the models compute with on a CPU; 0 = one fewer than there are cores, which leaves one to "
        "callbacks, or what OMP_NUM_THREADS says.",
        (0, 1024),
        change="inactive",
    ),
    Spec("warm_up", True, "Run one command on a blank image after loading: the first is slow.", change="inactive"),
    Spec(
        "image_transport",
        "raw",
        "'raw' subscribes to image (sensor_msgs/Image), 'compressed' to image/compressed (JPEG or PNG).",
        choices=("raw", "compressed"),
        change="unconfigured",
    ),
    Spec(
        "depth_enabled",
        True,
        "Subscribe to depth/image and depth/camera_info, and lift masks to points and poses.",
        change="unconfigured",
    ),
    Spec(
        "max_targets",
        10,
        "Most targets of one command; a goal may ask for another number. A command about one thing has one.",
        (1, 64),
    ),
    Spec("timeout_s", 60.0, "Give a command up after this many seconds; a goal may ask for another time.", (0.1, 3600)),
    Spec("partial_answers", False, "Also publish answers on the way (final = false) on ~/answer while reasoning."),
    Spec(
        "queue.policy",
        "replace",
        "A command while another runs: 'replace' ends the old one, 'reject' refuses the new one, 'queue' lets it wait.",
        choices=tuple(policy.value for policy in Policy),
    ),
    Spec("queue.depth", 8, "Most commands that wait under the policy 'queue'.", (1, 1000)),
    Spec(
        "session.history_length",
        10,
        "Earlier turns of a session that a command may refer to; 0 = every command stands alone.",
        (0, 50),
    ),
    Spec(
        "follow.enabled",
        False,
        "Follow: after a command that found a target, every new frame gets its mask without the language model. "
        "The service ~/follow sets it.",
    ),
    Spec(
        "follow.relook_after_s",
        2.0,
        "Reason again about the command when its target has been lost for this many seconds, and again after each "
        "such time; 0 = never.",
        (0, 3600),
    ),
    Spec("sync.max_image_age_s", 1.0, "Refuse images with a stamp older than this, s; 0 = any age.", (0, 3600)),
    Spec("sync.wait_for_image_s", 1.0, "Let a command wait this many seconds for a fresh enough image.", (0, 60)),
    Spec("sync.ring_size", 10, "Frames that are kept for commands which name an image by its stamp.", (1, 100)),
    Spec(
        "sync.depth_slop_s",
        0.05,
        "A depth image belongs to an image when their stamps are at most this far apart, s; it is waited for as long.",
        (0, 10),
    ),
    Spec(
        "geometry.required",
        False,
        "A target without 3-D ends with NO_DEPTH even if the camera has never sent depth. One that has always does.",
    ),
    Spec(
        "geometry.target_frame",
        "",
        "Frame of points and poses, through tf2 at the image's stamp; empty = the image's own optical frame.",
    ),
    Spec(
        "geometry.rectified",
        False,
        "The images are rectified: P of camera_info counts, and no distortion; false = K and D.",
    ),
    Spec("geometry.erode_px", 2, "Rim of a mask that is left out of its points, px; thin ones lose less.", (0, 50)),
    Spec("geometry.min_depth_m", 0.1, "Nearer depth values are not believed, m.", (0, 100)),
    Spec("geometry.max_depth_m", 5.0, "Farther depth values are not believed, m.", (0, 100)),
    Spec(
        "geometry.max_jump_m",
        0.02,
        "Where the depth jumps by more than this from pixel to pixel, m, another thing begins.",
        (0.001, 10),
    ),
    Spec("geometry.min_points", 30, "Fewer points do not make a pose.", (3, 100_000)),
    Spec(
        "watchdog.stage_timeout_s",
        60.0,
        "Abandon a command's or followed frame's stage that gives no sign of life (a token, a poll) for this many "
        "seconds, or for ten times the model's warm-up if that is longer, and load the model again; 0 = never.",
        (0, 86_400),
    ),
    Spec(
        "watchdog.load_timeout_s",
        1800.0,
        "Abandon the loading and warming of a model after this many seconds; 0 = never. Downloads count.",
        (0, 86_400),
    ),
    Spec(
        "diagnostics.no_image_warning_s",
        5.0,
        "Warn in the log when no image has come for this many seconds; 0 = never.",
        (0, 3600),
    ),
    Spec(
        "diagnostics.max_drop_share",
        0.95,
        "Warn in /diagnostics when following drops a larger share of the camera's frames; 1 = never.",
        (0, 1),
    ),
)
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
