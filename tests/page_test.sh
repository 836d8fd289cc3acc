#!/usr/bin/env bash
# Makes reports of a sweep, of one run and of several runs, and opens them in headless Chromium: see page/page_test.mjs.
# Arguments: the handgrad program, a directory for what npm fetches and for the screenshots.
set -euo pipefail
program=$(realpath -- "$1")
mkdir -p -- "$2"
work=$(realpath -- "$2")
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
skipped=77

for tool in npm node chromium; do
  command -v "$tool" >/dev/null || { echo "SKIPPED: no $tool here"; exit "$skipped"; }
done
cp -- "$tests"/page/{package.json,package-lock.json,.npmrc,*.mjs} "$work"
cd -- "$work"
npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 ||
  { cat npm.log; echo "SKIPPED: npm fetches nothing here"; exit "$skipped"; }

rm -rf corrected notebook one two
"$program" sweep "$tests/../scripts/experiments/report.toml" --data synthetic --seeds 2 --epochs 2 --out corrected >/dev/null 2>&1
# Two epochs, so that a run that stops early does not go unseen; the learning rate makes the fault of one run.
"$program" sweep "$tests/page/faulty.toml" --data synthetic --epochs 2 --out notebook >/dev/null 2>&1
"$program" train --data synthetic --epochs 2 --out one >/dev/null 2>&1
"$program" train --data synthetic --epochs 2 --batch-norm --replicas 2 --out two >/dev/null 2>&1

check() {
  local name=$1
  shift
  "$program" report "$@" --out "$name.html"
  node page_test.mjs "$name.html" "screenshots-$name"
}
check sweeps corrected notebook
check run one
check runs one two
grep -q 'left out of all means, because at step' sweeps.html || { echo "FAILED: the faulty run has no sentence"; exit 1; }
