#!/usr/bin/env bash
# Trains for MINUTES with a validation and a checkpoint in every epoch: scripts/soak.sh MINUTES [CUVAE]. The resident
# memory and the number of open descriptors of the process must not grow.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?usage: scripts/soak.sh MINUTES [CUVAE]}
cuvae=${2:-build/release/cuvae}
folder=$(mktemp -d)
process=
trap '[ -z "$process" ] || kill -9 "$process" 2>/dev/null || true; rm -rf "$folder"' EXIT

"$cuvae" train --quiet --data data/mnist-10k --out "$folder/run" --epochs 100000000 --batch 250 --validation 0.1 \
  --threads 1 --hidden 100 --latent 5 --ema 0.99 &
process=$!
until [ -s "$folder/run/metrics.jsonl" ]; do
  kill -0 "$process" || exit 1
  sleep 0.2
done

samples=0 least_kib=0 most_kib=0 least_files=0 most_files=0 first_kib=0
end=$(($(date +%s) + minutes * 60))
start=$(date +%s)
while [ "$(date +%s)" -lt "$end" ]; do
  kib=$(awk '/^VmRSS/ {print $2}' "/proc/$process/status")
  files=$(find "/proc/$process/fd" -mindepth 1 | wc -l)
  [ -n "$kib" ] || { echo "the training ended after $(($(date +%s) - start)) s"; exit 1; }
  # During the first tenth of the time, the allocator fills its pools.
  if [ $(($(date +%s) - start)) -ge $((minutes * 6)) ]; then
    if [ "$samples" -eq 0 ]; then first_kib=$kib least_kib=$kib most_kib=$kib least_files=$files most_files=$files; fi
    samples=$((samples + 1))
    [ "$kib" -ge "$least_kib" ] || least_kib=$kib
    [ "$kib" -le "$most_kib" ] || most_kib=$kib
    [ "$files" -ge "$least_files" ] || least_files=$files
    [ "$files" -le "$most_files" ] || most_files=$files
  fi
  sleep 2
done

epochs=$(wc -l <"$folder/run/metrics.jsonl")
kill -TERM "$process"  # a shell starts its background processes with SIGINT ignored
wait "$process" || code=$?
process=
[ "${code:-0}" -eq 143 ] || { echo "the training ended with exit code ${code:-0}"; exit 1; }
echo "$minutes minutes, $epochs epochs, $samples samples: resident memory $first_kib KiB, then $least_kib to $most_kib KiB;" \
  "open descriptors $least_files to $most_files"
# A checkpoint opens its folder and its file: two more descriptors for a short time.
if [ $((most_kib - first_kib)) -gt 1024 ] || [ $((most_files - least_files)) -gt 2 ]; then
  echo "the memory or the number of descriptors grew"
  exit 1
fi
