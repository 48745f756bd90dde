# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg annotate BAG --command "..."`: masks, answers and overlays of a recorded bag, in a new bag."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llavaseg_ros.cli import _args

if TYPE_CHECKING:
    from llavaseg_ros.bags.annotate import BagJob, Summary
    from llavaseg_ros.bags.options import Options


def existing_path(text: str) -> Path:
    """A file or folder that is there."""
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"no such file or folder: {text}")
    return path


def from_one(text: str) -> int:
    """A whole number from 1 on."""
    number = _args.count(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 on")
    return number


def topic_name(text: str) -> str:
    """A topic as a bag names it."""
    if not text.startswith("/") or text.endswith("/") or " " in text:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a topic's full name, as in /camera/image_raw")
    return text


def depth_topic(text: str) -> str:
    """A topic, or none."""
    return text if text == "none" else topic_name(text)


def relook_seconds(text: str) -> float:
    """A time from 0 on, in seconds."""
    return 0.0 if text in ("0", "0.0") else _args.seconds(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("bags", metavar="BAG", type=existing_path, nargs="+", help="a rosbag2 folder, .mcap or .db3")
    parser.add_argument(
        "--command",
        type=_args.command_text,
        action="append",
        required=True,
        help="what to look for; may be given several times, each has its own topics then",
    )
    parser.add_argument(
        "--out",
        type=_args.out_folder,
        default=Path("."),
        help="folder for the new bags, each BAG_llavaseg (%(default)s)",
    )
    frames = parser.add_argument_group("frames")
    frames.add_argument("--every", type=from_one, default=1, metavar="N", help="take every N-th image (%(default)s)")
    frames.add_argument("--limit", type=_args.count, default=0, metavar="N", help="at most so many images; 0 = all")
    frames.add_argument(
        "--follow", action="store_true", help="reason once and follow the target from there; else reason on every image"
    )
    frames.add_argument(
        "--relook-after",
        type=relook_seconds,
        default=2.0,
        metavar="S",
        help="following: reason again when the target was lost for so many seconds; 0 = never (%(default)s)",
    )
    frames.add_argument(
        "--max-targets", type=from_one, default=10, metavar="N", help="of one command; one is followed (%(default)s)"
    )
    topics = parser.add_argument_group("topics", "found by type, encoding and name unless given")
    topics.add_argument("--image", type=topic_name, metavar="TOPIC", help="the color image")
    topics.add_argument("--camera-info", type=topic_name, metavar="TOPIC", help="its calibration")
    topics.add_argument("--depth", type=depth_topic, metavar="TOPIC", help="the depth image, or none")
    topics.add_argument("--depth-camera-info", type=topic_name, metavar="TOPIC", help="its calibration")
    written = parser.add_argument_group("the new bag")
    written.add_argument("--overlay", choices=("jpeg", "raw", "none"), default="jpeg", help="pictures (%(default)s)")
    written.add_argument("--points", action="store_true", help="the target's points and pose, where there is depth")
    written.add_argument("--copy", action="store_true", help="take all messages of BAG over, too")
    written.add_argument("--prefix", type=topic_name, default="/llavaseg", help="of the new topics (%(default)s)")
    written.add_argument("--restart", action="store_true", help="throw away what an earlier run made, and begin anew")
    parser.add_argument(
        "--workers",
        type=from_one,
        default=1,
        metavar="N",
        help="bags at a time, each with a model of its own; needs Ray (pip install 'llavaseg_ros[ray]')",
    )
    _args.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Annotate all bags; 1 if one of them could not be."""
    _args.need_ros()
    options = options_of(args)
    jobs, failed = make_jobs(args, options)
    try:
        failed += annotate_all(jobs, failed, args, options)
    finally:
        for job in jobs:
            job.release()
    return 1 if failed else 0


def annotate_all(jobs: list[BagJob], left_out: list[Path], args: argparse.Namespace, options: Options) -> list[Path]:
    """Do the jobs, on as many workers as are wanted and can be had. Returns the bags that failed."""
    workers = min(args.workers, sum(not job.done for job in jobs) or 1)
    if workers > 1 and importlib.util.find_spec("ray") is None:
        _args.say("--workers: Ray is not installed (pip install 'llavaseg_ros[ray]'); one bag after the other")
        workers = 1
    if workers > 1:
        return annotate_many([bag for bag in args.bags if bag not in left_out], jobs, args, options, workers)
    return annotate_each(jobs, args)


def annotate_many(
    bags: list[Path], jobs: list[BagJob], args: argparse.Namespace, options: Options, workers: int
) -> list[Path]:
    """Several bags at a time on Ray. Returns those that failed."""
    from tqdm import tqdm

    from llavaseg_ros.bags.parallel import annotate_parallel

    if args.device.startswith("cuda:"):
        raise _args.CliError(f"--device {args.device} with --workers: Ray gives out the GPUs; give --device cuda")
    failed: list[Path] = []
    for job in jobs:  # checked; from here on each belongs to its worker
        job.release()
    _args.say(f"starting {workers} workers on Ray, each loads {args.model!r} ...")
    with tqdm(unit="frame", dynamic_ncols=True, mininterval=0.5) as bar:

        def moved(done: int, expected: int) -> None:
            bar.total = expected
            bar.update(done - bar.n)

        def ended(bag: Path, outcome: Summary | str) -> None:
            with bar.external_write_mode():
                if isinstance(outcome, str):
                    _args.say(f"{bag}: {outcome}")
                if isinstance(outcome, str) or not tell(outcome):
                    failed.append(bag)

        annotate_parallel(
            bags,
            args.out,
            options,
            workers,
            partial(load_pipeline, str(args.model), args.device, args.mode, workers),
            restart=args.restart,
            gpu=wants_gpu(args.device),
            on_frames=moved,
            on_done=ended,
        )
    return failed


def load_pipeline(model: str, device: str, mode: str, workers: int) -> Any:
    """In a worker: the model, with its share of the machine's cores."""
    from llavaseg_ros.device import usable_cores, use_cpu_threads
    from llavaseg_ros.pipeline import LLaVASeg

    use_cpu_threads(max(1, usable_cores() // workers))
    return LLaVASeg.from_pretrained(model, device=device, mode=mode)


def wants_gpu(device: str) -> bool:
    """Whether a model on this device takes a GPU of this machine."""
    if device != "auto":
        return device.startswith("cuda")
    import torch

    return torch.cuda.is_available()


def options_of(args: argparse.Namespace) -> Options:
    """The arguments that shape the new bag."""
    from llavaseg_ros.bags.options import Options

    return Options(
        commands=tuple(args.command),
        every=args.every,
        limit=args.limit,
        follow=args.follow,
        relook_after_s=args.relook_after,
        max_targets=args.max_targets,
        image=args.image or "",
        camera_info=args.camera_info or "",
        depth=args.depth or "",
        depth_camera_info=args.depth_camera_info or "",
        points=args.points,
        overlay=args.overlay,
        copy=args.copy,
        model=str(args.model),
        mode=args.mode,
        prefix=args.prefix,
    )


def make_jobs(args: argparse.Namespace, options: Options) -> tuple[list[BagJob], list[Path]]:
    """The bags that can be annotated, and those that cannot, which are told; before the model is loaded."""
    from llavaseg_ros.bags.annotate import BagJob, annotated_path
    from llavaseg_ros.errors import BadRequest

    targets: dict[Path, Path] = {}
    for bag in args.bags:
        other = targets.setdefault(annotated_path(bag, args.out), bag)
        if other is not bag:
            raise _args.CliError(f"{bag} and {other} would both become {annotated_path(bag, args.out)}")
    jobs: list[BagJob] = []
    failed: list[Path] = []
    for bag in args.bags:
        try:
            jobs.append(BagJob(bag, args.out, options, restart=args.restart))
        except BadRequest as error:
            if len(args.bags) == 1:
                raise
            _args.say(f"{bag}: left out: {error}")
            failed.append(bag)
    return jobs, failed


def annotate_each(jobs: list[BagJob], args: argparse.Namespace) -> list[Path]:
    """One bag after the other on one model. Returns those that failed."""
    from tqdm import tqdm

    from llavaseg_ros.errors import LLaVASegError

    model: Any = _args.load_model(args) if any(not job.done for job in jobs) else None
    failed = []
    for job in jobs:
        with tqdm(desc=job.bag.name, unit="frame", dynamic_ncols=True, mininterval=0.5, disable=job.done) as bar:
            try:
                summary = job.run(model, progress(bar))
            except LLaVASegError as error:
                if len(jobs) == 1:
                    raise
                bar.close()
                _args.say(f"{job.bag.path}: {error}")
                failed.append(job.bag.path)
                continue
            except KeyboardInterrupt:
                bar.close()
                _args.say(f"{job.bag.path}: stopped; the same command goes on from what was kept (every 10 s of work)")
                raise
        if not tell(summary):
            failed.append(job.bag.path)
    return failed


def progress(bar: Any) -> Callable[[int, int], None]:
    """For a bag's `run`: moves a bar; what an earlier run has done does not count for its speed."""
    begun = False

    def moved(done: int, expected: int) -> None:
        nonlocal begun
        if not begun:
            begun, bar.initial, bar.total = True, done, expected
        bar.update(done - bar.n)

    return moved


def tell(summary: Summary) -> bool:
    """Say what came of a bag; false if every command failed in it."""
    counts = summary.counts
    for text in (*summary.problems, *summary.notes):
        _args.say(text)
    if counts.broken or counts.failed:
        _args.say(
            f"{counts.broken} images could not be used and {counts.failed} commands failed; "
            f"the first: {counts.first_error}"
        )
    before = ", made by an earlier run" if summary.done_before else ""
    geometry = f", {counts.with_geometry} with geometry" if counts.with_geometry else ""
    print(f"{summary.path}: {counts.frames} frames, {counts.with_mask} masks{geometry}{before}", flush=True)
    return not (counts.failed and counts.failed == counts.asked)
