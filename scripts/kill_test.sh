#!/usr/bin/env bash
# Kills trainings with SIGKILL at random moments, goes on with each until it ends, and holds its bytes against those of an
# uninterrupted one; the summary counts the kills by what the run was doing.
#
# usage: scripts/kill_test.sh [--kills N] [--preset PRESET] [--help]
#
#   --kills N         random kills (default: 1000); kills aimed at the shortest moments come on top
#   --preset PRESET   whose build to test (default: release)
#
# needs: scripts/test.sh or scripts/build.sh with tests has built the preset.
# takes: more than 13 minutes for 1000 kills on two cores; allow 25.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

kills=1000
preset=release
while [ $# -gt 0 ]; do
  case "$1" in
    --kills) needs_value "$1" $# && kills="$2" && shift ;;
    --preset) needs_value "$1" $# && preset="$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
test="$ENGRAFT_ROOT/build/$preset/tests/test_finetune"
[ -x "$test" ] || fail "no build/$preset/tests/test_finetune; scripts/test.sh makes it"
ENGRAFT_TEST_KILLS="$kills" exec "$test" "[slow]"
