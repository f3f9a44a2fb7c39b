#!/usr/bin/env bash
# Sets up, builds, and does the main job once: pictures in, one fine-tuned model file out.
#
# usage: scripts/demo.sh [--out DIR] [--no-setup] [--help]
#
#   --out DIR     where the example goes (default: build/demo; made anew)
#   --no-setup    do not look for missing packages and libraries first
#
# Draws pictures of four textures and a tiny backbone with random weights, trains a head on it, unfreezes its top block,
# evaluates and predicts with model.pt, and compares with a probe on raw pixels. Where the folder of real weights and
# pictures is there (ENGRAFT_SHARED, default ../shared), it does the same with a pretrained GoogLeNet on ants and bees.
#
# needs: what scripts/setup.sh needs.
# takes: 10 minutes the first time, most of it downloads and building; then a minute, three with the real pictures.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=""
with_setup=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --no-setup) with_setup=no ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
cd "$ENGRAFT_ROOT"
if [ "$with_setup" = yes ]; then scripts/setup.sh; fi
scripts/build.sh release --target engraft --target engraft-run >/dev/null

engraft="$ENGRAFT_ROOT/build/release/bin/engraft"
out="${out:-$ENGRAFT_ROOT/build/demo}"
rm -rf "$out/example" "$out/features" "$out/run" "$out/raw-pixels" "$out/ants-and-bees"
mkdir -p "$out"

# show COMMAND…: what a person would type, then what it answers.
show() {
  printf '\n$ engraft' && printf ' %s' "$@" && printf '\n'
  "$engraft" "$@"
}
# field NAME FILE: a number of a result.json.
field() { sed -n "s/^  \"$1\": \\([0-9.e-]*\\),\\{0,1\\}\$/\\1/p" "$2" | head -n 1; }

cd "$out"
show example --out example
show inspect example/tiny.pt
show embed --backbone example/tiny.pt --data example/pictures --out features --quiet
show train --backbone example/tiny.pt --data example/pictures --out run --quiet \
  --stage unfreeze=mixed_2,epochs=3,learning_rate=1e-3
show evaluate --model run/model.pt --data example/pictures --quiet
show predict --model run/model.pt --top 2 --quiet example/pictures/val/checks/0000.jpg example/pictures/val/vertical/0000.jpg
show train --backbone example/pixels.pt --data example/pictures --pool flatten --out raw-pixels --quiet

tiny=$(field top1 run/result.json)
raw=$(field top1 raw-pixels/result.json)
printf '\nThe tiny backbone has RANDOM weights; a head and one unfrozen block on it: top1 %s.\n' "$tiny"
printf 'A probe on raw pixels: top1 %s.\n' "$raw"
awk -v a="$tiny" -v b="$raw" 'BEGIN { exit !(a > b) }' || fail "the example does not beat a probe on raw pixels"

shared="${ENGRAFT_SHARED:-$ENGRAFT_ROOT/../shared}"
if [ -f "$shared/weights/googlenet_imagenet1k.pt" ] && [ -d "$shared/data/hymenoptera" ]; then
  printf '\nThe same with a pretrained GoogLeNet, on ants and bees:\n'
  show train --backbone "$shared/weights/googlenet_imagenet1k.pt" --data "$shared/data/hymenoptera" \
    --out ants-and-bees --skip-bad --stage unfreeze=i5b,epochs=2,optimizer=sgd,learning_rate=1e-3
  show predict --model ants-and-bees/model.pt --quiet "$shared/data/hymenoptera/val/bees" >ants-and-bees/bees.csv
  head -n 6 ants-and-bees/bees.csv
fi
printf '\ndone: %s\n' "$out"
