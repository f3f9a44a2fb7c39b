#!/usr/bin/env bash
# Memory of one long embed: it must not grow with the rows that are done.
#
# usage: scripts/bench/flat_memory.sh [--rows N] [--out DIR] [--help]
#
#   --rows N    pictures to embed; the shared folder's again and again (default: 100000)
#   --out DIR   where the store goes (default: build/bench/flat-memory; made anew)
#
# A small network, so that pictures flow quickly; the list comes on standard input. Resident memory is looked at four
# times a second. Prints it at 10, 25, 50, 75 and 100 % of the time, the peak, and pictures a second; exits 1 where what is
# resident at the end is above that at 10 % by more than 5 %.
#
# needs: scripts/build.sh has run; ENGRAFT_SHARED.
# takes: 2 to 4 minutes for 100,000 rows on two cores.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

rows=100000
out=""
while [ $# -gt 0 ]; do
  case "$1" in
    --rows) needs_value "$1" $# && rows="$2" && shift ;;
    --out) needs_value "$1" $# && out="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
bench_inputs
out="${out:-$ENGRAFT_ROOT/build/bench/flat-memory}"
rm -rf "$out"
mkdir -p "$out"
"$engraft" example --out "$out/example" --quiet >/dev/null
find "$shared/data/hymenoptera" "$shared/data/flowers12" -iname '*.jpg' | LC_ALL=C sort |
  awk -v rows="$rows" '{ path[NR - 1] = $0 } END { for (i = 0; i < rows; ++i) print path[i % NR] }' >"$out/list.txt"

"$engraft" embed --backbone "$out/example/tiny.pt" --data - --out "$out/store" --max-bad "$rows" --json --quiet \
  <"$out/list.txt" >"$out/result.json" &
process=$!
while kill -0 "$process" 2>/dev/null; do
  awk '/^VmRSS/ { rss = $2 } /^VmHWM/ { peak = $2 } END { if (rss) print rss, peak }' "/proc/$process/status" 2>/dev/null \
    >>"$out/memory.txt" || true
  sleep 0.25
done
wait "$process"
awk -v rows="$rows" '
  { rss[NR] = $1 / 1024; peak = $2 / 1024 }
  END {
    n = split("10 25 50 75 100", shares, " ")
    for (i = 1; i <= n; ++i) {
      at = int(NR * shares[i] / 100); if (at < 1) at = 1; if (at > NR - 1 && NR > 1) at = NR - 1
      printf "at %3d %% of the time  %7.1f MiB\n", shares[i], rss[at]
      if (i == 1) early = rss[at]
      last = rss[at]
    }
    printf "peak                  %7.1f MiB\n%d rows, %.0f a second\n", peak, rows, rows / (NR * 0.25)
    exit last > 1.05 * early
  }' "$out/memory.txt"
