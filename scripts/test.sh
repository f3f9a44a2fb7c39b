#!/usr/bin/env bash
# Sets up, builds and runs the tests; the summary stands at the end.
#
# usage: scripts/test.sh [-L LABEL] [--quick] [--preset PRESET] [--jobs N] [--no-setup] [--help]
#
#   -L LABEL          only the tests of a label (a regular expression):
#                     unit module cli golden real gpu slow lint
#   --quick           without the labels slow, real, gpu and module, and without the Python they compare with
#   --preset PRESET   what to build and test (default: release)
#   --jobs N          compilers, and tests, at a time (default: as scripts/build.sh; tests: half the cores)
#   --no-setup        do not look for missing packages and libraries first
#
# needs: what scripts/setup.sh needs, and 6 GB of disk for .venv-test: full torch, torchvision, timm, Pillow, pinned in
#        scripts/requirements-test.txt (--quick does without).
# takes: 3 to 5 minutes of downloads and 8 of building the first time; then the tests, about 15 minutes, --quick 2.
#
# ENGRAFT_SHARED        the folder of real weights and pictures (default: ../shared). Without one the `real` tests are
#                       skipped, with their reason; where it is set, a skipped one is a failure.
# ENGRAFT_TEST_PYTHON   a Python that has the packages already; .venv-test is then not made.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

label=""
quick=no
preset=release
jobs=""
with_setup=yes
while [ $# -gt 0 ]; do
  case "$1" in
    -L | --label) needs_value "$1" $# && label="$2" && shift ;;
    --preset) needs_value "$1" $# && preset="$2" && shift ;;
    --jobs | -j) needs_value "$1" $# && jobs="$2" && shift ;;
    --quick) quick=yes ;;
    --no-setup) with_setup=no ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
cd "$ENGRAFT_ROOT"
if [ "$with_setup" = yes ]; then
  if [ "$quick" = yes ]; then scripts/setup.sh; else scripts/setup.sh --tests; fi
fi

# --- the Python that the tests compare with ---
test_python="${ENGRAFT_TEST_PYTHON:-$ENGRAFT_ROOT/.venv-test/bin/python}"
if [ "$quick" = no ] && [ -z "${ENGRAFT_TEST_PYTHON:-}" ]; then
  exec 9<scripts/requirements-test.txt
  if command -v flock >/dev/null 2>&1; then flock 9; fi
  digest=$(digest_of <scripts/requirements-test.txt)
  if ! stamp_holds .venv-test/.engraft-requirements "$digest" || ! .venv-test/bin/python -c '' 2>/dev/null; then
    python=$(find_python 11)
    [ -n "$python" ] || fail "no Python 3.11 or newer with venv and ensurepip (or set ENGRAFT_PYTHON)"
    say "tests      fetching torch, torchvision, timm, Pillow into .venv-test (about 3 GB, 2 to 4 minutes)"
    make_environment .venv-test "$python"
    install_into .venv-test -r scripts/requirements-test.txt
    put_stamp .venv-test/.engraft-requirements "$digest"
  fi
  exec 9<&-
  say "tests      .venv-test $(size_of .venv-test)"
fi

scripts/build.sh "$preset" --jobs "${jobs:-$(default_jobs)}" -DENGRAFT_TESTS=ON \
  "-DENGRAFT_TEST_PYTHON=$test_python" >/dev/null

# --- the tests ---
cores=$(nproc 2>/dev/null || echo 1)
at_once="${jobs:-$(((cores + 1) / 2))}"
select=(--no-tests=error)
if [ -n "$label" ]; then select+=(-L "$label"); fi
if [ "$quick" = yes ]; then select+=(-LE '^(slow|real|gpu|module)$'); fi
results="build/$preset/test-results.xml"
rm -f "$results"
code=0
ctest --test-dir "build/$preset" --output-on-failure --output-junit "$ENGRAFT_ROOT/$results" -j "$at_once" \
  "${select[@]}" </dev/null || code=$?

# --- the summary ---
python=$(command -v python3 || echo "$test_python")
if [ -f "$results" ] && [ -x "$python" ]; then
  "$python" -B scripts/summarise_tests.py "$results" || code=$((code > 0 ? code : 1))
fi
exit "$code"
