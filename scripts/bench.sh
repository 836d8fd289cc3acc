#!/usr/bin/env bash
# Times the default network's training step in handgrad and in what could be used in its place, in turn, ROUNDS times
# (default 5), and prints the medians as a table. Python's PyTorch and scikit-learn take part where python3 has them.
# HANDGRAD_PROGRAM: another program than build/handgrad. PYTHON: another Python than python3.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export LC_ALL=C  # numbers with a decimal point

program=${HANDGRAD_PROGRAM-$(dirname "${BASH_SOURCE[0]}")/../build/handgrad}
rounds=${1-5}
if (($# > 1)) || ! [[ $rounds =~ ^[1-9][0-9]{0,2}$ ]]; then
  fail "the arguments: got '$*'; must be one number of rounds from 1 to 999, or nothing"
fi
[[ -x $program ]] || fail "no program $program; scripts/run.sh builds it"
python=${PYTHON-python3}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for ((round = 1; round <= rounds; ++round)); do
  say "round $round of $rounds"
  quietly "$program" bench --brief --rounds 5 --json "$scratch/bench.json" || fail "the benchmark failed"
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
  awk -F '\t' -v label="$label" '$1 == label { print $2 }' "$scratch/rows" | sort -n |
    awk -v label="$label" '{ v[NR] = $1 } END { print label "\t" (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 "\t" v[1] "\t" v[NR] }'
done >"$scratch/medians"
ours=$(awk -F '\t' '$1 == "handgrad on one core" { print $2 }' "$scratch/medians")
awk -F '\t' -v ours="$ours" '{ printf "| %s | %.1f | %.1f to %.1f | %.2f |\n", $1, $2, $3, $4, $2 / ours }' "$scratch/medians"
