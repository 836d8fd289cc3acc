#!/usr/bin/env bash
# Makes reports of sweeps, of one run and of several runs, and opens them in headless Chromium: see page/page_test.mjs. So it does with
# pages to draw on: see page/drawing_test.mjs. Those are of MNIST, in MNIST_DIR; without it they are left out.
# Arguments: the handgrad program, a directory for what npm fetches and for the screenshots.
set -euo pipefail
program=$(realpath -- "$1")
mkdir -p -- "$2"
mnist=${MNIST_DIR:+$(realpath -- "$MNIST_DIR")}
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

rm -rf corrected notebook one two experiments grid diverged
"$program" sweep "$tests/../scripts/experiments/report.toml" --data synthetic --seeds 2 --epochs 2 --out corrected >/dev/null 2>&1
# Two epochs, so that a run that stops early does not go unseen; the learning rate makes the fault of one run.
"$program" sweep "$tests/page/faulty.toml" --data synthetic --epochs 2 --out notebook >/dev/null 2>&1
# One kind of configuration alone, one seed, and a sweep without a single mean.
"$program" sweep "$tests/page/experiments.toml" --data synthetic --out experiments >/dev/null 2>&1
"$program" sweep "$tests/page/grid.toml" --data synthetic --out grid >/dev/null 2>&1
status=0
"$program" sweep "$tests/page/grid.toml" --data synthetic --learning-rate 1e30 --out diverged >/dev/null 2>&1 || status=$?
((status == 1)) || { echo "FAILED: a sweep without a finite run ends with $status"; exit 1; }
"$program" train --data synthetic --epochs 2 --out one >/dev/null 2>&1
"$program" train --data synthetic --epochs 2 --batch-norm --replicas 2 --augment strong --out two >/dev/null 2>&1

check() {
  local name=$1
  shift
  "$program" report "$@" --out "$name.html"
  node page_test.mjs "$name.html" "screenshots-$name"
}
check sweeps corrected notebook
check experiments experiments
check grid grid
check diverged diverged
check run one
check runs one two
grep -q '"id":"augmented"' runs.html || { echo "FAILED: the run with augmentation has no picture of it"; exit 1; }
! grep -q '"id":"augmented"' run.html || { echo "FAILED: a run without augmentation has a picture of it"; exit 1; }
grep -q 'left out of all means; seed 1, because at step' sweeps.html || { echo "FAILED: the faulty run has no sentence"; exit 1; }

# The page of the default network.
"$program" export one --format html --output default.html --force >/dev/null
bytes=$(stat --format %s default.html)
((bytes <= 200000)) || { echo "FAILED: the page of the default network takes $bytes bytes"; exit 1; }
if [[ -z $mnist ]]; then
  echo "left out: pages to draw on, because MNIST_DIR is not set"
  exit
fi
# A name that an address has to write otherwise.
drawn='drawn #1 %'
rm -rf "$drawn"
"$program" train --data "$mnist" --hidden 64 --deskew --augment light --learning-rate 0.05 --epochs 4 --out "$drawn" >/dev/null 2>&1
"$program" export "$drawn" --format html --output "$drawn/model.html" --verify
"$program" report "$drawn" --out drawn.html --force
node drawing_test.mjs "$program" "$drawn" "$drawn/model.html" drawn.html screenshots-drawing
