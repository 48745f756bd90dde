#!/usr/bin/env bash
# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0

# The embedded default, trained on from the released bundle on a machine with one GPU and many cores, in about half an hour:
#
#     benchmarks/train_on_gpu.sh OUT [PHOTOGRAPHS]
#
# Renders scenes, trains eye and SAM on, then a language model from nothing and the adapters side by side, and measures the
# bundle on the test set. Every stage resumes. Sizes are variables: SCENES, SAM_STEPS, QUIZ_STEPS, DIALOGUE_STEPS, ADAPTER_STEPS,
# PRESENCE_STEPS, VAL_SCENES, TEST_SCENES, DEPTH; PYTHON is the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?folder for scenes, run and bundle}
photographs=${2:-}
python=${PYTHON:-python3}
cores=$(env -u OMP_NUM_THREADS nproc)  # which would be 1 otherwise
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$out/run" "$out/log"

train() { "$python" -m llavaseg_ros train "$@"; }
note() { printf '%s %s\n' "$(date +%T)" "$*" | tee -a "$out/log/stages"; }
words() { "$python" -m llavaseg_ros.training.language --scenes "$1" --out "$1/commands.jsonl" "${@:2}"; }

note scenes
# Two seeds, for as many different objects: one has a thousand packs.
half=$((${SCENES:-24000} / 2))
for seed in 0 1; do
  train scenes --out "$out/train$seed" --scenes "$half" --scenes-per-pack 20 --seed "$seed" --workers "$cores"
done
train scenes --out "$out/val" --packs val --scenes "${VAL_SCENES:-200}" --workers "$cores"
train scenes --out "$out/test" --packs test --scenes "${TEST_SCENES:-1000}" --workers "$cores"
words "$out/test" --commands-per-scene 3
words "$out/val" --commands-per-scene 3
while [ -n "${WAIT_FOR:-}" ] && [ ! -e "$WAIT_FOR" ]; do sleep 1; done

common=(--data "$out/train0" "$out/train1" --val "$out/val" --device auto ${photographs:+--photographs "$photographs"})
note sam
train sam "${common[@]}" --out "$out/run" --from-bundle "${BUNDLE:-llavaseg_ros/weights}" --whole --workers $((cores - 2)) \
  --batch 32 --prompts 2 --prompt-share 0.5 --small-share 0.3 --lr 6e-4 --steps "${SAM_STEPS:-5000}" > "$out/log/sam" 2>&1

note language and adapters
train adapters "${common[@]}" --run "$out/run" --from-bundle "${BUNDLE:-llavaseg_ros/weights}" --workers $((cores / 2 - 2)) \
  --batch 12 --targets 4 --lr 7e-4 --steps "${ADAPTER_STEPS:-1500}" --presence-steps "${PRESENCE_STEPS:-800}" \
  > "$out/log/adapters" 2>&1 &
adapters=$!
train mllm "${common[@]}" --run "$out/run" --depth "${DEPTH:-4}" --workers $((cores / 2 - 1)) --batch "${TALKS:-64}" \
  --quiz-steps "${QUIZ_STEPS:-2000}" --steps "${DIALOGUE_STEPS:-3800}" > "$out/log/mllm" 2>&1
wait "$adapters"

note bundle
train export --run "$out/run" --out "$out/bundle" --name "embedded default" --depth "${DEPTH:-4}"

note evaluation
rm -rf "$out/parts" && mkdir "$out/parts"
for set in val test; do
  lines=$(wc -l < "$out/$set/commands.jsonl")
  # Whole scenes a part: three commands each.
  split -d -l $(((lines / 3 / cores + 1) * 3)) --additional-suffix .jsonl "$out/$set/commands.jsonl" "$out/$set/part"
  for part in "$out/$set"/part*.jsonl; do
    name=$set-$(basename "$part" .jsonl)
    "$python" benchmarks/bench_accuracy.py --model "$out/bundle" --data "$part" --out "$out/parts/$name" \
      --json "$out/parts/$name.json" > "$out/log/$name" 2>&1 &
  done
  wait
  "$python" benchmarks/bench_accuracy.py --merge "$out/parts/$set"-*.json --json "$out/accuracy_$set.json" | tee "$out/log/accuracy_$set"
done
note done
