# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Memory and time of full-size models, profile by profile, with random weights in their published shapes.

    python benchmarks/bench_full_size.py --profiles paper_7b jetson_8gb --quantization own int4 --json out/full.json

Weights are written below --work in the models' own file formats, then loaded as a user's would be. A random model
never stops by itself, so every reply has the same number of tokens: three turns of --tokens on one frame, as in `cot`.
`floor` is the time in which the language model's weights can be read once, at the copying speed that is measured here.
`command` is a new frame's first command, from the image to the mask. Each profile runs as shipped (`auto`) and as the
models' own libraries run it (`plain`: every turn a fresh generate with the image encoded again), and the ratio is told.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test" / "core"))  # its writers of model folders take any sizes

from tiny_families import save_qwen  # noqa: E402
from tiny_models import save_llava  # noqa: E402

from llavaseg_ros.assemble import load_parts  # noqa: E402
from llavaseg_ros.device import select_device  # noqa: E402
from llavaseg_ros.evaluation.tables import aligned  # noqa: E402
from llavaseg_ros.pipeline import LLaVASeg  # noqa: E402
from llavaseg_ros.profile import Profile, load_profile  # noqa: E402
from llavaseg_ros.reasoning.base import Message  # noqa: E402
from llavaseg_ros.segmentation.sam_import import import_segment_anything  # noqa: E402

GIB = 2**30
FRAME = (480, 640, 3)
COLUMNS = {
    "weights_gib": "weights GiB", "peak_gib": "peak GiB", "load_s": "load s", "encode_ms": "SAM encoder ms",
    "first_token_ms": "first token ms", "token_ms": "ms a token", "floor_ms": "floor ms", "mask_ms": "box to mask ms",
    "token_over_floor": "token / floor", "command_ms": "command ms",
}  # fmt: skip


def llama(hidden: int, inner: int, layers: int) -> dict[str, int]:
    """Sizes of LLaVA-1.5's language models."""
    heads = hidden // 128
    sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": 32064}
    return {**sizes, "num_attention_heads": heads, "num_key_value_heads": heads}


def qwen3(hidden: int, inner: int, layers: int, heads: int) -> dict[str, Any]:
    """Sizes of Qwen3's dense language models."""
    sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": 151936}
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}
    heads_of = {"num_attention_heads": heads, "num_key_value_heads": 8, "head_dim": 128}
    return {**sizes, **heads_of, "rope_parameters": rope}


def qwen_vision(out: int, *, large: bool) -> dict[str, Any]:
    """Sizes of Qwen3-VL's two vision towers."""
    sizes = (27, 1152, 4304, [8, 16, 24]) if large else (24, 1024, 4096, [5, 11, 17])
    names = ("depth", "hidden_size", "intermediate_size", "deepstack_visual_indexes")
    return {
        **dict(zip(names, sizes, strict=True)),
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "out_hidden_size": out,
    }


CLIP_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
LLAVA = partial(save_llava, side_px=336, patch=14, vision=CLIP_L)
QWEN = partial(save_qwen, version=3, most_patches=4 * 1280)
WRITERS: dict[str, Callable[[Path], Path]] = {
    "llava-hf/llava-1.5-7b-hf": partial(LLAVA, text=llama(4096, 11008, 32)),
    "llava-hf/llava-1.5-13b-hf": partial(LLAVA, text=llama(5120, 13824, 40)),
    "Qwen/Qwen3-VL-2B-Instruct": partial(
        QWEN, text=qwen3(2048, 6144, 28, 16), vision=qwen_vision(2048, large=False), tied=True
    ),
    "Qwen/Qwen3-VL-8B-Instruct": partial(QWEN, text=qwen3(4096, 12288, 36, 32), vision=qwen_vision(4096, large=True)),
    "Qwen/Qwen3-VL-32B-Instruct": partial(QWEN, text=qwen3(5120, 25600, 64, 64), vision=qwen_vision(5120, large=True)),
}
TINY: dict[str, Callable[[Path], Path]] = {
    name: save_llava if "llava" in name else partial(save_qwen, version=3) for name in WRITERS
}


