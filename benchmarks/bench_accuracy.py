"""Accuracy of a bundle on a generated test set: end to end, and with the true words instead of the language model's.

    llavaseg train scenes --packs test --scenes 600 --out out/test
    python -m llavaseg_ros.training.language --scenes out/test --out out/test/commands.jsonl
    python benchmarks/bench_accuracy.py --data out/test/commands.jsonl --json out/accuracy.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from llavaseg_ros.evaluation.dataset import Sample, read_dataset
from llavaseg_ros.evaluation.metrics import Figure, Score, by_group, overlap, summarise
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.scoring import score_all
from llavaseg_ros.images import read_mask, read_rgb
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.types import Attributes, Thought


def true_words(model: LLaVASeg, samples: list[Sample]) -> dict[str, Figure]:
    """mIoU of the segmentation half by itself: with every true attribute, without the place, and with a wrong place."""
    changes = {
        "miou_true_attributes": lambda a: a,
        "miou_without_location": lambda a: replace(a, location=""),
        "miou_wrong_location": lambda a: replace(a, location="back right" if a.location != "back right" else "front"),
    }
    ious: dict[str, list[float]] = {name: [] for name in changes}
    seen: set[tuple[Path, Path]] = set()
    image = None
    for sample in tqdm(samples, desc="true words", mininterval=5):
        if sample.mask_path is None or sample.target is None or (sample.image_path, sample.mask_path) in seen:
            continue
        seen.add((sample.image_path, sample.mask_path))
        if sample.image_path != image:
            model.set_image(read_rgb(sample.image_path))
            image = sample.image_path
        truth = read_mask(sample.mask_path)
        for name, change in changes.items():
            words: Attributes = change(sample.attributes)
            result = model.segment_thought(Thought(target=sample.target, attributes=words, found=True))
            mask = result.segments[0].mask if result.segments else np.zeros_like(truth)
            inter, union = overlap(mask, truth)
            ious[name].append(inter / union)
    return {name: Figure(float(np.mean(v)) if v else None, len(v)) for name, v in ious.items()}


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=Path("out/accuracy"), help="masks and predictions.jsonl")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="only so many commands; 0 = all")
    parser.add_argument("--mode", choices=("cot", "fast"), default="cot")
    args = parser.parse_args()
    model = LLaVASeg.from_pretrained(args.model, mode=args.mode)
    samples = read_dataset(args.data, need_truth=True, limit=args.limit)
    with tqdm(total=len(samples), desc="end to end", mininterval=5) as bar:
        predictions = predict(model, samples, args.out, on_done=lambda _: bar.update())
    rows = score_all(samples, predictions, args.out)
    scores: list[Score] = [row.score for row in rows]
    present = [r for r in rows if r.score.present]
    refused = Figure(float(np.mean([r.score.predicted_empty for r in present])), len(present))
    failed = Figure(float(np.mean([bool(r.prediction.error) for r in rows])), len(rows))
    figures = {
        **{k: v["value"] for k, v in summarise(scores).as_json().items() if isinstance(v, dict)},
        **{k: f.value for k, f in true_words(model, samples).items()},
        "present_refused": refused.value,
        "replies_that_failed": failed.value,
    }
    groups = {**by_group(scores, lambda s: s.kind), **by_group(scores, lambda s: s.phrasing)}
    print(f"{len(samples)} commands on {len({s.image_path for s in samples})} images, {args.mode}")
    for name, value in figures.items():
        print(f"{name:28s} {value:.3f}" if value is not None else f"{name:28s} -")
    print(f"\n{'':12s} commands  right target  location  mIoU   gIoU   N-acc")
    for name, s in groups.items():
        cells = (s.right_target, s.location, s.miou, s.giou, s.absent_accuracy)
        print(f"{name:12s} {s.commands:8d}  " + "  ".join(c.text() for c in cells))
    if args.json:
        by_name = {name: s.as_json() for name, s in groups.items()}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"figures": figures, "groups": by_name}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
