# What setup.sh, build.sh and test.sh share; sourced, never run.
# shellcheck shell=bash
set -euo pipefail

# shellcheck disable=SC2034 # the scripts that source this use it
ENGRAFT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Talk goes to stderr, one line each.
say() { printf '%s\n' "$*" >&2; }
fail() {
  say "${0##*/}: $*"
  exit 1
}
wrong_usage() {
  say "${0##*/}: $*"
  usage >&2
  exit 2
}

# The comment at the top of the script that sources this file, as its help.
usage() { awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$0"; }

# needs_value OPTION COUNT_OF_ARGUMENTS_LEFT
needs_value() { [ "$2" -ge 2 ] || wrong_usage "$1 needs a value"; }

# A first Python of at least 3.MINOR that can make environments, or nothing. ENGRAFT_PYTHON is asked before PATH.
find_python() {
  local minor="$1" candidate
  for candidate in "${ENGRAFT_PYTHON:-}" python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $minor))" >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
}

# install_into ENVIRONMENT PIP_ARGUMENT…: pip there, with a mark that a crash leaves behind.
install_into() {
  local environment="$1"
  shift
  : >"$environment/.unfinished"
  "$environment/bin/python" -m pip install --no-input --disable-pip-version-check --progress-bar off --quiet \
    --retries 5 "$@" </dev/null >&2 || fail "pip could not fill $environment (above is why); run again to go on"
  rm -f "$environment/.unfinished"
}

# make_environment FOLDER PYTHON: an empty environment, unless a whole one stands there. One that a crash left
# unfinished, or whose Python is gone, is made anew: pip takes a half-written package for an installed one.
make_environment() {
  local environment="$1" python="$2"
  if [ -e "$environment/.unfinished" ] || ! "$environment/bin/python" -c '' >/dev/null 2>&1; then
    rm -rf "$environment"
    mkdir -p "$environment"
    : >"$environment/.unfinished"
    "$python" -m venv "$environment" </dev/null >&2 || fail "'$python -m venv $environment' failed"
    rm -f "$environment/.unfinished"
  fi
}

# Stamps say which digest of requirements an environment holds. stamp_holds FILE DIGEST; put_stamp FILE DIGEST
digest_of() { sha256sum | cut -d' ' -f1; }
stamp_holds() { [ -f "$1" ] && [ ! -e "${1%/*}/.unfinished" ] && [ "$(cat "$1")" = "$2" ]; }
put_stamp() {
  printf '%s\n' "$2" >"$1.part"
  mv "$1.part" "$1"
}

# The size of a file or folder, as people write it.
size_of() { du -sh "$1" 2>/dev/null | cut -f1; }

# Jobs that neither the cores nor the memory (2 GB a compiler) regret.
default_jobs() {
  local bytes limit jobs cores
  bytes=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo 2>/dev/null || echo 0)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$limit" != max ] && [ "$limit" -lt "$bytes" ]; then bytes=$limit; fi
  cores=$(nproc 2>/dev/null || echo 1)
  jobs=$((bytes / 2000000000))
  if [ "$jobs" -gt "$cores" ]; then jobs=$cores; fi
  if [ "$jobs" -lt 1 ]; then jobs=1; fi
  echo "$jobs"
}

# For scripts/bench: the program, the tests' Python and the shared folder as $engraft, $python and $shared; fails where
# one of them is missing.
# shellcheck disable=SC2034 # the scripts that source this use them
bench_inputs() {
  engraft="$ENGRAFT_ROOT/build/release/bin/engraft"
  python="${ENGRAFT_TEST_PYTHON:-$ENGRAFT_ROOT/.venv-test/bin/python}"
  shared="${ENGRAFT_SHARED:-$ENGRAFT_ROOT/../shared}"
  [ -x "$engraft" ] || fail "no build/release/bin/engraft; scripts/build.sh makes it"
  [ -x "$python" ] || fail "no $python; scripts/test.sh makes it"
  local path
  for path in weights/inception_v3_mixed8.pt data/hymenoptera; do
    [ -e "$shared/$path" ] || fail "no $path in $shared (set ENGRAFT_SHARED)"
  done
}
