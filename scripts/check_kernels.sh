#!/usr/bin/env bash
# Prints registers, shared memory and spills of every compiled kernel: scripts/check_kernels.sh BUILD_FOLDER. Fails if a
# kernel spills registers or has a stack frame. Reads the objects with cuobjdump; without cuobjdump, compiles the device
# code once more and reads the output of ptxas.
set -euo pipefail
fail() { echo "check_kernels.sh: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: scripts/check_kernels.sh BUILD_FOLDER"
commands=$1/compile_commands.json
[ -e "$commands" ] || fail "$commands does not exist: was the folder configured with nvcc?"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# One command per line. CMake writes the JSON with one key per line.
sed -n 's/^ *"command": "\(.*\)",\{0,1\}$/\1/p' "$commands" | sed 's/\\"/"/g; s/\\\\/\\/g' | grep -E '\.cu( |$)' >"$work/compile" ||
  fail "no kernels in $commands"
nvcc=$(head -n 1 "$work/compile" | grep -oE '[^ ]*/nvcc( |$)' | head -n 1 | tr -d ' ')
cuobjdump=$(command -v "$(dirname "$nvcc")/cuobjdump" || command -v cuobjdump || true)

# Lines "kernel architecture registers shared stack spilled", each from one kernel's code for one architecture.
if [ -n "$cuobjdump" ]; then
  grep -oE ' -o [^ ]+' "$work/compile" | cut -c5- >"$work/objects"
  while read -r object; do
    (cd "$1" && "$cuobjdump" --dump-resource-usage "$object") || fail "cannot read $object: is it built?"
  done <"$work/objects" >"$work/usage" 2>"$work/log" || { tail -n 3 "$work/log" >&2; exit 1; }
  awk '/^arch = / { arch = $3 }
       / Function / { sub(":$", "", $2); kernel = $2 }
       /REG:/ { for (i = 1; i <= NF; ++i) { split($i, v, ":"); n[v[1]] = v[2] }
                print kernel, arch, n["REG"], n["SHARED"], n["STACK"], n["LOCAL"] }' "$work/usage" >"$work/kernels"
else
  while read -r command; do
    device=$(sed -E "s# -o [^ ]+# -o $work/fatbin#; s# -c # -fatbin #" <<<"$command")
    (cd "$1" && eval "$device -Xptxas=-v") || fail "this failed: $device"
  done <"$work/compile" >"$work/usage" 2>&1 || { tail -n 3 "$work/usage" >&2; exit 1; }
  awk -F"'" '/Compiling entry function/ { kernel = $2; arch = $4 }
       /bytes stack frame/ { split($0, v, /[^0-9]+/); stack = v[2]; spilled = v[3] + v[4] }
       /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
         shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
         print kernel, arch, registers, shared, stack, spilled }' "$work/usage" >"$work/kernels"
fi
[ -s "$work/kernels" ] || fail "no kernels found"

{
  echo "arch registers shared stack spilled kernel"
  while read -r kernel arch rest; do
    # The name without its arguments and namespaces.
    name=$(c++filt -p "$kernel" 2>/dev/null || echo "$kernel")
    echo "$arch $rest ${name//[[:space:]]/}"
  done <"$work/kernels" | sed -E 's/cuvae::cuda::|\(anonymousnamespace\)::|_GLOBAL__N__[^:]*:://g' | sort -t ' ' -k 6,6 -k 1,1V
} | column -t
awk '$5 + $6 > 0 { ++bad } END { if (bad) { print bad " kernels spill registers or have a stack frame"; exit 1 } }' "$work/kernels" >&2
