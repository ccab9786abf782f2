#!/usr/bin/env bash
# Runs everything that needs an NVIDIA GPU, in about twelve minutes, the sum of the stages' limits:
#   scripts/gpu.sh [--quick] [--only STAGES] [--build FOLDER] [OUT]
# STAGES is a list of: tests,sanitizer,kernels,step,estimators,peers. Uses the programs in the build folder
# (build/release), also if another machine built them for the same architecture (see pack.sh). If there are none, builds
# them. Writes tables and raw JSON to OUT (build/gpu). If a stage fails or runs out of time, the others still run; the
# exit code is then 1, and the last lines name the stage. PYTHON is a Python with torch and jax (python3).
. "$(dirname "$0")/setup.sh"

quick=no only=tests,sanitizer,kernels,step,estimators,peers build=build/release out=
usage="usage: scripts/gpu.sh [--quick] [--only tests,sanitizer,kernels,step,estimators,peers] [--build FOLDER] [OUT]"
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=yes ;;
    --only) [ $# -gt 1 ] || fail "$usage"; only=$2; shift ;;
    --build) [ $# -gt 1 ] || fail "$usage"; build=$2; shift ;;
    -*) fail "$usage" ;;
    *) [ -z "$out" ] || fail "$usage"; out=$1 ;;
  esac
  shift
done
for name in ${only//,/ }; do
  case "$name" in tests | sanitizer | kernels | step | estimators | peers) ;; *) fail "no stage '$name'; $usage" ;; esac
done
out=${out:-build/gpu}
python=${PYTHON:-python3}

gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1) || true
[ -n "$gpu" ] || fail "there is no NVIDIA GPU here: nvidia-smi lists none"

packed=build/carry.tar.xz
if [ ! -x "$build/bench/cuvae-bench" ] && [ -e "$packed" ]; then
  say "Unpacking $packed"
  mkdir -p "$build"
  tar -xJf "$packed" -C "$build" 2>/dev/null || "$python" -m tarfile -e "$packed" "$build"  # if there is no xz
fi
if [ -x "$build/bench/cuvae-bench" ]; then
  say "Using the programs in $build"
else
  [ "$build" = build/release ] || fail "there are no programs in $build"
  install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
  scripts/toolkit.sh
  build release -DCUVAE_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native
fi

mkdir -p "$out"
out=$(cd "$out" && pwd)

