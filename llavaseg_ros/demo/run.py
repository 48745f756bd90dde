# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo: starts the node and a player, sends commands over DDS, prints the answers, writes one page."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llavaseg_ros.demo.client import MAX_IMAGE_AGE_S, DemoClient, DemoError, Exchange
from llavaseg_ros.demo.page import summary, write_page
from llavaseg_ros.demo.processes import Processes, end_on_sigterm, ros_parameters
from llavaseg_ros.images import read_rgb

# For the recording: by topic first, then by action; one target that is not there, and one plain question.
COMMANDS = (
    "Hand me the red mug.",
    "I need something to cut paper with.",
    "Pick up the rightmost thing.",
    "Give me the yellow banana.",
    "Give me the white candle.",
    "What color is the mug?",
)
RATE_HZ = 10.0
NODE = "llavaseg_ros.nodes.llavaseg_node"
PLAYER = "llavaseg_ros.nodes.demo_player"


@dataclass(frozen=True)
class DemoOptions:
    """What `llavaseg demo` was asked for. commands: empty = those of the recording. domain: None = one of its own."""

    out: Path
    image: Path | None = None
    commands: Sequence[str] = ()
    model: str = "default"
    device: str = "auto"
    mode: str = "cot"
    timeout_s: float = 180.0
    domain: int | None = None


def run_demo(options: DemoOptions, *, node_module: str = NODE) -> int:
    """Run it. 0 only if every command got a final answer whose masks carry the stamp of a published frame.

    node_module: what to run as the node; tests put one with a scripted model there.
    """
    if options.image is not None:
        read_rgb(options.image)  # an unreadable photograph is said here, and not in a log
    options.out.mkdir(parents=True, exist_ok=True)
    # Domains above 101 collide with the ports that Linux gives to other programs.
    domain = 1 + os.getpid() % 100 if options.domain is None else options.domain
    local = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    os.environ.update(local)  # for our own part in the conversation
    end_on_sigterm()
    with Processes(options.out, local) as processes:
        try:
            exchanges, frames, model = _converse(options, domain, processes, node_module)
        except DemoError as error:
            print(f"llavaseg demo: {error}\n{processes.last_lines()}", file=sys.stderr)
            return 1
    source = str(options.image) if options.image else "the recorded table"
    page = write_page(options.out, exchanges, source=source, model=model, frames=frames)
    print(f"\n{page}")
    return _verdict(exchanges, expect_target=options.image is None and not options.commands)


def _converse(
    options: DemoOptions, domain: int, processes: Processes, node_module: str
) -> tuple[list[Exchange], int, str]:
    """Start all, send all. Returns the exchanges, the number of frames that were seen, and the model's name."""
    print(f"starting the node and the camera (ROS domain {domain}) ...", flush=True)
    settings = {"model": options.model, "device": options.device, "mode": options.mode}
    # The other programs of a busy machine may delay a frame; a robot keeps the stricter default.
    patience = {"sync.max_image_age_s": MAX_IMAGE_AGE_S, "sync.wait_for_image_s": 5.0}
    numbers = {**patience, "timeout_s": float(options.timeout_s)}
    processes.start("node", node_module, ros_parameters({**settings, **numbers}))
    camera: dict[str, object] = {"rate_hz": RATE_HZ}
    if options.image is not None:
        camera["image"] = str(options.image.resolve())
    processes.start("player", PLAYER, ros_parameters(camera))

    def alive() -> None:
        text = processes.ended()
        if text:
            raise DemoError(text)

    client = DemoClient(domain, alive)
    try:
        model = client.wait_ready(options.timeout_s)
        commands = tuple(options.commands) or COMMANDS
        print(f"model {model or options.model} is ready; {len(commands)} commands\n", flush=True)
        exchanges = []
        for number, command in enumerate(commands, 1):
            print(f"[{number}/{len(commands)}] {command}", flush=True)
            send = client.by_topic if number == 1 else client.by_action
            exchange = send(command, options.timeout_s)
            exchanges.append(exchange)
            if exchange.answer is not None:
                print(f"      {exchange.answer.text or '(no words)'}")
            print(f"      {summary(exchange)}", flush=True)
            for problem in exchange.problems:
                print(f"      WRONG: {problem}", flush=True)
        return exchanges, len(client.stamps), model
    finally:
        client.close()


def _verdict(exchanges: Sequence[Exchange], *, expect_target: bool) -> int:
    failed = [e for e in exchanges if e.problems]
    if failed:
        print(f"{len(failed)} of {len(exchanges)} commands went wrong.", file=sys.stderr)
        return 1
    if expect_target and not any(e.found for e in exchanges):
        print(
            "No command found its target on the recorded table: the model does not work as it should.", file=sys.stderr
        )
        return 1
    print(f"All {len(exchanges)} commands got their final answer, stamped as the frame that it is about.")
    return 0
