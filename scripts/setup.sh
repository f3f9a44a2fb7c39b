#!/usr/bin/env bash
# Installs what building and running engraft needs. Safe to run again: the second time it only looks, in a second.
#
# usage: scripts/setup.sh [--cuda] [--tests] [--no-packages] [--help]
#
#   --cuda          also the NVIDIA libraries that a GPU needs (1 minute, 2.6 GB on disk)
#   --tests         also the packages of scripts/packages-test-debian.txt
#   --no-packages   leave the system's packages alone; say which are missing
#
# needs: Debian 12 or a relative (elsewhere the packages of scripts/packages-debian.txt by their names there); root or
#        a sudo that asks nothing, for packages only; the network, only while something is missing; 3 GB of disk.
# takes: about 3 minutes on a bare machine (libraries 40 s, the rest packages), less than 1 s when all is there.
#
# Packages come from scripts/packages-debian.txt by apt-get; LibTorch and OpenVINO as wheels of requirements.txt into
# .venv, without what only Python would import. Where LIBTORCH (a LibTorch, or a wheel's torch/) or Torch_DIR (the
# folder of TorchConfig.cmake) is set, that one is used and no torch wheel is fetched.
# ENGRAFT_PYTHON names the Python 3.10 or newer that makes .venv (default: python3, then /usr/bin/python3).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

with_cuda=no
with_packages=yes
lists=(scripts/packages-debian.txt)
while [ $# -gt 0 ]; do
  case "$1" in
    --cuda) with_cuda=yes ;;
    --tests) lists+=(scripts/packages-test-debian.txt) ;;
    --no-packages) with_packages=no ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
cd "$ENGRAFT_ROOT"
# One at a time in one checkout: a second run waits, then finds everything there.
exec 9<requirements.txt
if command -v flock >/dev/null 2>&1; then flock 9; fi

# --- the system's packages ---
packages_wanted() { sed 's/#.*//' "${lists[@]}" | tr -s ' \n' '\n' | sed '/^$/d'; }
packages_missing() {
  local installed
  # shellcheck disable=SC2046 # one word a package is what is meant
  installed=$({ dpkg-query -W -f='${Package} ${db:Status-Status}\n' $(packages_wanted) 2>/dev/null || true; } |
    awk '$2 == "installed" { print $1 }' | sort -u)
  packages_wanted | sort -u | comm -23 - <(printf '%s\n' "$installed") | tr '\n' ' ' | sed 's/ $//'
}
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
install_packages() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  # A dpkg that was killed must first finish what it began.
  as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a </dev/null >&2 || true
  as_root "${apt[@]}" update </dev/null >&2 || say "apt-get update failed; trying with the lists that are there"
  # shellcheck disable=SC2086
  as_root "${apt[@]}" install -y --no-install-recommends $1 </dev/null >&2
}
if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
  say "packages   not Debian: please install what corresponds to: $(packages_wanted | tr '\n' ' ')"
else
  missing=$(packages_missing)
  if [ -z "$missing" ]; then
    say "packages   all $(packages_wanted | wc -l) are there"
  elif [ "$with_packages" = no ]; then
    say "packages   missing: $missing"
  elif [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    fail "neither root nor a sudo that asks nothing; please run: sudo apt-get install --no-install-recommends $missing"
  else
    say "packages   installing: $missing"
    install_packages "$missing" || fail "apt-get could not install: $missing"
    missing=$(packages_missing)
    [ -z "$missing" ] || fail "apt-get ended well, but these are still missing: $missing"
  fi
fi

# --- LibTorch and OpenVINO ---
requirements=$(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' requirements.txt)
libtorch="${LIBTORCH:-}"
if [ -z "$libtorch" ] && [ -n "${Torch_DIR:-}" ]; then libtorch=$(cd "$Torch_DIR/../../.." && pwd); fi
if [ -n "$libtorch" ]; then
  [ -f "$libtorch/lib/libtorch_cpu.so" ] || fail "LIBTORCH or Torch_DIR names $libtorch, which has no lib/libtorch_cpu.so"
  requirements=$(grep -vE '^(torch|nvidia-.*)==' <<<"$requirements" || true)
fi
digest=$(digest_of <<<"$requirements")
stamp=.venv/.engraft-requirements
# The libraries are looked at as well: a stamp outlives a hand that cleans up.
whole() { [ -n "$libtorch" ] || compgen -G '.venv/lib/python3*/site-packages/torch/lib/libtorch_cpu.so' >/dev/null; }
if [ -f "$stamp" ] && ! whole; then rm -rf .venv; fi
if ! stamp_holds "$stamp" "$digest" || ! .venv/bin/python -c '' >/dev/null 2>&1; then
  python=$(find_python 10)
  [ -n "$python" ] || fail "no Python 3.10 or newer with venv and ensurepip (package python3-venv; or set ENGRAFT_PYTHON)"
  make_environment .venv "$python"
  say "libraries  fetching into .venv: $(tr '\n' ' ' <<<"$requirements")"
  if [ -n "$requirements" ]; then
    # shellcheck disable=SC2086 # one argument a requirement
    install_into .venv --no-deps $requirements
  fi
  whole || fail "pip ended well, but .venv has no torch/lib/libtorch_cpu.so"
  put_stamp "$stamp" "$digest"
fi

# --- what a GPU needs on top: the NVIDIA wheels that torch's own metadata asks for on Linux ---
# triton and cuda-bindings, which it names too, are for Python alone.
cuda_requirements() {
  cat .venv/lib/python3*/site-packages/torch-*.dist-info/METADATA |
    sed -n 's/^Requires-Dist: \(\(cuda-toolkit\|nvidia-\)[^;]*\);.*platform_system == "Linux".*/\1/p' | sed 's/ *$//'
}
if [ "$with_cuda" = yes ] && [ -n "$libtorch" ]; then
  say "cuda       left to $libtorch, which brings or finds its own libraries"
elif [ "$with_cuda" = yes ] && ! stamp_holds .venv/.engraft-cuda "$digest"; then
  mapfile -t wheels < <(cuda_requirements)
  [ ${#wheels[@]} -gt 0 ] || fail "the metadata of torch in .venv asks for no NVIDIA wheel on Linux: a CPU build?"
  say "cuda       fetching into .venv: ${wheels[*]}"
  # torch's own Python dependencies are left out on purpose, so pip's warning about them says nothing.
  install_into .venv --no-warn-conflicts "${wheels[@]}"
  put_stamp .venv/.engraft-cuda "$digest"
fi

# --- what there is ---
if [ -n "$libtorch" ]; then
  say "libtorch   $libtorch ($(size_of "$libtorch"))"
else
  say "libtorch   $(grep -oE '^torch==.*' <<<"$requirements" | cut -d= -f3) in .venv"
fi
if [ -f .venv/.engraft-cuda ]; then
  say "cuda       libraries in .venv"
else
  say "cuda       libraries not installed (scripts/setup.sh --cuda)"
fi
say "compiler   $(${CXX:-g++} --version 2>/dev/null | head -n 1 || echo none), $(cmake --version 2>/dev/null | head -n 1 || echo 'no cmake')"
say "size       .venv $(size_of .venv)"
say "next       scripts/build.sh"
