#!/usr/bin/env bash
# Installs the build into a scratch directory, then builds and runs there the projects of tests/consumer.
# Argument: the build directory.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
torch=$(sed -n 's/^Torch_DIR:PATH=//p' "$1/CMakeCache.txt")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$1" --prefix "$scratch/installed" >"$scratch/log" || { cat "$scratch/log"; exit 1; }

# build PROJECT [ARGUMENT]…: builds tests/consumer/PROJECT in $scratch/PROJECT.
build() {
  if ! cmake -S "$root/tests/consumer/$1" -B "$scratch/$1" -G Ninja -DCMAKE_BUILD_TYPE=Release "${@:2}" >"$scratch/log" 2>&1 ||
    ! cmake --build "$scratch/$1" >>"$scratch/log" 2>&1; then
    cat "$scratch/log"
    exit 1
  fi
}
build library -DCMAKE_PREFIX_PATH="$scratch/installed"
"$scratch/library/train"
handgrad=$scratch/installed/bin/handgrad
"$handgrad" --version

# A bar of 4 × 20 pixels is classified by each of the programs of docs/use.md as by `handgrad predict`.
cd -- "$scratch"
python3 - <<'END_OF_PYTHON'
with open("bar.pgm", "wb") as file:
    file.write(b"P5 28 28 255\n")
    file.write(bytes(255 if 4 <= y < 24 and 12 <= x < 16 else 0 for y in range(28) for x in range(28)))
END_OF_PYTHON
"$handgrad" train --data synthetic --epochs 2 --deskew --out run >/dev/null
"$handgrad" export run --format c-header --output model.h >/dev/null
build libtorch ${torch:+-DTorch_DIR="$torch"}
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -O2 -I . "$root/tests/consumer/c_header/classify.c" -o classify -lm
# same FLAG PROGRAM [ARGUMENT]…: whether it says of the bar what `handgrad predict` with the flag says.
same() {
  local said expected
  said=$("${@:2}" bar.pgm)
  expected=$("$handgrad" predict run bar.pgm "$1" | cut -f 2-)
  if [[ $said != "$expected" ]]; then
    echo "FAILED: $2: $said, handgrad predict $1: $expected"
    exit 1
  fi
}
same --top=1 library/classify run/model.pt
same --as-is libtorch/classify run/model.pt
same --as-is ./classify

# Where there would be nothing but the reference BLAS, the build refuses and says what to install.
if readelf --dynamic /usr/lib/*/libtorch_cpu.so 2>/dev/null | grep -q 'libblas\.so'; then
  if cmake -S "$root" -B "$scratch/slow" -G Ninja -DHANDGRAD_BLAS= >"$scratch/log" 2>&1; then
    echo "FAILED: configured without a fast BLAS"
    exit 1
  fi
  tr -s ' \n' ' ' <"$scratch/log" | grep -q 'apt-get install libblis4-serial' || { cat "$scratch/log"; exit 1; }
fi

# Of a LibTorch without its libraries the build says in one line what is wrong and what to do.
mkdir -p "$scratch/half/share/cmake"
cp -R "$torch" "$scratch/half/share/cmake/Torch"
if cmake -S "$root" -B "$scratch/of_half" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/half" >"$scratch/log" 2>&1; then
  echo "FAILED: configured with half a LibTorch"
  exit 1
fi
if ! grep -q "LibTorch is half installed: $scratch/half.* is there, its libtorch_cpu.so is not; install it again" "$scratch/log" ||
  grep -q 'imported target' "$scratch/log"; then
  cat "$scratch/log"
  exit 1
fi
