#!/usr/bin/env bash
# Installs by apt what handgrad needs and this machine lacks; with --tests also what the tests need.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(g++ cmake ninja-build ccache git ca-certificates curl libtorch-dev libcxxopts-dev libblis4-serial
  libopenblas0-pthread zlib1g-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libboost-dev libpng-dev libssl-dev
  libonnx-dev libprotobuf-dev)
# Of reports; an npm that did not come by apt does as well.
command -v npm >/dev/null || packages+=(npm)
case "${1-}" in
  "") ;;
  --tests)
    packages+=(catch2 librapidcheck-dev python3 python3-torch python3-numpy python3-onnx clang-format clang-tidy clang libclang-rt-14-dev shellcheck
      chromium fonts-dejavu-core)
    ;;
  *) fail "unknown argument '$1'; the only one is --tests" ;;
esac

if ! command -v apt-get >/dev/null; then
  say "no apt-get here; the equivalents of these Debian packages are needed: ${packages[*]}"
  command -v cmake >/dev/null || fail "cmake is missing"
  command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    fail "a C++ compiler is missing"
  exit 0
fi

installed() {
  # dpkg-query fails for packages that it never heard of, which are just not installed.
  { dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true; } |
    sed -n 's/^installed //p'
}
mapfile -t missing < <(comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(installed | sort -u))
if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || fail "no sudo here; as root, run: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@" 2>&1
}

say "installing ${missing[*]}"
# Lists that cannot be updated need not matter: the packages may be in the lists and the cache already.
apt_get update >/dev/null || true
if ! output=$(apt_get install -y --no-install-recommends "${missing[@]}"); then
  reason=$(grep -m 1 '^E: ' <<<"$output" || tail -n 1 <<<"$output")
  fail "apt-get could not install ${missing[*]}: ${reason#E: }"
fi
