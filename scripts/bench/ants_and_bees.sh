#!/usr/bin/env bash
# Head, then the top block, on ants and bees with both shared networks: the figures of the main job, three seeds.
#
# usage: scripts/bench/ants_and_bees.sh [--out DIR] [--seeds "1 2 3"] [--help]
#
#   --out DIR         where the runs go (default: build/bench/ants-and-bees); a run that is there is not repeated
#   --seeds "N …"     seeds (default: 1 2 3)
#
# Prints for each network the validation accuracy and loss of the head alone and of the stage that unfreezes the top
# block, for each seed and as a mean; then the exercise at 150 px with the tap mixed_7.
#
# needs: scripts/build.sh and scripts/test.sh have run (Python of .venv-test); ENGRAFT_SHARED, default ../shared.
# takes: about half an hour on two cores.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

out=""
seeds="1 2 3"
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --seeds) needs_value "$1" $# && seeds="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
out="${out:-$ENGRAFT_ROOT/build/bench/ants-and-bees}"
mkdir -p "$out"

# train NAME FLAGS…: a run in $out/NAME, unless it is finished.
train() {
  local name="$1"
  shift
  [ -f "$out/$name/result.json" ] && return
  rm -rf "${out:?}/$name"
  "$engraft" train --data "$shared/data/hymenoptera" --out "$out/$name" --quiet "$@" >/dev/null
}
inception="$shared/weights/inception_v3_mixed8.pt"
sgd="epochs=3,optimizer=sgd,learning_rate=1e-3,momentum=0.9"
for seed in $seeds; do
  train "googlenet-$seed" --backbone "$shared/weights/googlenet_imagenet1k.pt" --seed "$seed" --stage "unfreeze=i5b,$sgd"
  train "inception-$seed" --backbone "$inception" --seed "$seed" --stage "unfreeze=mixed_8,$sgd"
done
train exercise --backbone "$inception" --size 150 --resize squash --tap mixed_7 --pool flatten --loss sigmoid \
  --head "fc=1024,relu,dropout=0.2" --optimizer rmsprop --learning-rate 1e-4 --batch 20 --epochs 2
train linear-150 --backbone "$inception" --size 150 --tap mixed_7

"$python" - "$out" "$seeds" <<'PY'
import json
import os
import sys

out, seeds = sys.argv[1], sys.argv[2].split()


def read(name):
    with open(os.path.join(out, name, "result.json")) as file:
        return json.load(file)


print(f"{'run':<14} {'stage':<8} {'epoch':>5} {'top1':>8} {'loss':>8} {'train loss first..last':>24}  frozen")
for network in ("googlenet", "inception"):
    runs = [read(f"{network}-{seed}") for seed in seeds]
    for seed, run in zip(seeds, runs):
        with open(os.path.join(out, f"{network}-{seed}", "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        for stage in run["stages"]:
            losses = [line["train_loss"] for line in lines if line["stage"] == stage["stage"]]
            best, frozen = stage["best"], stage["frozen"]
            print(f"{network + '-' + seed:<14} {stage['unfreeze']:<8} {best['epoch']:>5} {100 * best['top1']:>6.2f} % "
                  f"{best['loss']:>8.4f} {losses[0]:>14.4f}..{losses[-1]:.4f}  {frozen['tensors']} tensors, moved {len(frozen['moved'])}")
    head = sum(run["stages"][0]["best"]["loss"] for run in runs) / len(runs)
    top = sum(run["stages"][-1]["best"]["loss"] for run in runs) / len(runs)
    print(f"{network}: validation loss of the last stage over the head's, means of {len(runs)} seeds: {top / head:.3f}")
for name in ("exercise", "linear-150"):
    run = read(name)
    print(f"{name}: top1 {100 * run['top1']:.2f} %, loss {run['loss']:.4f}")
PY
