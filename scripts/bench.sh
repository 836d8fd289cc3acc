#!/usr/bin/env bash
# Times the default network's training step in handgrad and in what could be used in its place, in turn, ROUNDS times
# (default 5), and prints the medians as a table. Python's PyTorch and scikit-learn take part where python3 has them.
# --busy: times steps of `handgrad train` instead, of a small and a wide network with 1, 2 and automatic threads: on the
# machine as it is, beside one and two busy processes, and with the time of one core (as root by a cgroup's quota, else
# on one core alone).
# --wide: times steps of `handgrad train` of a wide network instead, with one thread and with all, beside PyTorch in the fastest of
# its ways with as many.
# --against VERSION: times steps of `handgrad train` in another version instead, a program or a commit, which is built, and in this
# one, in turn, and prints the medians and the ratio of each pair.
# HANDGRAD_PROGRAM: another program than build/handgrad. PYTHON: another Python than python3.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/other_version.sh
source "$(dirname "${BASH_SOURCE[0]}")/other_version.sh"
export LC_ALL=C  # numbers with a decimal point

program=${HANDGRAD_PROGRAM-$(dirname "${BASH_SOURCE[0]}")/../build/handgrad}
root=$(realpath -- "$(dirname "${BASH_SOURCE[0]}")/..")
busy=
wide=
against=
case ${1-} in
  --busy)
    busy=1
    shift
    ;;
  --wide)
    wide=1
    shift
    ;;
  --against)
    [[ -n ${2-} ]] || fail "--against: got nothing; must be a program or a commit, such as HEAD~1"
    against=$2
    shift 2
    ;;
