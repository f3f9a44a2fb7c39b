#!/usr/bin/env bash
# Trains inception-mini from scratch, and exports it.
#
# usage: scripts/train_mini.sh [--data FILE] [--teacher FILE] [--out DIR] [--epochs N] [--help]
#
#   --data FILE      tiny_imagenet200.tar.gz: train/CLASS/*.webp and val/CLASS/*.webp of 200 classes
#                    (default: data/tiny_imagenet200.tar.gz of ENGRAFT_SHARED)
#   --teacher FILE   the network whose embedding is followed (default: weights/inception_v3_mixed8.pt of ENGRAFT_SHARED)
#   --out DIR        where pictures, run and inception-mini.pt go (default: build/mini)
#   --epochs N       other than the recipe's
#
# The run is models/recipes/inception-mini.toml. Safe to stop and start again: it goes on from its last checkpoint.
#
# needs: the built program (scripts/build.sh); 400 MB of disk.
# takes: two hours on two cores with AVX-512 bf16; minutes on a GPU.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

shared="${ENGRAFT_SHARED:-$ENGRAFT_ROOT/../shared}"
data="$shared/data/tiny_imagenet200.tar.gz"
teacher="$shared/weights/inception_v3_mixed8.pt"
out="$ENGRAFT_ROOT/build/mini"
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --data) needs_value "$1" $# && data="$2" && shift ;;
    --teacher) needs_value "$1" $# && teacher="$2" && shift ;;
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --epochs) needs_value "$1" $# && options+=(--epochs "$2") && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
engraft="$ENGRAFT_ROOT/build/release/bin/engraft"
[ -x "$engraft" ] || fail "$engraft is not there; scripts/build.sh makes it"
[ -f "$data" ] || fail "$data: no such file"

mkdir -p "$out"
if [ ! -d "$out/pictures" ]; then
  rm -rf "$out/unpacking"
  mkdir "$out/unpacking"
  tar -xzf "$data" -C "$out/unpacking"
  mv "$out/unpacking" "$out/pictures"
fi
"$engraft" train --config inception-mini --data "$out/pictures" --teacher "$teacher" --out "$out/run" --resume \
  ${options[@]+"${options[@]}"}
rm -f "$out/inception-mini.pt"
"$engraft" export --model "$out/run/model.pt" --out "$out/inception-mini.pt" --half --size 128 --crop-ratio 0.875 \
  --name inception-mini --licence "weights CC0-1.0; learned from pictures of ImageNet, whose terms are research use" \
  --source "trained by engraft on Tiny ImageNet, after $(basename "$teacher" .pt)"
