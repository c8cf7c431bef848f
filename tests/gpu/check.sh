#!/usr/bin/env bash
# Check the package on a machine with one GPU, in less than 9 minutes: ./tests/gpu/check.sh
#
# Run it from the root of the repository. Each phase has its own time limit and writes its output to
# a file of $OUT (default: a new folder) as it runs; $OUT/00-summary.txt has the exit status of all.
# Nothing has to be installed: wheels in .whl/ are unpacked, MNIST is taken from LEAF_DATA or .mnist/.
# Without CUDA, or with LEAF_CHECK_DEVICE=cpu, the same phases run in a short form on the CPU.
set -u -o pipefail
OUT=${OUT:-$(mktemp -d)}
mkdir -p "$OUT"
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
export PYTHONUNBUFFERED=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
export PYTHONPATH=$site:$PWD:$PWD/tb_plugin${PYTHONPATH:+:$PYTHONPATH}
[ -z "${LEAF_DATA:-}" ] && [ -d .mnist/MNIST ] && export LEAF_DATA=$PWD/.mnist
if ls .whl/*.whl >/dev/null 2>&1; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" .whl/*.whl || exit 3
fi
device=${LEAF_CHECK_DEVICE:-$(python3 -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')}
if [ "$device" = cuda ]; then
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}
  chosen=(-m gpu)
else
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} CUDA_VISIBLE_DEVICES=
  chosen=(-m "not gpu" -k "cpu or float32 or test_training.py")
fi
: >"$OUT/00-summary.txt"
failed=0

phase() { # name seconds command...
  local name=$1 limit=$2 started=$SECONDS status
  shift 2
  timeout -k 5 "$limit" "$@" >"$OUT/$name.txt" 2>&1
  status=$?
  tail -n "${TAIL:-25}" "$OUT/$name.txt"
  [ "$status" = 0 ] || failed=1
  printf '%-18s rc %3d %4d s of %3d, total %4d s\n' \
    "$name" "$status" $((SECONDS - started)) "$limit" "$SECONDS" | tee -a "$OUT/00-summary.txt"
}
tests() { # name seconds files...
  local name=$1 limit=$2
  shift 2
  phase "$name" "$limit" python3 -m pytest -q -p no:cacheprovider --durations=8 \
    -o filterwarnings=default "${chosen[@]}" "$@"
}
benchmark() { # name seconds benchmark
  TAIL=60 phase "$1" "$2" python3 -m tests.gpu.benchmark "$3" "$device"
}

phase 01-machine 15 python3 -m tests.gpu.machine "$device"
# Fast tests first. The simulated device is no part of the check of a GPU.
tests 10-measurements 55 tests/gpu/test_devices.py tests/gpu/test_measurements.py \
  tests/geometry/test_data_matrix.py tests/paths/test_horizontal_path.py
tests 11-models 45 tests/gpu/test_models.py tests/gpu/test_captured_steps.py
tests 12-training 40 tests/gpu/test_training.py
TAIL=60 phase 20-probe 75 python3 -m tests.gpu.probe "$device"
tests 30-undisturbed 90 tests/undisturbed/test_matrix.py
benchmark 40-paths 35 paths
benchmark 41-exact 25 exact
benchmark 42-limits 50 limits
benchmark 43-chunks 30 chunks
benchmark 50-monitor 70 monitor_cost
cat "$OUT/00-summary.txt"
echo "tables in $OUT"
exit "$failed"
