#!/usr/bin/env bash
# Gets a CUDA toolkit without root: scripts/toolkit.sh [FOLDER]. Installs NVIDIA's compiler, runtime, cuBLAS and cuRAND
# headers from PyPI into FOLDER (for CMake: -D CUVAE_TOOLKIT=FOLDER). Without FOLDER it installs into build/toolkit, where
# CMake finds it, unless the system has CUDA 12 or newer. Does nothing if it is already installed. About 2 GB.
set -euo pipefail
fail() { echo "toolkit.sh: $*" >&2; exit 1; }

# Versions that were tested together.
PACKAGES='
nvidia-cuda-nvcc==13.0.88
nvidia-nvvm==13.0.88
nvidia-cuda-crt==13.0.88
nvidia-cuda-cccl==13.0.85
nvidia-cuda-runtime==13.0.96
nvidia-cublas==13.1.0.3
nvidia-curand==10.4.0.35
'

# Whether this nvcc is of CUDA 12 or newer.
usable() { [ -x "$1" ] && "$1" --version 2>/dev/null | grep -qE 'release (1[2-9]|[2-9][0-9])'; }

[ $# -le 1 ] || fail "usage: scripts/toolkit.sh [FOLDER]"
if [ $# -eq 1 ]; then
  mkdir -p "$(dirname "$1")"
  prefix=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
else
  for nvcc in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    usable "$nvcc" && exit 0
  done
  prefix=$(cd "$(dirname "$0")/.." && pwd)/build/toolkit
  mkdir -p "$(dirname "$prefix")"
fi
[ "$(cat "$prefix/packages.txt" 2>/dev/null)" = "$PACKAGES" ] && usable "$prefix/bin/nvcc" && exit 0

work=$(mktemp -d "$prefix.XXXXXX")
trap 'rm -rf "$work"' EXIT
command -v python3 >/dev/null || fail "python3 is missing (Debian/Ubuntu: apt install python3-venv)"
pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
  python3 -m venv "$work/venv" >/dev/null 2>&1 || fail "pip is missing (Debian/Ubuntu: apt install python3-venv)"
  pip=("$work/venv/bin/pip")
fi

echo "Downloading a CUDA toolkit from PyPI into $prefix (NVIDIA's licence applies)"
echo "$PACKAGES" >"$work/packages.txt"
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --retries 2 \
  --dest "$work/wheels" --requirement "$work/packages.txt" 2>"$work/log" ||
  fail "the download failed: $(grep -m 1 -E '^ERROR' "$work/log" || tail -n 1 "$work/log")"
for wheel in "$work"/wheels/*.whl; do
  python3 -m zipfile -e "$wheel" "$work/unpacked"
done

# The wheels contain a toolkit under nvidia/cu13, without the links and permissions that a linker and a shell need.
root=$work/unpacked/nvidia/cu13
[ -e "$root/bin/nvcc" ] || fail "the wheels do not contain nvidia/cu13/bin/nvcc"
chmod -R a+x "$root/bin" "$root/nvvm/bin"
ln -sfn lib "$root/lib64"
for library in "$root"/lib/*.so.*; do
  name=$(basename "$library")
  ln -sfn "$name" "$root/lib/${name%%.so.*}.so"
done
printf '%s\n' "$PACKAGES" >"$root/packages.txt"

# Compiles and runs a program that uses everything, before the toolkit is moved into place.
cat >"$work/try.cu" <<'CODE'
#include <cublasLt.h>
#include <curand_philox4x32_x.h>
__global__ void kernel(uint4* p) { *p = curand_Philox4x32_10(*p, make_uint2(1, 2)); }
int main() { return cublasLtGetVersion() == 0; }
CODE
"$root/bin/nvcc" -std=c++20 -arch=sm_90 "$work/try.cu" -lcublasLt -o "$work/try" >"$work/log" 2>&1 ||
  { tail -n 5 "$work/log" >&2; fail "the toolkit does not compile a program (is g++ installed?)"; }
LD_LIBRARY_PATH="$root/lib" "$work/try" || fail "a program linked with the toolkit does not run"

rm -rf "$prefix"
mv "$root" "$prefix"
