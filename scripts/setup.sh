# Sourced by the other scripts. Defines say, fail, install_packages, have_gpu, get_toolkit and build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

BUILD_PACKAGES=(g++ cmake ninja-build libdnnl-dev libcli11-dev nlohmann-json3-dev libstb-dev zlib1g-dev)
TEST_PACKAGES=(ccache libgtest-dev libbenchmark-dev clang libomp-dev)

# Installs the packages that are missing and prints their names.
install_packages() {
  local missing=() p
  command -v dpkg-query >/dev/null || fail "this script installs Debian or Ubuntu packages; on another system install what corresponds to: $* and use CMake (README.md)"
  for p in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "Installing packages: ${missing[*]}"
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "packages are missing, and neither root nor sudo is available: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  local log
  log=$(mktemp)
  # The lists of packages may be missing (in a new image) or old. So the second try is with new lists.
  if ! { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
         { "${sudo[@]}" apt-get update && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; }; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "apt-get could not install: ${missing[*]}"
  fi
  rm -f "$log"
}

# Whether there is an NVIDIA GPU.
have_gpu() { [ -e /dev/nvidiactl ] || nvidia-smi -L >/dev/null 2>&1; }

# Gets a CUDA toolkit if the system has none. If that fails (no network), everything else still builds.
get_toolkit() {
  install_packages python3-venv
  scripts/toolkit.sh || say "Continuing without a CUDA toolkit: the CUDA backend and its emulated tests are left out"
}

# If there is a compiler cache, builds in all folders share it.
use_cache() {
  command -v ccache >/dev/null || return 0
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
}

# build PRESET [cmake options]: configures quietly, then builds.
build() {
  local preset=$1
  shift
  use_cache
  say "Building ($preset)"
  mkdir -p build
  local log="build/$preset.configure.log"
  cmake --preset "$preset" "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "configuring failed; the whole log is $log"; }
  sed -n 's/^-- cuvae: //p' "$log"
  cmake --build --preset "$preset"
}
