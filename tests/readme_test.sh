#!/usr/bin/env bash
# Runs the commands of README.md in a scratch directory, in their order: every line of its ```sh blocks that begins with
# `handgrad`, `build/handgrad` or, as the training that it ends in, `./scripts/run.sh`. Training is cut to one epoch, a sweep to one seed.
# Argument: the handgrad program. Data: MNIST_DIR, else the synthetic digits.
set -euo pipefail
program=$(realpath -- "$1")
readme=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/README.md
if [[ -n ${MNIST_DIR-} ]]; then
  MNIST_DIR=$(realpath -- "$MNIST_DIR")
else
  unset MNIST_DIR
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd -- "$scratch"
mkdir build
ln -s "$program" build/handgrad
ln -s "$(dirname "$readme")/scripts" scripts
PATH=$scratch/build:$PATH

# digit.png: 28 × 28 pixels, grey, a white bar on black.
python3 - <<'END_OF_PYTHON'
import struct, zlib

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

row = b"\0" + bytes(255 if 12 <= x < 16 else 0 for x in range(28))
header = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)
with open("digit.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 28)) + chunk(b"IEND", b""))
END_OF_PYTHON

# shellcheck disable=SC2016  # backquotes of Markdown
mapfile -t lines < <(sed -n '/^```sh$/,/^```$/{/^```/!p}' "$readme")
count=0
for line in "${lines[@]}"; do
  command=${line/#.\/scripts\/run.sh/handgrad train}
  if ! [[ $command =~ ^(build/)?handgrad\  ]]; then
    echo "not run: $line"
    continue
  fi
  if [[ $command =~ handgrad\ train ]]; then
    [[ $command == *" --epochs"* ]] || command+=" --epochs 1"
    [[ -n ${MNIST_DIR-} || $command == *" --data"* ]] || command+=" --data synthetic"
  fi
  if [[ $command == *"evaluate --model"* && -z ${MNIST_DIR-} ]]; then
    command+=" --data synthetic"
  fi
  if [[ $command =~ handgrad\ sweep ]]; then
    command=${command/--seeds 30/--seeds 1}" --epochs 1"
    [[ -n ${MNIST_DIR-} ]] || command+=" --data synthetic"
  fi
  if [[ $command =~ handgrad\ report ]] && "$program" doctor | grep -q 'reports *off'; then
    echo "not run, because reports are off: $line"
    continue
  fi
  echo "run: $command"
  if ! bash -c "$command" >output 2>&1 </dev/null; then
    cat output
    echo "FAILED: README.md: $line"
    exit 1
  fi
  count=$((count + 1))
done
((count > 0)) || { echo "FAILED: README.md has no command to run"; exit 1; }
echo "passed: $count commands"
