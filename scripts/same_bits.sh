#!/usr/bin/env bash
# Whether two versions of handgrad train to the same bits: trains settings that differ in kind with each, and compares what they
# write: config.json, metrics.jsonl, models, checkpoints, summary.json and results.csv, times apart (compare_runs.py).
# Arguments: the old version, a program or a commit, which is built in a folder of its own; the new one [build/handgrad].
# Runs on one thread, with the built-in digits.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/other_version.sh
source "$(dirname "${BASH_SOURCE[0]}")/other_version.sh"
root=$(realpath -- "$(dirname "${BASH_SOURCE[0]}")/..")
(($# == 1 || $# == 2)) || fail "the arguments: got '$*'; must be the old program or commit, and the new one or nothing"

scratch=$(mktemp -d)
clean_up() {
  forget_version "$root" "$scratch"
  rm -rf "$scratch"
}
trap clean_up EXIT

program_of "$root" "$1" "$scratch"
old=$program
program_of "$root" "${2:-$root/build/handgrad}" "$scratch"
new=$program

cat >"$scratch/sweep.toml" <<'TOML'
seeds = 2
[fixed]
epochs = 4
[grid]
batch_norm = [false, true]
l2 = [0, 0.01]
learning_rate = [0.009, 0.05]
TOML

settings=(
  "--epochs 3"
  "--epochs 3 --batch-norm"
  "--epochs 3 --hidden none"
  "--epochs 3 --hidden 300,100 --batch-size 128"
  "--epochs 3 --replicas 5 --l2 0.1"
  "--epochs 3 --replicas 3 --batch-norm --optimizer adam --learning-rate 0.002"
  "--epochs 3 --optimizer momentum --evaluate-every 70"
  "--epochs 3 --optimizer nesterov --batch-norm --split pooled"
  "--epochs 3 --optimizer adamw --weight-decay 0.01 --batch-size 50"
  "--epochs 20 --patience 2 --min-delta 0.05 --validation-fraction 0.3"
  "--epochs 3 --validation-fraction 0"
  "--epochs 6 --learning-rate 1e30"
  "--epochs 6 --compat notebook --batch-norm"
  "--epochs 6 --compat split-twice,no-shuffle,fan-out-init,set-size-penalty"
)

# train PROGRAM FOLDER
train() {
  local program=$1 folder=$2 i flags
  mkdir "$folder"
  cd -- "$folder"
  for i in "${!settings[@]}"; do
    read -r -a flags <<<"${settings[i]}"
    # Training that leaves the finite numbers fails, and writes what it has.
    "$program" train --data synthetic --device cpu --threads 1 --checkpoint-every 1ep --out "$i" "${flags[@]}" \
      >>"$scratch/out.txt" 2>&1 || [[ ${settings[i]} == *1e30* ]] || { tail -n 3 "$scratch/out.txt" >&2; fail "$program: ${settings[i]}: failed"; }
  done
  quietly "$program" train --resume 1 --epochs 5 --device cpu --threads 1
  quietly "$program" sweep "$scratch/sweep.toml" --data synthetic --device cpu --threads 1 --out sweep
  # A run that the old program began, and the new one goes on with.
  "$old" train --data synthetic --device cpu --threads 1 --checkpoint-every 1ep --epochs 2 --out begun --batch-norm \
    >>"$scratch/out.txt" 2>&1
  quietly "$program" train --resume begun --epochs 4 --device cpu --threads 1
}
(train "$old" "$scratch/old")
(train "$new" "$scratch/new")
version_of() { "$1" --version | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }
"$root/scripts/compare_runs.py" "$scratch/old" "$scratch/new" "$(version_of "$old")" "$(version_of "$new")" || fail "the two versions do not train to the same bits"
files=$(find "$scratch/new" -type f | wc -l)
say "the same bits: ${#settings[@]} trainings, one gone on with, one that the old version began, and a sweep; $files files"
