#!/usr/bin/env bash
# 64 linear heads on 4,000 x 2,048 features of 10 classes: as one stack, one by one, and scikit-learn's loop.
#
# usage: scripts/bench/heads.sh [--rows N] [--dimension D] [--epochs N] [--batch N] [--out DIR] [--help]
#
#   --rows N       training rows (default: 4000; a quarter as many validate)
#   --dimension D  features of a row (default: 2048)
#   --epochs N     of each head (default: 10)
#   --batch N      rows in a batch (default: 32)
#   --out DIR      where rows and results go (default: build/bench/heads)
#
# needs: scripts/build.sh has run; .venv-test (scripts/test.sh makes it) or ENGRAFT_PEERS_PYTHON, a Python with
#        numpy and scikit-learn.
# takes: some minutes, most of them scikit-learn's. Measure on a quiet machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

rows=4000
dimension=2048
epochs=10
batch=32
out="$ENGRAFT_ROOT/build/bench/heads"
while [ $# -gt 0 ]; do
  case "$1" in
    --rows) needs_value "$1" $# && rows="$2" && shift ;;
    --dimension) needs_value "$1" $# && dimension="$2" && shift ;;
    --epochs) needs_value "$1" $# && epochs="$2" && shift ;;
    --batch) needs_value "$1" $# && batch="$2" && shift ;;
    --out) needs_value "$1" $# && out="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
python="${ENGRAFT_PEERS_PYTHON:-$ENGRAFT_ROOT/.venv-test/bin/python}"
"$python" -c 'import numpy, sklearn' || fail "$python has no numpy and scikit-learn"
"$ENGRAFT_ROOT/scripts/build.sh" release --target bench_heads >/dev/null
here="$ENGRAFT_ROOT/scripts/bench"
"$python" "$here/heads_sklearn.py" make "$out" "$rows" "$dimension" 10
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=10000
"$ENGRAFT_ROOT/build/release/tests/bench_heads" "$out/rows.npy" "$out/labels.npy" "$out/others.npy" \
  "$out/other-labels.npy" "$epochs" "$batch" >"$out/ours.json"
"$python" "$here/heads_sklearn.py" fit "$out" >"$out/sklearn.json"
"$python" - "$out" <<'PYTHON'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
ours, peer = (json.loads((out / name).read_text()) for name in ("ours.json", "sklearn.json"))
best = max(head["stack"] for head in ours["top1"])
print(f"64 heads as one stack: {ours['stack_s']:.2f} s, best top1 {100 * best:.1f} %")
print(f"one by one: {ours['one_by_one_s'] / ours['stack_s']:.1f} times as long; "
      f"largest difference of top1 {100 * ours['largest_difference_of_top1']:.2f} points")
print(f"scikit-learn, 64 values of C: {peer['seconds'] / ours['stack_s']:.1f} times as long, "
      f"best top1 {100 * peer['best_top1']:.1f} %, {peer['not_converged']} fits not converged")
PYTHON
