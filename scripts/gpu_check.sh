#!/usr/bin/env bash
# Packs a relocatable build with GoogLeNet and 100 small pictures, to run the main job where a GPU is.
#
# usage: scripts/gpu_check.sh [--out DIR] [--run] [--help]
#
#   --out DIR   where the pack goes (default: build/gpu-check; made anew)
#   --run       run the pack here afterwards; says plainly when there is no GPU
#
# The pack holds the program with its own libraries, except LibTorch's, and run.sh, which needs only LibTorch with CUDA
# (named by LIBTORCH, or the torch that python3 imports): it runs the tests that are labelled gpu, embeds on the CPU and
# on the GPU, in float32 and in bf16, and compares the rows, trains a head and one unfrozen block on the GPU in both, and
# evaluates the models on both. Below 60 MiB. With build/cuda (preset cuda) it has CUDA graphs.
#
# needs: scripts/build.sh has run, with the tests; the folder of real weights and pictures (ENGRAFT_SHARED, default ../shared).
# takes: seconds to pack; some minutes to run on a GPU.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=""
run=no
while [ $# -gt 0 ]; do
  case "$1" in
    --out) needs_value "$1" $# && out="$2" && shift ;;
    --run) run=yes ;;
    -h | --help) usage && exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
  shift
done
cd "$ENGRAFT_ROOT"
out="${out:-$ENGRAFT_ROOT/build/gpu-check}"
shared="${ENGRAFT_SHARED:-$ENGRAFT_ROOT/../shared}"
build="$ENGRAFT_ROOT/build/release"
[ -x "$build/bin/engraft" ] || fail "no build/release/bin/engraft; scripts/build.sh makes it"
[ -f "$shared/weights/googlenet_imagenet1k.pt" ] || fail "no weights/googlenet_imagenet1k.pt in $shared (set ENGRAFT_SHARED)"

rm -rf "$out"
mkdir -p "$out/bin" "$out/libexec/engraft" "$out/lib" "$out/tests" "$out/pictures"
cp "$build/bin/engraft" "$out/bin/"
cp "$build/libexec/engraft/engraft-run" "$out/libexec/engraft/"
for test in engine finetune; do
  [ -x "$build/tests/test_$test" ] || fail "no build/release/tests/test_$test; scripts/build.sh makes it"
  cp "$build/tests/test_$test" "$out/tests/"
done
if [ -f "$ENGRAFT_ROOT/build/cuda/lib/engraft/engraft_cuda.so" ]; then
  mkdir -p "$out/lib/engraft"
  cp "$ENGRAFT_ROOT/build/cuda/lib/engraft/engraft_cuda.so" "$out/lib/engraft/"
else
  say "gpu-check  without CUDA graphs: no build/cuda (scripts/build.sh cuda --target engraft_cuda)"
fi
strip "$out/bin/engraft" "$out/libexec/engraft/engraft-run" "$out"/tests/*
# Their libraries, without those of LibTorch and of the C and C++ runtimes, which are where LibTorch is.
for program in libexec/engraft/engraft-run tests/test_engine tests/test_finetune; do ldd "$build/$program"; done | awk '$3 ~ /^\// { print $3 }' |
  grep -vE '/(libc10[^/]*|libtorch[^/]*|libcud[^/]*|libcup[^/]*|libgomp[^/]*|libc|libm|libdl|librt|libutil|libpthread|libgcc_s|libstdc\+\+)\.so' |
  sort -u | xargs -r -I{} cp -L {} "$out/lib/"
cp "$shared/weights/googlenet_imagenet1k.pt" "$out/"
for split in train:40 val:10; do
  for class in ants bees; do
    mkdir -p "$out/pictures/${split%:*}/$class"
    find "$shared/data/hymenoptera/${split%:*}/$class" -name '*.jpg' -printf '%s %p\n' | sort -n | head -n "${split#*:}" |
      cut -d' ' -f2- | xargs -r -I{} cp {} "$out/pictures/${split%:*}/$class/"
  done
done

cat >"$out/run.sh" <<'RUN'
#!/usr/bin/env bash
# The main job on the CPU and on the GPU. LIBTORCH names a LibTorch with CUDA (default: the torch of python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
libtorch="${LIBTORCH:-$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')}"
LD_LIBRARY_PATH="$PWD/lib:$libtorch/lib:$(find "$(dirname "$libtorch")/nvidia" -maxdepth 3 -name lib -type d 2>/dev/null | paste -sd:)"
export LD_LIBRARY_PATH
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no NVIDIA driver"
for test in tests/*; do OMP_WAIT_POLICY=passive "$test" "[gpu]"; done
rm -rf cpu gpu gpu-bf16 run run-bf16
data=(--backbone googlenet_imagenet1k.pt --data pictures --quiet)
bin/engraft embed "${data[@]}" --out cpu --device cpu --precision f32 --json
bin/engraft embed "${data[@]}" --out gpu --device cuda --precision f32 --json
bin/engraft embed "${data[@]}" --out gpu-bf16 --device cuda --precision bf16 --json
python3 - <<'PY'
import numpy
a = numpy.load("cpu/features-00000.npy")
good = True
for name, most in (("gpu", 1e-2), ("gpu-bf16", 1e-1)):
    b = numpy.load(f"{name}/features-00000.npy")
    worst = float((abs(a - b).max(1) / abs(a).max(1)).max())
    print(f"{name} against CPU: {len(a)} rows, worst row differs by {worst:.2e} of its largest value, at most {most}")
    good = good and worst <= most
raise SystemExit(not good)
PY
for run in run:f32 run-bf16:bf16; do
  bin/engraft train "${data[@]}" --out "${run%:*}" --device cuda --precision "${run#*:}" \
    --stage unfreeze=i5b,epochs=3,optimizer=sgd,learning_rate=1e-3
  for device in cpu cuda; do
    bin/engraft evaluate --model "${run%:*}/model.pt" --data pictures --device "$device" --quiet
  done
done
RUN
chmod +x "$out/run.sh"
say "gpu-check  $out, $(size_of "$out")"
[ "$(du -sk "$out" | cut -f1)" -lt $((60 * 1024)) ] || fail "the pack is larger than 60 MiB"
if [ "$run" = yes ]; then "$out/run.sh"; fi
