# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the verbs share: types of arguments that check at the edge, groups of arguments, loading the model."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llavaseg_ros.demo.processes import ros_parameters

if TYPE_CHECKING:
    from llavaseg_ros.pipeline import LLaVASeg

MAX_COMMAND = 2000  # as in llavaseg_ros.checks, which would import torch here; a test holds them equal
MODES = ("cot", "fast", "auto")


class CliError(Exception):
    """A failure that a verb foresaw; its text is all that is shown."""


def existing_file(text: str) -> Path:
    """A file that is there."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder, expected a file")
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no such file: {text}")
    return path


def existing_folder(text: str) -> Path:
    """A folder that is there."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {text}")
    return path


def command_text(text: str) -> str:
    """A command of 1 to 2000 characters."""
    stripped = text.strip()
    if not stripped:
        raise argparse.ArgumentTypeError(f"the command is empty, expected 1 to {MAX_COMMAND} characters")
    if len(stripped) > MAX_COMMAND:
        raise argparse.ArgumentTypeError(f"the command has {len(stripped)} characters, expected at most {MAX_COMMAND}")
    return stripped


def device_name(text: str) -> str:
    """auto, cpu, cuda or cuda:N."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"unknown device {text!r}, expected auto, cpu, cuda or cuda:N")
    return text


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 0 on")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of seconds above 0")
    return value


def out_folder(text: str) -> Path:
    """A folder to write to: it may be missing, but it must not be a file."""
    path = Path(text)
    if not text.strip() or (path.exists() and not path.is_dir()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return path


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --device and --mode."""
    parser.add_argument("--model", default="default", help="a profile's name or file, a bundle's folder (%(default)s)")
    parser.add_argument("--device", type=device_name, default="auto", help="auto, cpu, cuda or cuda:N (%(default)s)")
    parser.add_argument(
        "--mode", choices=MODES, default="cot", help="reasoning in three turns, in one, or by the command (%(default)s)"
    )


def load_model(args: argparse.Namespace) -> LLaVASeg:
    """The model that the arguments name. The first call imports torch, which takes seconds."""
    started = time.perf_counter()
    say(f"loading model {args.model!r} ...")
    from llavaseg_ros.pipeline import LLaVASeg

    model = LLaVASeg.from_pretrained(args.model, device=args.device, mode=args.mode)
    say(f"{model.name or args.model} on {model.device}, loaded in {time.perf_counter() - started:.1f} s")
    return model


def node_arguments(args: argparse.Namespace, values: Mapping[str, object], topics: Mapping[str, str]) -> list[str]:
    """ROS arguments of a node's verb: its parameters, what --compressed, --use-sim-time and --namespace say, its topics
    (name -> topic; empty ones are left alone), and what follows --ros-args. Values of None are left alone, too."""
    words = ros_parameters({name: value for name, value in values.items() if value is not None})
    if args.compressed:
        words += ["-p", "image_transport:=compressed"]
    if args.use_sim_time:
        words += ["-p", "use_sim_time:=true"]
    if args.namespace:
        words += ["-r", f"__ns:=/{args.namespace.strip('/')}"]
    for name, topic in topics.items():
        if topic:
            words += ["-r", f"{name}:={topic}"]
    return words + [word for word in args.ros_args if word != "--ros-args"]


def need_ros() -> None:
    """Raise CliError, before anything is imported that fails without them, unless rclpy and our messages are there."""
    for module, hint in (("rclpy", "no ROS 2 here"), ("llavaseg_ros.msg", "the messages are not built")):
        if importlib.util.find_spec(module) is None:
            raise CliError(f"{hint} ({module} is missing); `llavaseg doctor` says what to do")


def domain_id(text: str) -> int:
    """A ROS domain, 0 to 232."""
    number = count(text)
    if number > 232:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0 to 232")
    return number


def say(text: str) -> None:
    """A remark for the person at the terminal; results go to stdout, this does not."""
    print(text, file=sys.stderr, flush=True)
