#!/usr/bin/env bash
# Fuzzes all targets in turn, for MINUTES in total: scripts/fuzz.sh MINUTES. Adds inputs that reach new code to
# tests/fuzz/corpus. Prints the name of an input that ends a target and keeps it in build/fuzz/findings. Safe to run again.
. "$(dirname "$0")/setup.sh"

[[ "${1:-}" =~ ^[0-9]+([.][0-9]+)?$ ]] || fail "usage: scripts/fuzz.sh MINUTES"
targets=(dataset checkpoint json command_line)
seconds=$(awk -v minutes="$1" -v targets=${#targets[@]} 'BEGIN { printf "%d", minutes * 60 / targets + 0.5 }')
install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target "${targets[@]/#/fuzz_}"

mkdir -p build/fuzz/findings build/fuzz/new
runs=0 found=0
for target in "${targets[@]}"; do
  corpus=tests/fuzz/corpus/$target new=build/fuzz/new/$target program=build/fuzz/tests/fuzz/fuzz_$target
  mkdir -p "$new"
  say "$target for $seconds seconds"
  "$program" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -verbosity=1 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$target-" "$new" "$corpus" >"build/fuzz/$target.log" 2>&1 ||
    { found=$((found + 1)); grep -E "ERROR|fuzz:|runtime error|Test unit written" "build/fuzz/$target.log" || true; }
  done_here=$(awk '/number_of_executed_units/ { print $2 }' "build/fuzz/$target.log")
  echo "$target: ${done_here:-0} inputs"
  runs=$((runs + ${done_here:-0}))
  # Adds the fewest small inputs that reach all new branches, as long as the corpus stays small.
  if [ "$(cat "$corpus"/* | wc -c)" -lt 240000 ]; then
    "$program" -set_cover_merge=1 -use_counters=0 -max_len=1024 "$corpus" "$new" >>"build/fuzz/$target.log" 2>&1 || true
  fi
done
say "$runs inputs, $found targets with a finding"
[ "$found" = 0 ]
