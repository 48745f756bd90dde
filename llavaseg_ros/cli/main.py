# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Entry point of `llavaseg`. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import llavaseg_ros
from llavaseg_ros.cli._args import CliError
from llavaseg_ros.errors import LLaVASegError

# Verb -> help. A verb is a module of this package with add_arguments(parser) and run(args) -> exit code; only the one
# that was asked for is imported, so that help and mistakes in usage answer at once.
VERBS = {
    "ask": "answer one command about one image; write the overlay and the mask",
    "predict": "answer every command of a DATA.jsonl",
    "evaluate": "measure a model on a DATA.jsonl with true masks; write a page",
    "annotate": "write masks, answers and overlays of recorded bags into new ones",
    "data": "list, check and convert public data sets",
    "train": "make scenes and train, stage by stage or all of it",
    "node": "start the ROS 2 node",
    "view": "serve the page that shows what the node sees and says, and takes commands",
    "demo": "start the node beside a recorded camera, send commands, write a page",
    "pick": "pick things up in simulation, from commands; count successes with our masks and with true ones",
    "bench": "measure how fast it is on this machine, against the same models used the plain way",
    "doctor": "say what is installed, what is missing and how to get it",
}

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser, complete for one verb; the others are only listed."""
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        prog="llavaseg",
        description="Reasoning segmentation for robots: a command in words, an answer and a mask out.",
        parents=[debug],
    )
    parser.add_argument("--version", action="version", version=f"llavaseg_ros {llavaseg_ros.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        sub = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[debug])
        if name == verb:
            module = importlib.import_module(f"llavaseg_ros.cli.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code; wrong usage leaves through SystemExit(2), as argparse does."""
    given = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in given if not word.startswith("-")), None)
    debug = False
    try:
        args = build_parser(verb).parse_args(given)
        debug = getattr(args, "debug", False)
        return int(args.run(args))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing more can be said, not even by the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"llavaseg{f' {verb}' if verb else ''}: {describe(error)}", file=sys.stderr)
        return FAILED


def describe(error: Exception) -> str:
    """One line for a person; the errors that we foresaw carry their own text."""
    text = str(error).strip()
    if isinstance(error, CliError | LLaVASegError):
        raw = getattr(error, "raw", "")
        return f"{text}\nThe reply was: {raw}" if raw and raw not in text else text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ImportError):
        return f"{text} (`llavaseg doctor` says what is missing)"
    return f"{type(error).__name__}: {' '.join(text.split()) or 'no text'} (--debug shows where)"


if __name__ == "__main__":
    raise SystemExit(main())
