#!/usr/bin/env bash
# Runs the commands of README.md, CONTRIBUTING.md and docs/, in their order: every line of their ```sh blocks that begins with
# `handgrad`, `build/handgrad` or, as the training that it ends in, `./scripts/run.sh`. Each document has a folder of its own, in
# which the run of README.md's start is there. Training is cut to one epoch, one more where it is resumed, a sweep to one seed; what
# needs a GPU is left out without one. Argument: the handgrad program. Data: MNIST_DIR, else the synthetic digits.
set -euo pipefail
program=$(realpath -- "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
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
PATH=$scratch/build:$PATH
doctor=$("$program" doctor) || true  # it may complain of the data

# photos/ below; digit.png: 28 × 28 pixels, grey, a white bar on black.
python3 - <<'END_OF_PYTHON'
import os, struct, zlib

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

row = b"\0" + bytes(255 if 12 <= x < 16 else 0 for x in range(28))
header = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)
def write_png(path, header, rows):
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

write_png("digit.png", header, row * 28)
# photos/: a folder of colour pictures for each of three classes, told apart by where they are bright.
for place, name in enumerate(("ant", "bee", "fly")):
    os.makedirs(f"photos/{name}")
    for i in range(25):
        pixels = b"".join(bytes([250 - i, 200, 9 * i]) if x // 22 == place else bytes([i, 20, 40]) for x in range(64))
        write_png(f"photos/{name}/{i}.png", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0), (b"\0" + pixels) * 48)
END_OF_PYTHON

# as_run LINE: sets `command` to what is run for it; returns 1, after saying so, where that is nothing.
as_run() {
  command=$(sed -E 's/ +#.*//' <<<"$1")
  command=${command/#.\/scripts\/run.sh/handgrad train}
  if ! [[ $command =~ ^(build/)?handgrad\  ]]; then
    echo "not run: $1"
    return 1
  fi
  if [[ $command == *"--device cuda"* ]] && ! grep -q 'CUDA.*GPUs\?,' <<<"$doctor"; then
    echo "not run, because there is no GPU: $1"
    return 1
  fi
  if [[ $command =~ handgrad\ report ]] && grep -q 'reports *off' <<<"$doctor"; then
    echo "not run, because reports are off: $1"
    return 1
  fi
  if [[ $command =~ handgrad\ (train|sweep) && $command != *" --merge "* ]]; then
    local epochs=1
    if [[ $command == *" --resume "* ]]; then epochs=2; fi
    command=$(sed -E 's/ --epochs [0-9]+//' <<<"$command")" --epochs $epochs"
    [[ -n ${MNIST_DIR-} || $command == *" --data"* ]] || command+=" --data synthetic"
  fi
  if [[ $command == *"evaluate --model"* && -z ${MNIST_DIR-} ]]; then
    command+=" --data synthetic"
  fi
  if [[ $command =~ handgrad\ sweep ]]; then command=$(sed -E 's/ --seeds [0-9]+/ --seeds 1/' <<<"$command"); fi
}

documents=("$root"/README.md "$root"/CONTRIBUTING.md "$root"/docs/*.md)
count=0
for document in "${documents[@]}"; do
  name=${document#"$root"/}
  folder=$scratch/$(basename "$name" .md)
  mkdir "$folder"
  cd -- "$folder"
  ln -s "$root/scripts" "$scratch/build" "$scratch/digit.png" "$scratch/photos" .
  if [[ $name != README.md ]]; then
    mkdir runs
    cp -R -- "$scratch/README/runs/001" runs
  fi
  # shellcheck disable=SC2016  # backquotes of Markdown
  mapfile -t lines < <(sed -n '/^```sh$/,/^```$/{/^```/!p}' "$document")
  for line in "${lines[@]}"; do
    as_run "$line" || continue
    echo "run: $command"
    if ! bash -c "$command" >output 2>&1 </dev/null; then
      cat output
      echo "FAILED: $name: $line"
      exit 1
    fi
    count=$((count + 1))
  done
done
((count > 0)) || { echo "FAILED: the documents have no command to run"; exit 1; }
echo "passed: $count commands"
