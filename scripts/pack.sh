#!/usr/bin/env bash
# Packs the programs of a build folder for scripts/gpu.sh on another machine: scripts/pack.sh [BUILD_FOLDER] writes
# build/carry.tar.xz with the stripped CUDA tests, benchmarks and command line, and with shared libraries that the other
# machine may lack (not CUDA's, which are large and usually installed).
. "$(dirname "$0")/setup.sh"

build=${1:-build/release}
[ -x "$build/bench/cuvae-bench" ] || fail "there are no programs in $build"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bench" "$work/tests" "$work/lib"
strip -o "$work/bench/cuvae-bench" "$build/bench/cuvae-bench"
[ ! -x "$build/cuvae" ] || strip -o "$work/cuvae" "$build/cuvae"
for program in "$build"/tests/test_*; do
  [ -f "$program" ] || continue
  CUVAE_REQUIRE_CUDA=1 "$program" --gtest_list_tests --gtest_filter='*cuda*:*Cuda*-CliTest.*' 2>/dev/null | grep -qi cuda || continue
  strip -o "$work/tests/$(basename "$program")" "$program"
done
ldd "$build/bench/cuvae-bench" | awk '/=> \// { print $3 }' |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libgomp|libz|libcu[A-Za-z]*)\.so' | xargs -I{} cp -L {} "$work/lib/"
# All programs contain the same library. So a dictionary larger than each program makes the archive three times smaller.
XZ_OPT='--lzma2=preset=4,dict=64MiB' tar -cJf build/carry.tar.xz -C "$work" .
say "build/carry.tar.xz: $(find "$work/tests" -type f | wc -l) tests, $(du -h build/carry.tar.xz | cut -f 1)"
