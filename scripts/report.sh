#!/usr/bin/env bash
# Repeats the described experiments: corrected (30 seeds), by the notebook's rules (30) and with one fault each (10), then
# writes one page about them, DIR/report.html. Goes on where it was stopped. Arguments: [DIR] [flags of `handgrad sweep`];
# DIR is runs/experiments by default. HANDGRAD_PROGRAM: another program than build/handgrad.
# With HANDGRAD_PICTURES=FOLDER it also saves the pictures of docs/results.md there, and its tables as DIR/tables.md; that needs npm
# and Chromium.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

program=${HANDGRAD_PROGRAM-$root/build/handgrad}
[[ -x $program ]] || fail "no program $program; scripts/run.sh builds it"
directory=runs/experiments
if (($# > 0)) && [[ $1 != -* ]]; then
  directory=$1
  shift
fi
mkdir -p -- "$directory"

for sweep in report notebook faults; do
  say "$sweep"
  "$program" sweep "$root/scripts/experiments/$sweep.toml" --out "$directory/$sweep" "$@" | tee "$directory/$sweep.txt"
done
page=$directory/report.html
"$program" report "$directory"/{report,notebook,faults} --out "$page"

if [[ -n ${HANDGRAD_PICTURES-} ]]; then
  mkdir -p -- "$HANDGRAD_PICTURES"
  (cd -- "$root/tests/page" && quietly npm ci --ignore-scripts --no-audit --no-fund) || fail "npm cannot fetch what takes the pictures"
  node "$root/scripts/page_tables.mjs" "$page" 'experiment 1' 'experiment 2' 'experiment 3' 'experiment 4' \
    'Claims put to the test' 'The same as numbers' >"$directory/tables.md"
  node "$root/scripts/page_picture.mjs" "$page" '#published-test' "$HANDGRAD_PICTURES/test-accuracy.png"
  node "$root/scripts/page_picture.mjs" "$page" '#grid-curves-corrected' "$HANDGRAD_PICTURES/cost-curves.png"
fi
