#!/usr/bin/env bash
# Kills trainings with SIGKILL at random moments, goes on with --resume until they are done, and compares with the same
# trainings left alone: parameters, metrics.jsonl, config.json and, times apart, summary.json must be the same bytes.
# Arguments: how many trainings to kill [10], the handgrad program [build/handgrad], a seed [1]. Needs no data set.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
count=${1:-10}
program=$(realpath -- "${2:-$(dirname "${BASH_SOURCE[0]}")/../build/handgrad}")
RANDOM=${3:-1}
[[ $count =~ ^[0-9]+$ ]] || fail "the number of trainings must be a whole number, not '$count'"
[[ -x $program ]] || fail "$program is no program; build handgrad first"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd -- "$scratch"

# Each has something of its own to remember; the last stops early, the first saves at every step.
settings=(
  "--epochs 3 --checkpoint-every 1"
  "--epochs 12 --batch-norm --optimizer adam --learning-rate 0.001 --checkpoint-every 37"
  "--epochs 10 --replicas 4 --optimizer momentum --learning-rate 0.001 --evaluate-every 70 --checkpoint-every 50"
  "--epochs 10 --batch-norm --replicas 4 --optimizer nesterov --learning-rate 0.001 --checkpoint-every 10"
  "--epochs 8 --activation tanh --batch-norm --checkpoint-every 50"
  "--epochs 8 --batch-norm before --checkpoint-every 50"
  "--epochs 6 --batch-norm before --optimizer adam --learning-rate 0.001 --schedule cosine --warmup 1ep --dropout 0.1 --input-dropout 0.1 --label-smoothing 0.1 --clip 1 --augment strong --augment-final 0.5 --deskew --standardise --ema 0.99 --reestimate-batch-norm --checkpoint-every 50"
  "--epochs 8 --compat notebook --batch-norm --checkpoint-every 100"
  "--epochs 40 --hidden 12 --optimizer adamw --weight-decay 0.01 --patience 3 --min-delta 0.02 --checkpoint-every 1ep"
)

without_times() {
  grep -v -e '"seconds":' -e '"microseconds_per_step":' "$1"
}

train() {
  "$program" train --data synthetic --device cpu --threads 1 "$@" >out.txt 2>error.txt
}

kills=0
gone_on=0
for ((i = 0; i < count; ++i)); do
  which=$((i % ${#settings[@]}))
  read -r -a flags <<<"${settings[which]}"
  if [[ ! -d whole-$which ]]; then
    train "${flags[@]}" --out "whole-$which" || { cat error.txt; fail "the training that is left alone failed"; }
    # How long it took from the start of the program, in milliseconds: kills fall into this time.
    start=${EPOCHREALTIME/[.,]/}
    train "${flags[@]}" --out timed --overwrite
    lasted[which]=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
    rm -rf timed
  fi
  rm -rf killed
  while true; do
    if [[ -e killed/config.json ]]; then
      # A training goes on with its settings; how often it saves is no setting of the result.
      arguments=(--resume killed --checkpoint-every "${flags[-1]}")
    else
      rm -rf killed
      arguments=("${flags[@]}" --out killed)
    fi
    # The process that is killed is the program itself, not a shell around it.
    "$program" train --data synthetic --device cpu --threads 1 "${arguments[@]}" >out.txt 2>error.txt &
    process=$!
    # Starting takes most of the time: half of the kills fall into the training itself.
    limit=${lasted[which]}
    wait_ms=$((RANDOM % 2 ? RANDOM % (limit + 1) : limit / 2 + RANDOM % (limit / 2 + 1)))
    sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
    kill -KILL "$process" 2>/dev/null || true  # it may have ended
    status=0
    wait "$process" 2>/dev/null || status=$?
    # Of the trainings that were killed and ended alike, some must have gone on from the middle.
    if grep -q 'going on after step [1-9]' out.txt; then gone_on=$((gone_on + 1)); fi
    ((status == 0)) && break
    kills=$((kills + 1))
    ((status == 137)) || { cat error.txt; fail "a training that was to be killed failed by itself ($status): ${arguments[*]}"; }
  done
  for file in config.json metrics.jsonl "whole-$which"/model*.pt; do
    name=${file##*/}
    cmp -- "whole-$which/$name" "killed/$name" || fail "not the same after kills: ${flags[*]}"
  done
  cmp <(without_times "whole-$which/summary.json") <(without_times killed/summary.json) ||
    fail "not the same after kills: ${flags[*]}"
  left=$(find killed -name '.handgrad-*' | wc -l)
  ((left == 0)) || fail "left over: $left temporary files"
done
((kills > 0 && gone_on > 0)) || fail "no training was killed and went on; the machine is too fast or too slow for this test"
say "$count trainings, killed $kills times and $gone_on times gone on from a checkpoint, ended with the same bytes as those left alone"
