#!/usr/bin/env bash
# Trains with the seeds FIRST to LAST (default 1 10), one after the other, and prints the spread of the test accuracy.
# Arguments: [FIRST LAST] [flags of `handgrad train`]. HANDGRAD_PROGRAM: another program than build/handgrad.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export LC_ALL=C  # numbers with a decimal point

program=${HANDGRAD_PROGRAM-$(dirname "${BASH_SOURCE[0]}")/../build/handgrad}
first=1
last=10
if (($# > 0)) && [[ $1 != -* ]]; then
  if ! [[ $1 =~ ^[0-9]+$ && ${2-} =~ ^[0-9]+$ ]] || ((10#$1 > 10#$2)); then
    fail "the seeds: got '$1 ${2-}'; must be FIRST LAST, whole numbers, such as 1 10"
  fi
  first=$((10#$1))
  last=$((10#$2))
  shift 2
fi
[[ -x $program ]] || fail "no program $program; scripts/run.sh builds it"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '%6s  %8s   %s\n' seed 'test %' 'µs/step'
for ((seed = first; seed <= last; ++seed)); do
  quietly "$program" train "$@" --seed "$seed" --out "$scratch/run" --overwrite || fail "seed $seed failed"
  # The first "microseconds_per_step", and the accuracy in the first "test".
  awk -v seed="$seed" '
    /"microseconds_per_step":/ { step = $2 + 0 }
    /"test":/ { in_test = 1 }
    in_test && /"accuracy":/ { printf "%6d  %8.2f  %8.1f\n", seed, 100 * $2, step; exit }
  ' "$scratch/run/summary.json" | tee -a "$scratch/rows"
done

# spread COLUMN: median, least and greatest.
spread() {
  awk -v column="$1" '{ print $column }' "$scratch/rows" | sort -n |
    awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1], v[NR] }'
}
read -r median least greatest < <(spread 2)
read -r step _ < <(spread 3)
printf 'test accuracy: median %.2f %%, from %.2f to %.2f; median %.1f µs/step\n' "$median" "$least" "$greatest" "$step"