esac
rounds=${1-5}
if (($# > 1)) || ! [[ $rounds =~ ^[1-9][0-9]{0,2}$ ]]; then
  fail "the arguments: got '$*'; must be --busy, --wide, --against VERSION or nothing, and then one number of rounds from 1 to 999, or nothing"
fi
[[ -x $program ]] || fail "no program $program; scripts/run.sh builds it"
python=${PYTHON-python3}

scratch=$(mktemp -d)
loops=()
quota=
clean_up() {
  stop_loops
  forget_version "$root" "$scratch"
  rm -rf "$scratch"
  [[ -z $quota ]] || rmdir -- "$quota"
}
trap clean_up EXIT

# start_loops N: so many processes that are busy until stop_loops.
start_loops() {
  local i
  for ((i = 0; i < $1; ++i)); do
    while :; do :; done &
    loops+=($!)
  done
}
stop_loops() {
  ((${#loops[@]} == 0)) || kill "${loops[@]}"
  loops=()
}

# with_one_core COMMAND…
with_one_core() {
  if [[ -z $quota ]]; then
    taskset --cpu-list 0 "$@"
  else
    (
      echo "$BASHPID" >"$quota/cgroup.procs"
      exec "$@"
    )
  fi
}

# step_us FLAGS…: of a training, the default machine's threads and all.
step_us() {
  "${prefix[@]}" "$program" train --data "${MNIST_DIR-synthetic}" --epochs 1 --out "$scratch/run" --overwrite "$@" 2>&1 |
    sed -nE 's/.*, ([0-9.]+) µs a step.*/\1/p'
}

# Of the numbers on standard input, one on a line: the median, the least and the greatest.
spread() {
  sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 "\t" v[1] "\t" v[NR] }'
}

# add_rows CIRCUMSTANCE: to the figures, NETWORK, CIRCUMSTANCE, THREADS and µs.
add_rows() {
  local hidden threads
  for hidden in 20,7,5 512; do
    for threads in 1 auto 2; do
      printf '784-%s-10\t%s\t%s\t%s\n' "${hidden//,/-}" "$1" "$threads" "$(step_us --hidden "$hidden" --threads "$threads")"
    done
  done >>"$scratch/rows"
}

print_busy_table() {
  local group=/sys/fs/cgroup/cpu one_core="on one core alone" round
  # Of cgroups version 1 or 2.
  for group in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
    if mkdir -- "$group/handgrad-bench" 2>/dev/null; then
      if { echo 100000 >"$group/handgrad-bench/cpu.cfs_quota_us" || echo "100000 100000" >"$group/handgrad-bench/cpu.max"; } 2>/dev/null; then
        quota=$group/handgrad-bench
        one_core="a quota of one core"
        break
      fi
      rmdir -- "$group/handgrad-bench"
    fi
  done
  for ((round = 1; round <= rounds; ++round)); do
    say "round $round of $rounds"
    prefix=(env)
    add_rows free
    start_loops 1
    add_rows "one busy process"
    start_loops 1
    add_rows "two busy processes"
    stop_loops
    prefix=(with_one_core)
    add_rows "$one_core"
  done
  printf '| µs a step, batch 32, median of %d | | 1 thread | auto | 2 threads | auto / 1 thread |\n|---|---|---|---|---|---|\n' "$rounds"
  cut -f 1,2 "$scratch/rows" | awk '!seen[$0]++' | sort -s -k 1,1 | while IFS=$'\t' read -r network circumstance; do
    for threads in 1 auto 2; do
      awk -F '\t' -v n="$network" -v c="$circumstance" -v t="$threads" '$1 == n && $2 == c && $3 == t { print $4 }' "$scratch/rows" | spread | cut -f 1
    done | paste -s | awk -v n="$network" -v c="$circumstance" '{ printf "| %s | %s | %.0f | %.0f | %.0f | %.2f |\n", n, c, $1, $2, $3, $2 / $1 }'
  done
}

# print_ratios OLD NEW: two programs.
print_ratios() {
  local prefix=(env) settings=("" "--threads 1" "--batch-norm" "--replicas 16" "--hidden 800,800 --batch-size 128 --batch-norm --optimizer nesterov")
  local round flags name order label before now ratio least greatest _
  declare -A programs=([before]=$1 [now]=$2) us
  for ((round = 1; round <= rounds; ++round)); do
    say "round $round of $rounds"
    order=(before now)
    ((round % 2)) || order=(now before)
    for flags in "${settings[@]}"; do
      for name in "${order[@]}"; do
        program=${programs[$name]}
        # shellcheck disable=SC2086  # several flags
        us[$name]=$(step_us $flags)
      done
      printf '%s\t%s\t%s\n' "${flags:-default settings}" "${us[before]}" "${us[now]}" |
        awk -F '\t' '{ print $0 "\t" $3 / $2 }' >>"$scratch/rows"
    done
  done
  printf '| steps of handgrad train | µs before, median of %d | µs now | now / before, median of the pairs | from … to |\n|---|---:|---:|---:|---:|\n' "$rounds"
  for flags in "${settings[@]}"; do
    label=${flags:-default settings}
    # of COLUMN: the spread of that one in the rows of the label.
    of() {
      awk -F '\t' -v label="$label" -v column="$1" '$1 == label { print $column }' "$scratch/rows" | spread
    }
    read -r before _ <<<"$(of 2)"
    read -r now _ <<<"$(of 3)"
    read -r ratio least greatest <<<"$(of 4)"
    printf '| %s | %.1f | %.1f | %.3f | %.3f to %.3f |\n' "$label" "$before" "$now" "$ratio" "$least" "$greatest"
  done
}

print_wide_table() {
  local prefix=(env) network="--hidden 800,800 --batch-size 128" counts
  local settings=("" "--batch-norm --optimizer nesterov" "--batch-norm --optimizer nesterov --augment medium")
  local round threads flags label us
  mapfile -t counts < <(printf '%s\n' 1 "$(nproc)" | uniq)
  for ((round = 1; round <= rounds; ++round)); do
    say "round $round of $rounds"
    for threads in "${counts[@]}"; do
      for flags in "${settings[@]}"; do
        # shellcheck disable=SC2086  # several flags
        us=$(step_us $network $flags --threads "$threads")
        [[ -n $us ]] || fail "\`handgrad train $network $flags --threads $threads\` failed"
        printf 'handgrad%s\t%s\t%s\n' "${flags:+ $flags}" "$threads" "$us"
      done
      if command -v "$python" >/dev/null; then
        "$python" "$(dirname "${BASH_SOURCE[0]}")/peers.py" 48000 "$threads" | awk -F '\t' -v threads="$threads" '{ sub(/ \(.*/, ", at its best", $1); print $1 "\t" threads "\t" $2 }'
      fi
    done
  done >>"$scratch/rows"
  printf '| 784-800-800-10, batch 128 | threads | µs a step, median of %d | range |\n|---|---:|---:|---|\n' "$rounds"
  cut -f 1,2 "$scratch/rows" | awk '!seen[$0]++' | while IFS=$'\t' read -r label threads; do
    awk -F '\t' -v label="$label" -v threads="$threads" '$1 == label && $2 == threads { print $3 }' "$scratch/rows" | spread |
      awk -F '\t' -v label="$label" -v threads="$threads" '{ printf "| %s | %s | %.0f | %.0f to %.0f |\n", label, threads, $1, $2, $3 }'
  done
}

if [[ -n $wide ]]; then
  print_wide_table
  exit 0
fi
if [[ -n $busy ]]; then
  print_busy_table
  exit 0
fi
if [[ -n $against ]]; then
  new=$(realpath -- "$program")
  program_of "$root" "$against" "$scratch"
  print_ratios "$program" "$new"
  exit 0
fi

for ((round = 1; round <= rounds; ++round)); do
  say "round $round of $rounds"
  quietly "$program" bench --brief --rounds 5 --json "$scratch/bench.json" --force || fail "the benchmark failed"
  # number NAME: the first of that name in the figures. figure NAME LABEL: the same as a row.
  number() {
    awk -v name="\"$1\":" '$1 == name { print $2 + 0; exit }' "$scratch/bench.json"
  }
  figure() {
    printf '%s\t%.1f\n' "$2" "$(number "$1")"
  }
  {
    figure floor_us "arithmetic floor"
    figure products_us "its matrix products alone"
    figure step_us "handgrad, a second core gathers"
    figure step_alone_us "handgrad on one core"
    figure 16 "handgrad, each of 16 networks, on one core"
    figure autograd_us "LibTorch autograd + torch::optim::SGD"
    if command -v "$python" >/dev/null; then
      "$python" "$(dirname "${BASH_SOURCE[0]}")/peers.py" "$(number images)" || fail "scripts/peers.py failed"
    fi
  } >>"$scratch/rows"
done

printf '%s training images. Machine: %s.\n\n' "$(number images)" "$(sed -nE 's/^ *"processor": "(.*)",?$/\1/p' "$scratch/bench.json")"
printf '| 784-20-7-5-10, batch 32, shuffled | µs a step, median of %d | range | × handgrad on one core |\n|---|---|---|---|\n' "$rounds"
cut -f 1 "$scratch/rows" | awk '!seen[$0]++' | while IFS= read -r label; do
  printf '%s\t' "$label"
  awk -F '\t' -v label="$label" '$1 == label { print $2 }' "$scratch/rows" | spread
done >"$scratch/medians"
ours=$(awk -F '\t' '$1 == "handgrad on one core" { print $2 }' "$scratch/medians")
awk -F '\t' -v ours="$ours" '{ printf "| %s | %.1f | %.1f to %.1f | %.2f |\n", $1, $2, $3, $4, $2 / ours }' "$scratch/medians"
