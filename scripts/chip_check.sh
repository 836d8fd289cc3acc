#!/usr/bin/env bash
# Compiles exported C headers of int8 for a Cortex-M0 and runs them in an emulator of one: prints their bytes of flash and of stack, and
# holds the classes of test images to those of the same file compiled for this machine.
# Usage: scripts/chip_check.sh HEADER… (`handgrad export RUN --format c-header --quantise int8`). IMAGES: how many, 100 by default.
# Needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm; exits with 77 where one is not installed. Data: MNIST_DIR, for
# images of 28 × 28 pixels.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"
(($# > 0)) || fail "name at least one header: scripts/chip_check.sh HEADER…"
for tool in arm-none-eabi-gcc qemu-system-arm; do
  if ! command -v "$tool" >/dev/null; then
    echo "skipped: no $tool; apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
    exit 77
  fi
done
images=${MNIST_DIR:?the directory with the four MNIST files}/t10k-images-idx3-ubyte
count=${IMAGES-100}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [[ -f $images ]]; then cat -- "$images"; else gzip -dc -- "$images.gz"; fi >"$scratch/idx"
head -c $((16 + 784 * count)) -- "$scratch/idx" | tail -c +17 >"$scratch/images.raw"
(cd -- "$scratch" && arm-none-eabi-objcopy -I binary -O elf32-littlearm -B arm --rename-section .data=.images,alloc,load,readonly,data,contents images.raw images.o)

for header in "$@"; do
  path=$(realpath -- "$header")
  prefix=$(basename -- "${header%.h}")
  defines=(-DHEADER="\"$path\"" -DPREFIX="${prefix//[^A-Za-z0-9_]/_}")
  arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb -std=gnu11 -Os -Wall -Wextra -Werror -ffunction-sections -fdata-sections \
    -nostartfiles -Wl,--gc-sections -T "$root/tests/chip/chip.ld" "${defines[@]}" -o "$scratch/chip.elf" \
    "$root/tests/chip/chip.c" "$scratch/images.o" -lm
  flash=$(arm-none-eabi-size -A "$scratch/chip.elf" | awk '$1 == ".text" { print $2 }')
  timeout 300 qemu-system-arm -M microbit -nographic -monitor none -serial none -semihosting-config enable=on,target=native \
    -kernel "$scratch/chip.elf" >"$scratch/chip.txt" 2>&1 || true
  cc -std=c99 -O2 "${defines[@]}" -DINT8 -o "$scratch/here" "$root/app/export/readers/run_header.c" -lm
  "$scratch/here" "$scratch/images.raw" "$scratch/logits"
  python3 - "$scratch" "$header" "$flash" "$count" <<'END_OF_PYTHON'
import struct, sys
scratch, header, flash, count = sys.argv[1:]
said = open(f"{scratch}/chip.txt").read().split()
logits = open(f"{scratch}/logits", "rb").read()
classes = len(logits) // 4 // int(count)
rows = [struct.unpack_from(f"<{classes}f", logits, 4 * classes * i) for i in range(int(count))]
best = [row.index(max(row)) for row in rows]
if len(said) != len(best) + 1 or not all(word.isdigit() for word in said):
    sys.exit(f"FAILED: {header}: the emulator said: {' '.join(said[:20])}")
different = [i for i, (there, here) in enumerate(zip(said, best)) if int(there) != here]
if different:
    sys.exit(f"FAILED: {header}: {len(different)} of {count} classes differ on the chip, the first that of image {different[0]}")
print(f"{header}: {flash} bytes of flash, {said[-1]} of stack, {count} classes as here")
END_OF_PYTHON
done
