#!/usr/bin/env bash
# Builds engraft and says where the program lies.
#
# usage: scripts/build.sh [PRESET] [--jobs N] [--target NAME] [-DNAME=VALUE …] [--help]
#
#   PRESET          of CMakePresets.json: release (default), cuda, dev, asan, tsan
#   --jobs N        compilers at a time (default: the cores, but 2 GB of memory for each)
#   --target NAME   build only this; may be given several times
#   -DNAME=VALUE    handed to cmake when it configures
#
# needs: what scripts/setup.sh installs; 2 GB of disk.
# takes: about 10 minutes of one core from nothing, seconds when little changed (ccache is used where it is there).
#
# LIBTORCH or Torch_DIR, where set, name the LibTorch to build with.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

preset=""
jobs=""
targets=()
settings=()
while [ $# -gt 0 ]; do
  case "$1" in
    --jobs | -j) needs_value "$1" $# && jobs="$2" && shift ;;
    --target) needs_value "$1" $# && targets+=(--target "$2") && shift ;;
    -D?*=*) settings+=("$1") ;;
    -h | --help) usage && exit 0 ;;
    -*) wrong_usage "unknown option '$1'" ;;
    *)
      [ -z "$preset" ] || wrong_usage "one preset at a time, not '$preset' and '$1'"
      preset="$1"
      ;;
  esac
  shift
done
preset="${preset:-release}"
jobs="${jobs:-$(default_jobs)}"
[[ "$jobs" =~ ^[1-9][0-9]*$ ]] || wrong_usage "--jobs takes a number from 1 up, not '$jobs'"

cd "$ENGRAFT_ROOT"
command -v cmake >/dev/null || fail "no cmake; scripts/setup.sh installs it"
if [ "$preset" = base ] || ! grep -qF "\"name\": \"$preset\"" CMakePresets.json; then
  wrong_usage "no preset '$preset' in CMakePresets.json"
fi
if [ -n "${LIBTORCH:-}" ]; then settings+=("-DLIBTORCH=$LIBTORCH"); fi
if [ -n "${Torch_DIR:-}" ]; then settings+=("-DTorch_DIR=$Torch_DIR"); fi

# Configure when that was never done, was broken off, or was done with other settings; ninja sees changed CMake files.
record="build/$preset/.configured-with"
wanted=$(printf '%s\n' "${settings[@]}")
if [ ! -f "build/$preset/build.ninja" ] || [ ! -f "$record" ] || [ "$(cat "$record")" != "$wanted" ]; then
  rm -f "$record"
  cmake --preset "$preset" "${settings[@]}" </dev/null >&2
  printf '%s\n' "$wanted" >"$record"
fi
say "building preset $preset with $jobs job(s)"
cmake --build "build/$preset" -j "$jobs" "${targets[@]}" </dev/null >&2
program="build/$preset/bin/engraft"
if [ -x "$program" ]; then
  echo "$ENGRAFT_ROOT/$program"
else
  say "built; $program is not among the targets"
fi
