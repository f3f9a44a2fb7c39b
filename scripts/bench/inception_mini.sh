#!/usr/bin/env bash
# inception-mini beside random weights, training from scratch and the shared networks: linear probes, times, file sizes.
#
# usage: scripts/bench/inception_mini.sh [--mini FILE] [--out DIR] [--sizes "96 128 192"] [--seed N] [--help]
#
#   --mini FILE    the trained network (default: models/inception-mini.pt)
#   --out DIR      where runs go (default: build/bench/inception-mini; made anew)
#   --sizes LIST   sides of the picture that inception-mini is probed at (default: "96 128 192")
#   --seed N       of the training from scratch and of random weights (default: 1)
#
# A probe is recipe linear-probe on the shared hymenoptera and flowers12; of inception-mini also up to mixed_6, the block
# that `engraft scan` suggests for the flowers. Random weights have norms that were measured on
# the pictures in one epoch at a rate of almost nothing. From scratch: 60 epochs with crops and flips at 128 px, all of
# the network. Times are of the network alone, by `engraft bench`, one picture of a batch of 32.
#
# needs: scripts/build.sh has run; ENGRAFT_SHARED.
# takes: about 20 minutes on two cores. Measure on a quiet machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

mini="$ENGRAFT_ROOT/models/inception-mini.pt"
out="$ENGRAFT_ROOT/build/bench/inception-mini"
sizes="96 128 192"
seed=1
while [ $# -gt 0 ]; do
  case "$1" in
    --mini) needs_value "$1" $# && mini="$2" && shift ;;
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --sizes) needs_value "$1" $# && sizes="$2" && shift ;;
    --seed) needs_value "$1" $# && seed="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
[ -f "$mini" ] || fail "$mini: no such file; scripts/train_mini.sh makes it"
rm -rf "$out"
mkdir -p "$out"

# number KEY: the first number under KEY in one line of JSON on standard input; the run's own stand before its stages'
number() { grep -o "\"$1\":[0-9.e+-]*" | sed -n "1s/.*://p"; }
percent() { awk -v x="$1" 'BEGIN { printf "%.1f %%", 100 * x }'; }

# train_json NAME DATA OPTION...: the run's result
train_json() {
  "$engraft" train --data "$shared/data/$2" --out "$out/$1-$2" --skip-bad --seed "$seed" --quiet --json "${@:3}" \
    2>"$out/$1-$2.log"
}
# probe NAME DATA BACKBONE SIZE [TAP]
probe() {
  train_json "$1" "$2" --config linear-probe --backbone "$3" --size "$4" ${5:+--tap "$5"} | number top1
}
# milliseconds BACKBONE SIZE [TAP]
milliseconds() {
  "$engraft" bench --backbone "$1" --size "$2" ${3:+--tap "$3"} --rounds 3 --quiet --json |
    sed -n 's/.*"stage":"engine","seconds_per_picture":\([0-9.e-]*\).*/\1/p' | awk '{ printf "%.2f", 1000 * $1 }'
}
# row NAME BACKBONE SIZE [TAP]: one line of the table
row() {
  local bytes ants flowers
  ants="$(probe "$1" hymenoptera "$2" "$3" "${4:-}")"
  flowers="$(probe "$1" flowers12 "$2" "$3" "${4:-}")"
  bytes="$(stat -c %s "$2")"
  printf '| %s | %s px | %s | %s | %s | %s MiB |\n' "$1" "$3" "$(percent "$ants")" "$(percent "$flowers")" \
    "$(milliseconds "$2" "$3" "${4:-}")" "$(awk -v b="$bytes" 'BEGIN { printf "%.1f", b / 1048576 }')"
}

printf '| network | input | ants and bees | flowers12 | ms a picture | file |\n|---|---|---|---|---|---|\n'
for size in $sizes; do row "inception-mini-$size" "$mini" "$size"; done
for size in $sizes; do row "inception-mini-$size-mixed_6" "$mini" "$size" mixed_6; done
random="" scratch=""
for data in hymenoptera flowers12; do
  train_json random "$data" --backbone new:inception-mini --epochs 1 --learning-rate 1e-12 --weight-decay 0 >/dev/null
  "$engraft" export --model "$out/random-$data/model.pt" --out "$out/random-$data.pt" --quiet >/dev/null
  top1="$(probe "random-weights" "$data" "$out/random-$data.pt" 128)"
  trained="$(train_json scratch "$data" --backbone new:inception-mini --epochs 60 --optimizer sgd --nesterov \
    --learning-rate 0.1 --warmup-epochs 3 --weight-decay 5e-4 --label-smoothing 0.1 --augment crop=0.35:1,flip | number top1)"
  random="$random| $(percent "$top1") "
  scratch="$scratch| $(percent "$trained") "
done
printf '| random weights | 128 px %s| | |\n' "$random"
printf '| from scratch | 128 px %s| | |\n' "$scratch"
row GoogLeNet "$shared/weights/googlenet_imagenet1k.pt" 224
row Inception-v3 "$shared/weights/inception_v3_mixed8.pt" 299
