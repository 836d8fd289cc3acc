#!/usr/bin/env bash
# How training treats memory. With valgrind: a short training and its resumption, every invalid access, use of what was never
# set and leak an error, but for what scripts/valgrind.supp says of LibTorch. Then 100 epochs on a data set, validated and saved
# each: resident memory must grow by less than 1 MiB after the first epochs, and peak at most 200 MiB and the data above the
# program's start.
# Arguments: the handgrad program [build/handgrad], the data for the second part [MNIST_DIR, else synthetic].
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
scripts=$(realpath -- "$(dirname "${BASH_SOURCE[0]}")")
program=$(realpath -- "${1:-$scripts/../build/handgrad}")
data=${2:-${MNIST_DIR:-synthetic}}
if [[ $data != synthetic ]]; then data=$(realpath -- "$data"); fi
[[ -x $program ]] || fail "$program is no program; build handgrad first"
command -v valgrind >/dev/null || fail "no valgrind here; install it with apt-get install valgrind"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd -- "$scratch"

memcheck() {
  valgrind --quiet --error-exitcode=99 --suppressions="$scripts/valgrind.supp" --leak-check=full \
    --errors-for-leak-kinds=definite --num-callers=30 "$program" "$@" >out.txt 2>error.txt ||
    { cat error.txt; fail "valgrind complains of: handgrad $*"; }
}
memcheck train --device cpu --data synthetic --hidden 4 --batch-norm --optimizer adam --epochs 1 --threads 1 --checkpoint-every 100 --out run
memcheck train --device cpu --resume run --epochs 2
say "valgrind: a training and its resumption, no error"

kib() {
  awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"
}
# What LibTorch takes before there is any data.
start=$(python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$program" --version)
"$program" train --device cpu --data "$data" --epochs 100 --patience 1000 --checkpoint-every 1ep --out long >out.txt 2>error.txt &
process=$!
early='' most=0 peak=''
while kill -0 "$process" 2>/dev/null; do
  resident=$(kib "$process" VmRSS 2>/dev/null || true)
  # Counted after the reading, which so is of the time before: what ends a training is no growth of it.
  evaluations=$(grep -c '"kind":"evaluation"' long/metrics.jsonl 2>/dev/null || true)
  if [[ -n $resident ]]; then
    if [[ -z $early && ${evaluations:-0} -ge 3 ]]; then early=$resident; fi
    if [[ -n $early ]] && ((evaluations < 100 && resident > most)); then most=$resident; fi
    highest=$(kib "$process" VmHWM 2>/dev/null || true)
    peak=${highest:-$peak}  # none while the process ends
  fi
  sleep 0.2
done
wait "$process" || { cat error.txt; fail "the training failed"; }
[[ -n $early && -n $peak && $most -gt 0 ]] || fail "the training was over before it could be measured"
bytes=0
if [[ $data != synthetic ]]; then
  for file in "$data"/*-ubyte*; do
    size=$(if [[ $file == *.gz ]]; then gzip -dc -- "$file"; else cat -- "$file"; fi | wc -c)
    bytes=$((bytes + size))
  done
fi
say "resident $early KiB after 3 epochs, $most KiB at most from then on to epoch 99; peak $peak KiB, $start KiB at the program's start; data $((bytes / 1024)) KiB"
((most - early < 1024)) || fail "memory grew by $((most - early)) KiB"
((peak - start < bytes / 1024 + 200 * 1024)) || fail "the peak is $((peak - start)) KiB above the start"
