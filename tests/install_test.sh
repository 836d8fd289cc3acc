#!/usr/bin/env bash
# Installs the build into a scratch directory, then builds and runs there a project that finds handgrad::core.
# Argument: the build directory.
set -euo pipefail
source_directory=$(cd "$(dirname "${BASH_SOURCE[0]}")/consumer" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$1" --prefix "$scratch/installed" >"$scratch/log" || { cat "$scratch/log"; exit 1; }
cmake -S "$source_directory" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$scratch/installed" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
cmake --build "$scratch/build"
"$scratch/build/consumer"
"$scratch/installed/bin/handgrad" --version

# Where there would be nothing but the reference BLAS, the build refuses and says what to install.
source_directory=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if readelf --dynamic /usr/lib/*/libtorch_cpu.so 2>/dev/null | grep -q 'libblas\.so'; then
  if cmake -S "$source_directory" -B "$scratch/slow" -G Ninja -DHANDGRAD_BLAS= >"$scratch/log" 2>&1; then
    echo "FAILED: configured without a fast BLAS"
    exit 1
  fi
  tr -s ' \n' ' ' <"$scratch/log" | grep -q 'apt-get install libblis4-serial' || { cat "$scratch/log"; exit 1; }
fi

# Of a LibTorch without its libraries the build says in one line what is wrong and what to do.
torch=$(sed -n 's/^Torch_DIR:PATH=//p' "$1/CMakeCache.txt")
mkdir -p "$scratch/half/share/cmake"
cp -R "$torch" "$scratch/half/share/cmake/Torch"
if cmake -S "$source_directory" -B "$scratch/of_half" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/half" >"$scratch/log" 2>&1; then
  echo "FAILED: configured with half a LibTorch"
  exit 1
fi
if ! grep -q "LibTorch is half installed: $scratch/half.* is there, its libtorch_cpu.so is not; install it again" "$scratch/log" ||
  grep -q 'imported target' "$scratch/log"; then
  cat "$scratch/log"
  exit 1
fi
