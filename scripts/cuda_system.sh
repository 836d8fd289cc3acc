#!/usr/bin/env bash
# Builds and links all of handgrad with CUDA where there is no GPU, in a bare Debian 13 with the LibTorch of its contrib, made in a
# temporary folder, and runs the tests there, on the CPU. Debian's package of cuDNN fetches it from NVIDIA; where it cannot, a stub
# of the functions that LibTorch names takes its place: nothing on a CPU calls them. Downloads about 3 GB, takes about 15 GB of
# disk meanwhile. Needs root and a mirror of Debian (bare_system.sh). Argument: "keep" to keep the folder.
set -euo pipefail
if [[ -n ${MNIST_DIR-} ]]; then MNIST_DIR=$(realpath --canonicalize-missing -- "$MNIST_DIR"); fi
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=scripts/bare_system.sh
source scripts/bare_system.sh

case "${1-}" in
  "" | keep) ;;
  *) fail "unknown argument '$1'; the only one is keep" ;;
esac
require_systems "$0" "$@"
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/handgrad-cuda-XXXXXX")
if [[ ${1-} == keep ]]; then say "in $scratch"; else trap 'rm -rf "$scratch"' EXIT; fi
root=$scratch/trixie
here() { inside "$root" root "$1"; }

# Debian's package of cuDNN may stay without it, and LibTorch then counts as not quite installed; its files are there.
install_cuda() {
  echo "deb ${DEBIAN_MIRROR:-http://deb.debian.org/debian} trixie contrib non-free" >"$root/etc/apt/sources.list.d/non-free.list"
  here 'scripts/setup.sh --tests' || return 1
  here 'scripts/setup.sh --cuda' || here 'ls /usr/lib/*/libtorch_cuda.so >/dev/null'
}

# All functions that LibTorch's libraries want of libcudnn.so.9, each of which fails as cuDNN does before it is set up.
# shellcheck disable=SC2016  # the inner shell expands it
make_stub() {
  here '[[ $(ldconfig -p) == *libcudnn.so.9* ]]' && return 0
  here 'scratch=$(mktemp -d)
    readelf --wide --dyn-syms /usr/lib/*/libtorch_*.so | sed -nE "s/.* UND (cudnn[A-Za-z0-9_]+)@libcudnn\.so\.9.*/\1/p" | sort -u >"$scratch/names"
    [[ -s $scratch/names ]]
    sed "s/.*/int &(void) { return 1; }/" "$scratch/names" >"$scratch/stub.c"
    echo "libcudnn.so.9 { global: *; };" >"$scratch/versions"
    gcc -shared -fPIC -Wno-builtin-declaration-mismatch -o /usr/lib/x86_64-linux-gnu/libcudnn.so.9 -Wl,-soname,libcudnn.so.9 \
      "-Wl,--version-script=$scratch/versions" "$scratch/stub.c"
    ldconfig
    echo "stub of libcudnn.so.9: $(wc -l <"$scratch/names") functions"'
}

build() {
  here 'cmake --preset release -DHANDGRAD_TESTS=ON -DHANDGRAD_WERROR=ON && cmake --build --preset release'
}

linked() {
  # shellcheck disable=SC2016  # the inner shell expands it
  here 'for program in build/handgrad build/handgrad_tests; do
      echo "$program: $(ldd "$program" | grep -o "libtorch_cuda.so.*")"
      [[ $(ldd "$program") != *"not found"* ]]
    done
    grep -q HANDGRAD_NCCL build/compile_commands.json'
}

refuses_cuda() {
  local message status=0
  message=$(here 'build/handgrad train --data synthetic --device cuda' 2>&1) || status=$?
  printf '%s\n' "$message"
  [[ $status == 1 && $message == "handgrad: --device: cuda is not there: LibTorch "*" found no CUDA GPU"* ]]
}

stage "bare system" make_system trixie "$root" root
stage "CUDA" quietly install_cuda
stage "cuDNN" make_stub
stage "build" quietly build
stage "linked" linked
stage "no GPU" refuses_cuda
stage "tests" quietly here 'build/handgrad_tests && build/cli_tests'
