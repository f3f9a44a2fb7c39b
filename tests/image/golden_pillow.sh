#!/usr/bin/env bash
# Runs golden_pillow.py with the tests' Python: all pictures of the shared folder, about three minutes.
#
# usage: golden_pillow.sh PIXELS SOURCE_DIR [PYTHON]
#
# PYTHON: as given, else $ENGRAFT_TEST_PYTHON, else SOURCE_DIR/.venv-test/bin/python. Where it or the shared folder is
# missing, prints SKIPPED and its reason; where ENGRAFT_SHARED is set, a missing Python is a failure.
set -euo pipefail
if [[ "${1:-}" == "--help" || "${1:-}" == -* || $# -lt 2 ]]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  [[ "${1:-}" == "--help" ]] || exit 2
  exit 0
fi
pixels=$1
source_dir=$2
python=${3:-}
python=${python:-${ENGRAFT_TEST_PYTHON:-$source_dir/.venv-test/bin/python}}
shared=${ENGRAFT_SHARED:-$source_dir/../shared}
if ! "$python" -c 'import PIL, torchvision, numpy' 2>/dev/null; then
  if [[ -n "${ENGRAFT_SHARED:-}" ]]; then
    echo "golden_pillow.sh: $python has no Pillow and torchvision" >&2
    exit 1
  fi
  echo "SKIPPED: $python has no Pillow and torchvision (scripts/test.sh makes it)"
  exit 0
fi
if [[ ! -d "$shared/data" ]]; then
  if [[ -n "${ENGRAFT_SHARED:-}" ]]; then
    echo "golden_pillow.sh: ENGRAFT_SHARED is $shared, which has no data/" >&2
    exit 1
  fi
  echo "SKIPPED: no shared pictures (set ENGRAFT_SHARED)"
  exit 0
fi
exec "$python" "$source_dir/tests/image/golden_pillow.py" "$pixels" --shared "$shared"
