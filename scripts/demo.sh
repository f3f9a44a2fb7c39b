#!/usr/bin/env bash
# Sets up, builds, and does the main job once: pictures in, one fine-tuned model file out. Needs no network file: the
# backbone is the one in models/.
#
# usage: scripts/demo.sh [PATH_TO_PICTURES] [--out DIR] [--no-setup] [--help]
#
#   PATH_TO_PICTURES  a folder with train/ and val/ of one folder a class, or of class folders alone, or a manifest;
#                     default: pictures that the program draws, of eight classes
#   --out DIR         where everything goes (default: build/demo); example, features, run, scratch and raw-pixels in it
#                     are removed first
#   --no-setup        do not look for missing packages and libraries first
#
# Looks at the backbone, writes embeddings, trains a head and then unfreezes the top blocks, evaluates, predicts. On the
# drawn pictures it also trains the same network from scratch and a probe on raw pixels, to show what pretraining is
# worth.
#
# needs: what scripts/setup.sh needs.
# takes: 10 minutes the first time, most of it downloads and building; then two.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=""
pictures=""
with_setup=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && mkdir -p "$2" && out="$(cd "$2" && pwd)" && shift ;;
    --no-setup) with_setup=no ;;
    -h | --help) usage && exit 0 ;;
    -*) wrong_usage "unknown option '$1'" ;;
    *)
      [ -z "$pictures" ] || wrong_usage "one PATH_TO_PICTURES, not '$pictures' and '$1'"
      [ -e "$1" ] || fail "$1: no such file or folder"
      pictures="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
      ;;
  esac
  shift
done
cd "$ENGRAFT_ROOT"
if [ "$with_setup" = yes ]; then scripts/setup.sh; fi
scripts/build.sh release --target engraft --target engraft-run >/dev/null

engraft="$ENGRAFT_ROOT/build/release/bin/engraft"
out="${out:-$ENGRAFT_ROOT/build/demo}"
rm -rf "$out/example" "$out/features" "$out/run" "$out/scratch" "$out/raw-pixels"
mkdir -p "$out"
cp "$ENGRAFT_ROOT/models/inception-mini.pt" "$out/inception-mini.pt"

# show COMMAND…: what a person would type, then what it answers.
show() {
  printf '\n$ engraft' && printf ' %s' "$@" && printf '\n'
  "$engraft" "$@"
}
# field NAME FILE: a number of a result.json.
field() { sed -n "s/^  \"$1\": \\([0-9.e-]*\\),\\{0,1\\}\$/\\1/p" "$2" | head -n 1; }
percent() { awk -v x="$1" 'BEGIN { printf "%.1f %%", 100 * x }'; }

cd "$out"
data="$pictures"
if [ -z "$data" ]; then
  say "The program draws its own pictures:"
  show example --pictures shapes --out example --train 60 --val 30 --size 300 --quiet
  data=example/pictures
fi
printf '\nThe backbone, block by block:\n'
show inspect inception-mini.pt
printf '\nEvery picture as a row of numbers, for whatever you like to do with them:\n'
show embed --backbone inception-mini.pt --data "$data" --out features --max-bad 1000000 --quiet
printf '\nThe main job: a head on the frozen backbone, then the top two blocks with it:\n'
show train --backbone inception-mini.pt --data "$data" --out run --quiet --skip-bad --augment crop=0.7:1,flip --views 4 \
  --stage unfreeze=mixed_6,epochs=8,learning_rate=5e-4,norms=train
printf '\nWhat model.pt gets right:\n'
show evaluate --model run/model.pt --data "$data" --quiet --max-bad 1000000

some="$(find -L "$data" -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) | sort |
  awk '{ all[NR] = $0 } END { for (i = 1; i <= 5; ++i) print all[int((i - 0.5) * NR / 5) + 1] }')"
if [ -n "$some" ]; then  # none in archives, or where only a manifest says where they are
  printf '\nAnd what it says of single pictures:\n'
  printf '%s\n' "$some" | show predict --model run/model.pt --top 2 --quiet -
fi

if [ -z "$pictures" ]; then
  printf '\nIs the pretraining worth anything? The same network from scratch, and a probe on raw pixels:\n'
  show train --backbone new:inception-mini --data "$data" --out scratch --size 96 --epochs 8 --optimizer sgd --nesterov \
    --learning-rate 0.05 --augment crop=0.7:1,flip --quiet
  show train --backbone example/pixels.pt --data "$data" --pool flatten --out raw-pixels --quiet
  ours="$(field top1 run/result.json)"
  scratch="$(field top1 scratch/result.json)"
  raw="$(field top1 raw-pixels/result.json)"
  printf '\nOf %s validation pictures, eight classes: fine-tuned %s, from scratch %s, raw pixels %s.\n' \
    "$(field rows run/result.json)" "$(percent "$ours")" "$(percent "$scratch")" "$(percent "$raw")"
  awk -v a="$ours" -v b="$scratch" -v c="$raw" 'BEGIN { exit !(a > b && a > c) }' ||
    fail "the fine-tuned model is not the best of the three"
fi
printf '\ndone: %s/run/model.pt is the model; %s has the rest.\n' "$out" "$out"
printf 'next: %s predict --model %s/run/model.pt YOUR_PICTURES\n      %s train --help lists what else there is\n' \
  "$engraft" "$out" "$engraft"