def random_model(name: str, work: Path, device: torch.device, *, tiny: bool) -> Path:
    """Write a language model's folder with random bfloat16 weights and no end-of-text token."""
    folder = work / f"{'tiny-' if tiny else ''}{name.replace('/', '--')}"
    if (folder / "config.json").is_file():
        return folder
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            (TINY if tiny else WRITERS)[name](folder)
    finally:
        torch.set_default_dtype(before)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "eos_token_id"}))
    return folder


def random_sam(kind: str, work: Path) -> Path:
    """Write the checkpoint of an official SAM with random weights, under a name that is not the official one."""
    path = work / f"random_{kind}.pth"
    if not path.is_file():
        torch.save(import_segment_anything().sam_model_registry[kind]().state_dict(), path)
    return path


def pipeline_of(profile: Profile, device: torch.device, work: Path, *, tiny: bool, plain: bool = False) -> LLaVASeg:
    """The profile's pipeline around random weights. plain: each model as its own library runs it."""
    folder = random_model(profile.mllm.model, work, device, tiny=tiny)
    sam = random_sam(profile.segmenter.sam, work)
    mllm, segmenter = replace(profile.mllm, model=str(folder)), replace(profile.segmenter, checkpoint=str(sam))
    if device.type == "cpu":  # half precision takes minutes there
        mllm, segmenter = replace(mllm, dtype="float32"), replace(segmenter, dtype="float32")
    profile = replace(profile, mllm=mllm, segmenter=segmenter)
    parts = load_parts(profile, device, plain=plain)
    return LLaVASeg(parts.mllm, parts.segmenter, parts.style, device=device, prompt_source="box", form=parts.form)


