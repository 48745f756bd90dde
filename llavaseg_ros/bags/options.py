# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `llavaseg annotate` was asked to do with a bag."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What to do with a bag.

    commands: one or more. every: take every N-th image. limit: at most so many of them; 0 = all. follow: reason once
    and follow on all further frames, else reason on each. relook_after_s: following, reason again when the target was
    not there for so long; 0 = never. max_targets: most targets of one command; one is followed. image, camera_info,
    depth, depth_camera_info: topics; "" = find them, depth "none" = without. points: write target_points and
    target_pose, too. overlay: jpeg, raw or none. copy: take all messages of the input over, too. prefix: of the new
    topics. model, mode: what is asked, for the record.
    """

    commands: tuple[str, ...]
    every: int = 1
    limit: int = 0
    follow: bool = False
    relook_after_s: float = 2.0
    max_targets: int = 10
    image: str = ""
    camera_info: str = ""
    depth: str = ""
    depth_camera_info: str = ""
    points: bool = False
    overlay: str = "jpeg"
    copy: bool = False
    model: str = "default"
    mode: str = "cot"
    prefix: str = "/llavaseg"
