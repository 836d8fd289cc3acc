#!/usr/bin/env bash
# Installs by apt what handgrad needs and this machine lacks; with --tests also what the tests need, with --cuda Debian's LibTorch
# with CUDA. A LibTorch that CMAKE_PREFIX_PATH names is used as it is (docs/install.md). Changes no list of package sources.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tests=
cuda=
for argument in "$@"; do
  case $argument in
    --tests) tests=1 ;;
    --cuda) cuda=1 ;;
    *) fail "unknown argument '$argument'; known are --tests and --cuda" ;;
  esac
done

# installed PACKAGE…: those of them that are.
installed() {
  command -v dpkg-query >/dev/null || return 0
  # dpkg-query fails for packages that it never heard of, which are just not installed.
  { dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
    sed -n 's/^installed //p'
}
as_root=()
apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@" 2>&1
}
updated=
update_lists() {
  [[ -z $updated ]] || return 0
  # Lists that cannot be updated need not matter: the packages may be in the lists and the cache already.
  apt_get update >/dev/null || true
  updated=1
}
# apt_has PACKAGE: whether a list of packages has it; apt also knows names that other packages only mention.
apt_has() { [[ $(LC_ALL=C apt-cache policy "$1") == *"Candidate: "[!\(]* ]]; }
apt_knows() { apt_has "$1" || { update_lists && apt_has "$1"; }; }

# The folders in which CMake looks first, with LibTorch in one of them.
has_own_torch() {
  local folder folders
  IFS=':;' read -r -a folders <<<"${CMAKE_PREFIX_PATH-}"
  for folder in "${folders[@]}"; do
    if [[ -e $folder/Torch/TorchConfig.cmake || -e $folder/share/cmake/Torch/TorchConfig.cmake ]]; then return 0; fi
  done
  return 1
}

packages=(g++ cmake ninja-build ccache git ca-certificates curl libcxxopts-dev libblis4-serial
  libopenblas0-pthread zlib1g-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libboost-dev libleptonica-dev libssl-dev
  libonnx-dev libprotobuf-dev)
# Compiles for x86 alone.
[[ $(uname -m) != x86_64 ]] || packages+=(libxsmm-dev)
# Of reports; an npm that did not come by apt does as well.
command -v npm >/dev/null || packages+=(npm)
if [[ -n $tests ]]; then
  packages+=(catch2 librapidcheck-dev python3 python3-numpy python3-pil python3-onnx clang-format clang-tidy clang shellcheck chromium
    fonts-dejavu-core protobuf-compiler python3-protobuf gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)
fi
# The two kinds exclude each other: where the one with CUDA is, be it half installed for want of cuDNN, it stays.
if compgen -G '/usr/lib/*/libtorch_cuda.so' >/dev/null; then cuda=1; fi
if [[ -n $cuda ]]; then
  packages+=(libtorch-cuda-dev nvidia-cuda-toolkit libgloo-cuda-dev libnccl-dev ${tests:+python3-torch-cuda})
else
  packages+=(libgloo-dev)
  has_own_torch || packages+=(libtorch-dev ${tests:+python3-torch})
fi

if ! command -v apt-get >/dev/null; then
  say "no apt-get here; the equivalents of these Debian packages are needed: ${packages[*]}"
  command -v cmake >/dev/null || fail "cmake is missing"
  command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    fail "a C++ compiler is missing"
  exit 0
fi

if ((EUID != 0)) && command -v sudo >/dev/null; then as_root=(sudo); fi
if [[ -n $cuda && -z $(installed libtorch-cuda-dev) ]]; then
  if ! apt_knows libtorch-cuda-dev || ! apt_knows nvidia-cuda-toolkit; then
    # shellcheck disable=SC2016  # apt-get fills it in
    source=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' 'Component: main' | head -n 1)
    [[ $source != *" bookworm" ]] ||
      fail "Debian 12 has no LibTorch with CUDA; use that of pip or of the LibTorch archive: docs/install.md"
    say "Debian's LibTorch with CUDA is in contrib, CUDA itself in non-free, and apt knows of neither; as root, run:"
    say "  echo 'deb $source contrib non-free' >/etc/apt/sources.list.d/non-free.list"
    fail "then this again; or use the LibTorch of pip or of the LibTorch archive: docs/install.md"
  fi
fi
if [[ -n $tests ]]; then
  # The runtime of sanitizers and libFuzzer, and the header of OpenMP, are packaged by the version of Clang, which the package
  # clang depends on.
  apt_knows clang || fail "apt knows no package clang; run: apt-get update"
  clang=$(apt-cache depends clang | sed -nE 's/^ *Depends: clang-([0-9]+)$/\1/p')
  packages+=("libclang-rt-$clang-dev" "libomp-$clang-dev" "libclang-$clang-dev" "llvm-$clang-dev")
fi

mapfile -t missing < <(comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(installed "${packages[@]}" | sort -u))
if ((${#missing[@]} == 0)); then
  exit 0
fi
if ((EUID != 0 && ${#as_root[@]} == 0)); then
  fail "no sudo here; as root, run: apt-get install ${missing[*]}"
fi
say "installing ${missing[*]}"
update_lists
if ! output=$(apt_get install -y --no-install-recommends "${missing[@]}"); then
  reason=$(grep -m 1 '^E: ' <<<"$output" || tail -n 1 <<<"$output")
  fail "apt-get could not install ${missing[*]}: ${reason#E: }"
fi
