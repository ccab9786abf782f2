#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. With --sanitize, the tests first run under AddressSanitizer with
# UndefinedBehaviorSanitizer and under ThreadSanitizer, and each fuzz target for 20 seconds. With --full, the compiled
# kernels are interpreted in every test of an op; this takes longer than everything else together. Safe to run again.
. "$(dirname "$0")/setup.sh"

sanitize=no full=OFF
for option in "$@"; do
  case "$option" in
    --sanitize) sanitize=yes ;;
    --full) full=ON ;;
    *) fail "usage: scripts/test.sh [--sanitize] [--full]" ;;
  esac
done
jobs=$(nproc)

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
get_toolkit  # the tests compile the kernels for two architectures, and run them on an emulator
if [ "$sanitize" = yes ]; then
  build asan
  say "Tests under AddressSanitizer and UndefinedBehaviorSanitizer"
  ctest --preset asan -j "$jobs" --progress
  scripts/fuzz.sh 1.4  # 20 seconds of each target
  build tsan -DCMAKE_CXX_COMPILER=clang++  # so that both compilers build everything
  say "Tests under ThreadSanitizer"
  ctest --preset tsan -j "$jobs" --progress
fi
build test -DCUVAE_BUILD_TESTS=ON -DCUVAE_BUILD_BENCH=ON -DCUVAE_FULL_TESTS="$full"
say "Tests"
ctest --preset test -j "$jobs" --progress
