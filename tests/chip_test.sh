#!/usr/bin/env bash
# Runs networks of each activation on an emulated Cortex-M0 (scripts/chip_check.sh); exits with 77 where there is no emulator, or no
# MNIST_DIR. Argument: the handgrad program.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -z ${MNIST_DIR-} ]]; then
  echo "skipped: MNIST_DIR, the directory with the four MNIST files, is not set"
  exit 77
fi
export MNIST_DIR
MNIST_DIR=$(realpath -- "$MNIST_DIR")
program=$(realpath -- "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd -- "$scratch"
for flags in "--activation relu" "--activation leaky-relu --batch-norm" "--activation tanh --deskew"; do
  name=$(tr -c 'a-z\n' _ <<<"${flags#--activation }")
  # shellcheck disable=SC2086  # several flags
  "$program" train --epochs 1 $flags --out run --overwrite >/dev/null
  "$program" export run --format c-header --quantise int8 --output "$name.h" >/dev/null
done
"$root/scripts/chip_check.sh" ./*.h