# Finds libraries that the programs need but the loader does not find: those in the build folder, and cuBLASLt. Only the
# project's own programs use them.
bench=$PWD/$build/bench/cuvae-bench runner=()
[[ $build != /* ]] || bench=$build/bench/cuvae-bench
rm -rf "${out:?}/lib"
missing() { "${runner[@]}" ldd "$bench" 2>/dev/null | awk '/not found/ { print $1 }' | sort -u; }
supply() {
  local name site found
  for name in $(missing); do
    mkdir -p "$out/lib"
    runner=(env "LD_LIBRARY_PATH=$out/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null || true)
    found=$(find "${bench%/bench/*}/lib" /usr/local/cuda*/ ${site:+"$site/nvidia/"} -name "$name" 2>/dev/null | head -n 1 || true)
    [ -n "$found" ] || fail "the programs in $build need $name, which is not on this machine"
    ln -sfn "$(readlink -f "$found")" "$out/lib/$name"
  done
}
supply
supply  # again, for the libraries that the first ones need
if [ ${#runner[@]} -gt 0 ]; then
  [ -z "$(missing)" ] || fail "the programs in $build need libraries that are not on this machine: $(missing | tr '\n' ' ')"
  printf '#!/bin/bash\nexec env %q %q "$@"\n' "${runner[1]}" "$bench" >"$out/lib/cuvae-bench"
  chmod +x "$out/lib/cuvae-bench"
  bench=$out/lib/cuvae-bench
fi

export CUVAE_REQUIRE_CUDA=1 CUVAE_SOURCE_DIR=$PWD
commit=${CUVAE_COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
{
  echo "{\"gpu\": \"$gpu\", \"commit\": \"$commit\", \"date\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\","
  echo " \"system\": \"$(uname -srm)\", \"quick\": \"$quick\", \"only\": \"$only\"}"
} >"$out/run.json"

passed=() failed=() deadline=0
# stage NAME SECONDS: runs the function run_NAME, if NAME is chosen, for at most SECONDS.
stage() {
  local name=$1
  [[ ,$only, == *,$name,* ]] || return 0
  say "$name"
  deadline=$((SECONDS + $2)) problems=
  local start=$SECONDS
  if "run_$name"; then passed+=("$name"); else failed+=("$name${problems:+:$problems}"); fi
  echo "($((SECONDS - start)) s)"
  summarize  # after each stage, so that an interrupted run keeps its results
}
summarize() {
  {
    echo "$gpu; commit $commit; $(date -u +%Y-%m-%d)"
    echo
    echo "passed: ${passed[*]:-none}"
    [ ${#failed[@]} -eq 0 ] || printf 'FAILED: %s\n' "${failed[@]}"
    for table in tests kernels step train estimators peers_fp32 peers_tf32 peers_bf16; do
      [ ! "$out/$table.md" -nt "$out/run.json" ] || { printf '\n## %s\n\n' "$table"; cat "$out/$table.md"; }
    done
  } >"$out/summary.md"
}
# limited SECONDS COMMAND: runs a command for at most SECONDS and at most as long as its stage.
limited() {
  local seconds=$((deadline - SECONDS)) code=0
  [ "$1" -gt "$seconds" ] || seconds=$1
  shift
  [ "$seconds" -gt 0 ] || { echo "no time left for: $*" >&2; return 1; }
  timeout -k 20 "$seconds" "$@" || code=$?
  [ "$code" -ne 124 ] || echo "stopped after $seconds s: $*" >&2
  return "$code"
}

cuda_tests='*cuda*:*Cuda*-CliTest.*'  # tests of the command line need the programs in the folder where they were built
run_tests() {
  local program name
  rm -rf "$out/tests"
  mkdir -p "$out/tests"
  for program in "$build"/tests/test_*; do
    name=$(basename "$program")
    [ -f "$program" ] || continue
    "${runner[@]}" "$program" --gtest_list_tests --gtest_filter="$cuda_tests" 2>/dev/null | grep -qi cuda || continue
    limited 60 "${runner[@]}" "$program" --gtest_filter="$cuda_tests" --gtest_brief=1 --gtest_output="json:$out/tests/$name.json" \
      >"$out/tests/$name.log" 2>&1 || { problems+=" $name"; tail -n 20 "$out/tests/$name.log"; }
  done
  "$python" bench/tables.py tests "$out"/tests/*.json | tee "$out/tests.md" || problems+=" (failed or skipped tests)"
  [ -z "$problems" ]
}

# Leaves out tests that repeat the same work: a sanitizer finds nothing new in them.
run_sanitizer() {
  local tool name sanitizer tools=(memcheck racecheck) filter='*cuda*:*Cuda*-*EveryTime*'
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
    { echo "compute-sanitizer is not installed: skipped"; return 0; }
  [ "$quick" = no ] || tools=(memcheck)
  mkdir -p "$out/sanitizer"
  for tool in "${tools[@]}"; do
    for name in gather latent likelihood linear metrics optimizer weights probes device_noise; do
      [ -x "$build/tests/test_$name" ] || continue
      limited 40 "${runner[@]}" "$sanitizer" --tool "$tool" --kernel-name kns=cuvae --error-exitcode 9 \
        "$build/tests/test_$name" --gtest_filter="$filter" \
        --gtest_brief=1 >"$out/sanitizer/$tool.$name.log" 2>&1 || problems+=" $tool.$name"
      if grep -q 'Device not supported' "$out/sanitizer/$tool.$name.log"; then
        echo "compute-sanitizer does not support this machine's device: skipped"
        problems=
        return 0
      fi
      echo "$tool test_$name: $(grep 'SUMMARY' "$out/sanitizer/$tool.$name.log" | tail -n 1 || echo 'no summary')"
    done
  done
  [ -z "$problems" ]
}

run_kernels() {
  local seconds=0.2
  [ "$quick" = no ] || seconds=0.05
  limited 600 "$bench" kernels --json --seconds "$seconds" >"$out/kernels.jsonl" || problems+=" fp32"
  "$python" bench/tables.py kernels "$out/kernels.jsonl" | tee "$out/kernels.md" || problems+=" table"
  [ -z "$problems" ]
}

# The precisions that this build has.
precisions=()
find_precisions() {
  local p text
  [ ${#precisions[@]} -eq 0 ] || return 0
  for p in fp32 tf32 bf16; do
    text=$(limited 30 "$bench" step --device cuda --precision "$p" --batch 1 --seconds 0.001 2>&1) ||
      [[ $text != *"not available"* ]] || continue
    precisions+=("$p")
  done
}

run_step() {
  local p seconds=1
  find_precisions
  [ "$quick" = no ] || seconds=0.3
  : >"$out/step.jsonl"
  for p in "${precisions[@]}"; do
    limited 600 "$bench" step --device cuda --precision "$p" --batch 128 256 512 1024 2048 4096 8192 --json \
      --seconds "$seconds" >>"$out/step.jsonl" || problems+=" $p"
  done
  "$python" bench/tables.py step "$out/step.jsonl" | tee "$out/step.md" || problems+=" table"
  run_train
  [ -z "$problems" ]
}
# A whole run of the command line. It shows what the loop of epochs costs in addition to its steps.
run_train() {
  local epochs=20
  [ "$quick" = no ] || epochs=5
  [ -x "$build/cuvae" ] || return 0
  limited 30 "${runner[@]}" "$build/cuvae" train --device cuda --data data/mnist-10k --out "$out/train" --overwrite --epochs "$epochs" \
    >"$out/train.md" 2>&1 || problems+=" train"
  tail -n 1 "$out/train/metrics.jsonl" || problems+=" train"
}

# If its time is over, it still writes tables of the finished measurements.
run_estimators() {
  local budget=0.1
  [ "$quick" = no ] || budget=0.02
  rm -rf "$out/estimators"
  limited 170 env CUVAE_COMMIT="$commit" "$bench" estimators --device cuda --suite cost vae snr --budget "$budget" \
    --data data/mnist-10k --out "$out/estimators" >"$out/estimators.log" 2>&1 ||
    { [ $? -eq 124 ] && [ -s "$out/estimators/results.csv" ]; } || problems+=" (see estimators.log)"
  { echo '```'; grep -v '^\[' "$out/estimators.log"; echo '```'; } >"$out/estimators.md"
  [ -z "$problems" ]
}

run_peers() {
  local p peers=() batches rounds=3
  [ "$quick" = no ] || rounds=2
  export TORCHINDUCTOR_COMPILE_THREADS=4
  if "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    peers+=(torch:eager torch:reduce-overhead torch:graph)
  fi
  if "$python" -c 'import jax; jax.devices("cuda")' 2>/dev/null; then peers+=(jax); fi
  find_precisions
  [ ${#peers[@]} -gt 0 ] || { echo "$python has no torch or jax that can use the GPU: skipped"; return 0; }
  for p in "${precisions[@]}"; do
    batches=(128 8192)
    [ "$p $quick" != "fp32 no" ] || batches=(128 1024 8192)
    limited 95 "$python" bench/compare_step.py --cuvae "$bench" --python "$python" --device cuda --precision "$p" --peers \
      "${peers[@]}" --batch "${batches[@]}" --rounds "$rounds" --seconds 0.5 --out "$out/peers_$p" || problems+=" $p"
  done
  [ -z "$problems" ]
}

echo "$gpu; commit $commit"
stage tests 90
stage sanitizer 70
stage kernels 45
stage step 60
stage estimators 180
stage peers 240

say "Results in $out"
summarize
sed -n '3,/^$/p' "$out/summary.md"
[ ${#failed[@]} -eq 0 ]
