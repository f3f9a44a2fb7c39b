#!/usr/bin/env bash
# engraft embed beside PyTorch, ONNX Runtime and OpenVINO: the same pictures, the same weights, in rounds by turns.
#
# usage: scripts/bench/embed_vs_peers.sh [--out DIR] [--pictures N] [--rounds N] [--only NAME,…] [--help]
#
#   --out DIR      where weights, lists and results go (default: build/bench/embed); made anew
#   --pictures N   how many of hymenoptera's 397 pictures of about 500 x 390 (default: 400)
#   --rounds N     each contestant runs once a round; medians count (default: 3)
#   --only LIST    contestants, by the names of the table, separated by commas (default: all)
#
# The network is torchvision's Inception v3 at 299 px with the shared weights, up to the 1,280 features of Mixed_7a,
# pooled. Contestants: a plain script (eager, float32); a tuned one (bf16 where the processor has it,
# channels_last, frozen TorchScript, threads that sleep); the same by torch.compile; ONNX Runtime (float32); OpenVINO with
# its asynchronous queue and two threads that decode; and engraft in float32, bf16 and int8. What has workers or streams is
# tried with each number first and runs with the fastest.
# Prints pictures a second from the first picture to the last row (set-up stands apart), peak memory, the cosine to the
# plain script's features, and the ratios of times; then the network alone, a second run on the same pictures, and both
# engraft and the tuned script with one core busy.
#
# needs: scripts/build.sh and scripts/test.sh have run (torch and torchvision of .venv-test); ENGRAFT_SHARED; the network
#        once, for the packages of requirements-peers.txt, which go into .venv-peers (1 GB).
# takes: about 20 minutes on two cores. Measure on a quiet machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

out=""
pictures=400
rounds=3
only=""
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --pictures) needs_value "$1" $# && pictures="$2" && shift ;;
    --rounds) needs_value "$1" $# && rounds="$2" && shift ;;
    --only) needs_value "$1" $# && only="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
peers="$ENGRAFT_ROOT/.venv-peers"
wanted="$ENGRAFT_ROOT/scripts/bench/requirements-peers.txt"
if ! cmp -s "$wanted" "$peers/installed.txt"; then
  say "making .venv-peers"
  rm -rf "$peers"
  "$python" -m venv "$peers"
  # torch and torchvision as the tests have them, without a second copy
  "$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
    >"$("$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/of-tests.pth"
  "$peers/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
  cp "$wanted" "$peers/installed.txt"
fi
exec "$peers/bin/python" "$ENGRAFT_ROOT/scripts/bench/embed_vs_peers.py" --engraft "$engraft" --shared "$shared" \
  --out "${out:-$ENGRAFT_ROOT/build/bench/embed}" --pictures "$pictures" --rounds "$rounds" --only "$only"