def wait(device: torch.device) -> float:
    """The time, once the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_bytes(device: torch.device) -> int:
    """Most memory so far: torch's on the GPU since the last reset, the process's on the CPU since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def bytes_per_second(device: torch.device) -> float:
    """Speed at which memory is read while it is copied; the best of ten."""
    source = torch.zeros((2**32 if device.type == "cuda" else 2**28) // 4, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        started = wait(device)
        target.copy_(source)
        times.append(wait(device) - started)
    return 2 * source.nbytes / min(times)


def three_turns(pipeline: LLaVASeg, tokens: int) -> tuple[float, float]:
    """Seconds to the first token of the frame, and seconds a token after the first of each turn."""
    history: list[Message] = []
    first: list[float] = []
    decoding, count = 0.0, 0
    for turn in range(3):
        said: list[float] = []
        started = wait(pipeline.device)
        question = Message("user", f"Turn {turn}: hand me something to drink from.")
        watch = partial(_note, said)
        reply = pipeline.mllm.reply([*history, question], max_new_tokens=tokens, on_token=watch)
        done = wait(pipeline.device)
        if len(said) != tokens:
            raise RuntimeError(f"turn {turn} ended after {len(said)} tokens of {tokens}")
        first.append(said[0] - started)
        decoding += done - said[0]
        count += tokens - 1
        history += [question, Message("assistant", reply)]
    return first[0], decoding / max(count, 1)


def _note(times: list[float], text: str) -> None:
    times.append(time.perf_counter())


def measure(
    name: str, quantization: str, decoding: str, args: argparse.Namespace, device: torch.device, speed: float
) -> dict[str, Any]:
    """One row of the table. Frees the model at its end."""
    profile = load_profile(name)
    if quantization != "own":
        profile = replace(profile, mllm=replace(profile.mllm, quantization=quantization))
    random_model(profile.mllm.model, args.work, device, tiny=args.tiny)
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    started = wait(device)
    pipeline = pipeline_of(profile, device, args.work, tiny=args.tiny, plain=decoding == "plain")
    loaded = wait(device)
    rgb = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    box = np.array([100.0, 100.0, 300.0, 300.0], np.float32)
    commands = []
    for _ in range(1 + args.rounds):  # the first makes kernels and caches, and compiles; the last's stages are told
        encoding = wait(device)
        pipeline.set_image(rgb)
        encoded = wait(device)
        first_s, token_s = three_turns(pipeline, args.tokens)
        thought = wait(device)
        pipeline.segment_prompt(box=box)
        masked = wait(device)
        commands.append(masked - encoding)
    told: Any = pipeline.mllm.describe()
    row = {
        "profile": name,
        "quantization": told["quantization"],
        "decoding": decoding,
        "decoded_by": told["decoding"],
        "dtype": told["dtype"],
        "parameters": told["parameters"],
        "weights_gib": told["weight_bytes"] / GIB,
        "peak_gib": peak_bytes(device) / GIB,
        "load_s": loaded - started,
        "encode_ms": 1e3 * (encoded - encoding),
        "first_token_ms": 1e3 * first_s,
        "token_ms": 1e3 * token_s,
        "floor_ms": 1e3 * told["weight_bytes"] / speed,
        "mask_ms": 1e3 * (masked - thought),
        "token_over_floor": token_s * speed / told["weight_bytes"],
        "command_ms": 1e3 * median(commands[1:]),
    }
    del pipeline
    gc.collect()
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures as aligned text."""
    names = ("profile", "quantization", "decoding")
    lines = [(*names, *COLUMNS.values())]
    for row in rows:
        lines.append((*(row[name] for name in names), *(f"{row[key]:.2f}" for key in COLUMNS)))
    return aligned(lines)


def ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many times faster each profile is as shipped than the plain way, where both were measured."""
    told = []
    for auto in (row for row in rows if row["decoding"] == "auto"):
        same = [row for row in rows if all(row[key] == auto[key] for key in ("profile", "quantization"))]
        for plain in (row for row in same if row["decoding"] == "plain"):
            faster = {key: plain[key] / auto[key] for key in ("command_ms", "token_ms", "first_token_ms")}
            told.append({"profile": auto["profile"], "quantization": auto["quantization"], **faster})
    return told


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", nargs="+", default=["jetson_8gb", "paper_7b", "desktop_24gb"])
    parser.add_argument("--quantization", nargs="+", default=["own"], choices=("own", "none", "int8", "int4"))
    parser.add_argument("--decoding", nargs="+", default=["auto", "plain"], choices=("auto", "plain"))
    parser.add_argument("--rounds", type=int, default=3, help="commands of which the median is told (%(default)s)")
    parser.add_argument("--tokens", type=int, default=50, help="tokens a turn (%(default)s)")
    parser.add_argument("--work", type=Path, default=Path("out/full_size"), help="where weights are written")
    parser.add_argument("--keep", action="store_true", help="leave the language models there; else each is removed")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="tiny language models: tries the benchmark itself")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    device = select_device(args.device)
    args.work.mkdir(parents=True, exist_ok=True)
    speed = bytes_per_second(device)
    rows = []
    for name in args.profiles:
        for quantization in args.quantization:
            for decoding in args.decoding:
                rows.append(measure(name, quantization, decoding, args, device, speed))
                print(table(rows[-1:]), flush=True)
        if not args.keep:
            shutil.rmtree(random_model(load_profile(name).mllm.model, args.work, device, tiny=args.tiny))
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"\n{device_name}, copies {speed / 1e9:.0f} GB/s, torch {torch.__version__}, {args.tokens} tokens a turn")
    print(table(rows))
    for ratio in ratios(rows):
        faster = f"command {ratio['command_ms']:.2f}x, a token {ratio['token_ms']:.2f}x"
        print(f"{ratio['profile']}, {ratio['quantization']}, auto against plain: {faster}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        head = {"device": device_name, "bytes_per_second": speed, "torch": torch.__version__, "tokens": args.tokens}
        args.json.write_text(
            json.dumps({**head, "tiny": args.tiny, "rows": rows, "ratios": ratios(rows)}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
