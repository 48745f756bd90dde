# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameters as a table: what one is, how `ros2 param describe` tells of it, and all those of the node `llavaseg`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from llavaseg_ros.ros.waiting import Policy


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


def usage(text: str | None, specs: Iterable[Spec]) -> str:
    """What a node prints for `--help`. text: its module's docstring."""
    rows = [f"  {spec.name} ({spec.default!r}): {spec.text}" for spec in specs]
    head = (text or "").strip()
    return "\n".join([head, "", "Parameters (--ros-args -p NAME:=VALUE, or --params-file FILE):", *rows])


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
