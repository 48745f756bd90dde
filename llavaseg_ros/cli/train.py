# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg train STAGE ...`: hands over to `llavaseg_ros.training`, whose modules know their own arguments."""

from __future__ import annotations

import argparse
import importlib

# Stage -> (module of llavaseg_ros.training, help).
STAGES = {
    "scenes": ("prepare", "render scenes with MuJoCo"),
    "sam": ("sam", "pretrain the eye and the small SAM"),
    "mllm": ("mllm", "train the small LLaVA on dialogues about the scenes"),
    "adapters": ("adapters", "train the attribute adapters, SAM frozen"),
    "export": ("export", "write a bundle from a run folder"),
    "calibrate": ("calibrate", "make a bundle's scores mean how often its masks are right"),
    "thoughts": ("public.thoughts", "run a language model over a public set, once, for training adapters"),
    "public": ("public.train", "train adapters for a full-size SAM on public sets"),
    "default": ("default", "all of it, from nothing to a bundle"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb: the stage, and whatever the stage takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(f"  {name:10}{text}" for name, (_, text) in STAGES.items())
    parser.epilog = f"stages:\n{lines}\n\n`llavaseg train STAGE --help` lists the arguments of a stage."
    parser.add_argument("stage", metavar="STAGE", choices=tuple(STAGES), help="one of: " + ", ".join(STAGES))
    parser.add_argument("rest", metavar="...", nargs=argparse.REMAINDER, help="arguments of the stage")


def run(args: argparse.Namespace) -> int:
    """Parse the stage's own arguments and run it."""
    module, text = STAGES[args.stage]
    stage = importlib.import_module(f"llavaseg_ros.training.{module}")
    parser = argparse.ArgumentParser(
        prog=f"llavaseg train {args.stage}",
        description=f"{text[0].upper()}{text[1:]}. Stopped and started again with the same folder, it goes on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    stage.add_arguments(parser)
    stage.run(parser.parse_args([word for word in args.rest if word != "--debug"]))
    return 0
