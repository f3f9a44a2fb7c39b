#!/usr/bin/env bash
# The practicum's table: its exercises 1 and 2 from scratch, 3 on the shared Inception v3, and the last one beside a
# plain PyTorch script of the same recipe.
#
# usage: scripts/bench/practicum.sh [--out DIR] [--seeds "1 2 3"] [--data "hymenoptera flowers12"]
#        [--recipes LIST] [--peer-data hymenoptera] [--no-peer] [--go-on] [--help]
#
#   --out DIR      where runs go (default: build/bench/practicum; made anew)
#   --seeds LIST   (default: "1 2 3")
#   --data LIST    data sets of the shared folder (default: "hymenoptera flowers12")
#   --recipes LIST (default: "practicum-1 practicum-2 practicum-3a practicum-3b")
#   --peer-data LIST  those on which the PyTorch script runs as well (default: hymenoptera)
#   --no-peer      without the PyTorch script
#   --go-on        keep the runs that DIR already holds, and make those that it lacks
#
# Each recipe is trained once a seed, with a cache folder of its own that no other run filled, so that the times hold all
# that it took: reading pictures, the frozen blocks' pass over all views, the training, model.pt. The PyTorch script is
# tried for one epoch with 0, 1 and 2 loader workers, with threads that sleep at once and with threads that spin a little
# first, and then run whole with the fastest, once a seed, right after our run of the same recipe.
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
recipes="practicum-1 practicum-2 practicum-3a practicum-3b"
peer_sets="hymenoptera"
go_on=no
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --seeds) needs_value "$1" $# && seeds="$2" && shift ;;
    --data) needs_value "$1" $# && sets="$2" && shift ;;
    --recipes) needs_value "$1" $# && recipes="$2" && shift ;;
    --peer-data) needs_value "$1" $# && peer_sets="$2" && shift ;;
    --no-peer) peer_sets="" ;;
    --go-on) go_on=yes ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
out="${out:-$ENGRAFT_ROOT/build/bench/practicum}"
backbone="$shared/weights/inception_v3_mixed8.pt"
[ "$go_on" = yes ] || rm -rf "$out"
mkdir -p "$out"

# once NAME COMMAND...: COMMAND's standard output as DIR/NAME.json, unless a finished run left it there
once() {
  local result="$out/$1.json"
  if [ ! -s "$result" ]; then
    "${@:2}" >"$result.part"
    mv "$result.part" "$result"
    say "$1 done"
  fi
}
# ours DATA RECIPE SEED: the run's result.json as one line
ours() {
  local source=() run="$out/$1-$2-$3"
  case "$2" in practicum-3*) source=(--backbone "$backbone") ;; esac
  rm -rf "$run" "$run.cache"
  "$engraft" train --config "$2" "${source[@]}" --data "$shared/data/$1" --out "$run" --seed "$3" \
    --cache-dir "$run.cache" --quiet --json
  rm -rf "$run.cache"
}
# theirs DATA SEED WORKERS SPINCOUNT [OPTION...]
theirs() {
  OMP_WAIT_POLICY=passive GOMP_SPINCOUNT="$4" "$python" "$ENGRAFT_ROOT/scripts/bench/practicum_torch.py" \
    --backbone "$backbone" --data "$shared/data/$1" --seed "$2" --workers "$3" "${@:5}"
}

for data in $sets; do
  peer=no
  case " $peer_sets " in *" $data "*) peer=yes ;; esac
  if [ "$peer" = yes ]; then
    for workers in 0 1 2; do
      for spin in 0 10000; do
        once "$data.try.$workers.$spin" theirs "$data" 1 "$workers" "$spin" --epochs 1 --head-epochs 1
      done
    done
    read -r workers spin < <("$python" - "$out/$data".try.*.json <<'PY'
import json
import sys

fastest = min(sys.argv[1:], key=lambda path: json.load(open(path))["epoch_seconds"][-1])
print(*fastest.split(".")[-3:-1])
PY
    )
    say "$data      PyTorch script: fastest with $workers loader workers and GOMP_SPINCOUNT=$spin"
  fi
  for seed in $seeds; do
    for recipe in $recipes; do
      once "$data.$recipe.$seed" ours "$data" "$recipe" "$seed"
    done
    if [ "$peer" = yes ]; then once "$data.torch.$seed" theirs "$data" "$seed" "$workers" "$spin"; fi
  done
done

"$python" - "$out" "$sets" "$seeds" <<'PY'
import json
import os
import sys

out, sets, seeds = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()


def read(data, what):
    paths = [os.path.join(out, f"{data}.{what}.{seed}.json") for seed in seeds]
    return [json.load(open(path)) for path in paths if os.path.exists(path)]


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
