#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. With --sanitize the tests also run under AddressSanitizer with
# UndefinedBehaviorSanitizer, and under ThreadSanitizer, first. Safe to run again.
. "$(dirname "$0")/setup.sh"

sanitize=no
case "${1:-}" in
  "") ;;
  --sanitize) sanitize=yes ;;
  *) fail "usage: scripts/test.sh [--sanitize]" ;;
esac
jobs=$(nproc)

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
get_toolkit  # the kernels are compiled, and run on an emulator
if [ "$sanitize" = yes ]; then
  build asan
  say "Tests under AddressSanitizer and UndefinedBehaviorSanitizer"
  ctest --preset asan -j "$jobs" --progress
  build tsan -DCMAKE_CXX_COMPILER=clang++  # so that both compilers build everything
  say "Tests under ThreadSanitizer"
  ctest --preset tsan -j "$jobs" --progress
fi
build release -DCUVAE_BUILD_TESTS=ON -DCUVAE_BUILD_BENCH=ON
say "Tests"
ctest --preset release -j "$jobs" --progress
