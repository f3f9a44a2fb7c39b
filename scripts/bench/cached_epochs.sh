#!/usr/bin/env bash
# What the activation cache is worth: an epoch on cached activations against one with the trunk on the fly.
#
# usage: scripts/bench/cached_epochs.sh [--out DIR] [--epochs N] [--rounds N] [--help]
#
#   --out DIR      where pictures and runs go (default: build/bench/cached-epochs; made anew)
#   --epochs N     epochs of each stage (default: 3)
#   --rounds N     times that each run is made, in turn with the others (default: 3)
#
# The shared Inception v3 at 150 px on ants and bees, a stage that trains mixed_8 and one that trains mixed_7 and mixed_8.
# The pictures are resized once and stored as BMP, so that decoding costs next to nothing on both sides; a second pair of
# runs takes the pictures as they are. Prints for each stage the best epoch's time without and with the cache, the median
# over the rounds, their ratio, and the ideal by the share t of the work above the cut: (1 + 2t) / 3t for training pictures, 1 / t for the
# validation ones, weighted by their numbers. Fails unless both sides give the same model.pt.
#
# needs: scripts/build.sh and scripts/test.sh have run (Pillow of .venv-test); ENGRAFT_SHARED, default ../shared.
# takes: about 4 minutes a round on two cores. Measure on a quiet machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

out=""
epochs=3
rounds=3
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --epochs) needs_value "$1" $# && epochs="$2" && shift ;;
    --rounds) needs_value "$1" $# && rounds="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
out="${out:-$ENGRAFT_ROOT/build/bench/cached-epochs}"
backbone="$shared/weights/inception_v3_mixed8.pt"
rm -rf "$out"
mkdir -p "$out"

"$python" - "$shared/data/hymenoptera" "$out/bmp" <<'PY'
import os
import sys

from PIL import Image

source, target = sys.argv[1:]
for folder, _, names in os.walk(source):
    for name in names:
        if name.lower().endswith((".jpg", ".jpeg", ".png")):
            place = os.path.join(target, os.path.relpath(folder, source))
            os.makedirs(place, exist_ok=True)
            picture = Image.open(os.path.join(folder, name)).convert("RGB").resize((150, 150), Image.Resampling.BILINEAR)
            picture.save(os.path.join(place, os.path.splitext(name)[0] + ".bmp"))
PY

# measure NAME DATA CACHE
measure() {
  "$engraft" train --backbone "$backbone" --data "$2" --out "$out/$1" --size 150 --resize squash --cache "$3" --epochs 2 \
    --stage "unfreeze=mixed_8,epochs=$epochs,optimizer=sgd,learning_rate=1e-4" \
    --stage "unfreeze=mixed_7,epochs=$epochs,optimizer=sgd,learning_rate=1e-4" --quiet >/dev/null
}
for ((round = 1; round <= rounds; ++round)); do
  for cache in off memory; do
    measure "bmp-$cache-$round" "$out/bmp" "$cache"
    measure "jpeg-$cache-$round" "$shared/data/hymenoptera" "$cache"
  done
  for kind in bmp jpeg; do
    cmp "$out/$kind-off-$round/model.pt" "$out/$kind-memory-$round/model.pt" || fail "the cache changed model.pt"
  done
done
"$engraft" inspect "$backbone" --size 150 --json >"$out/blocks.json"

"$python" - "$out" "$rounds" <<'PY'
import json
import os
import statistics
import sys

out, rounds = sys.argv[1], int(sys.argv[2])
with open(os.path.join(out, "blocks.json")) as file:
    blocks = json.load(file)["blocks"]
names = [block["name"] for block in blocks]
work = [block["flops"] for block in blocks]


def best_epoch(run, stage):
    with open(os.path.join(out, run, "timings.jsonl")) as file:
        return min(line["seconds"] for line in map(json.loads, file) if line["stage"] == stage)


def seconds(runs, stage):
    return statistics.median(best_epoch(f"{runs}-{round}", stage) for round in range(1, rounds + 1))


train, val = (sum(len(files) for _, _, files in os.walk(os.path.join(out, "bmp", split))) for split in ("train", "val"))
print(f"{'stage':<18} {'pictures':<8} {'off':>8} {'memory':>8} {'ratio':>7} {'ideal':>7} {'of it':>6}")
for stage, block in ((2, "mixed_8"), (3, "mixed_7")):
    share = sum(work[names.index(block):]) / sum(work)
    ideal = (train * (1 + 2 * share) + val) / (train * 3 * share + val * share)
    for kind in ("bmp", "jpeg"):
        off, memory = seconds(f"{kind}-off", stage), seconds(f"{kind}-memory", stage)
        print(f"{block + ' and above':<18} {kind:<8} {off:>7.2f}s {memory:>7.2f}s {off / memory:>7.2f} {ideal:>7.2f} "
              f"{100 * off / memory / ideal:>4.0f} %")
PY
