#!/usr/bin/env bash
# The practicum's table: its exercises 1 and 2 from scratch, 3 on the shared Inception v3, and the last one beside a
# plain PyTorch script of the same recipe.
#
# usage: scripts/bench/practicum.sh [--out DIR] [--seeds "1 2 3"] [--data "hymenoptera flowers12"]
#        [--peer-data hymenoptera] [--no-peer] [--help]
#
#   --out DIR      where runs go (default: build/bench/practicum; made anew)
#   --seeds LIST   (default: "1 2 3")
#   --data LIST    data sets of the shared folder (default: "hymenoptera flowers12")
#   --peer-data LIST  those on which the PyTorch script runs as well (default: hymenoptera)
#   --no-peer      without the PyTorch script
#
# Each recipe is trained once a seed, with a cache folder of its own that no other run filled, so that the times hold all that it took: reading pictures,
# the frozen blocks' pass over all views, the training, model.pt. The PyTorch script is tried for one epoch with 0, 1 and
# 2 loader workers and then run whole with the fastest, once a seed, between our runs.
# Prints a line for each data set and recipe: accuracy of the last epoch for each seed, minutes, and the ratio of times.
#
# needs: scripts/build.sh and scripts/test.sh have run (torch and torchvision of .venv-test); ENGRAFT_SHARED.
# takes: about 2 hours on two cores, a third of it the PyTorch script. Measure on a quiet machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

out=""
seeds="1 2 3"
sets="hymenoptera flowers12"
peer_sets="hymenoptera"
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --seeds) needs_value "$1" $# && seeds="$2" && shift ;;
    --data) needs_value "$1" $# && sets="$2" && shift ;;
    --peer-data) needs_value "$1" $# && peer_sets="$2" && shift ;;
    --no-peer) peer_sets="" ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
out="${out:-$ENGRAFT_ROOT/build/bench/practicum}"
backbone="$shared/weights/inception_v3_mixed8.pt"
rm -rf "$out"
mkdir -p "$out"

# ours DATA RECIPE SEED: the run's result.json as one line
ours() {
  local source=()
  case "$2" in practicum-3*) source=(--backbone "$backbone") ;; esac
  "$engraft" train --config "$2" "${source[@]}" --data "$shared/data/$1" --out "$out/$1-$2-$3" --seed "$3" \
    --cache-dir "$out/cache" --quiet --json
}
# theirs DATA SEED WORKERS [OPTION...]
theirs() {
  OMP_WAIT_POLICY=passive "$python" "$ENGRAFT_ROOT/scripts/bench/practicum_torch.py" --backbone "$backbone" \
    --data "$shared/data/$1" --seed "$2" --workers "$3" "${@:4}"
}

for data in $sets; do
  workers=0
  peer=no
  case " $peer_sets " in *" $data "*) peer=yes ;; esac
  if [ "$peer" = yes ]; then
    for count in 0 1 2; do
      theirs "$data" 1 "$count" --epochs 1 --head-epochs 1 | tee -a "$out/$data.workers.jsonl" >/dev/null
    done
    workers=$("$python" -c 'import json, sys
print(min(map(json.loads, sys.stdin), key=lambda run: run["epoch_seconds"][-1])["workers"])' <"$out/$data.workers.jsonl")
    say "$data      PyTorch script: $workers loader workers are fastest"
  fi
  for seed in $seeds; do
    for recipe in practicum-1 practicum-2 practicum-3a practicum-3b; do
      ours "$data" "$recipe" "$seed" >>"$out/$data.$recipe.jsonl"
    done
    if [ "$peer" = yes ]; then theirs "$data" "$seed" "$workers" >>"$out/$data.torch.jsonl"; fi
  done
done

"$python" - "$out" "$sets" <<'PY'
import json
import os
import sys

out, sets = sys.argv[1], sys.argv[2].split()


def read(data, what):
    path = os.path.join(out, f"{data}.{what}.jsonl")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


print(f"{'data':<12} {'recipe':<14} {'top1 of each seed':<26} {'mean':>8} {'minutes':>8}")
for data in sets:
    for what in ("practicum-1", "practicum-2", "practicum-3a", "practicum-3b", "torch"):
        runs = read(data, what)
        if not runs:
            continue
        top1 = [100 * run["top1"] for run in runs]
        minutes = sum(run["seconds"] for run in runs) / len(runs) / 60
        name = "3b in PyTorch" if what == "torch" else what
        print(f"{data:<12} {name:<14} {' '.join(f'{value:.2f}' for value in top1):<26} {sum(top1) / len(top1):>7.2f} %"
              f" {minutes:>8.2f}")
    pairs = list(zip(read(data, "torch"), read(data, "practicum-3b")))
    if pairs:
        ratios = [theirs["seconds"] / ours["seconds"] for theirs, ours in pairs]
        print(f"{data:<12} PyTorch's time over ours, each seed: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
PY
